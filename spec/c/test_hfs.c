/* Tests of runtime/fs: every operation on files in a directory made for the test, its failures by
 * their errno, its limits, what happens at hloop_free and without memory; and watching. */
#include "loop_test.h"

#include <sys/stat.h>

#include "hfs.h"
#include "hpool.h"

/* What the last request has come to. */
static struct {
    int count;
    int error;
    int64_t result;
    char data[4096];
    char path[512];
    char names[512]; /* "name:type " of every entry */
    hfs_stat_t stat;
} seen;

static char made_dir[sizeof "/tmp/test_hfs_XXXXXX"];
static hloop_t *loop;
static size_t blocks_before;

static int enter(void **state) {
    (void)state;
    memset(&seen, 0, sizeof seen);
    strcpy(made_dir, "/tmp/test_hfs_XXXXXX");
    umask(022);
    if (mkdtemp(made_dir) == NULL || chdir(made_dir) != 0) return -1;
    blocks_before = hv__mem_live_blocks();
    loop = hloop_new(0);
    return loop == NULL;
}

static int leave(void **state) {
    (void)state;
    char command[sizeof made_dir + 16];
    hv__mem_fail_nth(0);
    hloop_free(&loop);
    if (chdir("/") != 0) return -1;
    snprintf(command, sizeof command, "rm -r '%s'", made_dir);
    return system(command) != 0 || hv__mem_live_blocks() != blocks_before;
}

static void on_done(hfs_req_t *req) {
    seen.count++;
    seen.error = hfs_error(req);
    seen.result = hfs_result(req);
    const char *data = hfs_data(req);
    seen.data[0] = seen.path[0] = seen.names[0] = '\0';
    if (data != NULL && seen.result < (int64_t)sizeof seen.data) {
        memcpy(seen.data, data, (size_t)seen.result + 1);
    }
    if (hfs_path(req) != NULL) snprintf(seen.path, sizeof seen.path, "%s", hfs_path(req));
    if (hfs_stat_result(req) != NULL) seen.stat = *hfs_stat_result(req);
    const hfs_entry_t *entries = hfs_entries(req);
    for (int64_t i = 0; entries != NULL && i < seen.result; i++) {
        size_t len = strlen(seen.names);
        snprintf(seen.names + len, sizeof seen.names - len, "%s:%d ", entries[i].name,
                 (int)entries[i].type);
    }
}

/* Runs one request to its end. Returns its error. */
static int end_of(hfs_req_t *req) {
    assert_non_null(req);
    int before = seen.count;
    RUN_UNTIL(loop, seen.count > before);
    assert_int_equal(seen.count, before + 1);
    return seen.error;
}

static void put(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const char *text_of(const char *path) {
    static char text[4096];
    FILE *file = fopen(path, "r");
    if (file == NULL) return "(none)";
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fclose(file);
    return text;
}

/* ---- Whole files ---- */

static void test_read_file_gives_all_bytes_and_never_inside_the_call(void **state) {
    (void)state;
    put("a", "hello");
    hfs_req_t *req = hfs_read_file(loop, "a", 0, on_done);
    assert_int_equal(seen.count, 0);
    assert_int_equal(end_of(req), 0);
    assert_int_equal(seen.result, 5);
    assert_string_equal(seen.data, "hello");
    assert_string_equal(seen.path, "a");
}

static void test_read_file_that_is_missing_or_a_directory_fails_with_its_errno(void **state) {
    (void)state;
    assert_int_equal(end_of(hfs_read_file(loop, "none", 0, on_done)), -ENOENT);
    assert_int_equal(seen.result, 0);
    assert_int_equal(end_of(hfs_read_file(loop, ".", 0, on_done)), -EISDIR);
}

static void test_read_file_of_exactly_the_limit_is_read_and_one_more_is_not(void **state) {
    (void)state;
    put("a", "12345");
    assert_int_equal(end_of(hfs_read_file(loop, "a", 5, on_done)), 0);
    assert_string_equal(seen.data, "12345");
    assert_int_equal(end_of(hfs_read_file(loop, "a", 4, on_done)), HV_ELIMIT);
    /* No end in sight, and no size. */
    assert_int_equal(end_of(hfs_read_file(loop, "/dev/zero", 100000, on_done)), HV_ELIMIT);
    assert_int_equal(end_of(hfs_read_file(loop, "/dev/null", 1, on_done)), 0);
    assert_int_equal(seen.result, 0);
}

static void test_read_file_without_a_told_size_is_read_to_its_end(void **state) {
    (void)state;
    assert_int_equal(end_of(hfs_read_file(loop, "/proc/self/status", 0, on_done)), 0);
    assert_true(seen.result > 100);
    assert_int_equal(strncmp(seen.data, "Name:", 5), 0);
}

static void test_read_file_of_a_fifo_waits_for_its_writer(void **state) {
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    hfs_req_t *req = hfs_read_file(loop, "fifo", 0, on_done);
    int fd = open("fifo", O_WRONLY); /* returns when the reader is there */
    assert_int_equal(write(fd, "abc", 3), 3);
    assert_int_equal(write(fd, "def", 3), 3);
    close(fd);
    assert_int_equal(end_of(req), 0);
    assert_string_equal(seen.data, "abcdef");
}

static void test_free_while_a_fifo_is_awaited_ends_with_canceled(void **state) {
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    assert_non_null(hfs_read_file(loop, "fifo", 0, on_done));
    int fd = open("fifo", O_WRONLY);
    hloop_free(&loop);
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.error, HV_ECANCELED);
    close(fd);
}

static void test_write_file_by_its_flags(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(end_of(hfs_write_file(loop, "a", "one", 3, 0, on_done)), 0);
    assert_int_equal(seen.result, 3);
    assert_string_equal(text_of("a"), "one");
    assert_int_equal(stat("a", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0644);
    assert_int_equal(end_of(hfs_write_file(loop, "a", "2", 1, HFS_APPEND | HFS_SYNC, on_done)), 0);
    assert_string_equal(text_of("a"), "one2");
    assert_int_equal(end_of(hfs_write_file(loop, "a", "x", 1, HFS_EXCLUSIVE, on_done)), -EEXIST);
    assert_int_equal(end_of(hfs_write_file(loop, "a", NULL, 0, 0, on_done)), 0);
    assert_string_equal(text_of("a"), "");
    assert_int_equal(end_of(hfs_write_file(loop, "no/a", "x", 1, 0, on_done)), -ENOENT);
    assert_null(hfs_write_file(loop, "a", "x", 1, HFS_ATOMIC | HFS_APPEND, on_done));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
}

static void test_write_file_atomically_keeps_the_mode_and_leaves_nothing_else(void **state) {
    (void)state;
    struct stat facts;
    put("a", "old");
    assert_int_equal(chmod("a", 0640), 0);
    assert_int_equal(end_of(hfs_write_file(loop, "a", "new", 3, HFS_ATOMIC | HFS_SYNC, on_done)),
                     0);
    assert_string_equal(text_of("a"), "new");
    assert_int_equal(stat("a", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0640);
    assert_int_equal(end_of(hfs_write_file(loop, "b", "new", 3, HFS_ATOMIC, on_done)), 0);
    assert_int_equal(stat("b", &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0644);
    /* A directory cannot be replaced: what was written beside it goes. */
    assert_int_equal(mkdir("dir", 0755), 0);
    assert_int_equal(end_of(hfs_write_file(loop, "dir", "x", 1, HFS_ATOMIC, on_done)), -EISDIR);
    assert_int_equal(end_of(hfs_scan(loop, ".", on_done)), 0);
    assert_string_equal(seen.names, "a:1 b:1 dir:2 ");
}

static void test_write_file_to_a_full_device_fails(void **state) {
    (void)state;
    assert_int_equal(end_of(hfs_write_file(loop, "/dev/full", "x", 1, 0, on_done)), -ENOSPC);
}

/* ---- Descriptors ---- */

static void test_descriptor_is_read_and_written_at_offsets(void **state) {
    (void)state;
    assert_int_equal(end_of(hfs_open(loop, "a", O_RDWR | O_CREAT, 0600, on_done)), 0);
    int fd = (int)seen.result;
    assert_true(fd > 2);
    assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(end_of(hfs_write(loop, fd, "0123456789", 10, -1, on_done)), 0);
    assert_int_equal(seen.result, 10);
    assert_int_equal(end_of(hfs_write(loop, fd, "AB", 2, 4, on_done)), 0);
    assert_int_equal(end_of(hfs_read(loop, fd, 5, 3, on_done)), 0);
    assert_string_equal(seen.data, "3AB67");
    assert_int_equal(end_of(hfs_read(loop, fd, 100, 8, on_done)), 0);
    assert_string_equal(seen.data, "89");
    assert_int_equal(end_of(hfs_read(loop, fd, 100, -1, on_done)), 0);
    assert_int_equal(seen.result, 0); /* its own position is at the end */
    assert_int_equal(end_of(hfs_truncate(loop, fd, 3, on_done)), 0);
    assert_int_equal(end_of(hfs_fsync(loop, fd, on_done)), 0);
    assert_int_equal(end_of(hfs_fstat(loop, fd, on_done)), 0);
    assert_int_equal(seen.stat.size, 3);
    assert_int_equal(end_of(hfs_close(loop, fd, on_done)), 0);
    assert_int_equal(end_of(hfs_close(loop, fd, on_done)), -EBADF);
    assert_int_equal(end_of(hfs_open(loop, "none", O_RDONLY, 0, on_done)), -ENOENT);
}

static void test_arguments_out_of_range_are_refused_at_once(void **state) {
    (void)state;
    assert_null(hfs_read(loop, 0, (size_t)HFS_READ_MAX + 1, 0, on_done));
    assert_null(hfs_read(loop, 0, 1, -2, on_done));
    assert_null(hfs_write(loop, 0, "x", 1, -2, on_done));
    assert_null(hfs_truncate(loop, 0, -1, on_done));
    assert_int_equal(hloop_last_error(loop), HV_EINVAL);
    assert_null(hfs_close(loop, -1, on_done));
    assert_int_equal(hloop_last_error(loop), -EBADF);
    RUN_PASSES(loop, 3);
    assert_int_equal(seen.count, 0);
}

/* ---- Directories and names ---- */

static void test_stat_tells_type_size_and_link(void **state) {
    (void)state;
    put("a", "hello");
    assert_int_equal(symlink("a", "link"), 0);
    assert_int_equal(end_of(hfs_stat(loop, "link", 0, on_done)), 0);
    assert_int_equal(seen.stat.type, HFS_TYPE_FILE);
    assert_int_equal(seen.stat.size, 5);
    assert_int_equal(seen.stat.mode, 0644);
    assert_true(seen.stat.mtime_us > INT64_C(1600000000000000));
    assert_int_equal(end_of(hfs_stat(loop, "link", HFS_NO_FOLLOW, on_done)), 0);
    assert_int_equal(seen.stat.type, HFS_TYPE_LINK);
    assert_int_equal(end_of(hfs_stat(loop, "/dev/null", 0, on_done)), 0);
    assert_int_equal(seen.stat.type, HFS_TYPE_CHARACTER_DEVICE);
    assert_int_equal(end_of(hfs_stat(loop, "none", 0, on_done)), -ENOENT);
    assert_int_equal(end_of(hfs_stat(loop, "a/b", 0, on_done)), -ENOTDIR);
}

static void test_scan_lists_names_in_order_with_types(void **state) {
    (void)state;
    put("b", "");
    put(".hidden", "");
    assert_int_equal(mkdir("a", 0755), 0);
    assert_int_equal(symlink("nowhere", "c"), 0);
    assert_int_equal(end_of(hfs_scan(loop, ".", on_done)), 0);
    assert_string_equal(seen.names, ".hidden:1 a:2 b:1 c:3 ");
    assert_int_equal(seen.result, 4);
    assert_int_equal(end_of(hfs_scan(loop, "a", on_done)), 0);
    assert_int_equal(seen.result, 0);
    assert_int_equal(end_of(hfs_scan(loop, "b", on_done)), -ENOTDIR);
}

static void test_scan_of_many_entries_gives_all_of_them(void **state) {
    (void)state;
    char name[32];
    for (int i = 0; i < 500; i++) {
        snprintf(name, sizeof name, "file%03d", i);
        put(name, "");
    }
    assert_int_equal(end_of(hfs_scan(loop, ".", on_done)), 0);
    assert_int_equal(seen.result, 500);
    assert_int_equal(strncmp(seen.names, "file000:1 file001:1 ", 20), 0);
}

static void test_mkdir_alone_and_with_what_is_missing(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(end_of(hfs_mkdir(loop, "a/b", 0777, 0, on_done)), -ENOENT);
    assert_int_equal(end_of(hfs_mkdir(loop, "a", 0777, 0, on_done)), 0);
    assert_int_equal(end_of(hfs_mkdir(loop, "a", 0777, 0, on_done)), -EEXIST);
    assert_int_equal(end_of(hfs_mkdir(loop, "a", 0777, HFS_RECURSIVE, on_done)), 0);
    assert_int_equal(end_of(hfs_mkdir(loop, "a//b/c/", 0500, HFS_RECURSIVE, on_done)), 0);
    assert_int_equal(stat("a/b", &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    assert_int_equal(stat("a/b/c", &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0500);
    put("file", "");
    assert_int_equal(end_of(hfs_mkdir(loop, "file", 0777, HFS_RECURSIVE, on_done)), -EEXIST);
    assert_int_equal(end_of(hfs_mkdir(loop, "file/x", 0777, HFS_RECURSIVE, on_done)), -EEXIST);
    assert_int_equal(end_of(hfs_mkdir(loop, "", 0777, HFS_RECURSIVE, on_done)), -ENOENT);
}

static void test_remove_takes_one_thing_or_a_tree_and_follows_no_link(void **state) {
    (void)state;
    assert_int_equal(system("mkdir -p tree/x/y/z keep && touch tree/f tree/x/y/g keep/safe &&"
                            " ln -s ../keep tree/link && ln -s keep link"), 0);
    assert_int_equal(end_of(hfs_remove(loop, "tree", 0, on_done)), -ENOTEMPTY);
    assert_int_equal(end_of(hfs_remove(loop, "tree", HFS_RECURSIVE, on_done)), 0);
    assert_int_not_equal(access("tree", F_OK), 0);
    assert_int_equal(end_of(hfs_remove(loop, "link/", HFS_RECURSIVE, on_done)), 0);
    assert_int_not_equal(access("link", F_OK), 0);
    assert_int_equal(access("keep/safe", F_OK), 0);
    assert_int_equal(end_of(hfs_remove(loop, "keep/safe", 0, on_done)), 0);
    assert_int_equal(end_of(hfs_remove(loop, "keep", 0, on_done)), 0);
    assert_int_equal(end_of(hfs_remove(loop, "keep", HFS_RECURSIVE, on_done)), -ENOENT);
    static const char *const refused[] = {"/", "//", ".", "..", "x/..", "x/./", "../.."};
    for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
        assert_int_equal(end_of(hfs_remove(loop, refused[i], HFS_RECURSIVE, on_done)), HV_EINVAL);
    }
}

static void test_remove_stops_at_its_depth(void **state) {
    (void)state;
    char path[2 * (HFS_DEPTH_MAX + 3)] = "";
    for (int i = 0; i < HFS_DEPTH_MAX + 2; i++) strcat(path, i == 0 ? "d" : "/d");
    assert_int_equal(end_of(hfs_mkdir(loop, path, 0777, HFS_RECURSIVE, on_done)), 0);
    assert_int_equal(end_of(hfs_remove(loop, "d", HFS_RECURSIVE, on_done)), HV_ELIMIT);
    assert_int_equal(end_of(hfs_remove(loop, "d/d", HFS_RECURSIVE, on_done)), 0);
}

static void test_rename_moves_and_replaces(void **state) {
    (void)state;
    put("a", "one");
    put("b", "two");
    assert_int_equal(end_of(hfs_rename(loop, "a", "b", on_done)), 0);
    assert_string_equal(text_of("b"), "one");
    assert_int_equal(end_of(hfs_rename(loop, "a", "b", on_done)), -ENOENT);
}

static void test_temp_file_and_directory_are_new_and_private(void **state) {
    (void)state;
    struct stat facts;
    assert_int_equal(end_of(hfs_temp_file(loop, "./mine-", on_done)), 0);
    int fd = (int)seen.result;
    assert_int_equal(strncmp(seen.path, "./mine-", 7), 0);
    assert_int_equal(strlen(seen.path), 13);
    assert_int_equal(stat(seen.path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0600);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
    setenv("TMPDIR", made_dir, 1);
    assert_int_equal(end_of(hfs_temp_dir(loop, NULL, on_done)), 0);
    unsetenv("TMPDIR");
    assert_int_equal(strncmp(seen.path, made_dir, strlen(made_dir)), 0);
    assert_non_null(strstr(seen.path, "/hv-"));
    assert_int_equal(stat(seen.path, &facts), 0);
    assert_int_equal(facts.st_mode & 07777, 0700);
    assert_int_equal(end_of(hfs_temp_file(loop, "no/such-", on_done)), -ENOENT);
}

/* ---- Requests ---- */

static void on_first(hfs_req_t *req) {
    assert_ptr_equal(hevent_loop(req), loop);
    assert_ptr_equal(hevent_userdata(req), made_dir);
    on_done(req);
    assert_non_null(hfs_stat(loop, ".", 0, on_done));
}

static void test_request_started_in_on_done_is_done_and_keeps_the_loop_running(void **state) {
    (void)state;
    hloop_t *own = hloop_new(HLOOP_FLAG_QUIT_WHEN_NO_ACTIVE_EVENTS);
    hloop_t *other = loop;
    loop = own;
    hfs_req_t *req = hfs_stat(own, ".", 0, on_first);
    hevent_set_userdata(req, made_dir);
    assert_int_equal(hloop_run(own), 0);
    assert_int_equal(seen.count, 2);
    hloop_free(&own);
    loop = other;
}

static void test_cancel_before_it_begins_ends_with_canceled(void **state) {
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    /* Every thread of the pool waits at the fifo, so that the last request cannot begin. */
    for (int i = 0; i < HPOOL_THREADS_MAX; i++) {
        assert_non_null(hfs_read_file(loop, "fifo", 0, NULL));
    }
    hfs_req_t *req = hfs_stat(loop, ".", 0, on_done);
    assert_int_equal(hfs_cancel(req), 0);
    assert_int_equal(hfs_cancel(req), HV_EBUSY);
    assert_int_equal(seen.count, 0);
    assert_int_equal(end_of(req), HV_ECANCELED);
}

static void test_free_with_requests_waiting_calls_each_once(void **state) {
    (void)state;
    assert_int_equal(mkfifo("fifo", 0600), 0);
    for (int i = 0; i < 20; i++) assert_non_null(hfs_read_file(loop, "fifo", 0, on_done));
    hloop_free(&loop);
    assert_int_equal(seen.count, 20);
    assert_int_equal(seen.error, HV_ECANCELED);
}

static void on_done_after_the_end(hfs_req_t *req) {
    seen.count++;
    assert_null(hfs_stat(hevent_loop(req), ".", 0, on_done));
    assert_int_equal(hloop_last_error(hevent_loop(req)), HV_ECLOSED);
}

static void test_request_while_the_loop_is_freed_is_refused(void **state) {
    (void)state;
    assert_non_null(hfs_stat(loop, ".", 0, on_done_after_the_end));
    hloop_free(&loop);
    assert_int_equal(seen.count, 1);
}

/* ---- Memory ---- */

static hfs_req_t *start_nth(int which) {
    switch (which) {
    case 0: return hfs_read_file(loop, "/proc/self/status", 0, on_done);
    case 1: return hfs_write_file(loop, "w", "text", 4, HFS_ATOMIC | HFS_SYNC, on_done);
    case 2: return hfs_scan(loop, "/dev", on_done);
    case 3: return hfs_temp_dir(loop, "./tmp-", on_done);
    default: return hfs_stat(loop, ".", 0, on_done);
    }
}

static void test_every_allocation_that_fails_is_told_and_leaks_nothing(void **state) {
    (void)state;
#ifndef HV_FAULT_INJECTION
    skip();
#endif
    for (int which = 0; which < 5; which++) {
        int failure_count = 0;
        for (uint64_t nth = 1;; nth++) {
            hloop_free(&loop);
            loop = hloop_new(0);
            seen.count = seen.error = 0;
            hv__mem_fail_nth(nth);
            hfs_req_t *req = start_nth(which);
            if (req != NULL) RUN_UNTIL(loop, seen.count == 1);
            int error = req != NULL ? seen.error : hloop_last_error(loop);
            int has_failed = hv__mem_has_failed();
            hv__mem_fail_nth(0);
            if (!has_failed) {
                assert_int_equal(error, 0);
                break;
            }
            assert_int_equal(error, HV_ENOMEM);
            failure_count++;
        }
        assert_true(failure_count >= 3); /* fs, pool, request */
    }
    assert_int_equal(end_of(hfs_stat(loop, "w", 0, on_done)), 0);
}

/* ---- Watching ---- */

static char story[4096]; /* "what name;" of every event */
static hfs_watch_t *watch_to_delete;
static int lost_count;

static void on_change(hfs_watch_t *watch, const hfs_watch_event_t *event) {
    const char *mark = hevent_userdata(watch);
    size_t len = strlen(story);
    if (event->what & HFS_WATCH_OVERFLOW) lost_count++;
    snprintf(story + len, sizeof story - len, "%s%02x %s%s;", mark ? mark : "",
             (unsigned)event->what, event->name, event->is_directory ? "/" : "");
    if (watch_to_delete != NULL) {
        hfs_watch_del(watch_to_delete);
        watch_to_delete = NULL;
    }
}

/* Runs until the story holds `text`. */
static void await_story(const char *text) { RUN_UNTIL(loop, strstr(story, text) != NULL); }

static void begin_story(void) {
    story[0] = '\0';
    lost_count = 0;
    watch_to_delete = NULL;
}

static void test_watch_of_a_directory_tells_what_happens_to_its_entries(void **state) {
    (void)state;
    begin_story();
    hfs_watch_t *watch = hfs_watch_add(loop, ".", on_change);
    assert_non_null(watch);
    assert_string_equal(hfs_watch_path(watch), ".");
    put("a", "x");
    assert_int_equal(mkdir("dir", 0755), 0);
    assert_int_equal(rename("a", "b"), 0);
    assert_int_equal(chmod("b", 0600), 0);
    assert_int_equal(unlink("b"), 0);
    assert_string_equal(story, "");
    await_story("02 b;");
    assert_string_equal(story, "01 a;08 a;10 a;01 dir/;06 a;05 b;20 b;02 b;");
    hfs_watch_del(watch);
    put("c", "");
    RUN_PASSES(loop, 3);
    assert_null(strstr(story, " c;"));
}

static void test_watch_of_a_file_ends_with_it(void **state) {
    (void)state;
    begin_story();
    put("a", "");
    hfs_watch_t *watch = hfs_watch_add(loop, "a", on_change);
    assert_non_null(watch);
    assert_int_equal(hloop_nactives(loop), 1);
    put("a", "x");
    assert_int_equal(unlink("a"), 0);
    await_story("40 ;");
    assert_int_equal(hloop_nactives(loop), 0);
    size_t len = strlen(story);
    put("a", "again");
    RUN_PASSES(loop, 3);
    assert_int_equal(strlen(story), len);
    hfs_watch_del(watch);
    assert_null(hfs_watch_add(loop, "none", on_change));
    assert_int_equal(hloop_last_error(loop), -ENOENT);
}

static void test_watch_of_a_moved_file_is_over(void **state) {
    (void)state;
    begin_story();
    put("a", "");
    hfs_watch_t *watch = hfs_watch_add(loop, "a", on_change);
    assert_int_equal(rename("a", "b"), 0);
    await_story("40 ;");
    put("b", "x");
    RUN_PASSES(loop, 3);
    assert_null(strstr(story, "08"));
    hfs_watch_del(watch);
}

static void test_two_watches_of_one_path_are_both_told_and_end_apart(void **state) {
    (void)state;
    begin_story();
    hfs_watch_t *first = hfs_watch_add(loop, ".", on_change);
    hfs_watch_t *second = hfs_watch_add(loop, made_dir, on_change);
    hevent_set_userdata(first, "1:");
    hevent_set_userdata(second, "2:");
    assert_int_equal(mkdir("a", 0755), 0);
    await_story("2:01 a/;");
    assert_string_equal(story, "1:01 a/;2:01 a/;");
    hfs_watch_del(first);
    assert_int_equal(mkdir("b", 0755), 0);
    await_story("2:01 b/;");
    assert_null(strstr(story, "1:01 b/;"));
    hfs_watch_del(second);
}

static void test_watch_deleted_in_a_callback_is_not_called_again(void **state) {
    (void)state;
    begin_story();
    hfs_watch_t *first = hfs_watch_add(loop, ".", on_change);
    hfs_watch_t *second = hfs_watch_add(loop, ".", on_change);
    hevent_set_userdata(first, "1:");
    hevent_set_userdata(second, "2:");
    watch_to_delete = second;
    assert_int_equal(mkdir("a", 0755), 0);
    assert_int_equal(mkdir("b", 0755), 0);
    await_story("1:01 b/;");
    assert_string_equal(story, "1:01 a/;1:01 b/;");
    watch_to_delete = first;
    assert_int_equal(rmdir("a"), 0);
    assert_int_equal(rmdir("b"), 0);
    await_story("1:02 a/;");
    RUN_PASSES(loop, 3);
    assert_null(strstr(story, "1:02 b/;"));
}

static void test_watch_tells_that_events_were_lost(void **state) {
    (void)state;
    int limit = atoi(text_of("/proc/sys/fs/inotify/max_queued_events"));
    if (limit <= 0 || limit > 200000) skip();
    begin_story();
    put("a", "");
    put("b", "");
    int fds[] = {open("a", O_WRONLY), open("b", O_WRONLY)};
    assert_non_null(hfs_watch_add(loop, ".", on_change));
    /* Equal neighbours are merged, so the files take turns. */
    for (int i = 0; i < limit + 10; i++) assert_int_equal(pwrite(fds[i % 2], "x", 1, 0), 1);
    close(fds[0]);
    close(fds[1]);
    RUN_UNTIL(loop, lost_count == 1);
}

static void test_watch_without_memory_is_refused(void **state) {
    (void)state;
#ifndef HV_FAULT_INJECTION
    skip();
#endif
    for (uint64_t nth = 1;; nth++) {
        hloop_free(&loop);
        loop = hloop_new(0);
        hv__mem_fail_nth(nth);
        hfs_watch_t *watch = hfs_watch_add(loop, ".", on_change);
        int has_failed = hv__mem_has_failed();
        hv__mem_fail_nth(0);
        assert_int_equal(watch == NULL, has_failed);
        if (!has_failed) break;
        assert_int_equal(hloop_last_error(loop), HV_ENOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(test_read_file_gives_all_bytes_and_never_inside_the_call),
        TEST(test_read_file_that_is_missing_or_a_directory_fails_with_its_errno),
        TEST(test_read_file_of_exactly_the_limit_is_read_and_one_more_is_not),
        TEST(test_read_file_without_a_told_size_is_read_to_its_end),
        TEST(test_read_file_of_a_fifo_waits_for_its_writer),
        TEST(test_free_while_a_fifo_is_awaited_ends_with_canceled),
        TEST(test_write_file_by_its_flags),
        TEST(test_write_file_atomically_keeps_the_mode_and_leaves_nothing_else),
        TEST(test_write_file_to_a_full_device_fails),
        TEST(test_descriptor_is_read_and_written_at_offsets),
        TEST(test_arguments_out_of_range_are_refused_at_once),
        TEST(test_stat_tells_type_size_and_link),
        TEST(test_scan_lists_names_in_order_with_types),
        TEST(test_scan_of_many_entries_gives_all_of_them),
        TEST(test_mkdir_alone_and_with_what_is_missing),
        TEST(test_remove_takes_one_thing_or_a_tree_and_follows_no_link),
        TEST(test_remove_stops_at_its_depth),
        TEST(test_rename_moves_and_replaces),
        TEST(test_temp_file_and_directory_are_new_and_private),
        TEST(test_request_started_in_on_done_is_done_and_keeps_the_loop_running),
        TEST(test_cancel_before_it_begins_ends_with_canceled),
        TEST(test_free_with_requests_waiting_calls_each_once),
        TEST(test_request_while_the_loop_is_freed_is_refused),
        TEST(test_every_allocation_that_fails_is_told_and_leaks_nothing),
        TEST(test_watch_of_a_directory_tells_what_happens_to_its_entries),
        TEST(test_watch_of_a_file_ends_with_it),
        TEST(test_watch_of_a_moved_file_is_over),
        TEST(test_two_watches_of_one_path_are_both_told_and_end_apart),
        TEST(test_watch_deleted_in_a_callback_is_not_called_again),
        TEST(test_watch_tells_that_events_were_lost),
        TEST(test_watch_without_memory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
