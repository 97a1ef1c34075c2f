/* Tests of runtime/proc/hmain_pidfile.c: several processes and one file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hlog.h"
#include "hmain.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

static char dir[] = "/tmp/hpidfile_XXXXXX";

static void put(const char *text) {
    FILE *file = fopen(g_main_ctx.pidfile, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static long number_in_file(void) {
    long number = -1;
    FILE *file = fopen(g_main_ctx.pidfile, "r");
    if (file == NULL) return -1;
    if (fscanf(file, "%ld", &number) != 1) number = -1;
    fclose(file);
    return number;
}

static int forget(void **state) {
    (void)state;
    delete_pidfile();
    unlink(g_main_ctx.pidfile);
    return 0;
}

/* A process that takes the file, says how that went, and waits for the end of `hold`. */
static pid_t start_holder(int *hold, int *code) {
    int said[2], held[2];
    assert_int_equal(pipe2(said, O_CLOEXEC), 0);
    assert_int_equal(pipe2(held, O_CLOEXEC), 0);
    pid_t pid = fork();
    if (pid == 0) {
        close(held[1]);
        int result = create_pidfile();
        char byte;
        if (write(said[1], &result, sizeof(result)) != (ssize_t)sizeof(result)) _exit(2);
        while (read(held[0], &byte, 1) > 0) continue;
        delete_pidfile();
        _exit(0);
    }
    close(said[1]);
    close(held[0]);
    assert_int_equal(read(said[0], code, sizeof(*code)), sizeof(*code));
    close(said[0]);
    *hold = held[1];
    return pid;
}

static void end_holder(pid_t pid, int hold) {
    close(hold);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void test_pidfile_has_the_number_and_goes_with_its_owner(void **state) {
    (void)state;
    assert_int_equal(getpid_from_pidfile(), -1);
    assert_int_equal(create_pidfile(), 0);
    assert_int_equal(number_in_file(), getpid());
    assert_int_equal(create_pidfile(), 0); /* ours already */
    delete_pidfile();
    assert_int_equal(access(g_main_ctx.pidfile, F_OK), -1);
    assert_int_equal(getpid_from_pidfile(), -1);
    delete_pidfile();
}

static void test_pidfile_asking_does_not_lose_the_lock(void **state) {
    (void)state;
    assert_int_equal(create_pidfile(), 0);
    assert_int_equal(getpid_from_pidfile(), getpid());
    /* Nor by another name of the same file. */
    const char *name = strrchr(g_main_ctx.pidfile, '/') + 1;
    char longer[MAX_PATH + 8];
    snprintf(longer, sizeof(longer), "%.*s./%s", (int)(name - g_main_ctx.pidfile),
             g_main_ctx.pidfile, name);
    assert_true(strlen(longer) < sizeof(g_main_ctx.pidfile));
    strcpy(g_main_ctx.pidfile, longer);
    assert_int_equal(getpid_from_pidfile(), getpid());
    int hold, code;
    pid_t other = start_holder(&hold, &code);
    assert_int_equal(code, HV_EBUSY);
    end_holder(other, hold);
}

static void test_pidfile_of_a_living_process_is_busy(void **state) {
    (void)state;
    int hold, code;
    pid_t owner = start_holder(&hold, &code);
    assert_int_equal(code, 0);
    assert_int_equal(getpid_from_pidfile(), owner);
    assert_int_equal(create_pidfile(), HV_EBUSY);
    assert_int_equal(number_in_file(), owner);
    end_holder(owner, hold);
    assert_int_equal(getpid_from_pidfile(), -1);
    assert_int_equal(create_pidfile(), 0);
}

static void test_pidfile_of_a_killed_process_is_stale(void **state) {
    (void)state;
    int hold, code;
    pid_t owner = start_holder(&hold, &code);
    assert_int_equal(code, 0);
    kill(owner, SIGKILL);
    end_holder(owner, hold);
    assert_int_equal(number_in_file(), owner); /* left behind */
    assert_int_equal(getpid_from_pidfile(), -1);
    assert_int_equal(create_pidfile(), 0);
    assert_int_equal(number_in_file(), getpid());
}

/* The number of a process that lives but never locked the file: pids are used again. */
static void test_pidfile_with_a_foreign_number_is_stale(void **state) {
    (void)state;
    put("1\n");
    assert_int_equal(getpid_from_pidfile(), -1);
    assert_int_equal(create_pidfile(), 0);
    assert_int_equal(number_in_file(), getpid());
}

static void test_pidfile_with_nonsense_is_stale(void **state) {
    (void)state;
    static const char *const texts[] = {"", "\n", "x\n", "-5\n", "99999999999999999999\n", "0\n"};
    for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
        put(texts[i]);
        assert_int_equal(getpid_from_pidfile(), -1);
        assert_int_equal(create_pidfile(), 0);
        assert_int_equal(number_in_file(), getpid());
        delete_pidfile();
    }
}

static void test_pidfile_is_not_inherited_by_a_child(void **state) {
    (void)state;
    assert_int_equal(create_pidfile(), 0);
    pid_t child = fork();
    if (child == 0) {
        delete_pidfile(); /* not the child's: nothing */
        _exit(getpid_from_pidfile() == getppid() ? 0 : 1);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_int_equal(number_in_file(), getpid());
}

static void test_pidfile_that_cannot_be_written_is_an_error(void **state) {
    (void)state;
    char path[MAX_PATH];
    snprintf(path, sizeof(path), "%s", g_main_ctx.pidfile);
    snprintf(g_main_ctx.pidfile, sizeof(g_main_ctx.pidfile), "%s/none/x.pid", dir);
    assert_int_equal(create_pidfile(), -ENOENT);
    assert_int_equal(getpid_from_pidfile(), -1);
    /* A link might lead to a file that is not ours to write. */
    snprintf(g_main_ctx.pidfile, sizeof(g_main_ctx.pidfile), "%s/link.pid", dir);
    assert_int_equal(symlink("/dev/null", g_main_ctx.pidfile), 0);
    assert_int_equal(create_pidfile(), -ELOOP);
    unlink(g_main_ctx.pidfile);
    snprintf(g_main_ctx.pidfile, sizeof(g_main_ctx.pidfile), "%s", path);
}

/* Many at once, again and again: never two of them, and never none. */
static void test_pidfile_of_many_starts_one_wins(void **state) {
    (void)state;
    enum { STARTS = 8, ROUNDS = 20 };
    for (int round = 0; round < ROUNDS; round++) {
        int go[2], said[2], held[2];
        assert_int_equal(pipe(go) | pipe(said) | pipe(held), 0);
        pid_t pids[STARTS];
        for (int i = 0; i < STARTS; i++) {
            pids[i] = fork();
            if (pids[i] != 0) continue;
            close(go[1]);
            close(held[1]);
            char byte;
            while (read(go[0], &byte, 1) > 0) continue;
            if (freopen("/dev/null", "w", stderr) == NULL) _exit(2);
            byte = create_pidfile() == 0 ? 'w' : 'l';
            if (write(said[1], &byte, 1) != 1) _exit(2);
            while (read(held[0], &byte, 1) > 0) continue;
            _exit(0); /* without deleting: the next round finds it stale */
        }
        close(go[0]);
        close(go[1]);
        int winners = 0;
        for (int i = 0; i < STARTS; i++) {
            char byte;
            assert_int_equal(read(said[0], &byte, 1), 1);
            winners += byte == 'w';
        }
        assert_int_equal(winners, 1);
        close(held[1]);
        for (int i = 0; i < STARTS; i++) waitpid(pids[i], NULL, 0);
        close(said[0]);
        close(said[1]);
        close(held[0]);
    }
}

/* Owners that take the file and delete it, against each other: who has it is alone. */
static void test_pidfile_deleting_and_taking_never_overlap(void **state) {
    (void)state;
    enum { PROCESSES = 4, TURNS = 200 };
    struct {
        volatile int inside;
        volatile int overlaps;
    } *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                     -1, 0);
    assert_ptr_not_equal(shared, MAP_FAILED);
    pid_t pids[PROCESSES];
    for (int i = 0; i < PROCESSES; i++) {
        pids[i] = fork();
        if (pids[i] != 0) continue;
        if (freopen("/dev/null", "w", stderr) == NULL) _exit(2);
        for (int turns = 0; turns < TURNS;) {
            if (create_pidfile() != 0) continue;
            if (__atomic_add_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST) != 1) shared->overlaps = 1;
            sched_yield();
            __atomic_sub_fetch(&shared->inside, 1, __ATOMIC_SEQ_CST);
            delete_pidfile();
            turns++;
        }
        _exit(0);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_int_equal(status, 0);
    }
    assert_int_equal(shared->overlaps, 0);
    munmap(shared, sizeof(*shared));
}

int main(void) {
    hlog_disable();
    if (mkdtemp(dir) == NULL) return 1;
    snprintf(g_main_ctx.program_name, sizeof(g_main_ctx.program_name), "prog");
    snprintf(g_main_ctx.pidfile, sizeof(g_main_ctx.pidfile), "%s/prog.pid", dir);
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_pidfile_has_the_number_and_goes_with_its_owner, forget),
        cmocka_unit_test_teardown(test_pidfile_asking_does_not_lose_the_lock, forget),
        cmocka_unit_test_teardown(test_pidfile_of_a_living_process_is_busy, forget),
        cmocka_unit_test_teardown(test_pidfile_of_a_killed_process_is_stale, forget),
        cmocka_unit_test_teardown(test_pidfile_with_a_foreign_number_is_stale, forget),
        cmocka_unit_test_teardown(test_pidfile_with_nonsense_is_stale, forget),
        cmocka_unit_test_teardown(test_pidfile_is_not_inherited_by_a_child, forget),
        cmocka_unit_test_teardown(test_pidfile_that_cannot_be_written_is_an_error, forget),
        cmocka_unit_test_teardown(test_pidfile_of_many_starts_one_wins, forget),
        cmocka_unit_test_teardown(test_pidfile_deleting_and_taking_never_overlap, forget),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rmdir(dir);
    return failed;
}
