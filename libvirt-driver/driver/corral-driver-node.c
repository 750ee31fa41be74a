/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

static gboolean
node_get_info (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
               GError **error)
{
    CorralWireNodeInfoRet *wire = ret;
    CorralDriverNodeInfo info;

    if (!corral_driver_host_node_info (driver->host, &info, error))
        return FALSE;
    g_strlcpy (wire->model, info.model, sizeof wire->model);
    wire->memory = info.memory_kib;
    wire->cpus = (int) info.cpus;
    wire->mhz = (int) info.mhz;
    wire->nodes = (int) info.nodes;
    wire->sockets = (int) info.sockets;
    wire->cores = (int) info.cores;
    wire->threads = (int) info.threads;
    return TRUE;
}

static gboolean
node_get_cpu_map (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    const CorralWireNodeCpuMapArgs *wanted = args;
    CorralWireNodeCpuMapRet *map = ret;
    g_autoptr (CorralCpuset) present = NULL;
    g_autoptr (CorralCpuset) online = NULL;

    if (!corral_driver_check_flags (wanted->flags, 0, "virNodeGetCPUMap", error) ||
        !corral_driver_host_present (driver->host, &present, error) ||
        !corral_driver_host_online (driver->host, &online, error))
        return FALSE;
    map->ret = hwloc_bitmap_last (present) + 1;
    if (wanted->need_online)
        map->online = (guint) hwloc_bitmap_weight (online);
    if (wanted->need_map) {
        map->cpumap.cpumap_len = VIR_CPU_MAPLEN (map->ret);
        map->cpumap.cpumap_val = g_malloc0 (map->cpumap.cpumap_len);
        corral_driver_cpumap_fill (online, (guint8 *) map->cpumap.cpumap_val,
                                   map->cpumap.cpumap_len);
    }
    return TRUE;
}

/* --- statistics --- */

typedef struct {
    const char *field;
    guint64 value;
} NodeStat;

/* Fills what the caller has room for; room for none asks how many there are. */
static gboolean
fill_node_stats (CorralWireNodeStatsRet *ret, int room, const NodeStat *stats, int n_stats,
                 GError **error)
{
    if (room < 0 || room > CORRAL_WIRE_NODE_STATS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "nparams %d is not from 0 to %d", room,
                             CORRAL_WIRE_NODE_STATS_MAX);
        return FALSE;
    }
    ret->nparams = n_stats;
    if (room == 0)
        return TRUE;
    n_stats = MIN (n_stats, room);
    ret->params.params_len = (guint) n_stats;
    ret->params.params_val = g_new0 (CorralWireNodeStat, n_stats);
    for (int i = 0; i < n_stats; i++) {
        ret->params.params_val[i].field = g_strdup (stats[i].field);
        ret->params.params_val[i].value = stats[i].value;
    }
    return TRUE;
}

static gboolean
node_get_cpu_stats (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                    GError **error)
{
    const CorralWireNodeCpuStatsArgs *which = args;
    CorralDriverCpuTimes times;

    if (!corral_driver_check_flags (which->flags, 0, "virNodeGetCPUStats", error))
        return FALSE;
    if (which->cpu < VIR_NODE_CPU_STATS_ALL_CPUS) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "the host has no pCPU %d", which->cpu);
        return FALSE;
    }
    if (!corral_driver_host_cpu_times (driver->host, which->cpu, &times, error))
        return FALSE;

    const NodeStat stats[] = {
        { VIR_NODE_CPU_STATS_KERNEL, times.kernel_ns },
        { VIR_NODE_CPU_STATS_USER, times.user_ns },
        { VIR_NODE_CPU_STATS_IDLE, times.idle_ns },
        { VIR_NODE_CPU_STATS_IOWAIT, times.iowait_ns },
    };
    return fill_node_stats (ret, which->nparams, stats, G_N_ELEMENTS (stats), error);
}

static gboolean
node_get_memory_stats (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    const CorralWireNodeMemoryStatsArgs *which = args;
    CorralDriverMemory memory;

    if (!corral_driver_check_flags (which->flags, 0, "virNodeGetMemoryStats", error) ||
        !corral_driver_host_memory (driver->host, which->cell, &memory, error))
        return FALSE;

    const NodeStat stats[] = {
        { VIR_NODE_MEMORY_STATS_TOTAL, memory.total_kib },
        { VIR_NODE_MEMORY_STATS_FREE, memory.free_kib },
        { VIR_NODE_MEMORY_STATS_BUFFERS, memory.buffers_kib },
        { VIR_NODE_MEMORY_STATS_CACHED, memory.cached_kib },
    };
    return fill_node_stats (ret, which->nparams, stats, memory.have_cache ? 4 : 2, error);
}

/* --- free memory --- */

static gboolean
node_get_free_memory (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    CorralDriverMemory memory;

    if (!corral_driver_host_memory (driver->host, -1, &memory, error))
        return FALSE;
    ((CorralWireHyper *) ret)->value = memory.free_kib * 1024;
    return TRUE;
}

/* The numbers of the cells from @first on, at most @count of them. */
static gboolean
check_cells (CorralDriver *driver, int first, guint count, int *ret_last, GError **error)
{
    g_autoptr (CorralCpuset) cells = corral_driver_host_cells (driver->host);
    int last = hwloc_bitmap_last (cells);

    if (first < 0 || first > last) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "start cell %d out of range (0-%d)", first,
                             last);
        return FALSE;
    }
    if (count < 1 || count > CORRAL_WIRE_NODE_CELLS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "%u cells asked for, not 1 to %d", count,
                             CORRAL_WIRE_NODE_CELLS_MAX);
        return FALSE;
    }
    *ret_last = (int) MIN ((gint64) first + count - 1, last);
    return TRUE;
}

static gboolean
node_get_cells_free_memory (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    const CorralWireCellsFreeMemoryArgs *which = args;
    CorralWireCellsFreeMemoryRet *wire = ret;
    int last;

    if (!check_cells (driver, which->start_cell, (guint) MAX (which->max_cells, 0), &last, error))
        return FALSE;
    wire->cells.cells_val = g_new0 (u_quad_t, last - which->start_cell + 1);
    for (int cell = which->start_cell; cell <= last; cell++) {
        CorralDriverMemory memory;

        /* Numbers may have gaps. A cell that is not there has nothing free, as in libvirt. */
        if (corral_driver_host_memory (driver->host, cell, &memory, NULL))
            wire->cells.cells_val[wire->cells.cells_len] = memory.free_kib * 1024;
        wire->cells.cells_len++;
    }
    return TRUE;
}

static gboolean
node_get_free_pages (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireFreePagesArgs *which = args;
    CorralWireFreePagesRet *wire = ret;
    guint n_pages = which->pages.pages_len;
    guint64 room;
    int last;

    if (!corral_driver_check_flags (which->flags, 0, "virNodeGetFreePages", error) ||
        !check_cells (driver, which->start_cell, which->cell_count, &last, error))
        return FALSE;
    room = (guint64) n_pages * (guint64) (last - which->start_cell + 1);
    if (n_pages == 0 || room > CORRAL_WIRE_NODE_CELLS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "%u page sizes in %d cells are not 1 to %d numbers", n_pages,
                             last - which->start_cell + 1, CORRAL_WIRE_NODE_CELLS_MAX);
        return FALSE;
    }
    wire->counts.counts_val = g_new0 (u_quad_t, room);
    for (int cell = which->start_cell; cell <= last; cell++) {
        for (guint i = 0; i < n_pages; i++) {
            guint64 pages;

            if (!corral_driver_host_free_pages (driver->host, cell, which->pages.pages_val[i],
                                                &pages, error))
                return FALSE;
            wire->counts.counts_val[wire->counts.counts_len++] = pages;
        }
    }
    return TRUE;
}

/* Corral labels nothing: the empty model, which is how libvirt's drivers say so. */
static gboolean
node_get_security_model (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                         gpointer ret, GError **error)
{
    CorralWireSecurityModelRet *wire = ret;

    wire->model.model_len = wire->doi.doi_len = 1;
    wire->model.model_val = g_new0 (char, 1);
    wire->doi.doi_val = g_new0 (char, 1);
    return TRUE;
}

const CorralDriverEntry corral_driver_node_calls[] = {
    { CORRAL_PROC_NODE_GET_INFO, node_get_info },
    { CORRAL_PROC_NODE_GET_CPU_MAP, node_get_cpu_map },
    { CORRAL_PROC_NODE_GET_CPU_STATS, node_get_cpu_stats },
    { CORRAL_PROC_NODE_GET_MEMORY_STATS, node_get_memory_stats },
    { CORRAL_PROC_NODE_GET_FREE_MEMORY, node_get_free_memory },
    { CORRAL_PROC_NODE_GET_CELLS_FREE_MEMORY, node_get_cells_free_memory },
    { CORRAL_PROC_NODE_GET_FREE_PAGES, node_get_free_pages },
    { CORRAL_PROC_NODE_GET_SECURITY_MODEL, node_get_security_model },
    { 0 },
};
