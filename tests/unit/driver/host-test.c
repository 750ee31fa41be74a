/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "libvirt-driver/driver/corral-driver-host.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <unistd.h>

/* A host of two NUMA nodes with two packages, eight cores and sixteen pCPUs, of which only some
 * files exist. */
typedef struct {
    char *root;
    CorralDriverHost *host;
} Fixture;

static const char *const files[][2] = {
    { "proc/meminfo", "MemTotal:       4000 kB\nMemFree:        1000 kB\nMemAvailable: 3000 kB\n"
                      "Buffers: 20 kB\nCached: 300 kB\nSwapCached: 7 kB\n" },
    { "proc/cpuinfo", "processor\t: 0\nvendor_id\t: Ours & Co\nmodel name\t: Fast <1>\n"
                      "cpu MHz\t\t: 2599.998\n\nprocessor\t: 1\nvendor_id\t: other\n" },
    { "proc/stat", "cpu  100 20 30 400 50 6 7 0 0 0\ncpu0 10 2 3 40 5 1 1 0 0 0\n"
                   "cpu1 90 18 27 360 45 5 6 0 0 0\ncpu10 1 1 1 1 1 1 1 0 0 0\nintr 5\n" },
    { "proc/7/statm", "1000 25 10 1 0 1 0\n" },
    { "sys/devices/system/cpu/present", "0-15\n" },
    { "sys/devices/system/cpu/online", "0-3,5-15\n" },
    { "sys/devices/system/node/node1/meminfo",
      "Node 1 MemTotal:       2000 kB\nNode 1 MemFree:        600 kB\n" },
    { "sys/devices/system/node/node1/hugepages/hugepages-2048kB/free_hugepages", "3\n" },
    { "sys/class/dmi/id/bios_vendor", "BIOS <Corp>\n" },
    { "sys/class/dmi/id/product_name", "Box \xff 9\n" },
    { "sys/class/dmi/id/product_uuid", "11112222-3333-4444-5555-666677778888\n" },
    { "sys/class/dmi/id/board_serial", "\n" },
};

static void
set_up (Fixture *fixture, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    hwloc_topology_t topology;
    int fd;

    fixture->root = g_dir_make_tmp ("corral-host-XXXXXX", &error);
    g_assert_no_error (error);
    for (gsize i = 0; i < G_N_ELEMENTS (files); i++) {
        g_autofree char *path = g_build_filename (fixture->root, files[i][0], NULL);
        g_autofree char *folder = g_path_get_dirname (path);

        g_assert_cmpint (g_mkdir_with_parents (folder, 0700), ==, 0);
        g_assert_true (g_file_set_contents (path, files[i][1], -1, &error));
    }
    g_assert_cmpint (hwloc_topology_init (&topology), ==, 0);
    g_assert_cmpint (hwloc_topology_set_synthetic (topology, data), ==, 0);
    g_assert_cmpint (hwloc_topology_load (topology), ==, 0);
    fd = open (fixture->root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    fixture->host = corral_driver_host_new (fd, topology);
    close (fd);
}

static void
remove_tree (const char *path)
{
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL) {
        g_autofree char *child = g_build_filename (path, name, NULL);

        remove_tree (child);
    }
    g_remove (path);
}

static void
tear_down (Fixture *fixture, gconstpointer data)
{
    corral_driver_host_free (fixture->host);
    remove_tree (fixture->root);
    g_free (fixture->root);
}

#define EVEN "node:2 package:1 core:4 pu:2"

static void
test_node_info (Fixture *fixture, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    CorralDriverNodeInfo info;

    g_assert_true (corral_driver_host_node_info (fixture->host, &info, &error));
    g_assert_cmpuint (info.memory_kib, ==, 4000);
    g_assert_cmpuint (info.cpus, ==, 16);
    g_assert_cmpuint (info.mhz, ==, 2599);
    g_assert_cmpuint (info.nodes, ==, 2);
    g_assert_cmpuint (info.sockets, ==, 1);
    g_assert_cmpuint (info.cores, ==, 4);
    g_assert_cmpuint (info.threads, ==, 2);
    g_assert_cmpstr (info.model, ==, corral_driver_host_arch (fixture->host));
}

/* Three NUMA nodes in one package do not multiply out: one socket then, as libvirt shows it. */
static void
test_uneven (Fixture *fixture, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    CorralDriverNodeInfo info;

    g_assert_true (corral_driver_host_node_info (fixture->host, &info, &error));
    g_assert_cmpuint (info.cpus, ==, 6);
    g_assert_cmpuint (info.nodes * info.sockets * info.threads, ==, 1);
    g_assert_cmpuint (info.cores, ==, 6);
}

static void
test_cpus (Fixture *fixture, gconstpointer data)
{
    g_autoptr (CorralCpuset) present = NULL;
    g_autoptr (CorralCpuset) online = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_driver_host_present (fixture->host, &present, &error));
    g_assert_true (corral_driver_host_online (fixture->host, &online, &error));
    g_assert_cmpint (hwloc_bitmap_weight (present), ==, 16);
    g_assert_cmpint (hwloc_bitmap_weight (online), ==, 15);
    g_assert_false (hwloc_bitmap_isset (online, 4));
}

static void
test_cpu_times (Fixture *fixture, gconstpointer data)
{
    guint64 tick = 1000000000u / (guint64) sysconf (_SC_CLK_TCK);
    g_autoptr (GError) error = NULL;
    CorralDriverCpuTimes times;

    g_assert_true (corral_driver_host_cpu_times (fixture->host, -1, &times, &error));
    g_assert_cmpuint (times.user_ns, ==, 120 * tick);
    g_assert_cmpuint (times.kernel_ns, ==, 43 * tick);
    g_assert_cmpuint (times.idle_ns, ==, 400 * tick);
    g_assert_cmpuint (times.iowait_ns, ==, 50 * tick);
    g_assert_true (corral_driver_host_cpu_times (fixture->host, 1, &times, &error));
    g_assert_cmpuint (times.user_ns, ==, 108 * tick);
    g_assert_false (corral_driver_host_cpu_times (fixture->host, 2, &times, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

static void
test_memory (Fixture *fixture, gconstpointer data)
{
    guint base_kib = (guint) (sysconf (_SC_PAGESIZE) / 1024);
    g_autoptr (GError) error = NULL;
    CorralDriverMemory memory;
    guint64 pages;

    g_assert_true (corral_driver_host_memory (fixture->host, -1, &memory, &error));
    g_assert_cmpuint (memory.free_kib, ==, 1000);
    g_assert_true (memory.have_cache);
    g_assert_cmpuint (memory.cached_kib, ==, 300);
    g_assert_true (corral_driver_host_memory (fixture->host, 1, &memory, &error));
    g_assert_cmpuint (memory.total_kib, ==, 2000);
    g_assert_cmpuint (memory.free_kib, ==, 600);
    g_assert_false (memory.have_cache);
    g_assert_false (corral_driver_host_memory (fixture->host, 2, &memory, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_driver_host_memory (fixture->host, -2, &memory, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);

    g_assert_true (corral_driver_host_free_pages (fixture->host, 1, 2048, &pages, &error));
    g_assert_cmpuint (pages, ==, 3);
    g_assert_true (corral_driver_host_free_pages (fixture->host, 1, base_kib, &pages, &error));
    g_assert_cmpuint (pages, ==, 600 / base_kib);
    g_assert_false (corral_driver_host_free_pages (fixture->host, 1, 12345, &pages, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);

    g_assert_cmpuint (corral_driver_host_resident_kib (fixture->host, 7), ==, 25 * base_kib);
    g_assert_cmpuint (corral_driver_host_resident_kib (fixture->host, 8), ==, 0);
}

/* --- documents --- */

static char *
evaluate (const char *xml, const char *path)
{
    xmlDoc *document = xmlReadMemory (xml, (int) strlen (xml), NULL, NULL, XML_PARSE_NONET);
    xmlXPathContext *context;
    xmlXPathObject *object;
    xmlChar *text;
    char *result;

    g_assert_nonnull (document);
    context = xmlXPathNewContext (document);
    object = xmlXPathEvalExpression (BAD_CAST path, context);
    g_assert_nonnull (object);
    text = xmlXPathCastToString (object);
    result = g_strdup ((const char *) text);
    xmlFree (text);
    xmlXPathFreeObject (object);
    xmlXPathFreeContext (context);
    xmlFreeDoc (document);
    return result;
}

static void
assert_path (const char *xml, const char *path, const char *expected)
{
    g_autofree char *value = evaluate (xml, path);

    g_assert_cmpstr (value, ==, expected);
}

static void
test_capabilities (Fixture *fixture, gconstpointer data)
{
    g_autofree char *xml = corral_driver_host_capabilities (fixture->host);
    const char *arch = corral_driver_host_arch (fixture->host);

    assert_path (xml, "string(/capabilities/host/uuid)", "11112222-3333-4444-5555-666677778888");
    assert_path (xml, "string(/capabilities/host/cpu/arch)", arch);
    assert_path (xml, "string(/capabilities/host/topology/cells/@num)", "2");
    assert_path (xml, "count(//cells/cell)", "2");
    assert_path (xml, "string(//cell[@id='1']/cpus/@num)", "8");
    assert_path (xml, "count(//cell/cpus/cpu)", "16");
    assert_path (xml, "string(//cpu[@id='9']/@siblings)", "8-9");
    assert_path (xml, "string(//cpu[@id='9']/@socket_id)", "1");
    assert_path (xml, "string(/capabilities/guest/arch/@name)", arch);
    assert_path (xml, "string(/capabilities/guest/arch/domain/@type)", "corral");
}

static void
test_domain_capabilities (Fixture *fixture, gconstpointer data)
{
    g_autofree char *xml = corral_driver_host_domain_capabilities (fixture->host, 12, NULL);

    assert_path (xml, "string(/domainCapabilities/vcpu/@max)", "12");
    assert_path (xml, "string(/domainCapabilities/domain)", "corral");
}

static void
test_sysinfo (Fixture *fixture, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *xml = corral_driver_host_sysinfo (fixture->host, &error);

    g_assert_no_error (error);
    assert_path (xml, "string(/sysinfo/@type)", "smbios");
    assert_path (xml, "string(/sysinfo/bios/entry[@name='vendor'])", "BIOS <Corp>");
    assert_path (xml, "string(/sysinfo/system/entry[@name='product'])", "Box \xef\xbf\xbd 9");
    /* An empty file is no entry, and its block is not there. */
    assert_path (xml, "count(/sysinfo/baseBoard)", "0");
    assert_path (xml, "count(/sysinfo/processor)", "2");
    assert_path (xml, "string(/sysinfo/processor[1]/entry[@name='version'])", "Fast <1>");
    assert_path (xml, "string(/sysinfo/processor[1]/entry[@name='manufacturer'])", "Ours & Co");
}

/* What no file tells is an error, or is left out: never made up. */
static void
test_missing (void)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *root = g_dir_make_tmp ("corral-host-XXXXXX", &error);
    g_autoptr (CorralDriverHost) host = NULL;
    g_autoptr (CorralCpuset) set = NULL;
    g_autofree char *sysinfo = NULL;
    CorralDriverCpuTimes times;
    CorralDriverMemory memory;
    int fd = open (root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    host = corral_driver_host_new (fd, NULL);
    close (fd);
    g_assert_false (corral_driver_host_present (host, &set, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    g_assert_false (corral_driver_host_memory (host, -1, &memory, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    g_assert_false (corral_driver_host_cpu_times (host, -1, &times, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_clear_error (&error);
    sysinfo = corral_driver_host_sysinfo (host, &error);
    g_assert_null (sysinfo);
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
    g_rmdir (root);
}

#define ADD(name, topology, function)                                                              \
    g_test_add ("/driver/host/" name, Fixture, topology, set_up, function, tear_down)

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    ADD ("node-info", EVEN, test_node_info);
    ADD ("node-info/uneven", "package:1 node:3 core:2 pu:1", test_uneven);
    ADD ("cpus", EVEN, test_cpus);
    ADD ("cpu-times", EVEN, test_cpu_times);
    ADD ("memory", EVEN, test_memory);
    ADD ("capabilities", EVEN, test_capabilities);
    ADD ("domain-capabilities", EVEN, test_domain_capabilities);
    ADD ("sysinfo", EVEN, test_sysinfo);
    g_test_add_func ("/driver/host/missing", test_missing);
    return g_test_run ();
}
