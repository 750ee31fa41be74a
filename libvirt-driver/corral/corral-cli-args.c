/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Words to options and operands. GOption does the splitting; the table says what there is. */
#include "libvirt-driver/corral/corral-cli.h"

#include "common/corral-error.h"

#include <string.h>

struct _CorralCliArgs {
    GHashTable *options; /* long name -> value, "" for a flag */
    GStrv operands;
    guint n_operands;
    CorralCliFormat format;
    gboolean help;
};

/* GOption hands the option as it was written, "--all" or "-a"; values are kept under the long
 * name. */
typedef struct {
    const CorralCliOption *options;
    GHashTable *values;
} Collect;

static gboolean
collect_option (const char *written, const char *value, gpointer data, GError **error)
{
    Collect *collect = data;

    for (const CorralCliOption *option = collect->options; option->name != NULL; option++) {
        gboolean is_long = written[1] == '-';

        if (is_long ? g_str_equal (written + 2, option->name) : written[1] == option->letter) {
            g_hash_table_insert (collect->values, g_strdup (option->name),
                                 g_strdup (value != NULL ? value : ""));
            return TRUE;
        }
    }
    g_assert_not_reached ();
}

/* G_OPTION_FLAG_FILENAME: values are bytes, so that names in UTF-8 do not depend on the locale. */
static GOptionEntry *
entries_of (const CorralCliOption *options)
{
    g_autoptr (GArray) entries = g_array_new (TRUE, TRUE, sizeof (GOptionEntry));

    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        GOptionEntry entry = {
            .long_name = option->name,
            .short_name = option->letter,
            .flags = option->placeholder == NULL ? G_OPTION_FLAG_NO_ARG : G_OPTION_FLAG_FILENAME,
            .arg = G_OPTION_ARG_CALLBACK,
            .arg_data = (gpointer) collect_option,
        };

        g_array_append_val (entries, entry);
    }
    return (GOptionEntry *) g_array_free (g_steal_pointer (&entries), FALSE);
}

/* @words loses its options. GOption wants a program's name in front. */
static gboolean
parse_options (const CorralCliOption *options, gboolean only_in_front, char ***words,
               GHashTable *values, GError **error)
{
    Collect collect = { options, values };
    g_autofree GOptionEntry *entries = entries_of (options);
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);
    GOptionGroup *group = g_option_group_new ("corral", "", "", &collect, NULL);
    g_autoptr (GStrvBuilder) builder = g_strv_builder_new ();
    g_autoptr (GError) problem = NULL;
    g_auto (GStrv) all = NULL;
    gboolean ended = FALSE;
    guint length;

    g_option_group_add_entries (group, entries);
    g_option_context_set_main_group (context, group);
    g_option_context_set_help_enabled (context, FALSE);
    g_option_context_set_strict_posix (context, only_in_front);
    g_strv_builder_add (builder, "corral");
    g_strv_builder_addv (builder, (const char **) *words);
    all = g_strv_builder_end (builder);
    if (!g_option_context_parse_strv (context, &all, &problem)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "cannot read the options: %s",
                     problem->message);
        return FALSE;
    }

    /* GOption leaves a "--" in place when words that look like options come after it. With
     * @only_in_front a later one is for the command. */
    length = g_strv_length (all);
    g_clear_pointer (words, g_strfreev);
    *words = g_new0 (char *, length + 1);
    for (guint from = 1, to = 0; from < length; from++) {
        if (!ended && (from == 1 || !only_in_front) && g_str_equal (all[from], "--"))
            ended = TRUE;
        else
            (*words)[to++] = g_strdup (all[from]);
    }
    return TRUE;
}

/* An optional operand may stand before a required one ("pin TARGET [VCPU] CPUS"): only how many
 * there are counts here. */
static gboolean
check_operands (const CorralCliCommand *command, const CorralCliArgs *args, GError **error)
{
    guint required = 0, most = 0;

    for (const CorralCliOperand *operand = command->operands;
         operand != NULL && operand->name != NULL; operand++) {
        if (operand->count == CORRAL_CLI_REQUIRED && ++required > args->n_operands) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                         "command \"%s\" needs <%s>; see \"corral help %s\"", command->name,
                         operand->name, command->name);
            return FALSE;
        }
        most = operand->count == CORRAL_CLI_REPEATED ? G_MAXUINT : most + 1;
    }
    if (args->n_operands > most) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "command \"%s\" does not take \"%s\"; see \"corral help %s\"", command->name,
                     args->operands[most], command->name);
        return FALSE;
    }
    return TRUE;
}

/* An option that takes some words only was given one of them. */
static gboolean
check_values (const CorralCliOption *options, const CorralCliArgs *args, GError **error)
{
    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        const char *value = corral_cli_args_option (args, option->name);
        g_auto (GStrv) values = NULL;
        g_autofree char *list = NULL;

        if (value == NULL || option->values == NULL)
            continue;
        values = g_strsplit (option->values, " ", -1);
        if (g_strv_contains ((const char *const *) values, value))
            continue;
        list = g_strjoinv (", ", values);
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot take \"%s\" for --%s: it must be one of %s", value, option->name,
                     list);
        return FALSE;
    }
    return TRUE;
}

CorralCliArgs *
corral_cli_args_parse (const CorralCliCommand *command, char **words, GError **error)
{
    g_autoptr (CorralCliArgs) args = g_new0 (CorralCliArgs, 1);
    g_autofree CorralCliOption *options = corral_cli_command_options (command);
    const char *format;

    args->options = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    args->operands = g_strdupv (words);
    if (!parse_options (options, FALSE, &args->operands, args->options, error))
        return NULL;
    args->n_operands = g_strv_length (args->operands);
    args->help = corral_cli_args_flag (args, "help");
    if (args->help)
        return g_steal_pointer (&args);
    if (!check_operands (command, args, error) || !check_values (options, args, error))
        return NULL;
    format = corral_cli_args_option (args, "format");
    if (format != NULL && (command->flags & CORRAL_CLI_FORMATS) &&
        !corral_cli_format_parse (format, &args->format, error))
        return NULL;
    return g_steal_pointer (&args);
}

void
corral_cli_args_free (CorralCliArgs *args)
{
    if (args == NULL)
        return;
    g_clear_pointer (&args->options, g_hash_table_unref);
    g_strfreev (args->operands);
    g_free (args);
}

gboolean
corral_cli_args_flag (const CorralCliArgs *args, const char *name)
{
    return g_hash_table_contains (args->options, name);
}

const char *
corral_cli_args_option (const CorralCliArgs *args, const char *name)
{
    return g_hash_table_lookup (args->options, name);
}

gboolean
corral_cli_args_number (const CorralCliArgs *args, const char *name, gint64 minimum, gint64 maximum,
                        gint64 *ret_value, GError **error)
{
    const char *text = corral_cli_args_option (args, name);

    if (text == NULL)
        return TRUE;
    if (!g_ascii_string_to_signed (text, 10, minimum, maximum, ret_value, NULL)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot take \"%s\" for --%s: it must be a whole number from %" G_GINT64_FORMAT
                     " to %" G_GINT64_FORMAT,
                     text, name, minimum, maximum);
        return FALSE;
    }
    return TRUE;
}

const char *
corral_cli_args_operand (const CorralCliArgs *args, guint index)
{
    return index < args->n_operands ? args->operands[index] : NULL;
}

guint
corral_cli_args_count (const CorralCliArgs *args)
{
    return args->n_operands;
}

gboolean
corral_cli_args_help (const CorralCliArgs *args)
{
    return args->help;
}

CorralCliFormat
corral_cli_args_format (const CorralCliArgs *args)
{
    return args->format;
}

guint
corral_cli_args_affect (const CorralCliArgs *args)
{
    return (corral_cli_args_flag (args, "live") ? VIR_DOMAIN_AFFECT_LIVE : 0) |
           (corral_cli_args_flag (args, "config") ? VIR_DOMAIN_AFFECT_CONFIG : 0);
}

/* --- options before the command --- */

gboolean
corral_cli_global_parse (char ***words, CorralCliGlobal *ret_global, GError **error)
{
    g_autoptr (GHashTable) values = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    const char *generate;

    memset (ret_global, 0, sizeof *ret_global);
    if (!parse_options (corral_cli_global_options, TRUE, words, values, error))
        return FALSE;
    generate = g_hash_table_lookup (values, "generate");
    if (generate != NULL && !g_str_equal (generate, "man") &&
        !g_str_equal (generate, "bash-completion")) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot generate \"%s\": it must be man or bash-completion", generate);
        return FALSE;
    }
    ret_global->generate = g_strdup (generate);
    ret_global->uri = g_strdup (g_hash_table_lookup (values, "connect"));
    ret_global->readonly = g_hash_table_contains (values, "readonly");
    ret_global->help = g_hash_table_contains (values, "help");
    ret_global->version = g_hash_table_contains (values, "version");
    return TRUE;
}

void
corral_cli_global_clear (CorralCliGlobal *global)
{
    g_free (global->uri);
    g_free (global->generate);
    memset (global, 0, sizeof *global);
}
