/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* list and stats: many containers, one row each. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

/* --- list --- */

static guint
list_flags (const CorralCliArgs *args)
{
    static const struct {
        const char *option;
        guint flag;
    } filters[] = {
        { "persistent", VIR_CONNECT_LIST_DOMAINS_PERSISTENT },
        { "transient", VIR_CONNECT_LIST_DOMAINS_TRANSIENT },
        { "autostart", VIR_CONNECT_LIST_DOMAINS_AUTOSTART },
    };
    guint flags = VIR_CONNECT_LIST_DOMAINS_ACTIVE;

    if (corral_cli_args_flag (args, "all"))
        flags = VIR_CONNECT_LIST_DOMAINS_ACTIVE | VIR_CONNECT_LIST_DOMAINS_INACTIVE;
    else if (corral_cli_args_flag (args, "inactive"))
        flags = VIR_CONNECT_LIST_DOMAINS_INACTIVE;
    for (guint i = 0; i < G_N_ELEMENTS (filters); i++)
        flags |= corral_cli_args_flag (args, filters[i].option) ? filters[i].flag : 0;
    return flags;
}

static void
add_list_row (JsonArray *rows, const CorralCliContainer *container)
{
    JsonObject *row = json_object_new ();

    if (container->id >= 0)
        json_object_set_int_member (row, "id", container->id);
    json_object_set_string_member (row, "name", container->name);
    json_object_set_string_member (row, "uuid", container->uuid);
    json_object_set_string_member (row, "state", container->id >= 0 ? "active" : "inactive");
    json_object_set_string_member (row, "partition", container->xml->partition);
    json_object_set_string_member (row, "cpus", container->xml->cpus);
    if (container->id >= 0)
        corral_cli_usage_set (row, container);
    json_array_add_object_element (rows, row);
}

static gboolean
print_identities (GPtrArray *containers, gboolean uuids, GError **error)
{
    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *container = containers->pdata[i];

        if (!corral_cli_say (error, "%s\n", uuids ? container->uuid : container->name))
            return FALSE;
    }
    return TRUE;
}

gboolean
corral_cli_verb_list (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    static const CorralCliColumn columns[] = {
        { "id", "Id", CORRAL_CLI_KIND_TEXT },
        { "name", "Name", CORRAL_CLI_KIND_TEXT },
        { "uuid", NULL, CORRAL_CLI_KIND_TEXT },
        { "state", "State", CORRAL_CLI_KIND_TEXT },
        { "partition", "Partition", CORRAL_CLI_KIND_TEXT },
        { "cpus", "CPUs", CORRAL_CLI_KIND_TEXT },
        { "vms", "VMs", CORRAL_CLI_KIND_COUNT },
        { "vcpus", "vCPUs", CORRAL_CLI_KIND_COUNT },
        { NULL },
    };
    static const CorralCliTable tables[] = { { "containers", NULL, columns }, { NULL } };
    static const CorralCliLayout layout = { NULL, tables };
    g_autoptr (GPtrArray) containers = corral_cli_container_list (cli, list_flags (args), error);
    g_autoptr (JsonObject) document = json_object_new ();
    g_autofree char *text = NULL;
    JsonArray *rows;

    if (containers == NULL)
        return FALSE;
    if (corral_cli_args_flag (args, "name") || corral_cli_args_flag (args, "uuid"))
        return print_identities (containers, corral_cli_args_flag (args, "uuid"), error);
    rows = json_array_new ();
    json_object_set_array_member (document, "containers", rows);
    for (guint i = 0; i < containers->len; i++)
        add_list_row (rows, containers->pdata[i]);
    text = corral_cli_output_format (&layout, document, corral_cli_args_format (args));
    return corral_cli_print (text, error);
}

/* --- stats --- */

static gboolean
add_stats_rows (CorralCli *cli, const CorralCliArgs *args, GPtrArray *containers, JsonArray *rows,
                GError **error)
{
    guint named = corral_cli_args_count (args);

    for (guint i = 0; i < (named > 0 ? named : containers->len); i++) {
        const CorralCliContainer *container =
            named > 0 ? corral_cli_container_find (containers, cli,
                                                   corral_cli_args_operand (args, i), error)
                      : containers->pdata[i];
        JsonObject *row;

        if (container == NULL)
            return FALSE;
        if (named == 0 && container->id < 0)
            continue;
        row = json_object_new ();
        json_object_set_string_member (row, "name", container->name);
        corral_cli_usage_set (row, container);
        json_array_add_object_element (rows, row);
    }
    return TRUE;
}

gboolean
corral_cli_verb_stats (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    CorralCliColumn columns[CORRAL_CLI_USAGE_COLUMNS + 2] = { { "name", "Name" } };
    CorralCliTable tables[] = { { "containers", NULL, columns }, { NULL } };
    CorralCliLayout layout = { NULL, tables };
    g_autoptr (GPtrArray) containers = corral_cli_container_list (cli, 0, error);
    g_autoptr (JsonObject) document = json_object_new ();
    g_autofree char *text = NULL;
    JsonArray *rows = json_array_new ();

    json_object_set_array_member (document, "containers", rows);
    corral_cli_usage_columns (columns + 1);
    if (containers == NULL || !add_stats_rows (cli, args, containers, rows, error))
        return FALSE;
    text = corral_cli_output_format (&layout, document, corral_cli_args_format (args));
    return corral_cli_print (text, error);
}
