/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy/plan-property.h"

#include <string.h>

const char *const plan_property_paths[N_CONTAINERS] = { "/a", "/a/x", "/b", "/c" };

/* By pCPU number: who has it. */
typedef struct {
    int vm, container; /* -1 */
} Holder;

static int
container_of (const CorralPlanInput *input, const char *path)
{
    for (guint c = 0; c < input->n_containers; c++)
        if (g_str_equal (input->containers[c].path, path))
            return (int) c;
    return -1;
}

static CorralPlacement
wish_of (const CorralPlanInput *input, guint vm)
{
    CorralPlacement wish = input->containers[container_of (input, input->vms[vm].path)].wish;

    if (input->vms[vm].wishes & CORRAL_WISH_NUMA)
        wish.numa = input->vms[vm].wish.numa;
    if (input->vms[vm].wishes & CORRAL_WISH_SMT)
        wish.smt = input->vms[vm].wish.smt;
    return wish;
}

static gboolean
is_within (const char *path, const char *upper)
{
    return g_str_has_prefix (path, upper) &&
           (path[strlen (upper)] == '\0' || path[strlen (upper)] == '/');
}

static gboolean
may_have (const CorralPlanInput *input, int container, guint cpu)
{
    const char *path = input->containers[container].path;

    for (guint c = 0; c < input->n_containers; c++) {
        if (is_within (path, input->containers[c].path) && input->containers[c].allowed != NULL &&
            !hwloc_bitmap_isset (input->containers[c].allowed, cpu))
            return FALSE;
    }
    return hwloc_bitmap_isset (input->topology->online, cpu) &&
           !hwloc_bitmap_isset (input->housekeeping, cpu);
}

/* Whether the place that the vCPU had could be nobody else's: cores that must be whole are looked
 * at elsewhere. */
static gboolean
may_keep (const CorralPlanInput *input, guint v, guint vcpu)
{
    const CorralCpuset *now = input->vms[v].vcpus[vcpu];
    const CorralPlacementSmt smt = wish_of (input, v).smt;

    if (now == NULL || hwloc_bitmap_weight (now) != 1 || smt == CORRAL_SMT_ISOLATE ||
        smt == CORRAL_SMT_REQUIRE)
        return FALSE;
    for (guint i = 0; i < vcpu; i++)
        if (input->vms[v].vcpus[i] != NULL && hwloc_bitmap_intersects (input->vms[v].vcpus[i], now))
            return FALSE;
    return may_have (input, container_of (input, input->vms[v].path),
                     (guint) hwloc_bitmap_first (now));
}

static gboolean
had_alone (const World *world, const CorralPlanVm *vm, guint vcpu)
{
    const guint v = (guint) atoi (vm->name + strlen ("vm"));

    return vcpu < world->n_places[v] && world->alone[v][vcpu];
}

/* What runs and does not fit has those of its places that are right, and is in nobody's way. */
static const char *
check_refused (const World *world, const CorralPlanInput *input, const CorralPlan *plan, guint v,
               Holder *holders)
{
    const CorralPlannedVm *vm = &plan->vms[v];
    gboolean reserved = FALSE;

    if (vm->planned)
        return "a refused VM is satisfied";
    if (vm->reasons->len == 0)
        return "a VM is refused for no reason";
    if (!input->vms[v].running)
        return vm->vcpus != NULL || vm->stray != NULL ? "a VM that does not run has a place" : NULL;
    if (vm->vcpus == NULL || vm->stray == NULL)
        return "a VM that runs is told nothing";
    for (guint c = 0; c < N_CONTAINERS; c++)
        reserved = reserved || input->containers[c].wish.reserve_vcpus > 0;
    for (guint i = 0; i < vm->n_vcpus; i++) {
        const int number = hwloc_bitmap_first (vm->vcpus[i]);

        if (vm->vcpus[i] == vm->stray) {
            if (wish_of (input, v).mode == CORRAL_MODE_DEDICATED &&
                had_alone (world, &input->vms[v], i) && !reserved && may_keep (input, v, i))
                return "a vCPU lost its place for another one's sake";
            continue;
        }
        if (number < 0 || hwloc_bitmap_weight (vm->vcpus[i]) != 1)
            return "a vCPU that has kept its place has not one pCPU";
        if (holders[number].vm >= 0 || holders[number].container >= 0)
            return "two have one pCPU, and one of them does not fit";
        if (!may_have (input, container_of (input, vm->path), (guint) number))
            return "a VM has kept a pCPU that it must not have";
        holders[number].vm = (int) v;
    }
    return NULL;
}

static const char *
check_vm (const World *world, const CorralPlanInput *input, const CorralPlan *plan, guint v,
          Holder *holders)
{
    const CorralPlannedVm *vm = &plan->vms[v];
    const CorralPlacement wish = wish_of (input, v);
    int node = -1;

    if (vm->refused)
        return check_refused (world, input, plan, v, holders);
    if (vm->stray != NULL)
        return "a VM that fits is a stray";
    if (wish.mode != CORRAL_MODE_DEDICATED)
        return NULL;
    for (guint i = 0; i < vm->n_vcpus; i++) {
        const int number = hwloc_bitmap_first (vm->vcpus[i]);
        const CorralPcpu *cpu;

        if (number < 0 || hwloc_bitmap_weight (vm->vcpus[i]) != 1)
            return "a dedicated vCPU has not one pCPU";
        if (holders[number].vm >= 0 || holders[number].container >= 0)
            return "two have one pCPU";
        if (!may_have (input, container_of (input, vm->path), (guint) number))
            return "a VM has a pCPU that it must not have";
        holders[number].vm = (int) v;
        cpu = &input->topology->cpus[corral_topology_find (input->topology, (guint) number)];
        if (wish.numa == CORRAL_NUMA_STRICT && node >= 0 && node != (int) cpu->node)
            return "a VM under strict has two nodes";
        node = (int) cpu->node;
    }
    return NULL;
}

static const char *
check_sets (const CorralPlanInput *input, const CorralPlan *plan, Holder *holders)
{
    for (guint c = 0; c < plan->n_containers; c++) {
        const CorralPlannedContainer *container = &plan->containers[c];
        const CorralPlacement *wish = &input->containers[c].wish;
        guint vcpus = 0, size;

        if (wish->mode != CORRAL_MODE_SHARED)
            continue;
        size = (guint) hwloc_bitmap_weight (container->own);
        for (int cpu = hwloc_bitmap_first (container->own); cpu >= 0;
             cpu = hwloc_bitmap_next (container->own, cpu)) {
            if (holders[cpu].vm >= 0 || holders[cpu].container >= 0)
                return "a set has another's pCPU";
            if (!may_have (input, (int) c, (guint) cpu))
                return "a set has a pCPU that it must not have";
            holders[cpu].container = (int) c;
        }
        for (guint v = 0; v < plan->n_vms; v++)
            if (!plan->vms[v].refused && g_str_equal (plan->vms[v].path, container->path))
                vcpus += plan->vms[v].n_vcpus;
        if ((guint64) vcpus * 1000 > (guint64) size * wish->overcommit)
            return "a shared container has more vCPUs than its overcommit allows";
    }
    if (!hwloc_bitmap_isincluded (plan->containers[1].cpus, plan->containers[0].cpus))
        return "a child has a pCPU that its parent has not";
    return NULL;
}

static const char *
check_cores (const CorralPlanInput *input, const CorralPlan *plan, const Holder *holders)
{
    const CorralTopology *topology = input->topology;

    for (guint a = 0; a < topology->n_cpus; a++) {
        const Holder *one = &holders[topology->cpus[a].number];
        CorralPlacementSmt smt;

        if (one->vm < 0)
            continue;
        smt = wish_of (input, (guint) one->vm).smt;
        for (guint b = 0; b < topology->n_cpus; b++) {
            const Holder *other = &holders[topology->cpus[b].number];

            if (a == b || topology->cpus[a].core != topology->cpus[b].core ||
                (other->vm < 0 && other->container < 0))
                continue;
            if (smt == CORRAL_SMT_ISOLATE)
                return "a core under isolate has two in use";
            if (smt == CORRAL_SMT_REQUIRE && other->vm != one->vm)
                return "a core under require is shared";
        }
    }
    return NULL;
}

/* Nobody's vCPU, whether it fits or not, may run where another VM's has a pCPU to itself, or has
 * one kept idle. */
static const char *
check_strays (const CorralPlanInput *input, const CorralPlan *plan, const Holder *holders)
{
    const CorralTopology *topology = input->topology;

    for (guint v = 0; v < plan->n_vms; v++) {
        const CorralPlannedVm *vm = &plan->vms[v];

        for (guint a = 0; a < topology->n_cpus && vm->stray != NULL; a++) {
            if (!hwloc_bitmap_isset (vm->stray, topology->cpus[a].number))
                continue;
            if (!topology->cpus[a].online)
                return "a VM that does not fit is to run on a pCPU that is offline";
            for (guint b = 0; b < topology->n_cpus; b++) {
                const int other = holders[topology->cpus[b].number].vm;

                if (other < 0 || other == (int) v)
                    continue;
                if (a == b)
                    return "a VM that does not fit may run on another one's pCPU";
                if (topology->cpus[a].core == topology->cpus[b].core &&
                    wish_of (input, (guint) other).smt == CORRAL_SMT_ISOLATE)
                    return "a VM that does not fit may run beside an isolated vCPU";
            }
        }
    }
    return NULL;
}

/* The innermost container that had the pCPU; -1: none */
static int
had_by (const World *world, guint cpu)
{
    int had = -1;

    for (guint c = 0; c < N_CONTAINERS; c++)
        if (hwloc_bitmap_isset (world->cpus[c], cpu) &&
            (had < 0 || strlen (plan_property_paths[c]) > strlen (plan_property_paths[had])))
            had = (int) c;
    return had;
}

/* vCPUs that could be on the core, if they may have those of its pCPUs that are in the set. */
static guint
places_on_core (const CorralTopology *topology, guint core, CorralPlacementSmt smt,
                const CorralCpuset *set)
{
    guint size = 0, has = 0;

    for (guint i = 0; i < topology->n_cpus; i++)
        if (topology->cpus[i].core == core && topology->cpus[i].online) {
            size++;
            has += hwloc_bitmap_isset (set, topology->cpus[i].number) != 0;
        }
    if (smt == CORRAL_SMT_ISOLATE)
        return size > 0 && has == size;
    return smt == CORRAL_SMT_REQUIRE && has < size ? 0 : has;
}

/* The same on all cores. */
static guint
places_in (const CorralPlanInput *input, guint container, const CorralCpuset *set)
{
    guint places = 0;

    for (guint core = 0; core < input->topology->n_cores; core++)
        places +=
            places_on_core (input->topology, core, input->containers[container].wish.smt, set);
    return places;
}

/* Whether the VM that starts would fit with nobody else touched, worked out anew: by node, the
 * places among what no VM and no set has, nor keeps idle. Reservations make it unknown. @kind: of
 * core; -1: any */
static gboolean
fits_as_it_is (const World *world, const CorralPlanInput *input, guint v, int kind)
{
    const CorralTopology *topology = input->topology;
    const CorralPlacement wish = wish_of (input, v);
    const int container = container_of (input, input->vms[v].path);
    g_autoptr (CorralCpuset) free = hwloc_bitmap_alloc ();
    g_autofree guint *node_of = g_new0 (guint, topology->n_cores); /* by core */
    guint per_node[8] = { 0 }, total = 0;

    if (wish.mode != CORRAL_MODE_DEDICATED)
        return FALSE;
    for (guint c = 0; c < N_CONTAINERS; c++)
        if (input->containers[c].wish.reserve_vcpus > 0 ||
            input->containers[c].wish.limit_vcpus > 0 || world->cpus[c] == NULL)
            return FALSE;
    for (guint i = 0; i < topology->n_cpus; i++) {
        const guint cpu = topology->cpus[i].number;

        if ((kind < 0 || topology->cpus[i].kind == kind) && had_by (world, cpu) < 0 &&
            may_have (input, container, cpu))
            hwloc_bitmap_set (free, cpu);
        node_of[topology->cpus[i].core] = topology->cpus[i].node;
    }
    for (guint core = 0; core < topology->n_cores; core++) {
        const guint places = places_on_core (topology, core, wish.smt, free);

        per_node[node_of[core]] += places;
        total += places;
    }
    if (wish.numa != CORRAL_NUMA_STRICT)
        return total >= input->vms[v].n_vcpus;
    for (guint node = 0; node < topology->n_nodes; node++)
        if (per_node[node] >= input->vms[v].n_vcpus)
            return TRUE;
    return FALSE;
}

/* What runs stays, also beyond a limit that came later; but nobody starts there. */
static const char *
check_limits (const CorralPlanInput *input, const CorralPlan *plan)
{
    for (guint c = 0; c < input->n_containers; c++) {
        const guint limit = input->containers[c].wish.limit_vcpus;
        gboolean starts = FALSE;
        guint vcpus = 0;

        for (guint v = 0; v < plan->n_vms; v++) {
            if (plan->vms[v].refused || !is_within (plan->vms[v].path, input->containers[c].path))
                continue;
            vcpus += plan->vms[v].n_vcpus;
            starts = starts || !input->vms[v].running;
        }
        if (limit > 0 && starts && vcpus > limit)
            return "a VM starts beyond a limit";
    }
    return NULL;
}

/* A VM that starts has one kind of core if one has room for all of it. */
static const char *
check_kinds (const World *world, const CorralPlanInput *input, const CorralPlan *plan)
{
    const guint v = plan->n_vms - 1;
    gboolean kinds[2] = { FALSE, FALSE };

    if (world->started < 0 || input->topology->n_kinds < 2 || plan->vms[v].refused ||
        wish_of (input, v).mode != CORRAL_MODE_DEDICATED)
        return NULL;
    for (guint i = 0; i < plan->vms[v].n_vcpus; i++) {
        const int number = hwloc_bitmap_first (plan->vms[v].vcpus[i]);

        kinds[input->topology->cpus[corral_topology_find (input->topology, (guint) number)].kind] =
            TRUE;
    }
    if (kinds[0] && kinds[1] &&
        (fits_as_it_is (world, input, v, 0) || fits_as_it_is (world, input, v, 1)))
        return "a VM has two kinds of core where one would do";
    if (kinds[0] && !kinds[1] && fits_as_it_is (world, input, v, 1))
        return "a VM has slow cores where fast ones are free";
    return NULL;
}

static gboolean
plans_are_equal (const CorralPlan *a, const CorralPlan *b)
{
    for (guint v = 0; v < a->n_vms; v++) {
        if (a->vms[v].refused != b->vms[v].refused)
            return FALSE;
        for (guint i = 0; i < a->vms[v].n_vcpus && a->vms[v].vcpus != NULL; i++)
            if (!hwloc_bitmap_isequal (a->vms[v].vcpus[i], b->vms[v].vcpus[i]))
                return FALSE;
    }
    for (guint c = 0; c < a->n_containers; c++)
        if (!hwloc_bitmap_isequal (a->containers[c].cpus, b->containers[c].cpus))
            return FALSE;
    return memcmp (a->cost, b->cost, sizeof a->cost) == 0;
}

static gboolean
is_a_place (const World *world, guint cpu)
{
    for (guint v = 0; v < N_VMS; v++)
        for (guint i = 0; i < world->n_places[v]; i++)
            if (world->alone[v][i] && hwloc_bitmap_isset (world->places[v][i], cpu))
                return TRUE;
    return FALSE;
}

/* A VM's end leaves more of a reservation to be held, which may not be had without a move. */
static gboolean
takes_a_move (const World *world, const CorralPlanInput *input, const CorralPlan *plan)
{
    for (guint c = 0; c < N_CONTAINERS; c++) {
        g_autoptr (CorralCpuset) could = hwloc_bitmap_alloc ();
        g_autoptr (CorralCpuset) holds = hwloc_bitmap_dup (plan->containers[c].own);

        if (input->containers[c].wish.mode != CORRAL_MODE_DEDICATED ||
            input->containers[c].wish.reserve_vcpus == 0)
            continue;
        for (guint i = 0; i < input->topology->n_cpus; i++) {
            const guint cpu = input->topology->cpus[i].number;
            const int had = had_by (world, cpu);

            if (may_have (input, (int) c, cpu) &&
                (had < 0 || (had == (int) c && !is_a_place (world, cpu))))
                hwloc_bitmap_set (could, cpu);
        }
        for (guint v = 0; v < plan->n_vms; v++)
            for (guint i = 0;
                 plan->vms[v].planned && !plan->vms[v].floats && i < plan->vms[v].n_vcpus; i++)
                hwloc_bitmap_andnot (holds, holds, plan->vms[v].vcpus[i]);
        if (places_in (input, c, could) < places_in (input, c, holds))
            return TRUE;
    }
    return FALSE;
}

/* All that was running is running yet, and was not refused before. */
static gboolean
was_settled (const World *world)
{
    for (guint v = 0; v < N_VMS; v++)
        if (world->there[v] && world->started != (int) v &&
            (world->stray[v] || world->n_places[v] != world->vms[v].n_vcpus))
            return FALSE;
    return !world->refused;
}

const char *
plan_property_check (const World *world, const CorralPlanInput *input, const CorralPlan *plan)
{
    Holder holders[64];
    const char *fault = NULL;
    g_autoptr (CorralPlan) again = corral_plan_make (input, NULL);

    memset (holders, -1, sizeof holders);
    for (guint v = 0; v < plan->n_vms && fault == NULL; v++)
        fault = check_vm (world, input, plan, v, holders);
    if (fault == NULL)
        fault = check_sets (input, plan, holders);
    if (fault == NULL)
        fault = check_cores (input, plan, holders);
    if (fault == NULL)
        fault = check_strays (input, plan, holders);
    if (fault == NULL)
        fault = check_limits (input, plan);
    if (fault == NULL && was_settled (world))
        fault = check_kinds (world, input, plan);
    if (fault == NULL && !plans_are_equal (plan, again))
        fault = "the same input gave two plans";
    if (fault == NULL && world->last == STOP && was_settled (world) && plan->n_moves > 0 &&
        !takes_a_move (world, input, plan))
        fault = "something moved because a VM stopped";
    if (fault == NULL && world->started >= 0 && was_settled (world) &&
        fits_as_it_is (world, input, plan->n_vms - 1, -1)) {
        if (plan->vms[plan->n_vms - 1].refused)
            fault = "a VM that fits is refused";
        else if (plan->n_moves > 0)
            fault = "something moved for a VM that fits as it is";
    }
    return fault;
}
