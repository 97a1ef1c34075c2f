/* Tests of runtime/proc/hmain.c, hmain_opt.c and hmain_title.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hmain.h"
#include "hmem.h"

#include <sys/wait.h>

static const option_t options[] = {
    {'h', "help", NO_ARGUMENT, "Print this information"},
    {'c', "confile", REQUIRED_ARGUMENT, "Set configure file"},
    {'s', "signal", REQUIRED_ARGUMENT, "Send <signal> to process,\n<signal>=[start,stop]"},
    {'d', "daemon", NO_ARGUMENT, "Daemonize"},
    {0, "watch", OPTIONAL_ARGUMENT, "Watch"},
    {'x', NULL, REQUIRED_ARGUMENT, NULL},
};
#define COUNT ((int)ARRAY_SIZE(options))

/* argv[0] and then the words, NULL at the end. */
static int parse_long(const char *const *words) {
    char *argv[16] = {(char *)(uintptr_t)"prog"};
    int argc = 1;
    for (; words[argc - 1] != NULL; argc++) argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return parse_opt_long(argc, argv, options, COUNT);
}
#define PARSE(...) parse_long((const char *const[]){__VA_ARGS__, NULL})

static int forget_options(void **state) {
    (void)state;
    main_ctx_free();
    return hv__mem_live_blocks() == 0 ? 0 : -1;
}

static void test_opt_values_are_found_by_letter_and_by_name(void **state) {
    (void)state;
    assert_int_equal(PARSE("-c", "a.conf", "-d"), 0);
    assert_string_equal(get_arg("c"), "a.conf");
    assert_string_equal(get_arg("confile"), "a.conf");
    assert_string_equal(get_arg("d"), "1");
    assert_null(get_arg("h"));
    assert_null(get_arg("unknown"));
    assert_null(get_arg(""));
}

static void test_opt_every_spelling_of_a_value_is_taken(void **state) {
    (void)state;
    static const char *const spellings[][3] = {
        {"-c", "v"}, {"-cv"}, {"--confile", "v"}, {"--confile=v"}, {"-dcv"}, {"-dc", "v"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(spellings); i++) {
        assert_int_equal(parse_long(spellings[i]), 0);
        assert_string_equal(get_arg("c"), "v");
    }
    assert_int_equal(PARSE("--confile="), 0);
    assert_string_equal(get_arg("c"), "");
    assert_int_equal(PARSE("-c", "-d"), 0); /* a value may look like an option */
    assert_string_equal(get_arg("c"), "-d");
    assert_null(get_arg("d"));
}

static void test_opt_optional_value_is_only_attached(void **state) {
    (void)state;
    assert_int_equal(PARSE("--watch", "dir"), 0);
    assert_string_equal(get_arg("watch"), "1");
    assert_int_equal(g_main_ctx.arg_list_size, 1);
    assert_int_equal(PARSE("--watch=dir"), 0);
    assert_string_equal(get_arg("watch"), "dir");
}

static void test_opt_last_of_two_holds(void **state) {
    (void)state;
    assert_int_equal(PARSE("-c", "a", "--confile", "b"), 0);
    assert_string_equal(get_arg("c"), "b");
}

static void test_opt_rest_is_listed_in_order(void **state) {
    (void)state;
    assert_int_equal(PARSE("a", "-d", "-", "--", "-c", "--"), 0);
    assert_int_equal(g_main_ctx.arg_list_size, 4);
    assert_string_equal(g_main_ctx.arg_list[0], "a");
    assert_string_equal(g_main_ctx.arg_list[1], "-");
    assert_string_equal(g_main_ctx.arg_list[2], "-c");
    assert_string_equal(g_main_ctx.arg_list[3], "--");
    assert_null(g_main_ctx.arg_list[4]);
    assert_string_equal(get_arg("d"), "1");
}

static void test_opt_mistakes_are_refused(void **state) {
    (void)state;
    assert_int_equal(PARSE("-q"), HV_EINVAL);
    assert_int_equal(PARSE("--quiet"), HV_EINVAL);
    assert_int_equal(PARSE("--confil", "x"), HV_EINVAL); /* no abbreviations */
    assert_int_equal(PARSE("-c"), HV_EINVAL);
    assert_int_equal(PARSE("--confile"), HV_EINVAL);
    assert_int_equal(PARSE("--daemon=yes"), HV_EINVAL);
    assert_int_equal(PARSE("--=x"), HV_EINVAL);
}

static void test_opt_letters_alone_make_a_table(void **state) {
    (void)state;
    char *argv[] = {(char *)(uintptr_t)"prog", (char *)(uintptr_t)"-ab5", (char *)(uintptr_t)"-p",
                    (char *)(uintptr_t)"80", (char *)(uintptr_t)"-o", (char *)(uintptr_t)"rest"};
    assert_int_equal(parse_opt(6, argv, "ab:p:o::"), 0);
    assert_string_equal(get_arg("a"), "1");
    assert_string_equal(get_arg("b"), "5");
    assert_string_equal(get_arg("p"), "80");
    assert_string_equal(get_arg("o"), "1");
    assert_int_equal(g_main_ctx.arg_list_size, 1);
    assert_int_equal(parse_opt(6, argv, "ab:"), HV_EINVAL);
}

static void test_help_has_one_column_of_descriptions(void **state) {
    (void)state;
    static const char expected[] =
        "  -h|--help                 Print this information\n"
        "  -c|--confile <confile>    Set configure file\n"
        "  -s|--signal <signal>      Send <signal> to process,\n"
        "                            <signal>=[start,stop]\n"
        "  -d|--daemon               Daemonize\n"
        "  --watch[=watch]           Watch\n"
        "  -x <value>\n";
    char text[1024];
    assert_int_equal(dump_opt_long(options, COUNT, text, sizeof(text)), sizeof(expected) - 1);
    assert_string_equal(text, expected);
    assert_int_equal(dump_opt_short(options, COUNT, text, sizeof(text)), 8);
    assert_string_equal(text, "hc:s:dx:");
}

static void test_help_is_cut_to_its_room(void **state) {
    (void)state;
    char whole[1024];
    int len = dump_opt_long(options, COUNT, whole, sizeof(whole));
    for (int room = 1; room <= len + 1; room++) {
        char *text = malloc((size_t)room);
        assert_int_equal(dump_opt_long(options, COUNT, text, room), len);
        assert_int_equal(strlen(text), room - 1);
        assert_memory_equal(text, whole, (size_t)room - 1);
        free(text);
    }
    assert_int_equal(dump_opt_long(options, COUNT, NULL, 0), len);
}

static void test_context_has_paths_of_the_program(void **state) {
    (void)state;
    char dir[] = "/tmp/hmain_XXXXXX", before[MAX_PATH], expected[MAX_PATH * 2];
    assert_non_null(getcwd(before, sizeof(before)));
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chdir(dir), 0);
    char *argv[] = {(char *)(uintptr_t)"bin/prog", NULL};
    assert_int_equal(main_ctx_init(1, argv), 0);
    assert_string_equal(g_main_ctx.program_name, "prog");
    assert_string_equal(g_main_ctx.run_dir, dir);
    snprintf(expected, sizeof(expected), "%s/etc/prog.conf", dir);
    assert_string_equal(g_main_ctx.confile, expected);
    snprintf(expected, sizeof(expected), "%s/logs/prog.pid", dir);
    assert_string_equal(g_main_ctx.pidfile, expected);
    snprintf(expected, sizeof(expected), "%s/logs/prog.log", dir);
    assert_string_equal(g_main_ctx.logfile, expected);
    assert_int_equal(g_main_ctx.pid, getpid());
    assert_int_equal(g_main_ctx.oldpid, -1);
    assert_int_equal(rmdir("logs"), 0); /* it was made */
    assert_int_equal(chdir(before), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_context_refuses_no_and_endless_names(void **state) {
    (void)state;
    char *none[] = {NULL};
    assert_int_equal(main_ctx_init(0, none), HV_EINVAL);
    char *directory[] = {(char *)(uintptr_t)"bin/", NULL};
    assert_int_equal(main_ctx_init(1, directory), HV_EINVAL);
    char name[MAX_PATH + 1];
    memset(name, 'n', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    char *argv[] = {name, NULL};
    assert_int_equal(main_ctx_init(1, argv), HV_ELIMIT);
}

/* ---- Title: what the kernel shows of this very process ---- */

static int saved_argc;
static char **saved_argv;

static void read_cmdline(char *text, size_t size) {
    FILE *file = fopen("/proc/self/cmdline", "r");
    assert_non_null(file);
    size_t len = fread(text, 1, size - 1, file);
    text[len] = '\0';
    fclose(file);
}

static void test_title_is_shown_and_taken_back(void **state) {
    (void)state;
    char before[4096], shown[4096];
    read_cmdline(before, sizeof(before));
    setenv("HMAIN_TEST_WORD", "kept", 1);
    char *path = strdup(getenv("PATH"));
    char *name = strdup(saved_argv[0]);
    setproctitle("nothing yet");
    read_cmdline(shown, sizeof(shown));
    assert_string_equal(shown, before);

    assert_int_equal(main_ctx_init(saved_argc, saved_argv), 0);
    setproctitle("%s: %s process", "prog", "master");
    read_cmdline(shown, sizeof(shown));
    assert_string_equal(shown, "prog: master process");
    assert_string_equal(getenv("PATH"), path);
    assert_string_equal(getenv("HMAIN_TEST_WORD"), "kept");
    assert_string_equal(get_env("HMAIN_TEST_WORD"), "kept");
    assert_string_equal(saved_argv[0], name);

    char endless[20000];
    memset(endless, 't', sizeof(endless) - 1);
    endless[sizeof(endless) - 1] = '\0';
    setproctitle("%s", endless); /* cut, and nothing behind it is touched */
    assert_string_equal(getenv("PATH"), path);

    main_ctx_free();
    read_cmdline(shown, sizeof(shown));
    assert_string_equal(shown, before);
    assert_string_equal(getenv("PATH"), path);
    assert_string_equal(saved_argv[0], name);
    free(path);
    free(name);
    rmdir("logs");
}

int main(int argc, char **argv) {
    saved_argc = argc;
    saved_argv = argv;
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_opt_values_are_found_by_letter_and_by_name, forget_options),
        cmocka_unit_test_teardown(test_opt_every_spelling_of_a_value_is_taken, forget_options),
        cmocka_unit_test_teardown(test_opt_optional_value_is_only_attached, forget_options),
        cmocka_unit_test_teardown(test_opt_last_of_two_holds, forget_options),
        cmocka_unit_test_teardown(test_opt_rest_is_listed_in_order, forget_options),
        cmocka_unit_test_teardown(test_opt_mistakes_are_refused, forget_options),
        cmocka_unit_test_teardown(test_opt_letters_alone_make_a_table, forget_options),
        cmocka_unit_test(test_help_has_one_column_of_descriptions),
        cmocka_unit_test(test_help_is_cut_to_its_room),
        cmocka_unit_test_teardown(test_context_has_paths_of_the_program, forget_options),
        cmocka_unit_test_teardown(test_context_refuses_no_and_endless_names, forget_options),
        cmocka_unit_test_teardown(test_title_is_shown_and_taken_back, forget_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
