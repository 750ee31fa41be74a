/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-cpus.h"

#include "common/corral-cpuset.h"
#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

gboolean
corral_cli_cpus_count (CorralCli *cli, int *ret_count, GError **error)
{
    virNodeInfo info;
    int count;

    if (!corral_cli_connect (cli, error))
        return FALSE;
    count = virNodeGetCPUMap (cli->conn, NULL, NULL, 0);
    if (count < 0 && virNodeGetInfo (cli->conn, &info) == 0)
        count = (int) MIN (VIR_NODEINFO_MAXCPUS (info), (guint) CORRAL_CPUSET_MAX + 1);
    if (count < 0) {
        corral_client_set_error (error, "cannot count the host's pCPUs");
        return FALSE;
    }
    *ret_count = CLAMP (count, 1, CORRAL_CPUSET_MAX + 1);
    return TRUE;
}

gboolean
corral_cli_cpus_parse (const char *list, int count, guint8 **ret_map, GError **error)
{
    g_autoptr (CorralCpuset) set = NULL;
    g_autofree guint8 *map = g_malloc0 (VIR_CPU_MAPLEN (count));

    if (!corral_cpuset_parse (list, &set, error))
        return FALSE;
    if (hwloc_bitmap_iszero (set)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot take \"%s\" as a list of pCPUs: it is empty", list);
        return FALSE;
    }
    if (hwloc_bitmap_last (set) >= count) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                     "cannot use pCPU %d of \"%s\": the host's last is %d", hwloc_bitmap_last (set),
                     list, count - 1);
        return FALSE;
    }
    for (int cpu = hwloc_bitmap_first (set); cpu >= 0; cpu = hwloc_bitmap_next (set, cpu))
        VIR_USE_CPU (map, cpu);
    *ret_map = g_steal_pointer (&map);
    return TRUE;
}

char *
corral_cli_cpus_format (const guint8 *map, int length)
{
    g_autoptr (CorralCpuset) set = hwloc_bitmap_alloc ();

    for (int cpu = 0; cpu < length * 8; cpu++) {
        if (VIR_CPU_USED (map, cpu))
            hwloc_bitmap_set (set, (unsigned) cpu);
    }
    return corral_cpuset_format (set);
}
