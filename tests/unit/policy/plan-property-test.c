/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What holds of every plan, whatever happened before: random machines, random containers, random
 * sequences of start, stop, hotplug, CPU on and offline, and redefinition. A sequence that breaks
 * something is cut down to the shortest that still does, and told.
 *
 *   plan-property-test [--sequences N] [--first SEED]
 */
#include "tests/unit/policy/plan-property.h"

#include <stdlib.h>
#include <string.h>

#define N_EVENTS 24

static int sequences = 600;
static gint64 seed = 20261125;

/* --- what happens --- */

static const char *const kinds[N_KINDS] = { "start", "stop", "hotplug", "cpu", "redefine" };

/* Each stands for itself, so that any of them can be left out. */
typedef struct {
    EventKind kind;
    guint vm, container, number, wish;
} Event;

typedef struct {
    const char *machine;
    guint housekeeping; /* of the lowest pCPUs */
    gboolean hybrid;    /* every other core is of a faster kind */
    Event events[N_EVENTS];
    guint n_events;
} Story;

static const char *const machines[] = {
    "package:1 core:4 pu:1",
    "package:2 [numa] l3:1 core:3 pu:2",
    "package:2 [numa] l3:2 core:2 pu:2",
    "package:1 [numa] l3:2 core:4 pu:2",
    "package:4 [numa] core:2 pu:2",
    "package:2 [numa] l3:1 core:2 pu:4",
};

static Story
story_new (GRand *rand)
{
    Story story = { .n_events = N_EVENTS };

    story.machine = machines[g_rand_int_range (rand, 0, G_N_ELEMENTS (machines))];
    story.housekeeping = (guint) g_rand_int_range (rand, 0, 3);
    story.hybrid = g_rand_int_range (rand, 0, 4) == 0;
    for (guint i = 0; i < N_EVENTS; i++)
        story.events[i] =
            (Event){ g_rand_boolean (rand) ? START
                                           : (EventKind) g_rand_int_range (rand, 0, N_KINDS),
                     (guint) g_rand_int_range (rand, 0, N_VMS),
                     (guint) g_rand_int_range (rand, 0, N_CONTAINERS),
                     (guint) g_rand_int_range (rand, 0, 1000), g_rand_int (rand) };
    return story;
}

/* --- the world it happens in --- */

/* A wish from 32 random bits. */
static void
redefine (World *world, guint c, guint bits)
{
    CorralPlacement wish = CORRAL_PLACEMENT_INIT;
    static const guint overcommits[] = { 1000, 1500, 2000, 4000 };

    wish.mode = (CorralPlacementMode) ((bits & 3) == 0 ? CORRAL_MODE_SHARED : (bits & 3));
    wish.smt = (CorralPlacementSmt) (bits >> 2 & 3);
    wish.numa = (CorralPlacementNuma) ((bits >> 4 & 3) % 3);
    wish.overcommit = wish.mode == CORRAL_MODE_SHARED ? overcommits[bits >> 6 & 3] : 1000;
    wish.reserve_vcpus = (bits >> 8 & 7) == 0 ? bits >> 11 & 3 : 0;
    wish.limit_vcpus = (bits >> 13 & 7) == 0 ? 2 + (bits >> 16 & 7) : 0;
    if (wish.mode == CORRAL_MODE_SHARED && wish.smt != CORRAL_SMT_AVOID)
        wish.smt = CORRAL_SMT_PREFER;
    g_clear_pointer (&world->allowed[c], hwloc_bitmap_free);
    if ((bits >> 20 & 3) == 0) {
        world->allowed[c] = hwloc_bitmap_alloc ();
        for (guint i = 0; i < world->topology->n_cpus; i++)
            if ((bits >> (i % 11 + 21) & 1) == 0)
                hwloc_bitmap_set (world->allowed[c], i);
    }
    world->containers[c].wish = wish;
    world->containers[c].allowed = world->allowed[c];
}

static void
forget_vm (World *world, guint vm)
{
    for (guint i = 0; i < world->n_places[vm]; i++)
        hwloc_bitmap_free (world->places[vm][i]);
    g_clear_pointer (&world->places[vm], g_free);
    world->n_places[vm] = 0;
    world->there[vm] = world->stray[vm] = FALSE;
}

static World *
world_new (const Story *story)
{
    World *world = g_new0 (World, 1);

    world->topology = corral_topology_from_synthetic (story->machine, NULL);
    g_assert_nonnull (world->topology);
    if (story->hybrid) {
        world->topology->n_kinds = 2;
        for (guint i = 0; i < world->topology->n_cpus; i++)
            world->topology->cpus[i].kind = (int) world->topology->cpus[i].core % 2;
    }
    world->housekeeping = hwloc_bitmap_alloc ();
    for (guint i = 0; i < story->housekeeping; i++)
        hwloc_bitmap_set (world->housekeeping, i);
    for (guint c = 0; c < N_CONTAINERS; c++) {
        world->containers[c].path = plan_property_paths[c];
        world->containers[c].wish = (CorralPlacement) CORRAL_PLACEMENT_INIT;
        world->containers[c].wish.mode = c % 2 == 0 ? CORRAL_MODE_DEDICATED : CORRAL_MODE_SHARED;
    }
    for (guint v = 0; v < N_VMS; v++)
        g_snprintf (world->names[v], sizeof world->names[v], "vm%u", v);
    return world;
}

static void
world_free (World *world)
{
    for (guint v = 0; v < N_VMS; v++)
        forget_vm (world, v);
    for (guint c = 0; c < N_CONTAINERS; c++) {
        hwloc_bitmap_free (world->allowed[c]);
        hwloc_bitmap_free (world->cpus[c]);
    }
    corral_topology_free (world->topology);
    hwloc_bitmap_free (world->housekeeping);
    g_free (world);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (World, world_free)

static void
toggle_cpu (World *world, guint number)
{
    g_autoptr (CorralCpuset) online = hwloc_bitmap_dup (world->topology->online);
    CorralTopology *now;

    number %= world->topology->n_cpus;
    if (hwloc_bitmap_isset (online, number))
        hwloc_bitmap_clr (online, number);
    else
        hwloc_bitmap_set (online, number);
    now = corral_topology_with_online (world->topology, online);
    corral_topology_free (world->topology);
    world->topology = now;
}

static void
happen (World *world, const Event *event)
{
    CorralPlanVm *vm = &world->vms[event->vm];

    world->started = -1;
    world->last = event->kind;
    switch (event->kind) {
    case START:
        if (world->there[event->vm])
            break;
        world->there[event->vm] = TRUE;
        world->started = (int) event->vm;
        *vm = (CorralPlanVm){ .name = world->names[event->vm],
                              .path = plan_property_paths[event->container],
                              .n_vcpus = 1 + event->number % 6,
                              .wishes = event->wish & (CORRAL_WISH_NUMA | CORRAL_WISH_SMT) };
        vm->wish.numa = (CorralPlacementNuma) (event->wish >> 8 & 1);
        vm->wish.smt = (CorralPlacementSmt) (event->wish >> 9 & 3);
        break;
    case STOP:
        forget_vm (world, event->vm);
        break;
    case HOTPLUG:
        if (world->there[event->vm])
            vm->n_vcpus++;
        break;
    case CPU:
        toggle_cpu (world, event->number);
        break;
    case REDEFINE:
    case N_KINDS:
    default:
        redefine (world, event->container, event->wish);
        break;
    }
}

/* The planner's input; @sets holds arrays that it points to. */
static CorralPlanInput
input_of (World *world, CorralPlanVm *vms, const CorralCpuset *sets[N_VMS][64])
{
    CorralPlanInput input = { .topology = world->topology,
                              .housekeeping = world->housekeeping,
                              .containers = world->containers,
                              .n_containers = N_CONTAINERS,
                              .vms = vms };

    for (guint c = 0; c < N_CONTAINERS; c++)
        world->containers[c].cpus = world->cpus[c];
    /* Those that run first; one that starts comes last. */
    for (guint pass = 0; pass < 2; pass++)
        for (guint v = 0; v < N_VMS; v++) {
            if (!world->there[v] || (world->started == (int) v) != (pass == 1))
                continue;
            vms[input.n_vms] = world->vms[v];
            vms[input.n_vms].running = pass == 0;
            for (guint i = 0; i < world->vms[v].n_vcpus; i++)
                sets[v][i] = i < world->n_places[v] ? world->places[v][i] : NULL;
            vms[input.n_vms].vcpus = pass == 0 ? sets[v] : NULL;
            input.n_vms++;
        }
    return input;
}

static void
apply (World *world, const CorralPlan *plan)
{
    for (guint v = 0; v < N_VMS; v++) {
        const CorralPlannedVm *vm = corral_plan_find_vm (plan, world->names[v]);
        const gboolean new_one = world->started == (int) v;

        if (vm == NULL)
            continue;
        forget_vm (world, v);
        world->there[v] = !vm->refused || !new_one;
        if (vm->vcpus == NULL)
            continue;
        world->stray[v] = vm->refused;
        world->n_places[v] = vm->n_vcpus;
        world->places[v] = g_new (CorralCpuset *, vm->n_vcpus);
        for (guint i = 0; i < vm->n_vcpus; i++) {
            world->places[v][i] = hwloc_bitmap_dup (vm->vcpus[i]);
            world->alone[v][i] = !vm->floats && vm->vcpus[i] != vm->stray;
        }
    }
    world->refused = FALSE;
    for (guint c = 0; c < N_CONTAINERS; c++) {
        world->refused = world->refused || plan->containers[c].refused;
        hwloc_bitmap_free (world->cpus[c]);
        world->cpus[c] = hwloc_bitmap_dup (plan->containers[c].cpus);
    }
}

static void
show (const CorralPlan *plan)
{
    for (guint c = 0; c < plan->n_containers; c++) {
        g_autofree char *cpus = corral_cpuset_format (plan->containers[c].cpus);
        g_autofree char *own = corral_cpuset_format (plan->containers[c].own);

        g_test_message ("    %s%s: %s, own %s", plan->containers[c].path,
                        plan->containers[c].refused ? " refused" : "", cpus, own);
    }
    for (guint v = 0; v < plan->n_vms; v++) {
        g_autoptr (GString) text = g_string_new (NULL);

        for (guint i = 0; i < plan->vms[v].n_vcpus && plan->vms[v].vcpus != NULL; i++) {
            g_autofree char *list = corral_cpuset_format (plan->vms[v].vcpus[i]);

            g_string_append_printf (text, " %s", list);
        }
        g_test_message ("    %s%s in %s:%s", plan->vms[v].name,
                        plan->vms[v].refused ? " refused" : "", plan->vms[v].path, text->str);
    }
}

/* What was wrong first; %NULL: nothing. */
static const char *
tell (const Story *story, gboolean aloud)
{
    g_autoptr (World) world = world_new (story);

    for (guint i = 0; i < story->n_events; i++) {
        CorralPlanVm vms[N_VMS];
        const CorralCpuset *sets[N_VMS][64];
        g_autoptr (CorralPlan) plan = NULL;
        CorralPlanInput input;
        const char *fault;

        happen (world, &story->events[i]);
        input = input_of (world, vms, sets);
        plan = corral_plan_make (&input, NULL);
        g_assert_nonnull (plan);
        fault = plan_property_check (world, &input, plan);
        if (aloud) {
            g_test_message ("  %s vm%u container %s number %u wish 0x%x",
                            kinds[story->events[i].kind], story->events[i].vm,
                            plan_property_paths[story->events[i].container],
                            story->events[i].number, story->events[i].wish);
            show (plan);
        }
        if (fault != NULL)
            return fault;
        apply (world, plan);
    }
    return NULL;
}

/* Leaves out what is not needed for the same fault. */
static void
shrink (Story *story, const char *fault)
{
    for (guint i = 0; i < story->n_events;) {
        Story shorter = *story;

        memmove (&shorter.events[i], &shorter.events[i + 1],
                 (shorter.n_events - i - 1) * sizeof (Event));
        shorter.n_events--;
        if (g_strcmp0 (tell (&shorter, FALSE), fault) == 0) {
            *story = shorter;
            i = 0;
        } else {
            i++;
        }
    }
}

static void
test_sequences (void)
{
    for (int n = 0; n < sequences; n++) {
        g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (seed + n));
        Story story = story_new (rand);
        const char *fault = tell (&story, FALSE);

        if (fault == NULL)
            continue;
        shrink (&story, fault);
        g_test_message ("seed %" G_GINT64_FORMAT ": %s, housekeeping %u", seed + n, story.machine,
                        story.housekeeping);
        tell (&story, TRUE);
        g_test_message ("%s", fault);
        g_test_fail ();
        return;
    }
    g_test_message ("%d sequences of %d events", sequences, N_EVENTS);
}

int
main (int argc, char **argv)
{
    const GOptionEntry options[] = { { "sequences", 0, 0, G_OPTION_ARG_INT, &sequences,
                                       "How many sequences", "N" },
                                     { "first", 0, 0, G_OPTION_ARG_INT64, &seed,
                                       "The first one's seed; the next has one more", "SEED" },
                                     { 0 } };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);

    g_test_init (&argc, &argv, NULL);
    g_option_context_add_main_entries (context, options, NULL);
    if (!g_option_context_parse (context, &argc, &argv, NULL))
        return 2;
    g_test_add_func ("/plan/sequences", test_sequences);
    return g_test_run ();
}
