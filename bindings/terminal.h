/* terminal.h - the terminal of the line editor, while somebody types a line on it. */
#ifndef HVL_TERMINAL_H_
#define HVL_TERMINAL_H_

#include <stdio.h>
#include <termios.h>

/* All calls come from the editor's thread, but for open and close, when it does not run. */
typedef struct hvl_terminal_s {
    FILE *in, *out, *err; /* the terminal, whatever 0, 1 and 2 are at the moment */
    int pipe_fds[2];
    int is_captured[3]; /* of descriptors 1 and 2 */
    int is_reading;     /* a line is being typed */
    int is_quiet;       /* there is no echo; quiet is what it was set to */
    struct termios quiet;
    size_t partial_len; /* of a line that others have begun to write */
    char partial[16384];

    /* From the editor: the columns of prompt and text before the cursor, and drawing it all. */
    int (*columns_before)(void *editor);
    void (*draw)(void *editor);
    void *editor;
} hvl_terminal_t;

/* Takes hold of the terminal that descriptors 0 and 1 are. Returns 0 or a code; close it anyhow. */
int hvl_terminal_open(hvl_terminal_t *terminal);
void hvl_terminal_close(hvl_terminal_t *terminal);

int hvl_terminal_columns(const hvl_terminal_t *terminal);
/* Columns that a text takes up; what is not printable is shown as ^X. */
int hvl_terminal_width(const char *text, size_t len);

/* Between these, what is written to stdout and stderr goes through the pipe. */
void hvl_terminal_begin_line(hvl_terminal_t *terminal);
void hvl_terminal_end_line(hvl_terminal_t *terminal);

/* Shows what has come through the pipe; of a line that is being typed, above it. */
void hvl_terminal_pass_output(hvl_terminal_t *terminal);
/* Shows what has come of a line that is not complete. */
void hvl_terminal_flush(hvl_terminal_t *terminal);
/* Writes lines above the one that is being typed. */
void hvl_terminal_write_above(hvl_terminal_t *terminal, const char *text, size_t len);
/* Takes the line that is being typed off the screen; the cursor is where its prompt began. */
void hvl_terminal_erase_line(hvl_terminal_t *terminal);

/* No echo, until the line's work has taken a while. */
void hvl_terminal_be_quiet(hvl_terminal_t *terminal);
void hvl_terminal_end_quiet(hvl_terminal_t *terminal);

#endif
