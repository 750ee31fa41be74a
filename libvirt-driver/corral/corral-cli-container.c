/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-container.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <string.h>

/* More VMs in one container than a host can run; bounds what the other side may say. */
#define VMS_MAX 65536
/* libvirt's limit for one call that lists vCPUs (REMOTE_VCPUINFO_MAX of its protocol). */
#define VCPUS_MAX 16384

void
corral_cli_container_free (CorralCliContainer *container)
{
    if (container == NULL)
        return;
    g_clear_pointer (&container->domain, virDomainFree);
    g_clear_pointer (&container->xml, corral_cli_xml_free);
    g_clear_pointer (&container->stats, json_object_unref);
    g_free (container->name);
    g_free (container);
}

static void
vm_free (CorralCliVm *vm)
{
    g_free (vm->name);
    g_clear_pointer (&vm->vcpus, hwloc_bitmap_free);
    g_free (vm);
}

/* --- lookup --- */

virDomain *
corral_cli_domain_lookup (CorralCli *cli, const char *name, GError **error)
{
    virDomain *domain;
    guint64 id;

    if (!corral_cli_connect (cli, error))
        return NULL;
    domain = virDomainLookupByName (cli->conn, name);
    if (domain != NULL)
        return domain;
    corral_client_set_error (error, "cannot find container \"%s\"", name);
    if (virGetLastErrorCode () != VIR_ERR_NO_DOMAIN)
        return NULL;

    domain = virDomainLookupByUUIDString (cli->conn, name);
    if (domain == NULL && g_ascii_string_to_unsigned (name, 10, 0, G_MAXINT, &id, NULL))
        domain = virDomainLookupByID (cli->conn, (int) id);
    if (domain != NULL)
        g_clear_error (error);
    return domain;
}

/* --- statistics --- */

JsonNode *
corral_cli_param_node (const virTypedParameter *param)
{
    JsonNode *node = json_node_new (JSON_NODE_VALUE);
    g_autofree char *text = NULL;

    switch (param->type) {
    case VIR_TYPED_PARAM_INT:
        json_node_set_int (node, param->value.i);
        break;
    case VIR_TYPED_PARAM_UINT:
        json_node_set_int (node, param->value.ui);
        break;
    case VIR_TYPED_PARAM_LLONG:
        json_node_set_int (node, param->value.l);
        break;
    case VIR_TYPED_PARAM_ULLONG:
        json_node_set_int (node, (gint64) MIN (param->value.ul, (guint64) G_MAXINT64));
        break;
    case VIR_TYPED_PARAM_DOUBLE:
        json_node_set_double (node, param->value.d);
        break;
    case VIR_TYPED_PARAM_BOOLEAN:
        json_node_set_boolean (node, param->value.b != 0);
        break;
    default:
        text = g_utf8_make_valid (param->value.s != NULL ? param->value.s : "", -1);
        json_node_set_string (node, text);
        break;
    }
    return node;
}

static JsonObject *
stats_of_record (virDomainStatsRecordPtr record)
{
    JsonObject *stats = json_object_new ();

    for (int i = 0; i < record->nparams; i++)
        json_object_set_member (stats, record->params[i].field,
                                corral_cli_param_node (&record->params[i]));
    return stats;
}

/* A connection that has no statistics is no failure: what is not known is shown so. */
static gboolean
stats_of_all (CorralCli *cli, guint types, guint flags, GHashTable *ret_stats, GError **error)
{
    g_auto (CorralClientStats) records = NULL;

    if (virConnectGetAllDomainStats (cli->conn, types, &records, flags) < 0) {
        if (virGetLastErrorCode () == VIR_ERR_NO_SUPPORT)
            return TRUE;
        corral_client_set_error (error, "cannot read the statistics of containers");
        return FALSE;
    }
    for (gsize i = 0; records != NULL && records[i] != NULL; i++)
        g_hash_table_insert (ret_stats, g_strdup (virDomainGetName (records[i]->dom)),
                             stats_of_record (records[i]));
    return TRUE;
}

static GHashTable *
stats_table (void)
{
    return g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                  (GDestroyNotify) json_object_unref);
}

GHashTable *
corral_cli_container_stats (CorralCli *cli, GError **error)
{
    g_autoptr (GHashTable) stats = stats_table ();

    if (!corral_cli_connect (cli, error) ||
        !stats_of_all (cli, VIR_DOMAIN_STATS_CPU_TOTAL, VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE,
                       stats, error))
        return NULL;
    return g_steal_pointer (&stats);
}

JsonNode *
corral_cli_container_stat (const CorralCliContainer *container, const char *key)
{
    JsonNode *node = json_object_get_member (container->stats, key);

    return node != NULL ? json_node_copy (node) : json_node_new (JSON_NODE_NULL);
}

/* --- list --- */

static CorralCliContainer *
container_of (virDomain *domain, GHashTable *stats, GError **error)
{
    g_autoptr (CorralCliContainer) container = g_new0 (CorralCliContainer, 1);
    JsonObject *found;
    char *text;

    virDomainRef (domain);
    container->domain = domain;
    container->name = g_utf8_make_valid (virDomainGetName (domain), -1);
    container->id = (int) virDomainGetID (domain);
    if (virDomainGetUUIDString (domain, container->uuid) < 0) {
        corral_client_set_error (error, "cannot read the UUID of container \"%s\"",
                                 container->name);
        return NULL;
    }
    found = g_hash_table_lookup (stats, virDomainGetName (domain));
    container->stats = found != NULL ? json_object_ref (found) : json_object_new ();
    text = virDomainGetXMLDesc (domain, 0);
    if (text == NULL) {
        corral_client_set_error (error, "cannot read the XML of container \"%s\"", container->name);
        return NULL;
    }
    container->xml = corral_cli_xml_parse (text, error);
    free (text);
    return container->xml != NULL ? g_steal_pointer (&container) : NULL;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    const CorralCliContainer *const *one = a;
    const CorralCliContainer *const *other = b;

    return strcmp ((*one)->name, (*other)->name);
}

GPtrArray *
corral_cli_container_list (CorralCli *cli, guint flags, GError **error)
{
    g_autoptr (GPtrArray) containers =
        g_ptr_array_new_with_free_func ((GDestroyNotify) corral_cli_container_free);
    g_autoptr (GHashTable) stats = stats_table ();
    g_auto (CorralClientDomains) domains = NULL;

    if (!corral_cli_connect (cli, error))
        return NULL;
    if (virConnectListAllDomains (cli->conn, &domains, flags) < 0) {
        corral_client_set_error (error, "cannot list containers");
        return NULL;
    }
    if (!stats_of_all (cli, 0, 0, stats, error))
        return NULL;
    for (gsize i = 0; domains[i] != NULL; i++) {
        g_autoptr (GError) problem = NULL;
        CorralCliContainer *container = container_of (domains[i], stats, &problem);

        if (container != NULL) {
            g_ptr_array_add (containers, container);
        } else if (!g_error_matches (problem, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND)) {
            /* one that has just gone is no failure */
            g_propagate_error (error, g_steal_pointer (&problem));
            return NULL;
        }
    }
    g_ptr_array_sort (containers, compare_names);
    return g_steal_pointer (&containers);
}

const CorralCliContainer *
corral_cli_container_find (GPtrArray *containers, CorralCli *cli, const char *name, GError **error)
{
    g_autoptr (virDomain) domain = corral_cli_domain_lookup (cli, name, error);

    for (guint i = 0; domain != NULL && i < containers->len; i++) {
        const CorralCliContainer *container = containers->pdata[i];

        if (g_str_equal (virDomainGetName (container->domain), virDomainGetName (domain)))
            return container;
    }
    if (domain != NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                     "cannot find container \"%s\": it has just gone", name);
    return NULL;
}

/* --- nesting and members --- */

static gboolean
lies_within (const char *inner, const char *outer)
{
    gsize length = outer != NULL ? strlen (outer) : 0;

    return length > 0 && inner != NULL && strncmp (inner, outer, length) == 0 &&
           inner[length] == '/';
}

const CorralCliContainer *
corral_cli_container_parent (GPtrArray *containers, const CorralCliContainer *container)
{
    const CorralCliContainer *parent = NULL;

    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *other = containers->pdata[i];

        if (lies_within (container->xml->partition, other->xml->partition) &&
            (parent == NULL || lies_within (other->xml->partition, parent->xml->partition)))
            parent = other;
    }
    return parent;
}

static int
stat_number (JsonObject *stats, const char *key)
{
    JsonNode *node = json_object_get_member (stats, key);
    gint64 value = node != NULL ? json_node_get_int (node) : -1;

    return value >= 0 && value <= VMS_MAX ? (int) value : -1;
}

int
corral_cli_container_vcpus (const CorralCliContainer *container)
{
    virDomainInfo info;
    int count = stat_number (container->stats, "corral.vcpus");

    if (count < 0 && virDomainGetInfo (container->domain, &info) == 0)
        count = MIN (info.nrVirtCpu, VCPUS_MAX);
    return MIN (count, VCPUS_MAX);
}

/* One entry of the statistics; FALSE when it makes no sense, and then no later one can be
 * numbered. */
static gboolean
add_vm (GPtrArray *vms, JsonObject *stats, int index, guint first)
{
    g_autofree char *name_key = g_strdup_printf ("corral.vm.%d.name", index);
    g_autofree char *vcpus_key = g_strdup_printf ("corral.vm.%d.vcpus", index);
    const char *name = json_object_get_string_member_with_default (stats, name_key, NULL);
    const char *list = json_object_get_string_member_with_default (stats, vcpus_key, NULL);
    CorralCpuset *vcpus = NULL;
    CorralCliVm *vm;

    if (name == NULL || list == NULL || !corral_cpuset_parse (list, &vcpus, NULL))
        return FALSE;
    vm = g_new0 (CorralCliVm, 1);
    vm->name = g_strdup (name);
    vm->first = first;
    vm->vcpus = vcpus;
    g_ptr_array_add (vms, vm);
    return TRUE;
}

GPtrArray *
corral_cli_container_vms (const CorralCliContainer *container)
{
    GPtrArray *vms = g_ptr_array_new_with_free_func ((GDestroyNotify) vm_free);
    int count = stat_number (container->stats, "corral.vm.count");
    guint first = 0;

    for (int i = 0; i < count && add_vm (vms, container->stats, i, first); i++)
        first += (guint) hwloc_bitmap_weight (((CorralCliVm *) vms->pdata[i])->vcpus);
    return vms;
}

int
corral_cli_vm_number (const CorralCliVm *vm, int vcpu)
{
    guint number = vm->first;

    if (!hwloc_bitmap_isset (vm->vcpus, (unsigned) vcpu))
        return -1;
    for (int other = hwloc_bitmap_first (vm->vcpus); other != vcpu;
         other = hwloc_bitmap_next (vm->vcpus, other))
        number++;
    return (int) number;
}

/* --- usage --- */

static const struct {
    const char *key, *statistic, *title;
    CorralCliKind kind;
} usage[CORRAL_CLI_USAGE_COLUMNS] = {
    { "cpu_ns", "cpu.time", "CPU (s)", CORRAL_CLI_KIND_SECONDS },
    { "guest_ns", "corral.guest_ns", "Guest (s)", CORRAL_CLI_KIND_SECONDS },
    { "host_ns", "corral.host_ns", "Host (s)", CORRAL_CLI_KIND_SECONDS },
    { "emulator_ns", "corral.emulator_ns", "Emulator (s)", CORRAL_CLI_KIND_SECONDS },
    { "wait_ns", "corral.wait_ns", "Wait (s)", CORRAL_CLI_KIND_SECONDS },
    { "throttled_ns", "corral.throttled_ns", "Throttled (s)", CORRAL_CLI_KIND_SECONDS },
    { "vms", "corral.vms", "VMs", CORRAL_CLI_KIND_COUNT },
    { "vcpus", "corral.vcpus", "vCPUs", CORRAL_CLI_KIND_COUNT },
    { "exits", "corral.exits", NULL, CORRAL_CLI_KIND_COUNT },
    { "source", "corral.source", NULL, CORRAL_CLI_KIND_TEXT },
};

void
corral_cli_usage_columns (CorralCliColumn *columns)
{
    for (guint i = 0; i < CORRAL_CLI_USAGE_COLUMNS; i++)
        columns[i] = (CorralCliColumn){ usage[i].key, usage[i].title, usage[i].kind };
}

void
corral_cli_usage_set (JsonObject *object, const CorralCliContainer *container)
{
    for (guint i = 0; i < CORRAL_CLI_USAGE_COLUMNS; i++)
        json_object_set_member (object, usage[i].key,
                                corral_cli_container_stat (container, usage[i].statistic));
}
