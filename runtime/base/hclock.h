/* hclock.h - the monotonic and the wall clock in microseconds, and a clock that tests turn by hand.
 * Any thread. */
#ifndef HV_CLOCK_H_
#define HV_CLOCK_H_

#include <stdint.h>

/* Microseconds of the monotonic clock: never goes back, its zero means nothing. */
uint64_t hclock_mono_us(void);

/* Microseconds since the epoch; the administrator may set it either way. */
uint64_t hclock_wall_us(void);

/* For tests: stops both clocks of the process at `us`; from now on only hclock_advance moves
 * them. */
void hclock_set_fake(uint64_t us);

/* For tests of calendars and clock steps: sets the stopped wall clock alone. */
void hclock_set_fake_wall(uint64_t us);

/* Moves both stopped clocks forward. */
void hclock_advance(uint64_t us);

/* For tests: lets the kernel's clocks tell the time again. */
void hclock_use_real(void);

/* Tells whether the clocks are stopped. */
int hclock_is_fake(void);

#endif
