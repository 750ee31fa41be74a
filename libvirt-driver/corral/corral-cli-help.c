/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Help and man page, made from the table of commands. */
#include "libvirt-driver/corral/corral-cli.h"

#include <string.h>

#define HELP_COLUMNS 78

/* "-a, --all" or "    --interval SECONDS" */
static char *
option_label (const CorralCliOption *option)
{
    char letter[] = { '-', option->letter, ',', ' ', '\0' };

    return g_strdup_printf ("%s--%s%s%s", option->letter != 0 ? letter : "    ", option->name,
                            option->placeholder != NULL ? " " : "",
                            option->placeholder != NULL ? option->placeholder : "");
}

static void
append_synopsis (GString *out, const CorralCliCommand *command)
{
    g_autofree CorralCliOption *options = corral_cli_command_options (command);

    g_string_append (out, command->name);
    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        if (g_str_equal (option->name, "help"))
            continue;
        g_string_append_printf (out, " [--%s%s%s]", option->name,
                                option->placeholder != NULL ? " " : "",
                                option->placeholder != NULL ? option->placeholder : "");
    }
    for (const CorralCliOperand *operand = command->operands;
         operand != NULL && operand->name != NULL; operand++) {
        g_string_append_printf (out,
                                operand->count == CORRAL_CLI_REQUIRED   ? " <%s>"
                                : operand->count == CORRAL_CLI_OPTIONAL ? " [<%s>]"
                                                                        : " [<%s>]...",
                                operand->name);
    }
}

/* Words of @text on lines of HELP_COLUMNS, each indented. */
static void
append_wrapped (GString *out, const char *text, guint indent)
{
    g_auto (GStrv) words = g_strsplit (text, " ", -1);
    gsize column = 0;

    for (char **word = words; *word != NULL; word++) {
        gsize length = strlen (*word);

        if (column > 0 && column + 1 + length > HELP_COLUMNS) {
            g_string_append_c (out, '\n');
            column = 0;
        }
        if (column == 0) {
            g_string_append_printf (out, "%*s", (int) indent, "");
            column = indent;
        } else {
            g_string_append_c (out, ' ');
            column++;
        }
        g_string_append (out, *word);
        column += length;
    }
    g_string_append_c (out, '\n');
}

/* Calls @append for each command of each group, groups in the order of the table. */
typedef void (*AppendCommand) (GString *out, const CorralCliCommand *command);

static void
append_groups (GString *out, const char *heading_format, AppendCommand append)
{
    const char *group = NULL;

    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        if (command->flags & CORRAL_CLI_HIDDEN)
            continue;
        if (group == NULL || !g_str_equal (group, command->group)) {
            g_autoptr (GString) heading = g_string_new (heading_format);

            group = command->group;
            g_string_replace (heading, "@", group, 1);
            g_string_append (out, heading->str);
        }
        append (out, command);
    }
}

/* --- help --- */

static void
append_option_lines (GString *out, const CorralCliOption *options)
{
    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        g_autofree char *label = NULL;

        if (option->help == NULL)
            continue;
        label = option_label (option);
        g_string_append_printf (out, "    %-26s  %s\n", label, option->help);
    }
}

static void
append_summary_line (GString *out, const CorralCliCommand *command)
{
    g_string_append_printf (out, "    %-12s  %s\n", command->name, command->summary);
}

char *
corral_cli_help_overview (void)
{
    g_autoptr (GString) out = g_string_new (NULL);

    g_string_append (out, "\ncorral [OPTION]... <COMMAND> [ARGUMENT]...\n"
                          "corral [OPTION]...            reads commands until \"quit\"\n\n"
                          "  OPTIONS\n");
    append_option_lines (out, corral_cli_global_options);
    append_groups (out, "\n  @\n", append_summary_line);
    g_string_append (out, "\n  (\"corral help COMMAND\" tells more about one of them)\n\n");
    return g_string_free (g_steal_pointer (&out), FALSE);
}

char *
corral_cli_help_command (const CorralCliCommand *command)
{
    g_autoptr (GString) out = g_string_new (NULL);
    g_autoptr (GString) synopsis = g_string_new (NULL);
    g_autofree CorralCliOption *options = corral_cli_command_options (command);

    append_synopsis (synopsis, command);
    g_string_append_printf (out, "  NAME\n    %s - %s\n\n  SYNOPSIS\n", command->name,
                            command->summary);
    append_wrapped (out, synopsis->str, 4);
    if (command->description != NULL) {
        g_auto (GStrv) paragraphs = g_strsplit (command->description, "\n\n", -1);

        g_string_append (out, "\n  DESCRIPTION\n");
        for (char **paragraph = paragraphs; *paragraph != NULL; paragraph++) {
            if (paragraph != paragraphs)
                g_string_append_c (out, '\n');
            append_wrapped (out, *paragraph, 4);
        }
    }
    g_string_append (out, "\n  OPTIONS\n");
    append_option_lines (out, options);
    g_string_append_c (out, '\n');
    return g_string_free (g_steal_pointer (&out), FALSE);
}

/* --- man page, in man(7)'s macros --- */

/* A "-" would be printed as a hyphen, a "\" would start an escape, and a "." or "'" at the start
 * of a line a request. */
static void
append_roff (GString *out, const char *text)
{
    gboolean at_start = out->len == 0 || out->str[out->len - 1] == '\n';

    for (const char *at = text; *at != '\0'; at++) {
        if (at_start && (*at == '.' || *at == '\''))
            g_string_append (out, "\\&");
        if (*at == '\\')
            g_string_append (out, "\\e");
        else if (*at == '-')
            g_string_append (out, "\\-");
        else
            g_string_append_c (out, *at);
        at_start = *at == '\n';
    }
}

static void
append_roff_options (GString *out, const CorralCliOption *options)
{
    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        if (option->help == NULL || g_str_equal (option->name, "help"))
            continue;
        g_string_append (out, ".TP\n\\fB");
        if (option->letter != 0)
            g_string_append_printf (out, "\\-%c\\fR, \\fB", option->letter);
        append_roff (out, "--");
        append_roff (out, option->name);
        g_string_append (out, "\\fR");
        if (option->placeholder != NULL)
            g_string_append_printf (out, " \\fI%s\\fR", option->placeholder);
        g_string_append_c (out, '\n');
        append_roff (out, option->help);
        g_string_append_c (out, '\n');
    }
}

static void
append_roff_command (GString *out, const CorralCliCommand *command)
{
    g_autoptr (GString) synopsis = g_string_new (NULL);
    g_autofree CorralCliOption *options = corral_cli_command_options (command);

    append_synopsis (synopsis, command);
    g_string_append (out, ".SS ");
    append_roff (out, command->name);
    g_string_append (out, "\n.nh\n.B ");
    append_roff (out, synopsis->str);
    g_string_append (out, "\n.hy\n.PP\n");
    append_roff (out, command->summary);
    g_string_append (out, ".\n");
    if (command->description != NULL) {
        g_auto (GStrv) paragraphs = g_strsplit (command->description, "\n\n", -1);

        for (char **paragraph = paragraphs; *paragraph != NULL; paragraph++) {
            g_string_append (out, ".PP\n");
            append_roff (out, *paragraph);
            g_string_append_c (out, '\n');
        }
    }
    append_roff_options (out, options);
}

char *
corral_cli_help_man_page (void)
{
    g_autoptr (GString) out = g_string_new (".\\\" Made from corral's table of commands.\n");

    g_string_append (out, ".TH CORRAL 1 \"\" \"Corral " CORRAL_VERSION "\" \"User commands\"\n"
                          ".SH NAME\ncorral \\- containers for virtual machines and their vCPUs\n"
                          ".SH SYNOPSIS\n"
                          ".B corral\n[\\fIOPTION\\fR]... \\fICOMMAND\\fR [\\fIARGUMENT\\fR]...\n"
                          ".PP\n.B corral\n[\\fIOPTION\\fR]...\n.SH DESCRIPTION\n");
    append_roff (out, "corral shows and changes the containers that corrald keeps on this host. A "
                      "container holds VMs, single vCPUs and other containers; it has pCPUs, a "
                      "weight and a cap, and its CPU usage is one number.\n");
    g_string_append (out, ".PP\n");
    append_roff (out, "It is a libvirt client: to libvirt a container is a domain, and what corral "
                      "does, virsh(1) can do as well. Without a command it reads commands from the "
                      "terminal or from its input until \"quit\".\n");
    g_string_append (out, ".SH OPTIONS\n");
    append_roff_options (out, corral_cli_global_options);
    g_string_append (out, ".TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\n"
                          "show help, of a command when it comes after the command\n"
                          ".SH COMMANDS\n");
    append_groups (out, "", append_roff_command);
    g_string_append (out, ".SH \"OUTPUT FORMATS\"\n");
    append_roff (out, "Tables are for people and may change. JSON documents have the field "
                      "\"version\", which grows when a field changes its meaning or goes. CSV "
                      "follows RFC 4180. Both give times in nanoseconds, and what is unknown as "
                      "null or as an empty field.\n");
    g_string_append (out, ".SH \"EXIT STATUS\"\n"
                          ".TP\n.B 0\nThe command did what it was asked to.\n"
                          ".TP\n.B 1\nIt failed; the reason is on stderr, after \\(dqerror:\\(dq.\n"
                          ".TP\n.B 2\nThe command line makes no sense.\n"
                          ".TP\n.B 3\nThe policy is not satisfied.\n"
                          ".SH ENVIRONMENT\n.TP\n.B " CORRAL_CLI_URI_VARIABLE "\n"
                          "The URI to connect to when there is no \\fB\\-\\-connect\\fR.\n"
                          ".TP\n.BR VISUAL \", \" EDITOR\nThe editor of \\fBcorral edit\\fR.\n"
                          ".SH FILES\n.TP\n.I /run/corral/libvirt\\-sock\n"
                          "corrald's socket\n"
                          ".TP\n.I /run/corral/libvirt\\-sock\\-ro\n"
                          "its socket for reading only, which \\fB\\-\\-readonly\\fR uses\n"
                          ".TP\n.I ~/.cache/corral/history\n"
                          "the lines typed in the interactive mode\n"
                          ".SH \"SEE ALSO\"\n"
                          ".BR corrald (8),\n.BR corral.conf (5),\n.BR virsh (1)\n");
    return g_string_free (g_steal_pointer (&out), FALSE);
}
