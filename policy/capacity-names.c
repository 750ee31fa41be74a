/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The words of capacities, and their end. */
#include "policy/capacity-private.h"

#include <string.h>

static const char *const use_names[] = { "free",      "offline", "housekeeping", "reserved",
                                         "dedicated", "idle",    "shared" };
static const char *const kind_names[] = { "host", "node", "container" };
static const char *const mode_names[] = { "none", "dedicated", "shared", "housekeeping" };

const char *
corral_capacity_use_name (CorralCapacityUse use)
{
    return use < G_N_ELEMENTS (use_names) ? use_names[use] : NULL;
}

const char *
corral_capacity_kind_name (CorralCapacityKind kind)
{
    return kind < G_N_ELEMENTS (kind_names) ? kind_names[kind] : NULL;
}

const char *
corral_capacity_mode_name (CorralPlacementMode mode)
{
    return mode < G_N_ELEMENTS (mode_names) ? mode_names[mode] : NULL;
}

gboolean
corral_capacity_lies_in (const char *inner, const char *outer)
{
    gsize length = strlen (outer);

    return strncmp (inner, outer, length) == 0 && inner[length] == '/';
}

void
corral_capacity_free (CorralCapacity *capacity)
{
    if (capacity == NULL)
        return;
    for (guint i = 0; capacity->rows != NULL && i < capacity->n_rows; i++) {
        g_free (capacity->rows[i].name);
        g_clear_pointer (&capacity->rows[i].cpus, hwloc_bitmap_free);
    }
    for (guint i = 0; capacity->pcpus != NULL && i < capacity->n_pcpus; i++) {
        g_free (capacity->pcpus[i].container);
        g_free (capacity->pcpus[i].vm);
    }
    g_free (capacity->rows);
    g_free (capacity->pcpus);
    g_free (capacity);
}
