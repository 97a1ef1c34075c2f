/* terminal.c - the terminal of the line editor: who writes on it while a line is being typed.
 *
 * What anybody writes to the terminal meanwhile would garble the line. So for that time stdout and
 * stderr lead into a pipe, whose other end is read here: the line is taken away, the text written,
 * and the line drawn again. Between lines they are the terminal itself, so that a program that is
 * started at the prompt gets it. */
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#define READS_MAX 16 /* more than a pipe holds */

/* ---- The terminal ---- */

int hvl_terminal_columns(const hvl_terminal_t *terminal) {
    struct winsize size;
    if (ioctl(fileno(terminal->out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
    return size.ws_col;
}

int hvl_terminal_width(const char *text, size_t len) {
    mbstate_t state = {0};
    int width = 0;
    while (len > 0) {
        wchar_t wide;
        size_t bytes = mbrtowc(&wide, text, len, &state);
        if (bytes == 0 || bytes > len) {
            bytes = 1;
            width += 4; /* shown as \ooo */
            memset(&state, 0, sizeof state);
        } else {
            int columns = wcwidth(wide);
            width += columns < 0 ? 2 : columns;
        }
        text += bytes;
        len -= bytes;
    }
    return width;
}

void hvl_terminal_erase_line(hvl_terminal_t *terminal) {
    int rows = terminal->columns_before(terminal->editor) / hvl_terminal_columns(terminal);
    fputc('\r', terminal->out);
    if (rows > 0) fprintf(terminal->out, "\033[%dA", rows);
    fputs("\033[J", terminal->out);
}

static void write_text(hvl_terminal_t *terminal, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] == '\n') fputc('\r', terminal->out);
        fputc(text[i], terminal->out);
    }
}

void hvl_terminal_write_above(hvl_terminal_t *terminal, const char *text, size_t len) {
    if (len == 0) return;
    hvl_terminal_erase_line(terminal);
    write_text(terminal, text, len);
    if (text[len - 1] != '\n') write_text(terminal, "\n", 1);
    fflush(terminal->out);
    terminal->draw(terminal->editor);
}

/* ---- What others write ---- */

void hvl_terminal_flush(hvl_terminal_t *terminal) {
    if (terminal->is_reading) {
        hvl_terminal_write_above(terminal, terminal->partial, terminal->partial_len);
    } else {
        write_text(terminal, terminal->partial, terminal->partial_len);
        fflush(terminal->out);
    }
    terminal->partial_len = 0;
}

/* While a line is typed, only lines that are complete. Who writes on and on does not keep the keys
 * from being read. */
void hvl_terminal_pass_output(hvl_terminal_t *terminal) {
    for (int i = 0; i < READS_MAX; i++) {
        size_t room = sizeof terminal->partial - terminal->partial_len;
        ssize_t count =
            read(terminal->pipe_fds[0], terminal->partial + terminal->partial_len, room);
        if (count <= 0) return;
        terminal->partial_len += (size_t)count;
        const char *last = memrchr(terminal->partial, '\n', terminal->partial_len);
        if (!terminal->is_reading || last == NULL) {
            if (!terminal->is_reading || terminal->partial_len == sizeof terminal->partial) {
                hvl_terminal_flush(terminal);
            }
            continue;
        }
        size_t len = (size_t)(last - terminal->partial) + 1;
        hvl_terminal_write_above(terminal, terminal->partial, len);
        terminal->partial_len -= len;
        memmove(terminal->partial, last + 1, terminal->partial_len);
    }
}

static void begin_capture(hvl_terminal_t *terminal) {
    for (int fd = 1; fd <= 2; fd++) {
        terminal->is_captured[fd] = isatty(fd) && dup2(terminal->pipe_fds[1], fd) >= 0;
    }
}

/* stdout and stderr are the terminal again; then what is in the pipe is shown: nothing overtakes
 * it. */
void hvl_terminal_end_line(hvl_terminal_t *terminal) {
    for (int fd = 1; fd <= 2; fd++) {
        if (terminal->is_captured[fd]) dup2(fileno(terminal->out), fd);
        terminal->is_captured[fd] = 0;
    }
    hvl_terminal_pass_output(terminal);
    if (terminal->partial_len > 0) hvl_terminal_flush(terminal);
}

/* A text that was written without a line end is set off from the prompt, which begins a line: a
 * mark and blanks up to the right margin wrap only where something stands before them. */
static void set_off(hvl_terminal_t *terminal) {
    fprintf(terminal->out, "\033[7m%%\033[27m%*s\r\033[K", hvl_terminal_columns(terminal) - 1, "");
    fflush(terminal->out);
}

void hvl_terminal_begin_line(hvl_terminal_t *terminal) {
    hvl_terminal_end_quiet(terminal);
    set_off(terminal);
    begin_capture(terminal);
}

/* ---- The echo ---- */

/* What is typed or pasted while a line runs is for the next prompt, which shows it; the terminal
 * would show it too. Only what runs for longer, and may be a program that reads itself, has the
 * echo; and where that has changed the terminal, it is not touched. */
void hvl_terminal_be_quiet(hvl_terminal_t *terminal) {
    if (tcgetattr(fileno(terminal->in), &terminal->quiet) != 0) return;
    terminal->quiet.c_lflag &= ~(tcflag_t)ECHO;
    terminal->is_quiet = tcsetattr(fileno(terminal->in), TCSANOW, &terminal->quiet) == 0;
}

void hvl_terminal_end_quiet(hvl_terminal_t *terminal) {
    struct termios now;
    if (!terminal->is_quiet) return;
    terminal->is_quiet = 0;
    if (tcgetattr(fileno(terminal->in), &now) != 0) return;
    if (now.c_lflag != terminal->quiet.c_lflag || now.c_iflag != terminal->quiet.c_iflag) return;
    now.c_lflag |= ECHO;
    tcsetattr(fileno(terminal->in), TCSANOW, &now);
}

/* ---- Opening and closing ---- */

static FILE *open_terminal(int fd, const char *mode) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    FILE *file = copy >= 0 ? fdopen(copy, mode) : NULL;
    if (file == NULL && copy >= 0) close(copy);
    return file;
}

int hvl_terminal_open(hvl_terminal_t *terminal) {
    terminal->pipe_fds[0] = terminal->pipe_fds[1] = -1;
    terminal->in = open_terminal(0, "r");
    terminal->out = open_terminal(1, "w");
    terminal->err = open_terminal(1, "w");
    if (terminal->in == NULL || terminal->out == NULL || terminal->err == NULL) return -errno;
    if (pipe2(terminal->pipe_fds, O_CLOEXEC) != 0) return -errno;
    fcntl(terminal->pipe_fds[0], F_SETFL, O_NONBLOCK);
    return 0;
}

void hvl_terminal_close(hvl_terminal_t *terminal) {
    if (terminal->in != NULL) fclose(terminal->in);
    if (terminal->out != NULL) fclose(terminal->out);
    if (terminal->err != NULL) fclose(terminal->err);
    for (int i = 0; i < 2; i++) {
        if (terminal->pipe_fds[i] >= 0) close(terminal->pipe_fds[i]);
    }
}
