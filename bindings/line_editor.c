/* line_editor.c - a line typed at a terminal, by libedit, while the loop goes on.
 *
 * libedit reads keys where it needs them (in the middle of an escape sequence, of a search), so it
 * has a thread of its own, which never touches Lua. The loop's thread asks for a line or answers a
 * request for completion under the lock and pokes `wake_fd`; the editor's thread posts events.
 *
 * What others write to the terminal meanwhile is dealt with in terminal.c, on the editor's thread.
 * There is one editor a process, because there is one terminal. */
#include "interrupt.h"

#include <errno.h>
#include <locale.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <wchar.h>

#include "hbase.h"
#include "terminal.h"

#ifdef HVL_HAS_LIBEDIT

#include <histedit.h>

#define HISTORY_MAX 10000
#define ANSWER_MS   1000 /* how long Tab waits for the names */
#define ECHO_MS     100  /* how long a line must run before the terminal shows what is typed */
#define STOP_MS     50
#define RETRY_MS    10 /* until an event is posted again for which there was no memory */
#define PARTIAL_MS  50 /* how long text without a line end waits for the rest of its line */

enum { NOTHING, LINE, END_OF_INPUT, INTERRUPTED }; /* what reading a line has come to */

typedef struct editor_s {
    hvl_object_t object;
    EditLine *el;
    History *history;
    hvl_aim_t *aim; /* what Ctrl-C at the prompt fires; its object is held by aim_ref */
    int aim_ref;
    int complete_ref; /* function(text before the cursor, columns) -> text to insert, list */
    htimer_t *keeper; /* keeps the loop running while a line is waited for */
    hvl_waiter_t reader;
    hvl_terminal_t terminal;
    int wake_fd;
    pthread_t thread;
    int has_thread;
    int is_open;
    pthread_mutex_t lock;

    /* Under the lock. */
    int wants_line;
    int wants_end;
    int wants_resize;
    int has_answer;
    char *answer_insert;
    char *answer_list;
    char *question; /* for complete, taken by the loop */
    int result;
    char *line;
    char prompt[64];

    /* The editor's thread only. */
    int is_interrupted;
    mbstate_t decoder;
} editor_t;

static const hvl_class_t editor_class = {"hv.editor"};

static editor_t *the_editor;

/* ---- What the terminal asks ---- */

static int columns_before(void *data) {
    const editor_t *editor = data;
    const LineInfo *info = el_line(editor->el);
    return hvl_terminal_width(editor->prompt, strlen(editor->prompt)) +
           hvl_terminal_width(info->buffer, (size_t)(info->cursor - info->buffer));
}

static void draw_line(void *data) {
    const editor_t *editor = data;
    el_set(editor->el, EL_REFRESH);
}

/* ---- Between the threads ---- */

static void wake(const editor_t *editor) {
    uint64_t one = 1;
    while (write(editor->wake_fd, &one, sizeof one) < 0 && errno == EINTR)
        continue;
}

/* Returns 0 or a code. */
static int post(editor_t *editor, hevent_cb cb) {
    hevent_t ev = {.cb = cb, .userdata = editor};
    return hloop_post_event(editor->object.rt->loop, &ev);
}

static int is_ending(editor_t *editor) {
    pthread_mutex_lock(&editor->lock);
    int wants_end = editor->wants_end;
    pthread_mutex_unlock(&editor->lock);
    return wants_end;
}

/* In the editor's thread. Somebody waits for the event: where there is no memory for it, it is
 * tried again until there is, or nobody waits any more. */
static void post_for_sure(editor_t *editor, hevent_cb cb) {
    while (post(editor, cb) == HV_ENOMEM && !is_ending(editor)) poll(NULL, 0, RETRY_MS);
}

enum { REQUEST, KEY, TIMED_OUT };

/* Waits for a request, for a key where `fd` is not -1, or until the time has passed (negative:
 * never), and shows what others write meanwhile. */
static int wait_for_input(editor_t *editor, int fd, int limit_ms) {
    struct pollfd fds[3] = {
        {editor->wake_fd, POLLIN, 0}, {editor->terminal.pipe_fds[0], POLLIN, 0}, {fd, POLLIN, 0}};
    for (;;) {
        int has_partial = editor->terminal.partial_len > 0;
        int count = poll(fds, 3, has_partial ? PARTIAL_MS : limit_ms);
        if (count < 0 && errno != EINTR) return REQUEST;
        if (count == 0 && !has_partial) return TIMED_OUT;
        if (count == 0) hvl_terminal_flush(&editor->terminal);
        if (count <= 0) continue;
        if (fds[1].revents & POLLIN) hvl_terminal_pass_output(&editor->terminal);
        if (fds[0].revents & POLLIN) {
            uint64_t number;
            if (read(editor->wake_fd, &number, sizeof number) < 0) continue;
            return REQUEST;
        }
        if (fds[2].revents != 0) return KEY;
    }
}

/* ---- The editor's thread ---- */

/* libedit's source of characters. Returns 1, or 0 for the end. */
static int get_char(EditLine *el, wchar_t *wide) {
    editor_t *editor;
    el_get(el, EL_CLIENTDATA, &editor);
    for (;;) {
        int fd = fileno(editor->terminal.in);
        if (wait_for_input(editor, fd, -1) == KEY) {
            char byte;
            ssize_t count = read(fd, &byte, 1);
            if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
            if (count <= 0) return 0;
            size_t result = mbrtowc(wide, &byte, 1, &editor->decoder);
            if (result == (size_t)-2) continue; /* a part of a character */
            if (result != (size_t)-1) return 1;
            memset(&editor->decoder, 0, sizeof editor->decoder);
            *wide = L'?';
            return 1;
        }
        pthread_mutex_lock(&editor->lock);
        int wants_end = editor->wants_end, wants_resize = editor->wants_resize;
        editor->wants_resize = 0;
        pthread_mutex_unlock(&editor->lock);
        if (wants_end) return 0;
        if (wants_resize) {
            hvl_terminal_erase_line(&editor->terminal);
            fflush(editor->terminal.out);
            el_resize(el);
            draw_line(editor);
        }
    }
}

static char *get_prompt(EditLine *el) {
    editor_t *editor;
    el_get(el, EL_CLIENTDATA, &editor);
    return editor->prompt;
}

/* Ctrl-C: the line is left as it stands, and a new one begins. */
static unsigned char on_interrupt_key(EditLine *el, int key) {
    (void)key;
    editor_t *editor;
    el_get(el, EL_CLIENTDATA, &editor);
    editor->is_interrupted = 1;
    fputs("^C", editor->terminal.out);
    return CC_NEWLINE;
}

/* Ctrl-Z: the shell gets the terminal, and gives it back. */
static unsigned char on_suspend_key(EditLine *el, int key) {
    (void)key;
    editor_t *editor;
    el_get(el, EL_CLIENTDATA, &editor);
    el_set(el, EL_PREP_TERM, 0);
    kill(getpid(), SIGTSTP);
    poll(NULL, 0, STOP_MS); /* another thread takes the signal */
    el_set(el, EL_PREP_TERM, 1);
    fputs("\r\n", editor->terminal.out);
    fflush(editor->terminal.out);
    return CC_REDISPLAY;
}

static void on_question(hevent_t *ev);

/* Tab: asks the loop, which may be busy; then it stays without an answer. */
static unsigned char on_complete_key(EditLine *el, int key) {
    (void)key;
    editor_t *editor;
    el_get(el, EL_CLIENTDATA, &editor);
    const LineInfo *info = el_line(el);
    size_t len = (size_t)(info->cursor - info->buffer);
    if (strspn(info->buffer, " ") >= len) {
        el_insertstr(el, "  ");
        return CC_REFRESH;
    }
    pthread_mutex_lock(&editor->lock);
    hv_free(editor->question);
    editor->question = hv_strndup(info->buffer, len);
    editor->has_answer = 0;
    pthread_mutex_unlock(&editor->lock);
    if (post(editor, on_question) != 0) return CC_REFRESH_BEEP;
    char *insert = NULL, *list = NULL;
    for (int is_done = 0; !is_done;) {
        int is_late = wait_for_input(editor, -1, ANSWER_MS) == TIMED_OUT;
        pthread_mutex_lock(&editor->lock);
        is_done = is_late || editor->has_answer || editor->wants_end;
        if (editor->has_answer) {
            insert = editor->answer_insert;
            list = editor->answer_list;
            editor->answer_insert = editor->answer_list = NULL;
        }
        pthread_mutex_unlock(&editor->lock);
    }
    unsigned char result = CC_NORM;
    if (insert != NULL && *insert != '\0') {
        el_insertstr(el, insert);
        result = CC_REFRESH;
    } else if (list != NULL && *list != '\0') {
        hvl_terminal_write_above(&editor->terminal, list, strlen(list));
    } else {
        result = CC_REFRESH_BEEP;
    }
    hv_free(insert);
    hv_free(list);
    return result;
}

static void on_result(hevent_t *ev);

static void read_line(editor_t *editor) {
    hvl_terminal_begin_line(&editor->terminal);
    editor->terminal.is_reading = 1;
    editor->is_interrupted = 0;
    memset(&editor->decoder, 0, sizeof editor->decoder);
    int count = 0;
    const char *text = el_gets(editor->el, &count);
    hvl_terminal_be_quiet(&editor->terminal);
    editor->terminal.is_reading = 0;
    if (editor->is_interrupted || text == NULL) {
        fputs("\r\n", editor->terminal.out);
        fflush(editor->terminal.out);
    }
    hvl_terminal_end_line(&editor->terminal);
    int result = editor->is_interrupted ? INTERRUPTED : text == NULL ? END_OF_INPUT : LINE;
    char *line = result == LINE ? hv_strdup(text) : NULL;
    if (line != NULL) line[strcspn(line, "\n")] = '\0';
    pthread_mutex_lock(&editor->lock);
    editor->wants_line = 0;
    editor->line = line;
    editor->result = result;
    pthread_mutex_unlock(&editor->lock);
    if (editor->is_interrupted && editor->aim != NULL) hvl_aim_fire(editor->aim);
    post_for_sure(editor, on_result);
}

static void *run_editor(void *data) {
    editor_t *editor = data;
    for (;;) {
        pthread_mutex_lock(&editor->lock);
        int wants_line = editor->wants_line, wants_end = editor->wants_end;
        pthread_mutex_unlock(&editor->lock);
        if (wants_end) break;
        if (wants_line) {
            read_line(editor);
        } else if (wait_for_input(editor, -1, editor->terminal.is_quiet ? ECHO_MS : -1) ==
                   TIMED_OUT) {
            hvl_terminal_end_quiet(&editor->terminal);
        }
    }
    hvl_terminal_end_quiet(&editor->terminal);
    return NULL;
}

/* ---- The loop's thread ---- */

/* A line has been read, or Ctrl-D or Ctrl-C pressed. */
static void on_result(hevent_t *ev) {
    editor_t *editor = hevent_userdata(ev);
    pthread_mutex_lock(&editor->lock);
    int result = editor->result;
    char *line = editor->line;
    editor->result = NOTHING;
    editor->line = NULL;
    pthread_mutex_unlock(&editor->lock);
    hvl_task_t *task = result != NOTHING ? hvl_wake(&editor->reader) : NULL;
    if (task == NULL) {
        hv_free(line);
        return;
    }
    if (editor->keeper != NULL) htimer_del(editor->keeper);
    editor->keeper = NULL;
    int values = 1;
    if (result == LINE) {
        lua_pushstring(task->co, line != NULL ? line : "");
    } else {
        values = hvl_push_error(task->co, "read", result == INTERRUPTED ? -EINTR : HV_EOF);
    }
    hv_free(line);
    hvl_resume_now(task, values);
}

static char *copy_result(lua_State *L, int index) {
    return lua_gettop(L) >= index && lua_isstring(L, index) ? hv_strdup(lua_tostring(L, index))
                                                            : NULL;
}

static void on_completed(hvl_task_t *task, int status) {
    editor_t *editor = task->userdata[0];
    int is_good = status == HVL_FINISHED;
    pthread_mutex_lock(&editor->lock);
    hv_free(editor->answer_insert);
    hv_free(editor->answer_list);
    editor->answer_insert = is_good ? copy_result(task->co, 1) : NULL;
    editor->answer_list = is_good ? copy_result(task->co, 2) : NULL;
    editor->has_answer = 1;
    pthread_mutex_unlock(&editor->lock);
    wake(editor);
}

static void on_question(hevent_t *ev) {
    editor_t *editor = hevent_userdata(ev);
    pthread_mutex_lock(&editor->lock);
    char *question = editor->question;
    editor->question = NULL;
    pthread_mutex_unlock(&editor->lock);
    hvl_task_t *task = NULL;
    if (question != NULL) task = hvl_task_begin_ref(editor->object.rt, editor->complete_ref);
    if (task != NULL) {
        task->on_finish = on_completed;
        task->userdata[0] = editor;
        lua_pushstring(task->co, question);
        lua_pushinteger(task->co, hvl_terminal_columns(&editor->terminal));
        hvl_task_run(task, 2);
    }
    hv_free(question);
}

static void on_keeper(htimer_t *timer) {
    (void)timer;
}

static void on_read_canceled(hvl_task_t *task, void *data) {
    (void)task;
    editor_t *editor = data;
    editor->reader.task = NULL;
    if (editor->keeper != NULL) htimer_del(editor->keeper);
    editor->keeper = NULL;
}

/* editor:read(prompt) -> the line; nil, message, "EOF" for Ctrl-D, "EINTR" for Ctrl-C. Waits. */
static int editor_read(lua_State *L) {
    editor_t *editor = hvl_check(L, 1, &editor_class);
    const char *prompt = luaL_checkstring(L, 2);
    if (!editor->is_open) return hvl_push_error(L, "read", HV_ECLOSED);
    if (!hvl_may_wait(L)) return hvl_refuse(L, NULL);
    if (hvl_is_waited(&editor->reader)) return hvl_push_error(L, "read", HV_EBUSY);
    fflush(stdout);
    editor->keeper = htimer_add(editor->object.rt->loop, on_keeper, 3600000, INFINITE);
    editor->reader = hvl_wait_begin(L, "read a line", -1, on_read_canceled, editor);
    pthread_mutex_lock(&editor->lock);
    snprintf(editor->prompt, sizeof editor->prompt, "%s", prompt);
    editor->wants_line = 1;
    pthread_mutex_unlock(&editor->lock);
    wake(editor);
    return hvl_wait(L);
}

/* editor:set_history(lines): the oldest first. While no line is read. */
static int editor_set_history(lua_State *L) {
    editor_t *editor = hvl_check(L, 1, &editor_class);
    luaL_checktype(L, 2, LUA_TTABLE);
    HistEvent event;
    if (!editor->is_open) return 0;
    history(editor->history, &event, H_CLEAR);
    for (int i = 1;; i++) {
        lua_rawgeti(L, 2, i);
        if (!lua_isstring(L, -1)) break;
        history(editor->history, &event, H_ENTER, lua_tostring(L, -1));
        lua_pop(L, 1);
    }
    return 0;
}

/* editor:resize(): the terminal's size has changed. */
static int editor_resize(lua_State *L) {
    editor_t *editor = hvl_check(L, 1, &editor_class);
    if (!editor->is_open) return 0;
    pthread_mutex_lock(&editor->lock);
    editor->wants_resize = 1;
    pthread_mutex_unlock(&editor->lock);
    wake(editor);
    return 0;
}

/* ---- Opening and closing ---- */

static void close_editor(editor_t *editor) {
    if (!editor->is_open) return;
    editor->is_open = 0;
    if (editor->has_thread) {
        pthread_mutex_lock(&editor->lock);
        editor->wants_end = 1;
        pthread_mutex_unlock(&editor->lock);
        wake(editor);
        pthread_join(editor->thread, NULL);
    }
    if (editor->el != NULL) el_end(editor->el);
    if (editor->history != NULL) history_end(editor->history);
    hvl_terminal_close(&editor->terminal);
    if (editor->wake_fd >= 0) close(editor->wake_fd);
    hv_free(editor->line);
    hv_free(editor->question);
    hv_free(editor->answer_insert);
    hv_free(editor->answer_list);
    editor->line = editor->question = editor->answer_insert = editor->answer_list = NULL;
    the_editor = NULL;
}

/* However the process ends, the terminal is left as it was. */
static void close_at_exit(void) {
    if (the_editor != NULL) close_editor(the_editor);
}

void hvl_close_editor(hvl_t *rt) {
    if (the_editor != NULL && the_editor->object.rt == rt) close_editor(the_editor);
}

static void set_keys(EditLine *el) {
    static const char *const keys[][2] = {
        {"^R", "em-inc-search-prev"},       {"^W", "ed-delete-prev-word"},
        {"\033[3~", "ed-delete-next-char"}, {"\033[1~", "ed-move-to-beg"},
        {"\033[4~", "ed-move-to-end"},      {"\033[H", "ed-move-to-beg"},
        {"\033[F", "ed-move-to-end"},       {"\033[1;5D", "ed-prev-word"},
        {"\033[1;5C", "em-next-word"},
    };
    el_set(el, EL_EDITOR, "emacs");
    for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
        el_set(el, EL_BIND, keys[i][0], keys[i][1], NULL);
    }
    el_source(el, NULL); /* ~/.editrc has the last word, but for what nothing works without */
    /* The narrow form would leak its copies of the names. */
    el_wset(el, EL_ADDFN, L"hv-complete", L"Complete a name", on_complete_key);
    el_wset(el, EL_ADDFN, L"hv-interrupt", L"Begin a new line", on_interrupt_key);
    el_wset(el, EL_ADDFN, L"hv-suspend", L"Stop the program", on_suspend_key);
    el_set(el, EL_BIND, "^I", "hv-complete", NULL);
    el_set(el, EL_BIND, "^C", "hv-interrupt", NULL);
    el_set(el, EL_BIND, "^Z", "hv-suspend", NULL);
    el_set(el, EL_SETTY, "-d", "-isig", NULL); /* these are keys while a line is typed */
}

static int set_up(editor_t *editor) {
    HistEvent event;
    editor->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (editor->wake_fd < 0) return -errno;
    int code = hvl_terminal_open(&editor->terminal);
    if (code != 0) return code;
    /* Wide characters: the user's own, or at least UTF-8. */
    if (setlocale(LC_CTYPE, "") == NULL || MB_CUR_MAX == 1) setlocale(LC_CTYPE, "C.UTF-8");
    editor->el = el_init("hvlua", editor->terminal.in, editor->terminal.out, editor->terminal.err);
    editor->history = history_init();
    if (editor->el == NULL || editor->history == NULL) return -ENOTSUP;
    history(editor->history, &event, H_SETSIZE, HISTORY_MAX);
    el_set(editor->el, EL_CLIENTDATA, editor);
    el_set(editor->el, EL_SIGNAL, 0);
    el_set(editor->el, EL_PROMPT, get_prompt);
    el_set(editor->el, EL_GETCFN, get_char);
    el_set(editor->el, EL_HIST, history, editor->history);
    set_keys(editor->el);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    code = pthread_create(&editor->thread, NULL, run_editor, editor);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    editor->has_thread = code == 0;
    return -code;
}

/* open(complete[, aim]) -> editor, or nil, message, code where this is no terminal for it */
static int open_editor(lua_State *L) {
    static int is_registered;
    hvl_t *rt = hvl_self(L);
    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_settop(L, 2);
    hvl_aim_t *aim = lua_isnil(L, 2) ? NULL : hvl_check(L, 2, &hvl_aim_class);
    const char *term = getenv("TERM");
    if (term == NULL || *term == '\0' || strcmp(term, "dumb") == 0 || !isatty(0) || !isatty(1)) {
        return hvl_push_error(L, "line editor", -ENOTSUP);
    }
    if (the_editor != NULL) return hvl_push_error(L, "line editor", HV_EBUSY);
    editor_t *editor = hvl_object_new(L, rt, &editor_class, sizeof *editor);
    editor->terminal.pipe_fds[0] = editor->terminal.pipe_fds[1] = editor->wake_fd = -1;
    editor->terminal.editor = editor;
    editor->terminal.columns_before = columns_before;
    editor->terminal.draw = draw_line;
    editor->complete_ref = editor->aim_ref = LUA_NOREF;
    editor->is_open = 1;
    pthread_mutex_init(&editor->lock, NULL);
    lua_pushvalue(L, 1);
    editor->complete_ref = hvl_ref(L);
    lua_pushvalue(L, 2);
    editor->aim_ref = hvl_ref(L);
    editor->aim = aim;
    hvl_anchor(L, -1);
    the_editor = editor;
    int code = set_up(editor);
    if (code != 0) {
        close_editor(editor);
        hvl_unanchor(editor);
        return hvl_push_error(L, "line editor", code);
    }
    if (!is_registered) atexit(close_at_exit);
    is_registered = 1;
    return 1;
}

/* Behind every event that was posted for it. */
static void on_closed(hevent_t *ev) {
    editor_t *editor = hevent_userdata(ev);
    hvl_unref(editor->object.rt, &editor->complete_ref);
    hvl_unref(editor->object.rt, &editor->aim_ref);
    hvl_unanchor(editor);
}

static int editor_close(lua_State *L) {
    editor_t *editor = hvl_check(L, 1, &editor_class);
    int was_open = editor->is_open;
    close_editor(editor);
    if (!was_open || editor->object.rt->loop == NULL) return 0;
    /* Without memory for it the closed editor stays where it is until the state ends. */
    post(editor, on_closed);
    return 0;
}

static int editor_gc(lua_State *L) {
    close_editor(hvl_check(L, 1, &editor_class));
    return 0;
}

#else

void hvl_close_editor(hvl_t *rt) {
    (void)rt;
}

#endif

int hvl_open_line_editor(lua_State *L) {
    lua_newtable(L);
#ifdef HVL_HAS_LIBEDIT
    static const luaL_Reg functions[] = {{"open", open_editor}, {NULL, NULL}};
    static const luaL_Reg methods[] = {{"read", editor_read},
                                       {"close", editor_close},
                                       {"set_history", editor_set_history},
                                       {"resize", editor_resize},
                                       {NULL, NULL}};
    static const luaL_Reg metamethods[] = {{"__gc", editor_gc}, {NULL, NULL}};
    hvl_t *rt = hvl_self(L);
    hvl_setfuncs(L, rt, functions);
    hvl_class_new(L, rt, &editor_class, methods, metamethods);
    lua_setfield(L, -2, "methods");
#endif
    return 1;
}
