/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* host, uri, version. */
#include "libvirt-driver/corral/corral-cli-container.h"
#include "libvirt-driver/corral/corral-cli-cpus.h"
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-cpuset.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <string.h>

static gboolean
print_fields (const CorralCliColumn *fields, JsonObject *document, const CorralCliArgs *args,
              GError **error)
{
    CorralCliLayout layout = { fields, NULL };
    g_autofree char *text =
        corral_cli_output_format (&layout, document, corral_cli_args_format (args));

    return corral_cli_print (text, error);
}

/* --- host --- */

static gboolean
set_node_info (CorralCli *cli, JsonObject *document, GError **error)
{
    g_autofree char *model = NULL;
    virNodeInfo info;

    if (virNodeGetInfo (cli->conn, &info) < 0) {
        corral_client_set_error (error, "cannot read what the host has");
        return FALSE;
    }
    model = g_utf8_make_valid (info.model, sizeof info.model - 1 < strlen (info.model)
                                               ? (gssize) sizeof info.model - 1
                                               : -1);
    json_object_set_string_member (document, "model", model);
    json_object_set_int_member (document, "mhz", info.mhz);
    json_object_set_int_member (document, "nodes", info.nodes);
    json_object_set_int_member (document, "sockets", info.sockets);
    json_object_set_int_member (document, "cores", info.cores);
    json_object_set_int_member (document, "threads", info.threads);
    json_object_set_int_member (document, "memory_kib",
                                (gint64) MIN (info.memory, (gulong) G_MAXINT64));
    return TRUE;
}

static gboolean
set_hostname (CorralCli *cli, JsonObject *document)
{
    char *name = virConnectGetHostname (cli->conn);
    g_autofree char *valid = name != NULL ? g_utf8_make_valid (name, -1) : NULL;

    json_object_set_string_member (document, "hostname", valid);
    free (name);
    return TRUE;
}

/* pCPUs of those active containers that have pCPUs of their own, at the top level: what lies
 * within them shares theirs. */
static void
add_claimed_cpus (CorralCpuset *claimed, GPtrArray *containers, guint *ret_top)
{
    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *container = containers->pdata[i];
        g_autoptr (CorralCpuset) cpus = NULL;

        if (corral_cli_container_parent (containers, container) != NULL)
            continue;
        (*ret_top)++;
        if (container->xml->cpus != NULL && corral_cpuset_parse (container->xml->cpus, &cpus, NULL))
            hwloc_bitmap_or (claimed, claimed, cpus);
    }
}

static gboolean
set_cpus (CorralCli *cli, JsonObject *document, GError **error)
{
    g_autoptr (GPtrArray) containers =
        corral_cli_container_list (cli, VIR_CONNECT_LIST_DOMAINS_ACTIVE, error);
    g_autoptr (CorralCpuset) online = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) claimed = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) left = hwloc_bitmap_alloc ();
    g_autofree char *online_text = NULL, *claimed_text = NULL, *left_text = NULL;
    gint64 vcpus = 0;
    guint top = 0, length = 0;
    unsigned char *map = NULL;
    int n_cpus;

    if (containers == NULL || !corral_cli_cpus_count (cli, &n_cpus, error))
        return FALSE;
    n_cpus = virNodeGetCPUMap (cli->conn, &map, &length, 0);
    if (n_cpus < 0) {
        corral_client_set_error (error, "cannot read which pCPUs are online");
        return FALSE;
    }
    for (int cpu = 0; cpu < n_cpus; cpu++) {
        if (VIR_CPU_USED (map, cpu))
            hwloc_bitmap_set (online, (unsigned) cpu);
    }
    free (map);
    add_claimed_cpus (claimed, containers, &top);
    hwloc_bitmap_andnot (left, online, claimed);
    for (guint i = 0; i < containers->len; i++) {
        const CorralCliContainer *container = containers->pdata[i];

        if (corral_cli_container_parent (containers, container) == NULL)
            vcpus += MAX (corral_cli_container_vcpus (container), 0);
    }
    online_text = corral_cpuset_format (online);
    claimed_text = corral_cpuset_format (claimed);
    left_text = corral_cpuset_format (left);
    json_object_set_int_member (document, "cpus", n_cpus);
    json_object_set_string_member (document, "online_cpus", online_text);
    json_object_set_string_member (document, "container_cpus", claimed_text);
    json_object_set_string_member (document, "other_cpus", left_text);
    json_object_set_int_member (document, "containers", containers->len);
    json_object_set_int_member (document, "top_containers", top);
    json_object_set_int_member (document, "vcpus", vcpus);
    return TRUE;
}

gboolean
corral_cli_verb_host (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    static const CorralCliColumn fields[] = {
        { "hostname", "Hostname", CORRAL_CLI_KIND_TEXT },
        { "model", "CPU model", CORRAL_CLI_KIND_TEXT },
        { "mhz", "MHz", CORRAL_CLI_KIND_COUNT },
        { "nodes", "NUMA nodes", CORRAL_CLI_KIND_COUNT },
        { "sockets", "Sockets per node", CORRAL_CLI_KIND_COUNT },
        { "cores", "Cores per socket", CORRAL_CLI_KIND_COUNT },
        { "threads", "Threads per core", CORRAL_CLI_KIND_COUNT },
        { "memory_kib", "Memory", CORRAL_CLI_KIND_KIB },
        { "cpus", "pCPUs", CORRAL_CLI_KIND_COUNT },
        { "online_cpus", "pCPUs online", CORRAL_CLI_KIND_TEXT },
        { "container_cpus", "pCPUs that containers name", CORRAL_CLI_KIND_TEXT },
        { "other_cpus", "pCPUs that none names", CORRAL_CLI_KIND_TEXT },
        { "containers", "Active containers", CORRAL_CLI_KIND_COUNT },
        { "top_containers", "of them at the top", CORRAL_CLI_KIND_COUNT },
        { "vcpus", "vCPUs in containers", CORRAL_CLI_KIND_COUNT },
        { NULL },
    };
    g_autoptr (JsonObject) document = json_object_new ();

    return corral_cli_connect (cli, error) && set_hostname (cli, document) &&
           set_node_info (cli, document, error) && set_cpus (cli, document, error) &&
           print_fields (fields, document, args, error);
}

/* --- uri and version --- */

gboolean
corral_cli_verb_uri (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    static const CorralCliColumn fields[] = { { "uri", "URI", CORRAL_CLI_KIND_TEXT }, { NULL } };
    g_autoptr (JsonObject) document = json_object_new ();
    g_autofree char *valid = NULL;
    char *uri;

    if (!corral_cli_connect (cli, error))
        return FALSE;
    uri = virConnectGetURI (cli->conn);
    if (uri == NULL) {
        corral_client_set_error (error, "cannot read the URI of the connection");
        return FALSE;
    }
    valid = g_utf8_make_valid (uri, -1);
    free (uri);
    if (corral_cli_args_format (args) == CORRAL_CLI_FORMAT_TABLE)
        return corral_cli_say (error, "%s\n", valid);
    json_object_set_string_member (document, "uri", valid);
    return print_fields (fields, document, args, error);
}

/* libvirt's numbers are 1000000 * major + 1000 * minor + micro. */
static void
set_version (JsonObject *document, const char *key, unsigned long version)
{
    g_autofree char *text =
        g_strdup_printf ("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);

    json_object_set_string_member (document, key, text);
}

gboolean
corral_cli_verb_version (CorralCli *cli, const CorralCliArgs *args, GError **error)
{
    static const CorralCliColumn fields[] = {
        { "corral", "corral", CORRAL_CLI_KIND_TEXT },
        { "libvirt", "libvirt's client library", CORRAL_CLI_KIND_TEXT },
        { "driver", "Driver", CORRAL_CLI_KIND_TEXT },
        { "driver_version", "Driver's version", CORRAL_CLI_KIND_TEXT },
        { "server_libvirt", "Server speaks libvirt", CORRAL_CLI_KIND_TEXT },
        { NULL },
    };
    g_autoptr (JsonObject) document = json_object_new ();
    unsigned long version = 0;

    if (!corral_cli_connect (cli, error))
        return FALSE;
    json_object_set_string_member (document, "corral", CORRAL_VERSION);
    if (virGetVersion (&version, NULL, NULL) == 0)
        set_version (document, "libvirt", version);
    json_object_set_string_member (document, "driver", virConnectGetType (cli->conn));
    if (virConnectGetVersion (cli->conn, &version) == 0)
        set_version (document, "driver_version", version);
    if (virConnectGetLibVersion (cli->conn, &version) == 0)
        set_version (document, "server_libvirt", version);
    return print_fields (fields, document, args, error);
}
