/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The interactive mode, and the commands that only make sense in it. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <readline/history.h>
#include <readline/readline.h>

#define HISTORY_MAX 500

/* readline's functions take no argument of ours. */
static CorralCli *completing_for;

/* --- completion --- */

static void
add_matching (GPtrArray *matches, const char *prefix, const char *word)
{
    if (g_str_has_prefix (word, prefix))
        g_ptr_array_add (matches, g_strdup (word));
}

static void
add_commands (GPtrArray *matches, const char *prefix)
{
    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        if (!(command->flags & CORRAL_CLI_HIDDEN))
            add_matching (matches, prefix, command->name);
    }
}

/* Only a connection that is open is asked: a key must not wait for a connection to be made. */
static void
add_containers (GPtrArray *matches, const char *prefix, guint flags)
{
    g_auto (CorralClientDomains) domains = NULL;

    if (completing_for->conn == NULL ||
        virConnectListAllDomains (completing_for->conn, &domains, flags) < 0)
        return;
    for (gsize i = 0; domains[i] != NULL; i++)
        add_matching (matches, prefix, virDomainGetName (domains[i]));
}

static void
add_operands (GPtrArray *matches, const char *prefix, CorralCliComplete complete)
{
    switch (complete) {
    case CORRAL_CLI_COMPLETE_CONTAINER:
        add_containers (matches, prefix, 0);
        break;
    case CORRAL_CLI_COMPLETE_ACTIVE:
        add_containers (matches, prefix, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
        break;
    case CORRAL_CLI_COMPLETE_INACTIVE:
        add_containers (matches, prefix, VIR_CONNECT_LIST_DOMAINS_INACTIVE);
        break;
    case CORRAL_CLI_COMPLETE_COMMAND:
        add_commands (matches, prefix);
        break;
    case CORRAL_CLI_COMPLETE_FILE:
    case CORRAL_CLI_COMPLETE_NOTHING:
        break;
    }
}

/* Which operand comes after @words: those that are neither options nor their values count. */
static const CorralCliOperand *
next_operand (const CorralCliCommand *command, const CorralCliOption *options, char **words)
{
    const CorralCliOperand *operand = command->operands;

    for (char **word = words; *word != NULL; word++) {
        gboolean is_option = g_str_has_prefix (*word, "-");

        for (const CorralCliOption *option = options; is_option && option->name != NULL; option++) {
            if (option->placeholder != NULL &&
                g_str_equal (*word + strspn (*word, "-"), option->name) && word[1] != NULL)
                word++;
        }
        if (!is_option && operand != NULL && operand->name != NULL &&
            operand->count != CORRAL_CLI_REPEATED)
            operand++;
    }
    return operand != NULL && operand->name != NULL ? operand : NULL;
}

static void
add_arguments (GPtrArray *matches, const char *prefix, char **words)
{
    const CorralCliCommand *command = corral_cli_command_find (words[0], NULL);
    g_autofree CorralCliOption *options = NULL;
    const CorralCliOperand *operand;

    if (command == NULL)
        return;
    options = corral_cli_command_options (command);
    if (g_str_has_prefix (prefix, "-")) {
        for (const CorralCliOption *option = options; option->name != NULL; option++) {
            g_autofree char *word = g_strconcat ("--", option->name, NULL);

            add_matching (matches, prefix, word);
        }
        return;
    }
    operand = next_operand (command, options, words + 1);
    if (operand != NULL)
        add_operands (matches, prefix, operand->complete);
    rl_attempted_completion_over = operand == NULL || operand->complete != CORRAL_CLI_COMPLETE_FILE;
}

/* readline wants the longest common start first, then the matches, all from malloc(). */
static char **
matches_for_readline (GPtrArray *matches)
{
    char **result;
    gsize common;

    if (matches->len == 0)
        return NULL;
    common = strlen (matches->pdata[0]);
    for (guint i = 1; i < matches->len; i++) {
        const char *first = matches->pdata[0], *other = matches->pdata[i];
        gsize same = 0;

        while (same < common && first[same] == other[same])
            same++;
        common = same;
    }
    result = calloc (matches->len + 2, sizeof *result);
    g_assert (result != NULL);
    result[0] = strndup (matches->pdata[0], common);
    for (guint i = 0; matches->len > 1 && i < matches->len; i++)
        result[i + 1] = strdup (matches->pdata[i]);
    return result;
}

static char **
complete (const char *text, int start, int end)
{
    g_autoptr (GPtrArray) matches = g_ptr_array_new_with_free_func (g_free);
    g_autofree char *before = g_strndup (rl_line_buffer, (gsize) start);
    g_auto (GStrv) words = NULL;

    rl_attempted_completion_over = 1;
    if (!g_shell_parse_argv (before, NULL, &words, NULL))
        add_commands (matches, text);
    else
        add_arguments (matches, text, words);
    return matches_for_readline (matches);
}

/* --- lines --- */

static char *
history_path (void)
{
    return g_build_filename (g_get_user_cache_dir (), "corral", "history", NULL);
}

static void
load_history (void)
{
    g_autofree char *path = history_path ();

    stifle_history (HISTORY_MAX);
    read_history (path);
}

static void
save_history (void)
{
    g_autofree char *path = history_path ();
    g_autofree char *folder = g_path_get_dirname (path);

    if (g_mkdir_with_parents (folder, 0700) == 0 && write_history (path) == 0)
        g_chmod (path, 0600);
}

static char *
read_from_terminal (const CorralCli *cli)
{
    char *line = readline (cli->readonly ? "corral > " : "corral # ");
    HIST_ENTRY *last = history_length > 0 ? history_get (history_base + history_length - 1) : NULL;

    if (line != NULL && *line != '\0' && (last == NULL || strcmp (last->line, line) != 0))
        add_history (line);
    return line;
}

static char *
read_from_pipe (void)
{
    char *line = NULL;
    gsize size = 0;

    if (getline (&line, &size, stdin) < 0) {
        free (line);
        return NULL;
    }
    line[strcspn (line, "\n")] = '\0';
    return line;
}

static CorralCliExit
run_line (CorralCli *cli, const char *line)
{
    g_auto (GStrv) words = NULL;
    g_autoptr (GError) problem = NULL;

    if (g_shell_parse_argv (line, NULL, &words, &problem))
        return corral_cli_run (cli, words);
    if (g_error_matches (problem, G_SHELL_ERROR, G_SHELL_ERROR_EMPTY_STRING))
        return CORRAL_CLI_OK;
    corral_cli_print_error (problem);
    return CORRAL_CLI_USAGE;
}

CorralCliExit
corral_cli_shell (CorralCli *cli)
{
    gboolean terminal = isatty (STDIN_FILENO) != 0;
    CorralCliExit result = CORRAL_CLI_OK;
    g_autoptr (GError) error = NULL;

    if (terminal) {
        completing_for = cli;
        rl_readline_name = "corral";
        rl_attempted_completion_function = complete;
        load_history ();
        puts ("This is corral, containers for VMs.\n\n"
              "Type:  'help' for help with commands\n"
              "       'quit' to quit\n");
        /* as virsh does: who types wants to know now that there is nobody to talk to */
        if (!corral_cli_connect (cli, &error))
            corral_cli_print_error (error);
    }
    while (!cli->quit) {
        char *line = terminal ? read_from_terminal (cli) : read_from_pipe ();

        if (line == NULL)
            break;
        result = run_line (cli, line);
        free (line);
    }
    if (terminal) {
        if (!cli->quit)
            putchar ('\n');
        save_history ();
        return CORRAL_CLI_OK;
    }
    return result;
}

/* --- commands of the interactive mode --- */

gboolean
corral_cli_verb_connect (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    corral_cli_disconnect (cli);
    g_free (cli->uri);
    cli->uri = g_strdup (corral_cli_args_operand (args, 0));
    cli->readonly = corral_cli_args_flag (args, "readonly");
    return corral_cli_connect (cli, error);
}

gboolean
corral_cli_verb_help (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *name = corral_cli_args_operand (args, 0);
    g_autofree char *text = NULL;

    if (name == NULL) {
        text = corral_cli_help_overview ();
    } else {
        const CorralCliCommand *command = corral_cli_command_find (name, error);

        if (command == NULL)
            return FALSE;
        text = corral_cli_help_command (command);
    }
    return corral_cli_print (text, error);
}

gboolean
corral_cli_verb_quit (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    cli->quit = TRUE;
    return TRUE;
}
