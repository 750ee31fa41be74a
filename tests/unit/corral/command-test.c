/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The program itself, as a user runs it, against libvirt's test driver. argv[1]: the program. */
#include <gio/gio.h>
#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <string.h>

static const char *program;

typedef struct {
    int status;
    char *out, *err;
} Result;

static void
result_clear (Result *result)
{
    g_free (result->out);
    g_free (result->err);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Result, result_clear)

/* Runs @argv with @input. */
static Result
run_argv (const char *const *argv, const char *input)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GSubprocess) process =
        g_subprocess_newv (argv,
                           G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE |
                               G_SUBPROCESS_FLAGS_STDERR_PIPE,
                           &error);
    Result result = { 0 };

    g_assert_no_error (error);
    g_subprocess_communicate_utf8 (process, input, NULL, &result.out, &result.err, &error);
    g_assert_no_error (error);
    g_assert_true (g_subprocess_get_if_exited (process));
    result.status = g_subprocess_get_exit_status (process);
    return result;
}

/* Runs corral -c test:///default with the words of @line. */
static Result
run (const char *line, const char *input)
{
    g_auto (GStrv) words = NULL;
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_auto (GStrv) argv = NULL;

    g_strv_builder_add_many (builder, program, "-c", "test:///default", NULL);
    if (*line != '\0') {
        g_assert_true (g_shell_parse_argv (line, NULL, &words, NULL));
        g_strv_builder_addv (builder, (const char **) words);
    }
    argv = g_strv_builder_end (builder);
    return run_argv ((const char *const *) argv, input);
}

static void
assert_fails (const char *line, int status, const char *part)
{
    g_auto (Result) result = run (line, "");

    g_test_message ("%s: %s", line, result.err);
    g_assert_cmpint (result.status, ==, status);
    g_assert_true (g_str_has_prefix (result.err, "error: "));
    g_assert_nonnull (strstr (result.err, part));
    g_assert_cmpstr (result.out, ==, "");
}

static void
test_exit_status (void)
{
    assert_fails ("nonsense", 2, "nonsense");
    assert_fails ("list --nonsense", 2, "--nonsense");
    assert_fails ("show", 2, "<CONTAINER>");
    assert_fails ("set test", 2, "nothing to set");
    assert_fails ("set test --quota much", 2, "much");
    assert_fails ("pin test 0 x", 2, "\"x\"");
    assert_fails ("pin test 0-1", 2, "which vCPU");
    assert_fails ("top --interval 0", 2, "--interval");
    assert_fails ("show nobody", 1, "nobody");
    assert_fails ("start test", 1, "already running");
    assert_fails ("attach web1 test", 1, "not supported");
    assert_fails ("detach web1", 1, "no active container");
    assert_fails ("events --timeout 1", 1, "no event");
    assert_fails ("define /nonexistent", 1, "/nonexistent");
}

static void
test_connection (void)
{
    const char *const argv[] = { program, "uri", NULL };
    g_autofree char *saved = g_strdup (g_getenv ("CORRAL_URI"));
    g_auto (Result) from_environment = { 0 };
    g_auto (Result) failed = { 0 };

    g_setenv ("CORRAL_URI", "test:///default", TRUE);
    from_environment = run_argv (argv, "");
    g_setenv ("CORRAL_URI", "corral+unix:///system?socket=/nonexistent/sock", TRUE);
    failed = run_argv (argv, "");
    g_unsetenv ("CORRAL_URI");
    if (saved != NULL)
        g_setenv ("CORRAL_URI", saved, TRUE);
    g_assert_cmpint (from_environment.status, ==, 0);
    g_assert_cmpstr (from_environment.out, ==, "test:///default\n");
    g_assert_cmpint (failed.status, ==, 1);
    g_assert_nonnull (strstr (failed.err, "/nonexistent/sock"));
}

static void
test_formats (void)
{
    static const char *const verbs[] = { "list --all", "show test",         "stats", "host", "uri",
                                         "version",    "top -b -d 0.1 -n 1" };

    for (guint i = 0; i < G_N_ELEMENTS (verbs); i++) {
        g_autofree char *json = g_strconcat (verbs[i], " --format json", NULL);
        g_autofree char *csv = g_strconcat (verbs[i], " --format csv", NULL);
        g_auto (Result) as_json = run (json, "");
        g_auto (Result) as_csv = run (csv, "");
        g_autoptr (GError) error = NULL;
        g_autoptr (JsonNode) root = json_from_string (as_json.out, &error);

        g_test_message ("%s", verbs[i]);
        g_assert_no_error (error);
        g_assert_cmpint (json_object_get_int_member (json_node_get_object (root), "version"), ==,
                         1);
        g_assert_cmpint (as_csv.status, ==, 0);
        g_assert_true (g_str_has_suffix (as_csv.out, "\r\n"));
    }
}

/* One process, since each connection to test:///default has a host of its own. */
static void
test_life (void)
{
    g_auto (Result) result = run ("", "title test 'Two words'\n"
                                      "title test\n"
                                      "\n"
                                      "# nothing\n"
                                      "desc test\n"
                                      "destroy test\n"
                                      "list --name\n"
                                      "list --name --all\n"
                                      "start test\n"
                                      "autostart test\n"
                                      "autostart test --disable\n"
                                      "undefine test\n"
                                      "destroy test\n"
                                      "list --all --name\n"
                                      "quit\n"
                                      "start test\n");

    g_assert_cmpstr (result.err, ==, "");
    g_assert_cmpint (result.status, ==, 0);
    g_assert_cmpstr (result.out, ==,
                     "Container 'test' has a new title\n"
                     "Two words\n"
                     "Container 'test' destroyed\n"
                     "test\n"
                     "Container 'test' started\n"
                     "Container 'test' starts by itself\n"
                     "Container 'test' no longer starts by itself\n"
                     "Container 'test' undefined\n"
                     "Container 'test' destroyed\n");
}

static void
test_shell_errors (void)
{
    g_auto (Result) unclosed = run ("", "title test 'oops\nlist --name\n");
    g_auto (Result) last = run ("", "list --name\nshow nobody\n");

    g_assert_cmpint (unclosed.status, ==, 0);
    g_assert_true (g_str_has_prefix (unclosed.err, "error: "));
    g_assert_cmpstr (unclosed.out, ==, "test\n");
    g_assert_cmpint (last.status, ==, 1);
}

static void
test_define_and_edit (void)
{
    g_autofree char *path = NULL;
    g_autofree char *lines = NULL;
    g_autoptr (GError) error = NULL;
    int fd = g_file_open_tmp ("corral-test-XXXXXX.xml", &path, &error);
    g_auto (Result) result = { 0 };

    g_assert_no_error (error);
    g_close (fd, NULL);
    g_file_set_contents (path,
                         "<domain type='test'><name>box</name><memory>1024</memory>"
                         "<os><type>hvm</type></os></domain>",
                         -1, &error);
    g_assert_no_error (error);
    g_setenv ("VISUAL", "sed -i -e s/1024/2048/", TRUE);
    lines = g_strdup_printf ("define %s\nedit box\ndump box --inactive\ncreate %s\n", path, path);
    result = run ("", lines);
    g_unlink (path);
    g_assert_nonnull (strstr (result.out, "Container 'box' defined from "));
    g_assert_nonnull (strstr (result.out, "Container 'box' edited\n"));
    g_assert_nonnull (strstr (result.out, "<memory unit='KiB'>2048</memory>"));

    g_setenv ("VISUAL", "true", TRUE);
    g_clear_pointer (&result.out, g_free);
    g_clear_pointer (&result.err, g_free);
    result = run ("edit test", "");
    g_assert_cmpstr (result.out, ==, "Container 'test' not changed\n");
    g_clear_pointer (&result.out, g_free);
    g_clear_pointer (&result.err, g_free);
    g_setenv ("VISUAL", "sed -i -e s/type/typo/", TRUE);
    result = run ("edit test", "");
    g_unsetenv ("VISUAL");
    g_assert_cmpint (result.status, ==, 1);
    g_assert_cmpstr (result.out, ==, "");
}

static void
test_help (void)
{
    g_auto (Result) one = run ("help list", "");
    g_auto (Result) same = run ("list --help", "");
    g_auto (Result) unknown = run ("help nonsense", "");

    g_assert_cmpint (one.status, ==, 0);
    g_assert_cmpstr (one.out, ==, same.out);
    g_assert_nonnull (strstr (one.out, "--inactive"));
    g_assert_cmpint (unknown.status, ==, 2);
}

/* What bash would offer after @line, when the containers have @names. */
static char *
completions (const char *line, const char *names)
{
    static const char script[] = "eval \"$(\"$1\" --generate bash-completion)\"\n"
                                 "corral () { printf '%s\\n' \"$NAMES\"; }\n"
                                 "COMP_LINE=$2 COMP_POINT=${#2}\n"
                                 "_corral\n"
                                 "printf '%s\\n' \"${COMPREPLY[@]}\" | LC_ALL=C sort\n";
    const char *const argv[] = { "bash", "--norc", "-c", script, "bash", program, line, NULL };
    g_auto (Result) result = { 0 };

    g_setenv ("NAMES", names, TRUE);
    result = run_argv (argv, "");
    g_unsetenv ("NAMES");
    g_assert_cmpint (result.status, ==, 0);
    g_assert_cmpstr (result.err, ==, "");
    return g_strdup (g_strchomp (result.out));
}

static void
assert_completes (const char *line, const char *expected)
{
    g_autofree char *found = completions (line, "prod\nproxy\n$(echo x >&2)\nwith space");

    g_test_message ("%s", line);
    g_assert_cmpstr (found, ==, expected);
}

static void
test_bash_completion (void)
{
    g_autofree char *bash = g_find_program_in_path ("bash");

    if (bash == NULL) {
        g_test_skip ("there is no bash");
        return;
    }
    assert_completes ("corral de", "define\ndesc\ndestroy\ndetach");
    assert_completes ("corral --read", "--readonly");
    assert_completes ("corral show pr", "prod\nproxy");
    assert_completes ("corral -c 'test:///default?a=b' -r show prox", "proxy");
    assert_completes ("corral attach web1 prox", "proxy");
    assert_completes ("corral attach pr", "");
    assert_completes ("corral stats a b pro", "prod\nproxy");
    assert_completes ("corral set --shares 5 prod", "prod");
    assert_completes ("corral set --shares ", "");
    assert_completes ("corral list --format ", "csv\njson\ntable");
    assert_completes ("corral help ed", "edit");
    assert_completes ("corral list --in", "--inactive");
    assert_completes ("corral nonsense pr", "");
    /* names are quoted, and never run */
    assert_completes ("corral show ", "\\$\\(echo\\ x\\ \\>\\&2\\)\nprod\nproxy\nwith\\ space");
    assert_completes ("corral 'a[$(echo x >&2)]' pr", "");
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_assert_cmpint (argc, ==, 2);
    program = argv[1];
    g_test_add_func ("/command/exit-status", test_exit_status);
    g_test_add_func ("/command/connection", test_connection);
    g_test_add_func ("/command/formats", test_formats);
    g_test_add_func ("/command/life", test_life);
    g_test_add_func ("/command/shell-errors", test_shell_errors);
    g_test_add_func ("/command/define-and-edit", test_define_and_edit);
    g_test_add_func ("/command/help", test_help);
    g_test_add_func ("/command/bash-completion", test_bash_completion);
    return g_test_run ();
}
