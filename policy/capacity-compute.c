/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who has which pCPU, counted for the host, each node and each container. */
#include "policy/capacity-private.h"

#include <string.h>

/* Without a dedicated VM to go by. */
#define USUAL_VCPUS 4

typedef struct {
    const CorralPlanInput *input;
    const CorralPlan *plan;
    const CorralTopology *topology;
    CorralCapacity *capacity;
    GHashTable *containers;    /* path -> index + 1 */
    CorralCpuset **regions;    /* of each container: where it may have pCPUs */
    CorralCpuset *free, *kept; /* pCPUs of these two uses */
    guint *ratios;             /* of each pCPU: vCPUs that float over it, in thousandths */
} Compute;

static void
compute_clear (Compute *compute)
{
    for (guint i = 0; compute->regions != NULL && i < compute->input->n_containers; i++)
        g_clear_pointer (&compute->regions[i], hwloc_bitmap_free);
    g_clear_pointer (&compute->regions, g_free);
    g_clear_pointer (&compute->containers, g_hash_table_unref);
    g_clear_pointer (&compute->free, hwloc_bitmap_free);
    g_clear_pointer (&compute->kept, hwloc_bitmap_free);
    g_clear_pointer (&compute->ratios, g_free);
    g_clear_pointer (&compute->capacity, corral_capacity_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Compute, compute_clear)

static int
find_container (const Compute *compute, const char *path)
{
    return GPOINTER_TO_INT (g_hash_table_lookup (compute->containers, path)) - 1;
}

/* The longest path before @path that is a container's; -1: none. */
static int
parent_of (const Compute *compute, const char *path)
{
    g_autofree char *rest = g_strdup (path);
    char *slash;

    while ((slash = strrchr (rest, '/')) != NULL) {
        int found;

        *slash = '\0';
        found = find_container (compute, rest);
        if (found >= 0)
            return found;
    }
    return -1;
}

/* --- where a container is, and where it may be --- */

/* The pCPUs that are its own or its VMs': one without a mode has those that its definition says. */
static const CorralCpuset *
owned_cpus (const Compute *compute, guint index)
{
    if (compute->plan->containers[index].refused)
        return NULL;
    return compute->input->containers[index].wish.mode == CORRAL_MODE_NONE
               ? compute->input->containers[index].allowed
               : compute->plan->containers[index].cpus;
}

/* Parents have shorter paths, but come in any order. */
static const CorralCpuset *
region_of (Compute *compute, guint index)
{
    const CorralPlanContainer *container = &compute->input->containers[index];
    int parent;

    if (compute->regions[index] != NULL)
        return compute->regions[index];
    parent = parent_of (compute, container->path);
    compute->regions[index] = hwloc_bitmap_dup (parent >= 0 ? region_of (compute, (guint) parent)
                                                            : compute->topology->online);
    if (container->allowed != NULL)
        hwloc_bitmap_and (compute->regions[index], compute->regions[index], container->allowed);
    return compute->regions[index];
}

/* --- pCPUs --- */

static void
set_container (Compute *compute, CorralCapacityPcpu *pcpu, guint index)
{
    const CorralPlanContainer *container = &compute->input->containers[index];
    guint at = (guint) (pcpu - compute->capacity->pcpus);

    g_free (pcpu->container);
    pcpu->container = g_strdup (container->path);
    compute->ratios[at] = 1000;
    switch (container->wish.mode) {
    case CORRAL_MODE_DEDICATED:
        pcpu->use = CORRAL_USE_RESERVED;
        return;
    case CORRAL_MODE_HOUSEKEEPING:
        pcpu->use = CORRAL_USE_HOUSEKEEPING;
        return;
    case CORRAL_MODE_SHARED:
        compute->ratios[at] = container->wish.overcommit;
        break;
    case CORRAL_MODE_NONE:
        break;
    }
    pcpu->use = CORRAL_USE_SHARED;
}

/* The innermost of the containers that have it; of several side by side, the first. */
static void
find_owner (Compute *compute, CorralCapacityPcpu *pcpu)
{
    int found = -1;
    guint n_having = 0, n_around = 0;

    for (guint i = 0; i < compute->input->n_containers; i++) {
        const CorralCpuset *cpus = owned_cpus (compute, i);

        if (cpus == NULL || !hwloc_bitmap_isset (cpus, pcpu->place.number))
            continue;
        n_having++;
        if (found < 0 || corral_capacity_lies_in (compute->input->containers[i].path,
                                                  compute->input->containers[found].path))
            found = (int) i;
    }
    if (found < 0)
        return;
    for (guint i = 0; n_having > 1 && i < compute->input->n_containers; i++) {
        const CorralCpuset *cpus = owned_cpus (compute, i);

        n_around += cpus != NULL && hwloc_bitmap_isset (cpus, pcpu->place.number) &&
                    corral_capacity_lies_in (compute->input->containers[found].path,
                                             compute->input->containers[i].path);
    }
    set_container (compute, pcpu, (guint) found);
    pcpu->more_containers = n_having - n_around - 1;
}

static void
make_pcpus (Compute *compute)
{
    CorralCapacity *capacity = compute->capacity;
    const CorralTopology *topology = compute->topology;

    capacity->n_pcpus = topology->n_cpus;
    capacity->pcpus = g_new0 (CorralCapacityPcpu, topology->n_cpus);
    compute->ratios = g_new0 (guint, topology->n_cpus);
    for (guint i = 0; i < topology->n_cpus; i++) {
        CorralCapacityPcpu *pcpu = &capacity->pcpus[i];

        pcpu->place = topology->cpus[i];
        pcpu->place.node = topology->node_numbers[topology->cpus[i].node];
        find_owner (compute, pcpu);
        if (!pcpu->place.online)
            pcpu->use = CORRAL_USE_OFFLINE;
        else if (compute->input->housekeeping != NULL &&
                 hwloc_bitmap_isset (compute->input->housekeeping, pcpu->place.number))
            pcpu->use = CORRAL_USE_HOUSEKEEPING;
    }
}

/* --- dedicated vCPUs --- */

static gboolean
keeps_siblings (const Compute *compute, guint vm, guint container)
{
    const CorralPlanVm *wanted = &compute->input->vms[vm];
    CorralPlacementSmt smt = wanted->wishes & CORRAL_WISH_SMT
                                 ? wanted->wish.smt
                                 : compute->input->containers[container].wish.smt;

    return smt == CORRAL_SMT_ISOLATE || smt == CORRAL_SMT_REQUIRE;
}

static CorralCapacityPcpu *
pcpu_numbered (const Compute *compute, int number)
{
    int index = number >= 0 ? corral_topology_find (compute->topology, (guint) number) : -1;

    return index >= 0 ? &compute->capacity->pcpus[index] : NULL;
}

static void
give_pcpu (CorralCapacityPcpu *pcpu, CorralCapacityUse use, const CorralPlannedVm *vm, guint vcpu)
{
    pcpu->use = use;
    g_free (pcpu->vm);
    pcpu->vm = g_strdup (vm->name);
    pcpu->vcpu = vcpu;
    g_free (pcpu->container);
    pcpu->container = g_strdup (vm->path);
    pcpu->more_containers = 0;
}

/* Siblings that are not some vCPU's own stay idle for it. */
static void
keep_siblings_idle (Compute *compute, const CorralCapacityPcpu *taken, const CorralPlannedVm *vm)
{
    const CorralCpuset *core = compute->topology->cores[taken->place.core];
    int number;

    hwloc_bitmap_foreach_begin (number, core)
    {
        CorralCapacityPcpu *pcpu = pcpu_numbered (compute, number);

        if (pcpu != NULL && (pcpu->use == CORRAL_USE_FREE || pcpu->use == CORRAL_USE_RESERVED))
            give_pcpu (pcpu, CORRAL_USE_IDLE, vm, 0);
    }
    hwloc_bitmap_foreach_end ();
}

static void
give_dedicated (Compute *compute, gboolean idle)
{
    for (guint i = 0; i < compute->plan->n_vms; i++) {
        const CorralPlannedVm *vm = &compute->plan->vms[i];
        int container = find_container (compute, vm->path);

        if ((!vm->planned && vm->stray == NULL) || container < 0 ||
            compute->input->containers[container].wish.mode != CORRAL_MODE_DEDICATED ||
            (idle && !keeps_siblings (compute, i, (guint) container)))
            continue;
        for (guint vcpu = 0; vcpu < vm->n_vcpus; vcpu++) {
            CorralCapacityPcpu *pcpu =
                vm->vcpus[vcpu] != vm->stray
                    ? pcpu_numbered (compute, hwloc_bitmap_first (vm->vcpus[vcpu]))
                    : NULL;

            if (pcpu != NULL && idle)
                keep_siblings_idle (compute, pcpu, vm);
            else if (pcpu != NULL)
                give_pcpu (pcpu, CORRAL_USE_DEDICATED, vm, vcpu);
        }
    }
}

static void
collect_uses (Compute *compute)
{
    compute->free = hwloc_bitmap_alloc ();
    compute->kept = hwloc_bitmap_alloc ();
    for (guint i = 0; i < compute->capacity->n_pcpus; i++) {
        const CorralCapacityPcpu *pcpu = &compute->capacity->pcpus[i];

        if (pcpu->use == CORRAL_USE_FREE)
            hwloc_bitmap_set (compute->free, pcpu->place.number);
        else if (pcpu->use == CORRAL_USE_RESERVED)
            hwloc_bitmap_set (compute->kept, pcpu->place.number);
    }
}

/* --- rows --- */

static void
count_row (Compute *compute, CorralCapacityRow *row)
{
    guint64 ratios = 0;

    for (guint i = 0; i < compute->capacity->n_pcpus; i++) {
        const CorralCapacityPcpu *pcpu = &compute->capacity->pcpus[i];

        if (!hwloc_bitmap_isset (row->cpus, pcpu->place.number))
            continue;
        row->total++;
        row->free += pcpu->use == CORRAL_USE_FREE;
        row->reserved += pcpu->use == CORRAL_USE_HOUSEKEEPING || pcpu->use == CORRAL_USE_RESERVED;
        row->dedicated += pcpu->use == CORRAL_USE_DEDICATED || pcpu->use == CORRAL_USE_IDLE;
        row->idle += pcpu->use == CORRAL_USE_IDLE;
        if (pcpu->use == CORRAL_USE_SHARED) {
            row->shared++;
            ratios += compute->ratios[i];
        }
    }
    row->allocation_ratio =
        row->shared > 0 ? (guint) ((ratios + row->shared / 2) / row->shared) : 1000;
}

/* @cpus: (transfer none) (nullable) */
static CorralCapacityRow *
add_row (Compute *compute, CorralCapacityKind kind, char *name, const CorralCpuset *cpus)
{
    CorralCapacityRow *row = &compute->capacity->rows[compute->capacity->n_rows++];

    row->kind = kind;
    row->name = name;
    row->cpus = hwloc_bitmap_alloc ();
    if (cpus != NULL)
        hwloc_bitmap_and (row->cpus, cpus, compute->topology->online);
    count_row (compute, row);
    return row;
}

static void
add_container_row (Compute *compute, guint index)
{
    const CorralPlanContainer *container = &compute->input->containers[index];
    const CorralCpuset *cpus = owned_cpus (compute, index);
    CorralCapacityRow *row;

    if (cpus == NULL)
        cpus = compute->plan->containers[index].cpus;
    row = add_row (compute, CORRAL_CAPACITY_CONTAINER, g_strdup (container->path), cpus);
    row->mode = container->wish.mode;
    if (container->wish.mode == CORRAL_MODE_SHARED)
        row->allocation_ratio =
            row->shared > 0 ? row->allocation_ratio : container->wish.overcommit;
}

static void
make_rows (Compute *compute)
{
    const CorralTopology *topology = compute->topology;

    compute->capacity->rows =
        g_new0 (CorralCapacityRow, 1 + topology->n_nodes + compute->input->n_containers);
    add_row (compute, CORRAL_CAPACITY_HOST, g_strdup ("host"), topology->online);
    for (guint i = 0; i < topology->n_nodes; i++)
        add_row (compute, CORRAL_CAPACITY_NODE,
                 g_strdup_printf ("node%u", topology->node_numbers[i]), topology->nodes[i]);
    for (guint i = 0; i < compute->input->n_containers; i++)
        add_container_row (compute, i);
}

/* --- vCPUs --- */

/* Where the VM's vCPUs float, of which the nodes have their share. (transfer full) */
static CorralCpuset *
floats_over (const Compute *compute, guint index, int container)
{
    const CorralPlannedVm *vm = &compute->plan->vms[index];
    CorralCpuset *cpus = hwloc_bitmap_alloc ();

    for (guint i = 0; vm->planned && i < vm->n_vcpus; i++)
        hwloc_bitmap_or (cpus, cpus, vm->vcpus[i]);
    if (hwloc_bitmap_iszero (cpus) && container >= 0)
        hwloc_bitmap_copy (cpus, compute->plan->containers[container].cpus);
    hwloc_bitmap_and (cpus, cpus, compute->topology->online);
    if (hwloc_bitmap_iszero (cpus))
        hwloc_bitmap_copy (cpus, compute->topology->online);
    return cpus;
}

/* Shares by pCPUs, rounded so that they add up: each node gets what is due up to and with it, less
 * what those before it have got. */
static void
share_vcpus (Compute *compute, guint n_vcpus, const CorralCpuset *cpus)
{
    guint64 weight = (guint64) hwloc_bitmap_weight (cpus);
    guint64 passed = 0, given = 0;

    for (guint i = 0; i < compute->topology->n_nodes && weight > 0; i++) {
        g_autoptr (CorralCpuset) here = hwloc_bitmap_alloc ();
        guint64 due;

        hwloc_bitmap_and (here, cpus, compute->topology->nodes[i]);
        passed += (guint64) hwloc_bitmap_weight (here);
        due = (passed * n_vcpus + weight / 2) / weight;
        compute->capacity->rows[1 + i].vcpus += (guint) (due - given);
        given = due;
    }
}

/* One pCPU each, so nothing is shared out. */
static void
count_dedicated_by_node (Compute *compute, const CorralPlannedVm *vm)
{
    for (guint i = 0; i < vm->n_vcpus; i++) {
        int number = hwloc_bitmap_first (vm->vcpus[i]);
        int index = number >= 0 ? corral_topology_find (compute->topology, (guint) number) : -1;
        guint node = index >= 0 ? compute->topology->cpus[index].node : 0;

        compute->capacity->rows[1 + node].vcpus++;
        compute->capacity->rows[1 + node].dedicated_vcpus++;
    }
}

static void
count_vm (Compute *compute, guint index)
{
    const CorralPlannedVm *vm = &compute->plan->vms[index];
    int container = find_container (compute, vm->path);
    gboolean dedicated = vm->planned && container >= 0 &&
                         compute->input->containers[container].wish.mode == CORRAL_MODE_DEDICATED;
    CorralCapacityRow *rows = compute->capacity->rows;
    guint first = 1 + compute->topology->n_nodes;

    if (dedicated) {
        count_dedicated_by_node (compute, vm);
    } else {
        g_autoptr (CorralCpuset) cpus = floats_over (compute, index, container);

        share_vcpus (compute, compute->input->vms[index].n_vcpus, cpus);
    }
    for (guint i = 0; i < compute->capacity->n_rows; i++) {
        if (i > 0 && i < first)
            continue;
        if (i == 0 || g_str_equal (vm->path, rows[i].name) ||
            corral_capacity_lies_in (vm->path, rows[i].name)) {
            rows[i].vcpus += compute->input->vms[index].n_vcpus;
            rows[i].dedicated_vcpus += dedicated ? compute->input->vms[index].n_vcpus : 0;
        }
    }
}

/* --- what still fits --- */

static guint
whole_cores (const Compute *compute, const CorralCpuset *cpus)
{
    guint found = 0;

    for (guint i = 0; i < compute->topology->n_cores; i++) {
        g_autoptr (CorralCpuset) core = hwloc_bitmap_alloc ();

        hwloc_bitmap_and (core, compute->topology->cores[i], compute->topology->online);
        found += !hwloc_bitmap_iszero (core) && hwloc_bitmap_isincluded (core, cpus);
    }
    return found;
}

/* A container's own pCPUs have room for more than its VMs, and it may get the others. */
static guint
guess_shared (const CorralCapacityRow *row, const CorralProbeCase *what, guint n_candidates)
{
    guint own = what->new_child ? 0 : row->shared, taken = what->new_child ? 0 : row->vcpus;
    guint64 room = (guint64) (own + n_candidates) * what->wish.overcommit / 1000;

    return (guint) (room - MIN (taken, room));
}

/* What was found for the place before, of which places like it may be near: others that could be
 * moved out of the way are as many there. */
typedef struct {
    guint dedicated, isolated, shared;
} Guess;

/* The three questions for one place. @candidates: pCPUs that may be got there.
 * @near: (inout): the least that is guessed */
static void
ask_largest (Compute *compute, CorralProbe *probe, CorralCapacityRow *row, CorralProbeCase *what,
             const CorralCpuset *candidates, Guess *near)
{
    const guint n_candidates = (guint) hwloc_bitmap_weight (candidates);
    const CorralPlacementMode mode = what->wish.mode;
    guint guess;

    if (mode == CORRAL_MODE_NONE || mode == CORRAL_MODE_DEDICATED) {
        what->wish.mode = CORRAL_MODE_DEDICATED;
        near->dedicated = corral_probe_largest (probe, what, MAX (n_candidates, near->dedicated));
        row->largest_dedicated = MAX (row->largest_dedicated, (int) near->dedicated);
        what->wish.smt = CORRAL_SMT_ISOLATE;
        what->wishes = CORRAL_WISH_SMT;
        guess = whole_cores (compute, candidates);
        near->isolated = corral_probe_largest (probe, what, MAX (guess, near->isolated));
        row->largest_isolated = MAX (row->largest_isolated, (int) near->isolated);
        what->wish.smt = CORRAL_SMT_PREFER;
        what->wishes = 0;
    }
    if (mode == CORRAL_MODE_NONE || mode == CORRAL_MODE_SHARED) {
        what->wish.mode = CORRAL_MODE_SHARED;
        guess = guess_shared (row, what, n_candidates);
        near->shared = corral_probe_largest (probe, what, MAX (guess, near->shared));
        row->largest_shared = MAX (row->largest_shared, (int) near->shared);
    }
}

/* In the container itself, or in a new child of one that has no mode. */
static void
ask_container (Compute *compute, CorralProbe *probe, CorralCapacityRow *row, guint index)
{
    const CorralPlanContainer *container = &compute->input->containers[index];
    g_autoptr (CorralCpuset) candidates = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) kept = hwloc_bitmap_alloc ();
    Guess near = { 0 };
    CorralProbeCase what = {
        .path = container->path,
        .new_child = container->wish.mode == CORRAL_MODE_NONE,
        .wish = CORRAL_PLACEMENT_INIT,
    };

    row->largest_dedicated = row->largest_isolated = row->largest_shared = -1;
    if (container->wish.mode == CORRAL_MODE_HOUSEKEEPING)
        return;
    what.wish.mode = container->wish.mode;
    what.wish.overcommit = container->wish.overcommit;
    if (what.new_child)
        what.wish.overcommit = 1000;
    hwloc_bitmap_and (candidates, compute->free, region_of (compute, index));
    hwloc_bitmap_and (kept, compute->kept, row->cpus);
    hwloc_bitmap_or (candidates, candidates, kept);
    ask_largest (compute, probe, row, &what, candidates, &near);
}

/* In a new container at the top, with the pCPUs of @row. */
static void
ask_new_container (Compute *compute, CorralProbe *probe, CorralCapacityRow *row, Guess *near)
{
    g_autoptr (CorralCpuset) candidates = hwloc_bitmap_alloc ();
    CorralProbeCase what = {
        .path = "",
        .new_child = TRUE,
        .allowed = row->cpus,
        .wish = CORRAL_PLACEMENT_INIT,
    };

    hwloc_bitmap_and (candidates, compute->free, row->cpus);
    ask_largest (compute, probe, row, &what, candidates, near);
}

static void
take_better (CorralCapacityRow *row, const CorralCapacityRow *inner)
{
    row->largest_dedicated = MAX (row->largest_dedicated, inner->largest_dedicated);
    row->largest_isolated = MAX (row->largest_isolated, inner->largest_isolated);
    row->largest_shared = MAX (row->largest_shared, inner->largest_shared);
}

/* --- what is stranded --- */

static gint
compare_counts (gconstpointer a, gconstpointer b)
{
    guint one = *(const guint *) a, other = *(const guint *) b;

    return one < other ? -1 : one > other;
}

static guint
usual_vcpus (const Compute *compute)
{
    g_autoptr (GArray) counts = g_array_new (FALSE, FALSE, sizeof (guint));
    guint median = USUAL_VCPUS, threads = 1;

    for (guint i = 0; i < compute->plan->n_vms; i++) {
        const CorralPlannedVm *vm = &compute->plan->vms[i];
        int container = find_container (compute, vm->path);

        if (vm->planned && !vm->refused && container >= 0 &&
            compute->input->containers[container].wish.mode == CORRAL_MODE_DEDICATED)
            g_array_append_val (counts, vm->n_vcpus);
    }
    g_array_sort (counts, compare_counts);
    if (counts->len > 0)
        median = g_array_index (counts, guint, (counts->len - 1) / 2);
    for (guint i = 0; i < compute->topology->n_cores; i++)
        threads = MAX (threads, (guint) hwloc_bitmap_weight (compute->topology->cores[i]));
    return (median + threads - 1) / threads * threads;
}

static void
ask_stranded (Compute *compute, CorralProbe *probe, CorralCapacityRow *row)
{
    guint shape = compute->capacity->shape_vcpus;
    guint ideal = row->free / shape;
    CorralProbeCase what = {
        .path = "",
        .new_child = TRUE,
        .allowed = row->cpus,
        .wish = { .mode = CORRAL_MODE_DEDICATED,
                  .smt = CORRAL_SMT_REQUIRE,
                  .numa = CORRAL_NUMA_STRICT,
                  .overcommit = 1000 },
        .no_moves = TRUE,
    };

    row->stranded = (ideal - corral_probe_count (probe, &what, shape, ideal)) * shape;
}

static gboolean
ask_planner (Compute *compute, GError **error)
{
    g_autoptr (CorralProbe) probe = corral_probe_new (compute->input, compute->plan, error);
    CorralCapacityRow *rows = compute->capacity->rows;
    guint first = 1 + compute->topology->n_nodes;
    Guess near_host = { 0 }, near_node = { 0 };

    if (probe == NULL)
        return FALSE;
    for (guint i = 0; i < compute->input->n_containers; i++) {
        ask_container (compute, probe, &rows[first + i], i);
    }
    for (guint i = 0; i < first; i++) {
        ask_new_container (compute, probe, &rows[i], i == 0 ? &near_host : &near_node);
        ask_stranded (compute, probe, &rows[i]);
        for (guint j = 0; j < compute->input->n_containers; j++) {
            if (hwloc_bitmap_isincluded (region_of (compute, j), rows[i].cpus))
                take_better (&rows[i], &rows[first + j]);
        }
    }
    return TRUE;
}

/* --- what is used --- */

static double
share_of (guint64 used_ns, const CorralCapacityUsage *usage)
{
    return (double) used_ns / (double) usage->window_ns;
}

static double
busy_in (const CorralCapacity *capacity, const CorralCpuset *cpus)
{
    double busy = 0;

    for (guint i = 0; i < capacity->n_pcpus; i++) {
        if (!hwloc_bitmap_isset (cpus, capacity->pcpus[i].place.number))
            continue;
        if (capacity->pcpus[i].busy < 0)
            return -1;
        busy += capacity->pcpus[i].busy;
    }
    return busy;
}

void
corral_capacity_measure (CorralCapacity *capacity, const CorralCapacityUsage *usage)
{
    const gboolean measured = usage != NULL && usage->window_ns > 0;
    guint container = 0;

    capacity->window_ns = measured ? usage->window_ns : 0;
    for (guint i = 0; i < capacity->n_pcpus; i++)
        capacity->pcpus[i].busy = measured && usage->busy_ns != NULL
                                      ? CLAMP (share_of (usage->busy_ns[i], usage), 0, 1)
                                      : -1;
    for (guint i = 0; i < capacity->n_rows; i++) {
        CorralCapacityRow *row = &capacity->rows[i];

        if (row->kind != CORRAL_CAPACITY_CONTAINER) {
            row->used = busy_in (capacity, row->cpus);
            continue;
        }
        row->used = measured && usage->container_ns != NULL
                        ? share_of (usage->container_ns[container], usage)
                        : -1;
        container++;
    }
}

CorralCapacity *
corral_capacity_compute (const CorralPlanInput *input, const CorralPlan *plan,
                         const CorralCapacityUsage *usage, GError **error)
{
    g_auto (Compute) compute = {
        .input = input,
        .plan = plan,
        .topology = input->topology,
        .capacity = g_new0 (CorralCapacity, 1),
        .containers = g_hash_table_new (g_str_hash, g_str_equal),
        .regions = g_new0 (CorralCpuset *, MAX (input->n_containers, 1)),
    };

    for (guint i = 0; i < input->n_containers; i++)
        g_hash_table_insert (compute.containers, (gpointer) input->containers[i].path,
                             GUINT_TO_POINTER (i + 1));
    make_pcpus (&compute);
    give_dedicated (&compute, FALSE);
    give_dedicated (&compute, TRUE);
    collect_uses (&compute);
    make_rows (&compute);
    for (guint i = 0; i < plan->n_vms; i++) {
        if (!plan->vms[i].refused)
            count_vm (&compute, i);
    }
    compute.capacity->shape_vcpus = usual_vcpus (&compute);
    if (!ask_planner (&compute, error))
        return NULL;
    corral_capacity_measure (compute.capacity, usage);
    return g_steal_pointer (&compute.capacity);
}
