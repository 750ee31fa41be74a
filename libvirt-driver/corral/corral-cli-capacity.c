/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* capacity: how much there is, who has it, what still fits; and its picture. */
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"
#include "policy/corral-capacity.h"

#include <string.h>

static gboolean
read_capacity (CorralCli *cli, CorralCapacity **ret_capacity, guint64 *ret_generation,
               GError **error)
{
    gboolean done;
    char *text;

    if (!corral_cli_connect (cli, error))
        return FALSE;
    text = virConnectGetDomainCapabilities (cli->conn, NULL, NULL, NULL, NULL, 0);
    if (text == NULL) {
        corral_client_set_error (error, "cannot read the host's capacity");
        return FALSE;
    }
    done = corral_capacity_parse (text, strlen (text), ret_capacity, ret_generation, error);
    free (text);
    return done;
}

static char *
read_hostname (CorralCli *cli)
{
    char *name = virConnectGetHostname (cli->conn);
    g_autofree char *valid = g_utf8_make_valid (name != NULL ? name : "host", -1);

    free (name);
    return g_steal_pointer (&valid);
}

/* --- table, JSON, CSV --- */

/* A negative one is unknown, or does not apply. */
static void
set_answer (JsonObject *object, const char *key, int value)
{
    if (value >= 0)
        json_object_set_int_member (object, key, value);
}

static JsonObject *
row_of (const CorralCapacityRow *row)
{
    JsonObject *object = json_object_new ();
    g_autofree char *cpus = corral_cpuset_format (row->cpus);

    json_object_set_string_member (object, "kind", corral_capacity_kind_name (row->kind));
    json_object_set_string_member (object, "name", row->name);
    if (row->kind == CORRAL_CAPACITY_CONTAINER)
        json_object_set_string_member (object, "mode", corral_capacity_mode_name (row->mode));
    json_object_set_string_member (object, "cpus", cpus);
    json_object_set_int_member (object, "total", row->total);
    json_object_set_int_member (object, "reserved", row->reserved);
    json_object_set_int_member (object, "dedicated", row->dedicated);
    json_object_set_int_member (object, "idle", row->idle);
    json_object_set_int_member (object, "shared", row->shared);
    json_object_set_int_member (object, "free", row->free);
    json_object_set_int_member (object, "vcpus", row->vcpus);
    json_object_set_int_member (object, "dedicated_vcpus", row->dedicated_vcpus);
    json_object_set_double_member (object, "allocation_ratio", row->allocation_ratio / 1000.0);
    if (row->used >= 0)
        json_object_set_double_member (object, "used", row->used);
    set_answer (object, "largest_dedicated", row->largest_dedicated);
    set_answer (object, "largest_isolated", row->largest_isolated);
    set_answer (object, "largest_shared", row->largest_shared);
    json_object_set_int_member (object, "stranded", row->stranded);
    return object;
}

static JsonObject *
pcpu_of (const CorralCapacityPcpu *pcpu)
{
    JsonObject *object = json_object_new ();

    json_object_set_int_member (object, "pcpu", pcpu->place.number);
    json_object_set_int_member (object, "package", pcpu->place.package);
    json_object_set_int_member (object, "node", pcpu->place.node);
    json_object_set_int_member (object, "l3", pcpu->place.l3);
    json_object_set_int_member (object, "core", pcpu->place.core);
    json_object_set_int_member (object, "thread", pcpu->place.thread);
    json_object_set_string_member (object, "use", corral_capacity_use_name (pcpu->use));
    json_object_set_string_member (object, "container", pcpu->container);
    json_object_set_int_member (object, "more_containers", pcpu->more_containers);
    json_object_set_string_member (object, "vm", pcpu->vm);
    if (pcpu->use == CORRAL_USE_DEDICATED)
        json_object_set_int_member (object, "vcpu", pcpu->vcpu);
    if (pcpu->busy >= 0)
        json_object_set_double_member (object, "busy", pcpu->busy);
    return object;
}

static const CorralCliColumn fields[] = {
    { "generation", NULL, CORRAL_CLI_KIND_COUNT },
    { "window_ns", NULL, CORRAL_CLI_KIND_COUNT },
    { "shape_vcpus", NULL, CORRAL_CLI_KIND_COUNT },
    { NULL },
};

static const CorralCliColumn row_columns[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT },
    { "kind", NULL, CORRAL_CLI_KIND_TEXT },
    { "mode", "Mode", CORRAL_CLI_KIND_TEXT },
    { "total", "pCPUs", CORRAL_CLI_KIND_COUNT },
    { "reserved", "Reserved", CORRAL_CLI_KIND_COUNT },
    { "dedicated", "Dedicated", CORRAL_CLI_KIND_COUNT },
    { "idle", NULL, CORRAL_CLI_KIND_COUNT },
    { "shared", "Shared", CORRAL_CLI_KIND_COUNT },
    { "free", "Free", CORRAL_CLI_KIND_COUNT },
    { "stranded", "Stranded", CORRAL_CLI_KIND_COUNT },
    { "used", "Used", CORRAL_CLI_KIND_RATE },
    { "vcpus", "vCPUs", CORRAL_CLI_KIND_COUNT },
    { "dedicated_vcpus", NULL, CORRAL_CLI_KIND_COUNT },
    { "allocation_ratio", "Ratio", CORRAL_CLI_KIND_RATE },
    { "largest_dedicated", "Max dedicated", CORRAL_CLI_KIND_COUNT },
    { "largest_isolated", "isolated", CORRAL_CLI_KIND_COUNT },
    { "largest_shared", "shared", CORRAL_CLI_KIND_COUNT },
    { "cpus", NULL, CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliColumn pcpu_columns[] = {
    { "pcpu", NULL, CORRAL_CLI_KIND_COUNT },
    { "package", NULL, CORRAL_CLI_KIND_COUNT },
    { "node", NULL, CORRAL_CLI_KIND_COUNT },
    { "l3", NULL, CORRAL_CLI_KIND_COUNT },
    { "core", NULL, CORRAL_CLI_KIND_COUNT },
    { "thread", NULL, CORRAL_CLI_KIND_COUNT },
    { "use", NULL, CORRAL_CLI_KIND_TEXT },
    { "container", NULL, CORRAL_CLI_KIND_TEXT },
    { "more_containers", NULL, CORRAL_CLI_KIND_COUNT },
    { "vm", NULL, CORRAL_CLI_KIND_TEXT },
    { "vcpu", NULL, CORRAL_CLI_KIND_COUNT },
    { "busy", NULL, CORRAL_CLI_KIND_RATE },
    { NULL },
};

/* Tables and CSV have the rows; JSON has the pCPUs as well. */
static char *
format_rows (const CorralCapacity *capacity, guint64 generation, CorralCliFormat format)
{
    const CorralCliTable tables[] = {
        { "rows", NULL, row_columns },
        { format == CORRAL_CLI_FORMAT_JSON ? "pcpus" : NULL, NULL, pcpu_columns },
        { NULL },
    };
    CorralCliLayout layout = { format == CORRAL_CLI_FORMAT_JSON ? fields : NULL, tables };
    g_autoptr (JsonObject) document = json_object_new ();
    JsonArray *rows = json_array_new (), *pcpus = json_array_new ();

    for (guint i = 0; i < capacity->n_rows; i++)
        json_array_add_object_element (rows, row_of (&capacity->rows[i]));
    for (guint i = 0; i < capacity->n_pcpus; i++)
        json_array_add_object_element (pcpus, pcpu_of (&capacity->pcpus[i]));
    json_object_set_int_member (document, "generation",
                                (gint64) MIN (generation, (guint64) G_MAXINT64));
    json_object_set_int_member (document, "window_ns",
                                (gint64) MIN (capacity->window_ns, (guint64) G_MAXINT64));
    json_object_set_int_member (document, "shape_vcpus", capacity->shape_vcpus);
    json_object_set_array_member (document, "rows", rows);
    json_object_set_array_member (document, "pcpus", pcpus);
    return corral_cli_output_format (&layout, document, format);
}

static char *
format_capacity (const CorralCapacity *capacity, guint64 generation, const char *host,
                 const char *format)
{
    CorralCliFormat known = CORRAL_CLI_FORMAT_TABLE;

    if (g_strcmp0 (format, "placement") == 0)
        return corral_capacity_placement (capacity, host, generation);
    if (g_strcmp0 (format, "openmetrics") == 0)
        return corral_capacity_openmetrics (capacity, generation);
    if (format != NULL && !corral_cli_format_parse (format, &known, NULL))
        g_assert_not_reached (); /* the table of commands has all that are left */
    return format_rows (capacity, generation, known);
}

/* --- files --- */

/* A file there is replaced by rename, so that nobody ever reads half a one; "-" is the output. */
static gboolean
write_svg (const CorralCapacity *capacity, const char *host, const char *file, GError **error)
{
    g_autofree char *title = g_strdup_printf ("%s: who has which pCPU", host);
    g_autofree char *svg = corral_capacity_svg (capacity, title);
    g_autoptr (GError) problem = NULL;

    if (g_str_equal (file, "-"))
        return corral_cli_print (svg, error);
    if (g_file_set_contents_full (file, svg, -1, G_FILE_SET_CONTENTS_CONSISTENT, 0644, &problem))
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot write the picture \"%s\": %s", file,
                 problem->message);
    return FALSE;
}

gboolean
corral_cli_verb_capacity (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    const char *file = corral_cli_args_option (args, "svg");
    const char *format = corral_cli_args_option (args, "format");
    g_autoptr (CorralCapacity) capacity = NULL;
    g_autofree char *host = NULL, *text = NULL;
    guint64 generation;

    if (!read_capacity (cli, &capacity, &generation, error))
        return FALSE;
    host = read_hostname (cli);
    if (file != NULL && !write_svg (capacity, host, file, error))
        return FALSE;
    if (file != NULL && format == NULL)
        return TRUE;
    text = format_capacity (capacity, generation, host, format);
    return corral_cli_print (text, error);
}
