/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-host.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/utsname.h>
#include <unistd.h>

#define READ_MAX (1024 * 1024)
#define BASE_PAGE_KIB ((guint) (sysconf (_SC_PAGESIZE) / 1024))

struct _CorralDriverHost {
    int root_fd;
    hwloc_topology_t topology;
    char *topology_online; /* (nullable): the set of online pCPUs that @topology was loaded with */
    gboolean fixed_topology;
    struct utsname names;
};

/* --- files --- */

char *
corral_driver_host_read (CorralDriverHost *host, const char *path, GError **error)
{
    g_autoptr (GString) text = g_string_new (NULL);
    char part[4096];
    gssize length = 0;
    int fd = openat (host->root_fd, path, O_RDONLY | O_CLOEXEC);

    if (fd >= 0) {
        while (text->len < READ_MAX && (length = read (fd, part, sizeof part)) > 0)
            g_string_append_len (text, part, length);
    }
    if (fd < 0 || length < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read \"/%s\": %s", path,
                     g_strerror (errno));
        if (fd >= 0)
            close (fd);
        return NULL;
    }
    close (fd);
    return g_strstrip (g_string_free (g_steal_pointer (&text), FALSE));
}

/* The number that follows @key in @text; FALSE when @text has no line that starts with it. */
static gboolean
find_number (const char *text, const char *key, guint64 *ret_value)
{
    for (const char *line = text; line != NULL; line = strchr (line, '\n')) {
        if (*line == '\n')
            line++;
        if (g_str_has_prefix (line, key)) {
            line += strlen (key);
            line += strspn (line, " \t:");
            if (!g_ascii_isdigit (*line))
                return FALSE;
            *ret_value = g_ascii_strtoull (line, NULL, 10);
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean
read_cpu_list (CorralDriverHost *host, const char *which, CorralCpuset **ret_set, GError **error)
{
    g_autofree char *path = g_strdup_printf ("sys/devices/system/cpu/%s", which);
    g_autofree char *text = corral_driver_host_read (host, path, error);

    return text != NULL && corral_cpuset_parse (text, ret_set, error);
}

/* --- the host's topology --- */

/* Disallowed pCPUs belong to the host too: what our own cgroup may use is not the question. */
static hwloc_topology_t
load_topology (void)
{
    hwloc_topology_t topology;

    if (hwloc_topology_init (&topology) < 0)
        g_error ("cannot allocate a topology");
    hwloc_topology_set_flags (topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    hwloc_topology_set_cache_types_filter (topology, HWLOC_TYPE_FILTER_KEEP_NONE);
    if (hwloc_topology_load (topology) < 0)
        g_error ("cannot load this machine's topology");
    return topology;
}

hwloc_topology_t
corral_driver_host_topology (CorralDriverHost *host)
{
    g_autofree char *online = NULL;

    if (host->fixed_topology)
        return host->topology;
    online = corral_driver_host_read (host, "sys/devices/system/cpu/online", NULL);
    if (host->topology == NULL || g_strcmp0 (online, host->topology_online) != 0) {
        if (host->topology != NULL)
            hwloc_topology_destroy (host->topology);
        host->topology = load_topology ();
        g_free (host->topology_online);
        host->topology_online = g_steal_pointer (&online);
    }
    return host->topology;
}

CorralDriverHost *
corral_driver_host_new (int root_fd, hwloc_topology_t topology)
{
    CorralDriverHost *host = g_new0 (CorralDriverHost, 1);

    host->root_fd = root_fd >= 0 ? fcntl (root_fd, F_DUPFD_CLOEXEC, 3)
                                 : open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    host->topology = topology;
    host->fixed_topology = topology != NULL;
    uname (&host->names);
    return host;
}

void
corral_driver_host_free (CorralDriverHost *host)
{
    if (host == NULL)
        return;
    if (host->root_fd >= 0)
        close (host->root_fd);
    if (host->topology != NULL)
        hwloc_topology_destroy (host->topology);
    g_free (host->topology_online);
    g_free (host);
}

const char *
corral_driver_host_arch (CorralDriverHost *host)
{
    return host->names.machine;
}

gboolean
corral_driver_host_present (CorralDriverHost *host, CorralCpuset **ret_set, GError **error)
{
    return read_cpu_list (host, "present", ret_set, error);
}

gboolean
corral_driver_host_online (CorralDriverHost *host, CorralCpuset **ret_set, GError **error)
{
    return read_cpu_list (host, "online", ret_set, error);
}

CorralCpuset *
corral_driver_host_cells (CorralDriverHost *host)
{
    hwloc_topology_t topology = corral_driver_host_topology (host);
    CorralCpuset *cells = hwloc_bitmap_alloc ();
    hwloc_obj_t node = NULL;

    while ((node = hwloc_get_next_obj_by_type (topology, HWLOC_OBJ_NUMANODE, node)) != NULL)
        hwloc_bitmap_set (cells, node->os_index);
    return cells;
}

/* The most objects of type @of that one object of type @within holds. */
static guint
most_within (hwloc_topology_t topology, hwloc_obj_type_t within, hwloc_obj_type_t of)
{
    hwloc_obj_t object = NULL;
    int most = 0;

    while ((object = hwloc_get_next_obj_by_type (topology, within, object)) != NULL)
        most = MAX (most, hwloc_get_nbobjs_inside_cpuset_by_type (topology, object->cpuset, of));
    return (guint) MAX (most, 1);
}

static guint
count_objects (hwloc_topology_t topology, hwloc_obj_type_t type)
{
    return (guint) MAX (hwloc_get_nbobjs_by_type (topology, type), 1);
}

gboolean
corral_driver_host_node_info (CorralDriverHost *host, CorralDriverNodeInfo *ret_info,
                              GError **error)
{
    hwloc_topology_t topology = corral_driver_host_topology (host);
    g_autofree char *cpuinfo = corral_driver_host_read (host, "proc/cpuinfo", NULL);
    CorralDriverNodeInfo info = { 0 };
    CorralDriverMemory memory;
    guint64 mhz = 0;
    guint packages;

    if (!corral_driver_host_memory (host, -1, &memory, error))
        return FALSE;
    g_strlcpy (info.model, corral_driver_host_arch (host), sizeof info.model);
    info.memory_kib = memory.total_kib;
    info.cpus = count_objects (topology, HWLOC_OBJ_PU);
    if (cpuinfo != NULL && find_number (cpuinfo, "cpu MHz", &mhz))
        info.mhz = (guint) mhz;

    info.nodes = count_objects (topology, HWLOC_OBJ_NUMANODE);
    packages = count_objects (topology, HWLOC_OBJ_PACKAGE);
    info.sockets = packages % info.nodes == 0 ? packages / info.nodes : 1;
    info.cores = most_within (topology, HWLOC_OBJ_PACKAGE, HWLOC_OBJ_CORE);
    info.threads = most_within (topology, HWLOC_OBJ_CORE, HWLOC_OBJ_PU);
    if (info.nodes * info.sockets * info.cores * info.threads != info.cpus) {
        info.nodes = info.sockets = info.threads = 1;
        info.cores = info.cpus;
    }
    *ret_info = info;
    return TRUE;
}

/* --- time --- */

/* Fields of a line of /proc/stat: user nice system idle iowait irq softirq. */
static gboolean
parse_cpu_times (const char *line, CorralDriverCpuTimes *ret_times)
{
    guint64 tick_ns = G_GUINT64_CONSTANT (1000000000) / (guint64) sysconf (_SC_CLK_TCK);
    guint64 ticks[7];
    const char *at = line + strcspn (line, " ");
    char *end;

    for (gsize i = 0; i < G_N_ELEMENTS (ticks); i++) {
        ticks[i] = g_ascii_strtoull (at, &end, 10);
        if (end == at)
            return FALSE;
        at = end;
    }
    ret_times->user_ns = (ticks[0] + ticks[1]) * tick_ns;
    ret_times->kernel_ns = (ticks[2] + ticks[5] + ticks[6]) * tick_ns;
    ret_times->idle_ns = ticks[3] * tick_ns;
    ret_times->iowait_ns = ticks[4] * tick_ns;
    return TRUE;
}

gboolean
corral_driver_host_cpu_times (CorralDriverHost *host, int cpu, CorralDriverCpuTimes *ret_times,
                              GError **error)
{
    g_autofree char *stat = corral_driver_host_read (host, "proc/stat", error);
    g_autofree char *key = cpu < 0 ? g_strdup ("cpu ") : g_strdup_printf ("cpu%d ", cpu);

    if (stat == NULL)
        return FALSE;
    for (const char *line = stat; line != NULL; line = strchr (line, '\n')) {
        if (*line == '\n')
            line++;
        if (g_str_has_prefix (line, key) && parse_cpu_times (line, ret_times))
            return TRUE;
    }
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot read the times of pCPU %d: \"/proc/stat\" has none of it", cpu);
    return FALSE;
}

/* --- memory --- */

static gboolean
host_memory (CorralDriverHost *host, CorralDriverMemory *ret_memory, GError **error)
{
    g_autofree char *text = corral_driver_host_read (host, "proc/meminfo", error);

    if (text == NULL)
        return FALSE;
    ret_memory->have_cache = TRUE;
    if (find_number (text, "MemTotal", &ret_memory->total_kib) &&
        find_number (text, "MemFree", &ret_memory->free_kib) &&
        find_number (text, "Buffers", &ret_memory->buffers_kib) &&
        find_number (text, "Cached", &ret_memory->cached_kib))
        return TRUE;
    g_set_error_literal (
        error, CORRAL_ERROR, CORRAL_ERROR_IO,
        "cannot read the host's memory: \"/proc/meminfo\" lacks MemTotal, MemFree, "
        "Buffers or Cached");
    return FALSE;
}

gboolean
corral_driver_host_memory (CorralDriverHost *host, int cell, CorralDriverMemory *ret_memory,
                           GError **error)
{
    g_autoptr (CorralCpuset) cells = NULL;
    g_autofree char *path = NULL, *text = NULL, *total = NULL, *free_key = NULL;

    *ret_memory = (CorralDriverMemory){ 0 };
    if (cell == -1)
        return host_memory (host, ret_memory, error);

    cells = corral_driver_host_cells (host);
    if (cell < 0 || !hwloc_bitmap_isset (cells, (unsigned) cell)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "the host has no NUMA cell %d",
                     cell);
        return FALSE;
    }
    path = g_strdup_printf ("sys/devices/system/node/node%d/meminfo", cell);
    text = corral_driver_host_read (host, path, NULL);
    /* A kernel without NUMA has no such file, and its one cell is the host. */
    if (text == NULL && hwloc_bitmap_weight (cells) == 1)
        return corral_driver_host_memory (host, -1, ret_memory, error);
    total = g_strdup_printf ("Node %d MemTotal", cell);
    free_key = g_strdup_printf ("Node %d MemFree", cell);
    if (text != NULL && find_number (text, total, &ret_memory->total_kib) &&
        find_number (text, free_key, &ret_memory->free_kib))
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                 "cannot read the memory of NUMA cell %d from \"/%s\"", cell, path);
    return FALSE;
}

gboolean
corral_driver_host_free_pages (CorralDriverHost *host, int cell, guint page_kib, guint64 *ret_free,
                               GError **error)
{
    CorralDriverMemory memory;
    g_autofree char *path = NULL, *text = NULL;

    if (!corral_driver_host_memory (host, cell, &memory, error))
        return FALSE;
    if (page_kib == BASE_PAGE_KIB) {
        *ret_free = memory.free_kib / page_kib;
        return TRUE;
    }
    path =
        g_strdup_printf ("sys/devices/system/node/node%d/hugepages/hugepages-%ukB/free_hugepages",
                         cell, page_kib);
    text = corral_driver_host_read (host, path, NULL);
    if (text == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "NUMA cell %d has no pages of %u KiB", cell, page_kib);
        return FALSE;
    }
    *ret_free = g_ascii_strtoull (text, NULL, 10);
    return TRUE;
}

guint64
corral_driver_host_resident_kib (CorralDriverHost *host, pid_t pid)
{
    g_autofree char *path = g_strdup_printf ("proc/%d/statm", (int) pid);
    g_autofree char *text = corral_driver_host_read (host, path, NULL);
    const char *resident = text != NULL ? strchr (text, ' ') : NULL;

    return resident != NULL ? g_ascii_strtoull (resident, NULL, 10) * BASE_PAGE_KIB : 0;
}
