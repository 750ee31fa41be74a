/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of pCPUs or NUMA nodes: hwloc's bitmap, in the kernel's list notation ("0-3,8"). */
#pragma once

#include <glib.h>
#include <hwloc.h>

/* The highest pCPU or node number that a list from outside may name. */
#define CORRAL_CPUSET_MAX 8191
/* No list of them is longer, in bytes. */
#define CORRAL_CPUSET_LIST_MAX (8 * (CORRAL_CPUSET_MAX + 1))

/* A set is worked on with hwloc_bitmap_*() directly; only what hwloc lacks is here. */
typedef struct hwloc_bitmap_s CorralCpuset;

/**
 * corral_cpuset_parse:
 * @list: the kernel's list format, as in cpuset.cpus: "" (the empty set), "0-3,8"
 * @ret_set: (out) (transfer full): the set
 *
 * Returns: %FALSE with %CORRAL_ERROR_INVALID when @list is no such list, or names a number above
 *   %CORRAL_CPUSET_MAX.
 */
gboolean corral_cpuset_parse (const char *list, CorralCpuset **ret_set, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_cpuset_format:
 * @set: (nullable): a finite set; %NULL reads as the empty one
 *
 * Returns: (transfer full): @set in the kernel's list format
 */
char *corral_cpuset_format (const CorralCpuset *set);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCpuset, hwloc_bitmap_free)
