/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

void
corral_driver_cpumap_fill (const CorralCpuset *set, guint8 *map, gsize size)
{
    int last = (int) MIN (size * 8, CORRAL_CPUSET_MAX + 1) - 1;

    for (int cpu = hwloc_bitmap_first (set); cpu >= 0 && cpu <= last;
         cpu = hwloc_bitmap_next (set, cpu))
        map[cpu / 8] |= (guint8) (1 << (cpu % 8));
}

CorralCpuset *
corral_driver_cpumap_read (const guint8 *map, gsize size)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    for (gsize cpu = 0; cpu < size * 8; cpu++) {
        if ((map[cpu / 8] & (1 << (cpu % 8))) != 0)
            hwloc_bitmap_set (set, (unsigned) cpu);
    }
    return set;
}
