/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* show: all about one container. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-cpus.h"
#include "libvirt-driver/corral/corral-cli-tune.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"

#include <string.h>

static const CorralCliColumn identity_fields[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT },
    { "uuid", "UUID", CORRAL_CLI_KIND_TEXT },
    { "id", "Id", CORRAL_CLI_KIND_TEXT },
    { "state", "State", CORRAL_CLI_KIND_TEXT },
    { "persistent", "Persistent", CORRAL_CLI_KIND_BOOLEAN },
    { "autostart", "Autostart", CORRAL_CLI_KIND_BOOLEAN },
    { "title", "Title", CORRAL_CLI_KIND_TEXT },
    { "description", "Description", CORRAL_CLI_KIND_TEXT },
    { "partition", "Partition", CORRAL_CLI_KIND_TEXT },
    { "parent", "Parent", CORRAL_CLI_KIND_TEXT },
    { "children", "Children", CORRAL_CLI_KIND_LIST },
    { "cpus", "CPUs", CORRAL_CLI_KIND_TEXT },
    { "mems", "Memory nodes", CORRAL_CLI_KIND_TEXT },
    { "shares", "Shares", CORRAL_CLI_KIND_COUNT },
    { "cap", "Cap", CORRAL_CLI_KIND_TEXT },
    { "period_usec", NULL, CORRAL_CLI_KIND_COUNT },
    { "quota_usec", NULL, CORRAL_CLI_KIND_COUNT },
    { "burst_usec", "Burst (us)", CORRAL_CLI_KIND_COUNT },
};

static const CorralCliColumn member_columns[] = {
    { "name", "VM", CORRAL_CLI_KIND_TEXT },
    { "vcpus", "Its vCPUs", CORRAL_CLI_KIND_TEXT },
    { "numbers", "are here", CORRAL_CLI_KIND_TEXT },
    { NULL },
};

static const CorralCliColumn vcpu_columns[] = {
    { "vcpu", "vCPU", CORRAL_CLI_KIND_COUNT },
    { "vm", "VM", CORRAL_CLI_KIND_TEXT },
    { "vm_vcpu", "VM's vCPU", CORRAL_CLI_KIND_COUNT },
    { "state", "State", CORRAL_CLI_KIND_TEXT },
    { "cpu", "CPU", CORRAL_CLI_KIND_COUNT },
    { "affinity", "Affinity", CORRAL_CLI_KIND_TEXT },
    { "time_ns", "Time (s)", CORRAL_CLI_KIND_SECONDS },
    { "wait_ns", "Wait (s)", CORRAL_CLI_KIND_SECONDS },
    { NULL },
};

/* A definition may name VMs by patterns; what is there now is in the table of members. */
static const CorralCliColumn claim_columns[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT },
    { "vcpu", "vCPU", CORRAL_CLI_KIND_COUNT },
    { NULL },
};

/* --- fields --- */

static void
set_identity (JsonObject *document, const CorralCliContainer *container)
{
    int autostart = 0;
    int persistent = virDomainIsPersistent (container->domain);

    json_object_set_string_member (document, "name", container->name);
    json_object_set_string_member (document, "uuid", container->uuid);
    if (container->id >= 0)
        json_object_set_int_member (document, "id", container->id);
    json_object_set_string_member (document, "state", container->id >= 0 ? "active" : "inactive");
    if (persistent >= 0)
        json_object_set_boolean_member (document, "persistent", persistent == 1);
    if (virDomainGetAutostart (container->domain, &autostart) == 0)
        json_object_set_boolean_member (document, "autostart", autostart != 0);
    json_object_set_string_member (document, "title", container->xml->title);
    json_object_set_string_member (document, "description", container->xml->description);
}

static void
set_place (JsonObject *document, GPtrArray *containers, const CorralCliContainer *container)
{
    const CorralCliContainer *parent = corral_cli_container_parent (containers, container);
    JsonArray *children = json_array_new ();

    json_object_set_string_member (document, "partition", container->xml->partition);
    json_object_set_string_member (document, "parent", parent != NULL ? parent->name : NULL);
    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *other = containers->pdata[i];

        if (corral_cli_container_parent (containers, other) == container)
            json_array_add_string_element (children, other->name);
    }
    json_object_set_array_member (document, "children", children);
}

/* The pCPUs that an active container has, rather than those that its XML asks for: corrald answers
 * with them where libvirt has the emulator's pins, the one call that fits. */
static void
set_cpus (JsonObject *document, const CorralCliContainer *container, int n_cpus)
{
    g_autofree guint8 *map = g_malloc0 (VIR_CPU_MAPLEN (n_cpus));

    json_object_set_string_member (document, "cpus", container->xml->cpus);
    json_object_set_string_member (document, "mems", container->xml->mems);
    if (container->id >= 0 &&
        virDomainGetEmulatorPinInfo (container->domain, map, VIR_CPU_MAPLEN (n_cpus), 0) > 0) {
        g_autofree char *cpus = corral_cli_cpus_format (map, VIR_CPU_MAPLEN (n_cpus));

        json_object_set_string_member (document, "cpus", cpus);
    }
}

static void
set_tune (JsonObject *document, const CorralCliContainer *container)
{
    CorralCliTune tune;
    g_autofree char *cap = NULL;

    if (!corral_cli_tune_read (container->domain, 0, &tune, NULL))
        return;
    if (tune.shares >= 0)
        json_object_set_int_member (document, "shares", tune.shares);
    if (tune.burst_usec >= 0)
        json_object_set_int_member (document, "burst_usec", tune.burst_usec);
    if (tune.period_usec >= 0)
        json_object_set_int_member (document, "period_usec", tune.period_usec);
    if (!tune.has_quota)
        return;
    json_object_set_int_member (document, "quota_usec", tune.quota_usec);
    if (tune.quota_usec > 0 && tune.period_usec > 0)
        cap = g_strdup_printf ("%.2f pCPUs (%" G_GINT64_FORMAT " of every %" G_GINT64_FORMAT " us)",
                               (double) tune.quota_usec / (double) tune.period_usec,
                               tune.quota_usec, tune.period_usec);
    json_object_set_string_member (document, "cap", cap != NULL ? cap : "none");
}

/* --- tables --- */

static JsonArray *
member_rows (GPtrArray *vms)
{
    JsonArray *rows = json_array_new ();

    for (guint i = 0; i < vms->len; i++) {
        const CorralCliVm *vm = vms->pdata[i];
        guint count = (guint) hwloc_bitmap_weight (vm->vcpus);
        g_autoptr (CorralCpuset) here = hwloc_bitmap_alloc ();
        g_autofree char *vcpus = corral_cpuset_format (vm->vcpus);
        g_autofree char *numbers = NULL;
        JsonObject *row = json_object_new ();

        if (count > 0)
            hwloc_bitmap_set_range (here, vm->first, (int) (vm->first + count - 1));
        numbers = corral_cpuset_format (here);
        json_object_set_string_member (row, "name", vm->name);
        json_object_set_string_member (row, "vcpus", vcpus);
        json_object_set_string_member (row, "numbers", numbers);
        json_array_add_object_element (rows, row);
    }
    return rows;
}

static JsonArray *
claim_rows (const CorralCliContainer *container)
{
    GPtrArray *members = container->xml->members;
    JsonArray *rows = json_array_new ();

    for (guint i = 0; i < members->len; i++) {
        const CorralCliMember *member = members->pdata[i];
        JsonObject *row = json_object_new ();

        json_object_set_string_member (row, "name", member->name);
        if (member->vcpu >= 0)
            json_object_set_int_member (row, "vcpu", member->vcpu);
        json_array_add_object_element (rows, row);
    }
    return rows;
}

static const char *
vcpu_state (int state)
{
    switch (state) {
    case VIR_VCPU_RUNNING:
        return "running";
    case VIR_VCPU_BLOCKED:
        return "halted";
    default:
        return "offline";
    }
}

/* Which vCPU of which VM each of the container's vCPUs is. */
static void
set_owners (JsonArray *rows, GPtrArray *vms)
{
    for (guint i = 0; i < vms->len; i++) {
        const CorralCliVm *vm = vms->pdata[i];
        guint row = vm->first;

        for (int vcpu = hwloc_bitmap_first (vm->vcpus);
             vcpu >= 0 && row < json_array_get_length (rows);
             vcpu = hwloc_bitmap_next (vm->vcpus, vcpu), row++) {
            JsonObject *object = json_array_get_object_element (rows, row);

            json_object_set_string_member (object, "vm", vm->name);
            json_object_set_int_member (object, "vm_vcpu", vcpu);
        }
    }
}

static JsonArray *
vcpu_rows (const CorralCliContainer *container, GPtrArray *vms, int n_cpus)
{
    JsonArray *rows = json_array_new ();
    int most = corral_cli_container_vcpus (container);
    int map_length = VIR_CPU_MAPLEN (n_cpus);
    g_autofree virVcpuInfo *infos = NULL;
    g_autofree guint8 *maps = NULL;
    int found;

    if (container->id < 0 || most <= 0)
        return rows;
    infos = g_new0 (virVcpuInfo, most);
    maps = g_malloc0_n ((gsize) most, (gsize) map_length);
    found = virDomainGetVcpus (container->domain, infos, most, maps, map_length);
    for (int i = 0; i < found; i++) {
        g_autofree char *affinity =
            corral_cli_cpus_format (VIR_GET_CPUMAP (maps, map_length, i), map_length);
        g_autofree char *wait_key = g_strdup_printf ("vcpu.%d.wait", i);
        JsonObject *row = json_object_new ();

        json_object_set_int_member (row, "vcpu", infos[i].number);
        json_object_set_string_member (row, "state", vcpu_state (infos[i].state));
        if (infos[i].cpu >= 0)
            json_object_set_int_member (row, "cpu", infos[i].cpu);
        json_object_set_string_member (row, "affinity", affinity);
        json_object_set_int_member (row, "time_ns", (gint64) infos[i].cpuTime);
        json_object_set_member (row, "wait_ns", corral_cli_container_stat (container, wait_key));
        json_array_add_object_element (rows, row);
    }
    set_owners (rows, vms);
    return rows;
}

/* --- the verb --- */

static JsonObject *
document_of (GPtrArray *containers, const CorralCliContainer *container, int n_cpus)
{
    JsonObject *document = json_object_new ();
    g_autoptr (GPtrArray) vms = corral_cli_container_vms (container);

    set_identity (document, container);
    set_place (document, containers, container);
    set_cpus (document, container, n_cpus);
    set_tune (document, container);
    corral_cli_usage_set (document, container);
    json_object_set_array_member (document, "members", member_rows (vms));
    json_object_set_array_member (document, "vcpu_list", vcpu_rows (container, vms, n_cpus));
    json_object_set_array_member (document, "definition_members", claim_rows (container));
    return document;
}

static void
add_table (GArray *tables, JsonObject *document, CorralCliFormat format, const char *key,
           const char *title, const CorralCliColumn *columns)
{
    CorralCliTable table = { key, title, columns };

    /* people need no empty tables */
    if (format != CORRAL_CLI_FORMAT_TABLE ||
        json_array_get_length (json_object_get_array_member (document, key)) > 0)
        g_array_append_val (tables, table);
}

gboolean
corral_cli_verb_show (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    CorralCliColumn fields[G_N_ELEMENTS (identity_fields) + CORRAL_CLI_USAGE_COLUMNS + 1] = { 0 };
    CorralCliFormat format = corral_cli_args_format (args);
    g_autoptr (GArray) tables = g_array_new (TRUE, TRUE, sizeof (CorralCliTable));
    g_autoptr (GPtrArray) containers = corral_cli_container_list (cli, 0, error);
    const CorralCliContainer *container;
    g_autoptr (JsonObject) document = NULL;
    g_autofree char *text = NULL;
    int n_cpus;

    if (containers == NULL || !corral_cli_cpus_count (cli, &n_cpus, error))
        return FALSE;
    container =
        corral_cli_container_find (containers, cli, corral_cli_args_operand (args, 0), error);
    if (container == NULL)
        return FALSE;
    document = document_of (containers, container, n_cpus);
    memcpy (fields, identity_fields, sizeof identity_fields);
    corral_cli_usage_columns (fields + G_N_ELEMENTS (identity_fields));
    add_table (tables, document, format, "members", "Members", member_columns);
    add_table (tables, document, format, "vcpu_list", "vCPUs", vcpu_columns);
    add_table (tables, document, format, "definition_members", "Members in its XML", claim_columns);
    text = corral_cli_output_format (&(CorralCliLayout){ fields,
                                                         (const CorralCliTable *) tables->data },
                                     document, format);
    return corral_cli_print (text, error);
}
