/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of commands, and what is made from it: parsing, help, man page, completion. */
#include "libvirt-driver/corral/corral-cli.h"

#include "common/corral-error.h"

#include <string.h>

static const CorralCliCommand *
command_named (const char *name)
{
    g_autoptr (GError) error = NULL;
    const CorralCliCommand *command = corral_cli_command_find (name, &error);

    g_assert_no_error (error);
    return command;
}

static CorralCliArgs *
parse (const char *line, GError **error)
{
    g_auto (GStrv) words = NULL;

    g_assert_true (g_shell_parse_argv (line, NULL, &words, NULL));
    return corral_cli_args_parse (command_named (words[0]), words + 1, error);
}

static CorralCliArgs *
parse_good (const char *line)
{
    g_autoptr (GError) error = NULL;
    CorralCliArgs *args = parse (line, &error);

    g_assert_no_error (error);
    return args;
}

static void
assert_bad (const char *line, const char *part)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralCliArgs) args = parse (line, &error);

    g_assert_null (args);
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_nonnull (strstr (error->message, part));
}

static void
test_parse_options (void)
{
    g_autoptr (CorralCliArgs) list = parse_good ("list -a --format=json");
    g_autoptr (CorralCliArgs) top = parse_good ("top -d 0.5 -b -n 3");
    gint64 rounds = 0;

    g_assert_true (corral_cli_args_flag (list, "all"));
    g_assert_false (corral_cli_args_flag (list, "inactive"));
    g_assert_cmpint (corral_cli_args_format (list), ==, CORRAL_CLI_FORMAT_JSON);
    g_assert_cmpstr (corral_cli_args_option (top, "interval"), ==, "0.5");
    g_assert_true (corral_cli_args_flag (top, "batch"));
    g_assert_true (corral_cli_args_number (top, "iterations", 1, 10, &rounds, NULL));
    g_assert_cmpint (rounds, ==, 3);
    g_assert_null (corral_cli_args_operand (top, 0));
}

static void
test_parse_operands (void)
{
    g_autoptr (CorralCliArgs) set = parse_good ("set --quota -1 prod --shares 200 --config --live");
    g_autoptr (CorralCliArgs) dashes = parse_good ("title prod -- --text");
    g_autoptr (CorralCliArgs) names = parse_good ("stats a b 'c d' \303\274");

    g_assert_cmpstr (corral_cli_args_operand (set, 0), ==, "prod");
    g_assert_cmpuint (corral_cli_args_count (set), ==, 1);
    g_assert_cmpstr (corral_cli_args_option (set, "quota"), ==, "-1");
    g_assert_cmpuint (corral_cli_args_affect (set), ==,
                      VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG);
    g_assert_cmpstr (corral_cli_args_operand (dashes, 0), ==, "prod");
    g_assert_cmpstr (corral_cli_args_operand (dashes, 1), ==, "--text");
    g_assert_cmpuint (corral_cli_args_count (names), ==, 4);
    g_assert_cmpstr (corral_cli_args_operand (names, 2), ==, "c d");
    g_assert_cmpstr (corral_cli_args_operand (names, 3), ==, "\303\274");
}

static void
test_parse_refusals (void)
{
    g_autoptr (CorralCliArgs) help = parse_good ("show --help");
    g_autoptr (CorralCliArgs) number = parse_good ("set prod --shares 1");
    g_autoptr (GError) error = NULL;
    gint64 shares = 0;

    assert_bad ("show", "<CONTAINER>");
    assert_bad ("show a b", "\"b\"");
    assert_bad ("list --al", "--al");
    assert_bad ("list --format", "--format");
    assert_bad ("list --format yaml", "yaml");
    assert_bad ("pin web1:0", "<CPUS>");
    assert_bad ("pin a 0 1 2", "\"2\"");
    assert_bad ("start x --live", "--live");
    g_assert_true (corral_cli_args_help (help));
    g_assert_false (corral_cli_args_number (number, "shares", 2, 262144, &shares, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_null (corral_cli_command_find ("lst", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

static void
test_parse_global (void)
{
    g_auto (GStrv) words = g_strsplit ("-r --connect test:///default list -r -- x", " ", -1);
    g_auto (CorralCliGlobal) global = { NULL };
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_cli_global_parse (&words, &global, &error));
    g_assert_true (global.readonly);
    g_assert_false (global.help);
    g_assert_cmpstr (global.uri, ==, "test:///default");
    /* what comes after the command is the command's */
    g_assert_cmpuint (g_strv_length (words), ==, 4);
    g_assert_cmpstr (words[0], ==, "list");
    g_assert_cmpstr (words[1], ==, "-r");
    g_assert_cmpstr (words[2], ==, "--");
}

/* Each name is there once, a letter means one thing in a command, and help exists for all of it. */
static void
test_table (void)
{
    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        g_autofree CorralCliOption *options = corral_cli_command_options (command);

        g_assert_true (corral_cli_command_find (command->name, NULL) == command);
        g_assert_nonnull (command->run);
        g_assert_nonnull (command->summary);
        g_assert_false (g_str_has_suffix (command->summary, "."));
        for (const CorralCliOption *option = options; option->name != NULL; option++) {
            g_assert_nonnull (option->help);
            for (const CorralCliOption *other = options; other != option; other++) {
                g_assert_cmpstr (other->name, !=, option->name);
                g_assert_true (option->letter == 0 || other->letter != option->letter);
            }
        }
    }
}

static void
test_help (void)
{
    g_autofree char *overview = corral_cli_help_overview ();

    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        g_autofree char *help = corral_cli_help_command (command);
        g_autofree CorralCliOption *options = corral_cli_command_options (command);
        g_autofree char *heading = g_strdup_printf ("  NAME\n    %s - ", command->name);
        g_autofree char *line = g_strdup_printf ("\n    %s ", command->name);

        g_assert_true (g_str_has_prefix (help, heading));
        g_assert_cmpint (strstr (overview, line) != NULL, ==,
                         (command->flags & CORRAL_CLI_HIDDEN) == 0);
        for (const CorralCliOption *option = options; option->name != NULL; option++) {
            g_autofree char *label = g_strdup_printf ("--%s", option->name);

            g_assert_nonnull (strstr (help, label));
        }
        for (const CorralCliOperand *operand = command->operands;
             operand != NULL && operand->name != NULL; operand++) {
            g_autofree char *label = g_strdup_printf ("<%s>", operand->name);

            g_assert_nonnull (strstr (help, label));
        }
    }
}

static void
test_man_page (void)
{
    g_autofree char *page = corral_cli_help_man_page ();
    g_auto (GStrv) lines = g_strsplit (page, "\n", -1);

    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        g_autofree char *heading = g_strdup_printf ("\n.SS %s\n", command->name);

        g_assert_cmpint (strstr (page, heading) != NULL, ==,
                         (command->flags & CORRAL_CLI_HIDDEN) == 0);
    }
    /* a text's own dot or quote at the start of a line would be taken for a request */
    for (char **line = lines; *line != NULL; line++) {
        g_assert_false (**line == '\'');
        g_assert_true (**line != '.' || g_ascii_isupper ((*line)[1]) || (*line)[1] == '\\' ||
                       g_str_equal (*line, ".nh") || g_str_equal (*line, ".hy"));
    }
    g_assert_null (strstr (page, "--"));
}

static void
test_completion_words (void)
{
    g_autofree char *script = corral_cli_help_bash_completion ();

    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        g_autofree char *entry = g_strdup_printf ("    [%s]='", command->name);

        g_assert_cmpint (strstr (script, entry) != NULL, ==,
                         (command->flags & CORRAL_CLI_HIDDEN) == 0);
    }
    g_assert_nonnull (
        strstr (script, "\n_corral_global_options='--connect --readonly --version --help'\n"));
    g_assert_nonnull (strstr (script, "    [attach]='nothing container'\n"));
    g_assert_nonnull (strstr (script, "    [stats]='active+'\n"));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/table/parse-options", test_parse_options);
    g_test_add_func ("/table/parse-operands", test_parse_operands);
    g_test_add_func ("/table/parse-refusals", test_parse_refusals);
    g_test_add_func ("/table/parse-global", test_parse_global);
    g_test_add_func ("/table/table", test_table);
    g_test_add_func ("/table/help", test_help);
    g_test_add_func ("/table/man-page", test_man_page);
    g_test_add_func ("/table/completion-words", test_completion_words);
    return g_test_run ();
}
