/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-topology.h"

#include "common/corral-error.h"

#include <string.h>

#define DISTANCE_LOCAL 10
#define DISTANCE_REMOTE 20

/* --- groups: objects of one level, numbered in the order of their first pCPU --- */

/* Sorts out which group each pCPU is in; @sets has one set for each pCPU, equal for those of one
 * group. */
static CorralCpuset **
number_groups (CorralTopology *topology, CorralCpuset *const *sets, gsize field, guint *ret_n)
{
    GPtrArray *groups = g_ptr_array_new ();

    for (guint i = 0; i < topology->n_cpus; i++) {
        guint *place = G_STRUCT_MEMBER_P (&topology->cpus[i], field);
        guint group = 0;

        while (group < groups->len &&
               !hwloc_bitmap_isset (g_ptr_array_index (groups, group), topology->cpus[i].number))
            group++;
        if (group == groups->len) {
            CorralCpuset *set = hwloc_bitmap_dup (sets[i]);

            hwloc_bitmap_set (set, topology->cpus[i].number);
            g_ptr_array_add (groups, set);
        }
        *place = group;
    }
    *ret_n = groups->len;
    return (CorralCpuset **) g_ptr_array_free (groups, FALSE);
}

static hwloc_obj_t
last_cache_of (hwloc_obj_t pu)
{
    hwloc_obj_t cache = NULL;

    for (hwloc_obj_t at = pu->parent; at != NULL; at = at->parent)
        if (hwloc_obj_type_is_dcache (at->type))
            cache = at;
    return cache;
}

/* The smallest NUMA node around the pCPU: memory on the package and on the machine may overlap. */
static hwloc_obj_t
node_of (hwloc_topology_t hwloc, hwloc_obj_t pu)
{
    hwloc_obj_t best = NULL, node = NULL;

    while ((node = hwloc_get_next_obj_by_type (hwloc, HWLOC_OBJ_NUMANODE, node)) != NULL)
        if (hwloc_bitmap_isset (node->cpuset, pu->os_index) &&
            (best == NULL ||
             hwloc_bitmap_weight (node->cpuset) < hwloc_bitmap_weight (best->cpuset)))
            best = node;
    return best;
}

static int
kind_of (hwloc_topology_t hwloc, guint number)
{
    g_autoptr (CorralCpuset) one = hwloc_bitmap_alloc ();
    int kind, rank;

    hwloc_bitmap_only (one, number);
    kind = hwloc_cpukinds_get_by_cpuset (hwloc, one, 0);
    /* hwloc ranks them itself, where it can tell which is faster: -1 otherwise. */
    if (kind < 0 ||
        hwloc_cpukinds_get_info (hwloc, (unsigned) kind, NULL, &rank, NULL, NULL, 0) < 0)
        return 0;
    return MAX (rank, 0);
}

static void
read_distances (CorralTopology *topology, hwloc_topology_t hwloc)
{
    struct hwloc_distances_s *found = NULL;
    const guint n = topology->n_nodes;
    unsigned one = 1;

    topology->distances = g_new (guint, MAX (n * n, 1));
    for (guint i = 0; i < n * n; i++)
        topology->distances[i] = i / n == i % n ? DISTANCE_LOCAL : DISTANCE_REMOTE;
    if (hwloc_distances_get_by_type (hwloc, HWLOC_OBJ_NUMANODE, &one, &found,
                                     HWLOC_DISTANCES_KIND_MEANS_LATENCY, 0) < 0 ||
        one == 0 || found == NULL)
        return;
    for (unsigned a = 0; a < found->nbobjs; a++)
        for (unsigned b = 0; b < found->nbobjs; b++) {
            const hwloc_uint64_t value = found->values[a * found->nbobjs + b];
            int row = -1, column = -1;

            for (guint i = 0; i < n; i++) {
                if (topology->node_numbers[i] == found->objs[a]->os_index)
                    row = (int) i;
                if (topology->node_numbers[i] == found->objs[b]->os_index)
                    column = (int) i;
            }
            if (row >= 0 && column >= 0)
                topology->distances[(guint) row * n + (guint) column] =
                    (guint) MIN (value, G_MAXINT);
        }
    hwloc_distances_release (hwloc, found);
}

static int
compare_numbers (gconstpointer a, gconstpointer b)
{
    const guint x = (*(hwloc_obj_t const *) a)->os_index, y = (*(hwloc_obj_t const *) b)->os_index;

    return (x > y) - (x < y);
}

static gboolean
find_pus (hwloc_topology_t hwloc, GPtrArray *pus, GError **error)
{
    hwloc_obj_t pu = NULL;

    while ((pu = hwloc_get_next_obj_by_type (hwloc, HWLOC_OBJ_PU, pu)) != NULL) {
        if (pu->os_index > CORRAL_CPUSET_MAX) {
            g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                         "cannot use the topology: it has the pCPU %u, and the highest that can be "
                         "used is %d",
                         pu->os_index, CORRAL_CPUSET_MAX);
            return FALSE;
        }
        g_ptr_array_add (pus, pu);
    }
    g_ptr_array_sort (pus, compare_numbers);
    if (pus->len > 0)
        return TRUE;
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                         "cannot use the topology: it has no pCPU");
    return FALSE;
}

/* A pCPU's set by kind of group; itself where hwloc knows no such object around it. */
typedef struct {
    CorralCpuset **package, **node, **l3, **core;
} Sets;

static void
learn_sets (hwloc_topology_t hwloc, GPtrArray *pus, CorralTopology *topology, Sets *sets)
{
    for (guint i = 0; i < pus->len; i++) {
        hwloc_obj_t pu = g_ptr_array_index (pus, i);
        hwloc_obj_t package = hwloc_get_ancestor_obj_by_type (hwloc, HWLOC_OBJ_PACKAGE, pu);
        hwloc_obj_t core = hwloc_get_ancestor_obj_by_type (hwloc, HWLOC_OBJ_CORE, pu);
        hwloc_obj_t cache = last_cache_of (pu), node = node_of (hwloc, pu);
        hwloc_obj_t root = hwloc_get_root_obj (hwloc);

        topology->cpus[i] = (CorralPcpu){ .number = pu->os_index,
                                          .kind = kind_of (hwloc, pu->os_index),
                                          .online = TRUE };
        if (package == NULL)
            package = root;
        /* Without a cache that is known, what shares a package shares the way to memory. */
        sets->package[i] = package->cpuset;
        sets->node[i] = node != NULL ? node->cpuset : root->cpuset;
        sets->l3[i] = cache != NULL ? cache->cpuset : package->cpuset;
        sets->core[i] = core != NULL ? core->cpuset : pu->cpuset;
    }
}

CorralTopology *
corral_topology_from_hwloc (hwloc_topology_t hwloc, GError **error)
{
    g_autoptr (GPtrArray) pus = g_ptr_array_new ();
    CorralTopology *topology;
    g_autofree CorralCpuset **block = NULL;
    Sets sets;

    if (!find_pus (hwloc, pus, error))
        return NULL;
    topology = g_new0 (CorralTopology, 1);
    topology->n_cpus = pus->len;
    topology->cpus = g_new0 (CorralPcpu, pus->len);
    block = g_new0 (CorralCpuset *, 4 * pus->len);
    sets = (Sets){ block, block + pus->len, block + 2 * pus->len, block + 3 * pus->len };
    learn_sets (hwloc, pus, topology, &sets);
    topology->packages =
        number_groups (topology, sets.package, G_STRUCT_OFFSET (CorralPcpu, package),
                       &topology->n_packages);
    topology->nodes =
        number_groups (topology, sets.node, G_STRUCT_OFFSET (CorralPcpu, node), &topology->n_nodes);
    topology->l3s =
        number_groups (topology, sets.l3, G_STRUCT_OFFSET (CorralPcpu, l3), &topology->n_l3s);
    topology->cores =
        number_groups (topology, sets.core, G_STRUCT_OFFSET (CorralPcpu, core), &topology->n_cores);
    topology->node_numbers = g_new0 (guint, topology->n_nodes);
    topology->online = hwloc_bitmap_alloc ();
    topology->n_kinds = 1;
    for (guint i = topology->n_cpus; i-- > 0;) {
        CorralPcpu *cpu = &topology->cpus[i];
        hwloc_obj_t node = node_of (hwloc, g_ptr_array_index (pus, i));

        topology->node_numbers[cpu->node] = node != NULL ? node->os_index : 0;
        topology->n_kinds = MAX (topology->n_kinds, (guint) cpu->kind + 1);
        cpu->online = hwloc_bitmap_isset (hwloc_topology_get_allowed_cpuset (hwloc), cpu->number);
        if (cpu->online)
            hwloc_bitmap_set (topology->online, cpu->number);
        for (int number = hwloc_bitmap_first (topology->cores[cpu->core]);
             number >= 0 && (guint) number < cpu->number;
             number = hwloc_bitmap_next (topology->cores[cpu->core], number))
            cpu->thread++;
    }
    read_distances (topology, hwloc);
    return topology;
}

/* --- from text --- */

static CorralTopology *
load_and_convert (hwloc_topology_t hwloc, const char *what, GError **error)
{
    hwloc_topology_set_flags (hwloc, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
    if (hwloc_topology_load (hwloc) == 0)
        return corral_topology_from_hwloc (hwloc, error);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "cannot load the topology from %s",
                 what);
    return NULL;
}

CorralTopology *
corral_topology_from_xml (const char *xml, gsize length, GError **error)
{
    /* hwloc wants the terminating zero to be counted. */
    g_autofree char *text = g_strndup (xml, length);
    CorralTopology *topology = NULL;
    hwloc_topology_t hwloc;

    if (length >= G_MAXINT || hwloc_topology_init (&hwloc) < 0) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                             "cannot read the topology: its document is too long");
        return NULL;
    }
    if (hwloc_topology_set_xmlbuffer (hwloc, text, (int) strlen (text) + 1) < 0)
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                             "cannot read the topology: it is no XML of hwloc's");
    else
        topology = load_and_convert (hwloc, "hwloc's XML", error);
    hwloc_topology_destroy (hwloc);
    return topology;
}

CorralTopology *
corral_topology_from_synthetic (const char *description, GError **error)
{
    CorralTopology *topology = NULL;
    hwloc_topology_t hwloc;

    if (hwloc_topology_init (&hwloc) < 0)
        g_error ("out of memory");
    if (hwloc_topology_set_synthetic (hwloc, description) < 0)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot read \"%s\" as a synthetic topology of hwloc's", description);
    else
        topology = load_and_convert (hwloc, "its description", error);
    hwloc_topology_destroy (hwloc);
    return topology;
}

/* --- values --- */

int
corral_topology_find (const CorralTopology *topology, guint number)
{
    guint low = 0, high = topology->n_cpus;

    while (low < high) {
        const guint middle = (low + high) / 2;

        if (topology->cpus[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < topology->n_cpus && topology->cpus[low].number == number ? (int) low : -1;
}

static CorralCpuset **
copy_sets (CorralCpuset *const *sets, guint n)
{
    CorralCpuset **copy = g_new0 (CorralCpuset *, MAX (n, 1));

    for (guint i = 0; i < n; i++)
        copy[i] = hwloc_bitmap_dup (sets[i]);
    return copy;
}

CorralTopology *
corral_topology_copy (const CorralTopology *topology)
{
    CorralTopology *copy = g_memdup2 (topology, sizeof *topology);
    const gsize n = topology->n_nodes;

    copy->cpus = g_memdup2 (topology->cpus, topology->n_cpus * sizeof *topology->cpus);
    copy->packages = copy_sets (topology->packages, topology->n_packages);
    copy->l3s = copy_sets (topology->l3s, topology->n_l3s);
    copy->cores = copy_sets (topology->cores, topology->n_cores);
    copy->nodes = copy_sets (topology->nodes, topology->n_nodes);
    copy->node_numbers = g_memdup2 (topology->node_numbers, n * sizeof *topology->node_numbers);
    copy->distances = g_memdup2 (topology->distances, n * n * sizeof *topology->distances);
    copy->online = hwloc_bitmap_dup (topology->online);
    return copy;
}

CorralTopology *
corral_topology_with_online (const CorralTopology *topology, const CorralCpuset *online)
{
    CorralTopology *copy = corral_topology_copy (topology);

    hwloc_bitmap_zero (copy->online);
    for (guint i = 0; i < copy->n_cpus; i++) {
        copy->cpus[i].online = hwloc_bitmap_isset (online, copy->cpus[i].number);
        if (copy->cpus[i].online)
            hwloc_bitmap_set (copy->online, copy->cpus[i].number);
    }
    return copy;
}

static void
free_sets (CorralCpuset **sets, guint n)
{
    for (guint i = 0; i < n; i++)
        hwloc_bitmap_free (sets[i]);
    g_free (sets);
}

void
corral_topology_free (CorralTopology *topology)
{
    if (topology == NULL)
        return;
    free_sets (topology->packages, topology->n_packages);
    free_sets (topology->l3s, topology->n_l3s);
    free_sets (topology->cores, topology->n_cores);
    free_sets (topology->nodes, topology->n_nodes);
    hwloc_bitmap_free (topology->online);
    g_free (topology->cpus);
    g_free (topology->node_numbers);
    g_free (topology->distances);
    g_free (topology);
}
