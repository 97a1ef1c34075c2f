/* hassert.c - the end of a failed assertion. Kept out of line so that a check costs its caller
 * one compare and one cold call. */
#include "hassert.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((cold)) void hv__assert_failed(const char *claim, const char *file, int line) {
    fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, claim);
    fflush(stderr);
    abort();
}
