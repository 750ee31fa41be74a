/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Facts about the host, read from /proc, /sys and hwloc, in the shapes that libvirt's calls want.
 * */
#pragma once

#include "common/corral-cpuset.h"

#include <hwloc.h>

typedef struct _CorralDriverHost CorralDriverHost;

/**
 * corral_driver_host_new:
 * @root_fd: the directory that stands for "/", or -1 for the real one; duplicated
 * @topology: (nullable) (transfer full): loaded; for tests. %NULL looks at this machine, again each
 *   time that its set of online pCPUs has changed
 */
CorralDriverHost *corral_driver_host_new (int root_fd, hwloc_topology_t topology);
void corral_driver_host_free (CorralDriverHost *host);

/* The pCPUs that are plugged in, and those in use. */
gboolean corral_driver_host_present (CorralDriverHost *host, CorralCpuset **ret_set, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_driver_host_online (CorralDriverHost *host, CorralCpuset **ret_set, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* As virNodeInfo means it: nodes * sockets * cores * threads is at least the number of pCPUs; where
 * a machine is too uneven for that it is shown as one socket of many cores, as libvirt does. */
typedef struct {
    char model[32];
    guint64 memory_kib;
    guint cpus, mhz, nodes, sockets, cores, threads;
} CorralDriverNodeInfo;
gboolean corral_driver_host_node_info (CorralDriverHost *host, CorralDriverNodeInfo *ret_info,
                                       GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    guint64 kernel_ns, user_ns, idle_ns, iowait_ns;
} CorralDriverCpuTimes;
/* @cpu: -1 for all of them together. %CORRAL_ERROR_INVALID when there is no such pCPU. */
gboolean corral_driver_host_cpu_times (CorralDriverHost *host, int cpu,
                                       CorralDriverCpuTimes *ret_times, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

typedef struct {
    guint64 total_kib, free_kib;
    gboolean have_cache; /* the next two; a cell has none */
    guint64 buffers_kib, cached_kib;
} CorralDriverMemory;
/* @cell: a NUMA node, or -1 for the host. %CORRAL_ERROR_INVALID when there is no such cell. */
gboolean corral_driver_host_memory (CorralDriverHost *host, int cell,
                                    CorralDriverMemory *ret_memory, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Free pages of @page_kib in NUMA node @cell. %CORRAL_ERROR_INVALID when it has none of that size.
 * */
gboolean corral_driver_host_free_pages (CorralDriverHost *host, int cell, guint page_kib,
                                        guint64 *ret_free, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Numbers of the NUMA nodes. Returns: (transfer full) */
CorralCpuset *corral_driver_host_cells (CorralDriverHost *host);

/* Resident memory of a process, in KiB; 0 when it is gone. */
guint64 corral_driver_host_resident_kib (CorralDriverHost *host, pid_t pid);

/* --- corral-driver-host-xml.c: documents, (transfer full) --- */

char *corral_driver_host_capabilities (CorralDriverHost *host);
/* @capacity: (nullable): an element of ours that goes in last, as it is */
char *corral_driver_host_domain_capabilities (CorralDriverHost *host, guint max_vcpus,
                                              const char *capacity);
/* %CORRAL_ERROR_UNSUPPORTED when the host tells nothing about itself. */
char *corral_driver_host_sysinfo (CorralDriverHost *host, GError **error);

/* --- shared by the two files --- */

hwloc_topology_t corral_driver_host_topology (CorralDriverHost *host);
/* (transfer full): the text of a file below the root, without white space around it; %NULL with
 * @error set when it cannot be read. At most 1 MiB of it. */
char *corral_driver_host_read (CorralDriverHost *host, const char *path, GError **error);
/* The machine name that uname() gives, such as x86_64. */
const char *corral_driver_host_arch (CorralDriverHost *host);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralDriverHost, corral_driver_host_free)
