/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a capacity says would fit, against whole plans that are made with it: the planner's public
 * call, with nothing remembered from one question to the next. On random machines with pCPUs
 * offline, containers in each other, VMs that run, are about to start, or were refused.
 *
 *   capacity-oracle-test [--worlds N] [--first SEED]
 */
#include "policy/corral-capacity.h"

#include <stdlib.h>
#include <string.h>

#define N_CONTAINERS 5
#define N_VMS 14
#define N_TRIED 40
#define VCPUS_MAX 6

static int worlds = 40;
static gint64 first_seed = 20261128;

typedef struct {
    GRand *rand;
    CorralTopology *topology;
    CorralCpuset *housekeeping;
    GPtrArray *sets;
    CorralPlanContainer containers[N_CONTAINERS + 1];
    CorralPlanVm vms[N_VMS + N_TRIED];
    char names[N_VMS + N_TRIED][12];
    const CorralCpuset *places[N_VMS][VCPUS_MAX];
    CorralPlanInput input;
} World;

static guint
pick (World *world, guint below)
{
    return (guint) g_rand_int_range (world->rand, 0, (gint32) below);
}

static const CorralCpuset *
keep (World *world, CorralCpuset *set)
{
    g_ptr_array_add (world->sets, set);
    return set;
}

static void
world_free (World *world)
{
    g_rand_free (world->rand);
    corral_topology_free (world->topology);
    hwloc_bitmap_free (world->housekeeping);
    g_ptr_array_unref (world->sets);
    g_free (world);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (World, world_free)

/* Some pCPUs offline, and at times cores of two kinds. */
static void
make_machine (World *world)
{
    static const char *const machines[] = {
        "package:1 [numa] l3:1 core:4 pu:2", "package:2 [numa] l3:2 core:2 pu:2",
        "package:2 [numa] l3:1 core:6 pu:1", "package:4 [numa] core:3 pu:2",
        "package:1 [numa] l3:2 core:4 pu:4",
    };
    g_autoptr (CorralTopology) whole =
        corral_topology_from_synthetic (machines[pick (world, G_N_ELEMENTS (machines))], NULL);
    g_autoptr (CorralCpuset) online = NULL;

    g_assert_nonnull (whole);
    online = hwloc_bitmap_dup (whole->online);
    for (guint n = pick (world, 4); n > 1; n--)
        hwloc_bitmap_clr (online, pick (world, whole->n_cpus));
    world->topology = corral_topology_with_online (whole, online);
    if (pick (world, 4) == 0) {
        world->topology->n_kinds = 2;
        for (guint i = 0; i < world->topology->n_cpus; i++)
            world->topology->cpus[i].kind = (int) (world->topology->cpus[i].core % 2);
    }
    world->housekeeping = hwloc_bitmap_alloc ();
    for (guint i = 0; i < pick (world, 3); i++)
        hwloc_bitmap_set (world->housekeeping, i);
}

static void
make_container (World *world, guint index, const char *path)
{
    CorralPlanContainer *container = &world->containers[index];
    static const CorralPlacementMode modes[] = {
        CORRAL_MODE_DEDICATED, CORRAL_MODE_DEDICATED, CORRAL_MODE_SHARED,
        CORRAL_MODE_SHARED,    CORRAL_MODE_NONE,      CORRAL_MODE_HOUSEKEEPING,
    };

    *container = (CorralPlanContainer){ .path = path, .wish = CORRAL_PLACEMENT_INIT };
    container->wish.mode = modes[pick (world, G_N_ELEMENTS (modes))];
    container->wish.smt = (CorralPlacementSmt) pick (world, 4);
    container->wish.numa = (CorralPlacementNuma) pick (world, 3);
    if (container->wish.mode == CORRAL_MODE_SHARED)
        container->wish.overcommit = 1000 + 500 * pick (world, 7);
    container->wish.reserve_vcpus = pick (world, 3) == 0 ? 1 + pick (world, 4) : 0;
    container->wish.limit_vcpus = pick (world, 4) == 0 ? 1 + pick (world, 9) : 0;
    if (pick (world, 5) == 0) {
        CorralCpuset *allowed = hwloc_bitmap_alloc ();

        for (guint i = 0; i < world->topology->n_cpus; i++)
            if (pick (world, 3) > 0)
                hwloc_bitmap_set (allowed, i);
        container->allowed = keep (world, allowed);
    }
}

static void
make_vm (World *world, guint index)
{
    g_snprintf (world->names[index], sizeof world->names[index], "vm%u", index);
    world->vms[index] = (CorralPlanVm){
        .name = world->names[index],
        .path = world->containers[pick (world, N_CONTAINERS)].path,
        .n_vcpus = 1 + pick (world, VCPUS_MAX),
        .wishes = pick (world, 4) == 0 ? CORRAL_WISH_SMT | CORRAL_WISH_NUMA : 0,
        .wish = { .smt = (CorralPlacementSmt) pick (world, 4),
                  .numa = (CorralPlacementNuma) pick (world, 3) },
    };
}

/* As if the plan had been applied, to most VMs. */
static void
settle (World *world)
{
    g_autoptr (CorralPlan) plan = corral_plan_make (&world->input, NULL);

    g_assert_nonnull (plan);
    for (guint c = 0; c < N_CONTAINERS; c++)
        if (!plan->containers[c].refused && world->containers[c].wish.mode != CORRAL_MODE_NONE)
            world->containers[c].cpus = keep (world, hwloc_bitmap_dup (plan->containers[c].cpus));
    for (guint v = 0; v < world->input.n_vms; v++) {
        const CorralPlannedVm *planned = &plan->vms[v];

        if (!planned->planned || planned->refused || pick (world, 8) == 0)
            continue;
        world->vms[v].running = TRUE;
        world->vms[v].vcpus = world->places[v];
        for (guint i = 0; i < planned->n_vcpus; i++)
            world->places[v][i] = keep (world, hwloc_bitmap_dup (planned->vcpus[i]));
    }
    for (guint v = 0; v < world->input.n_vms; v++)
        world->vms[v].running = world->vms[v].running || pick (world, 8) == 0;
}

static World *
world_new (guint32 seed)
{
    static const char *const paths[N_CONTAINERS] = { "/a", "/b", "/a/x", "/c", "/b/y" };
    World *world = g_new0 (World, 1);

    world->rand = g_rand_new_with_seed (seed);
    world->sets = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    make_machine (world);
    for (guint c = 0; c < N_CONTAINERS; c++)
        make_container (world, c, paths[c]);
    world->input = (CorralPlanInput){ .topology = world->topology,
                                      .housekeeping = world->housekeeping,
                                      .containers = world->containers,
                                      .n_containers = N_CONTAINERS,
                                      .vms = world->vms,
                                      .n_vms = 2 + pick (world, N_VMS - 2) };
    for (guint v = 0; v < world->input.n_vms; v++)
        make_vm (world, v);
    settle (world);
    return world;
}

/* --- the oracle --- */

typedef struct {
    CorralPlanContainer *made; /* (nullable): a container for it */
    const char *path;
    guint wishes;
    CorralPlacementSmt smt;
    gboolean no_moves;
} Case;

/* What the plan of the moment leaves: it is as if it had been applied. */
static void
apply (World *world, const CorralPlan *plan, CorralPlanInput *ret_input)
{
    for (guint c = 0; c < N_CONTAINERS; c++)
        if (world->containers[c].wish.mode != CORRAL_MODE_NONE && !plan->containers[c].refused)
            world->containers[c].cpus = plan->containers[c].cpus;
    for (guint v = 0; v < world->input.n_vms; v++)
        if (plan->vms[v].planned && !plan->vms[v].refused) {
            world->vms[v].running = TRUE;
            world->vms[v].vcpus = (const CorralCpuset *const *) plan->vms[v].vcpus;
        }
    *ret_input = world->input;
}

static gboolean
takes (World *world, const CorralPlanInput *settled, const Case *what, guint n_vms, guint n_vcpus)
{
    g_autoptr (CorralPlan) before = corral_plan_make (settled, NULL), after = NULL;
    CorralPlanInput input = *settled;
    gboolean all = TRUE;

    g_assert_cmpuint (n_vms, <=, N_TRIED);
    if (what->made != NULL)
        world->containers[input.n_containers++] = *what->made;
    for (guint i = 0; i < n_vms; i++) {
        char *name = world->names[input.n_vms];

        g_snprintf (name, sizeof world->names[0], "tried%u", i);
        world->vms[input.n_vms++] = (CorralPlanVm){
            .name = name,
            .path = what->made != NULL ? what->made->path : what->path,
            .n_vcpus = n_vcpus,
            .wishes = what->wishes,
            .wish.smt = what->smt,
        };
    }
    after = corral_plan_make (&input, NULL);
    g_assert_nonnull (before);
    g_assert_nonnull (after);
    for (guint v = settled->n_vms; v < input.n_vms; v++)
        all = all && !after->vms[v].refused;
    return all && after->n_refused <= before->n_refused &&
           (!what->no_moves || after->n_moves <= before->n_moves);
}

static gboolean
is_largest (World *world, const CorralPlanInput *settled, const Case *what, int largest)
{
    return largest == CORRAL_CAPACITY_VCPUS_MAX ||
           ((largest == 0 || takes (world, settled, what, 1, (guint) largest)) &&
            !takes (world, settled, what, 1, (guint) largest + 1));
}

/* In a container made beneath @path with these pCPUs. A row may owe its number to another one. */
static gboolean
is_largest_of_new (World *world, const CorralPlanInput *settled, const char *path,
                   const CorralCpuset *allowed, CorralPlacementMode mode, CorralPlacementSmt smt,
                   int largest, gboolean may_owe)
{
    g_autofree char *child = g_strconcat (path, "/new", NULL);
    CorralPlanContainer made = { .path = child, .wish = CORRAL_PLACEMENT_INIT, .allowed = allowed };
    Case what = { .made = &made };

    made.wish.mode = mode;
    made.wish.smt = smt;
    made.wish.overcommit = 1000;
    return is_largest (world, settled, &what, largest) ||
           (may_owe && !takes (world, settled, &what, 1, (guint) largest + 1));
}

static void
check_container (World *world, const CorralPlanInput *settled, const CorralCapacityRow *row,
                 guint index)
{
    const CorralPlanContainer *container = &world->containers[index];
    const Case plain = { .path = container->path };
    const Case isolated = { .path = container->path,
                            .wishes = CORRAL_WISH_SMT,
                            .smt = CORRAL_SMT_ISOLATE };

    switch (container->wish.mode) {
    case CORRAL_MODE_DEDICATED:
        g_assert_true (is_largest (world, settled, &plain, row->largest_dedicated));
        g_assert_true (is_largest (world, settled, &isolated, row->largest_isolated));
        g_assert_cmpint (row->largest_shared, ==, -1);
        break;
    case CORRAL_MODE_SHARED:
        g_assert_true (is_largest (world, settled, &plain, row->largest_shared));
        g_assert_cmpint (row->largest_dedicated, ==, -1);
        break;
    case CORRAL_MODE_NONE:
        g_assert_true (is_largest_of_new (world, settled, container->path, NULL,
                                          CORRAL_MODE_DEDICATED, CORRAL_SMT_PREFER,
                                          row->largest_dedicated, FALSE));
        g_assert_true (is_largest_of_new (world, settled, container->path, NULL,
                                          CORRAL_MODE_DEDICATED, CORRAL_SMT_ISOLATE,
                                          row->largest_isolated, FALSE));
        g_assert_true (is_largest_of_new (world, settled, container->path, NULL, CORRAL_MODE_SHARED,
                                          CORRAL_SMT_PREFER, row->largest_shared, FALSE));
        break;
    case CORRAL_MODE_HOUSEKEEPING:
        g_assert_cmpint (row->largest_shared, ==, -1);
        break;
    }
}

static void
check_place (World *world, const CorralPlanInput *settled, const CorralCapacityRow *row)
{
    g_assert_true (is_largest_of_new (world, settled, "", row->cpus, CORRAL_MODE_DEDICATED,
                                      CORRAL_SMT_PREFER, row->largest_dedicated, TRUE));
    g_assert_true (is_largest_of_new (world, settled, "", row->cpus, CORRAL_MODE_DEDICATED,
                                      CORRAL_SMT_ISOLATE, row->largest_isolated, TRUE));
    g_assert_true (is_largest_of_new (world, settled, "", row->cpus, CORRAL_MODE_SHARED,
                                      CORRAL_SMT_PREFER, row->largest_shared, TRUE));
}

static void
check_stranded (World *world, const CorralPlanInput *settled, const CorralCapacityRow *row,
                guint shape)
{
    const guint ideal = row->free / shape, found = ideal - row->stranded / shape;
    CorralPlanContainer made = { .path = "/new",
                                 .wish = CORRAL_PLACEMENT_INIT,
                                 .allowed = row->cpus };
    const Case what = { .made = &made, .no_moves = TRUE };

    made.wish.mode = CORRAL_MODE_DEDICATED;
    made.wish.smt = CORRAL_SMT_REQUIRE;
    made.wish.numa = CORRAL_NUMA_STRICT;
    g_assert_cmpuint (row->stranded % shape, ==, 0);
    g_assert_true (found == 0 || takes (world, settled, &what, found, shape));
    g_assert_true (found == ideal || !takes (world, settled, &what, found + 1, shape));
}

static void
test_world (guint32 seed)
{
    g_autoptr (World) world = world_new (seed);
    g_autoptr (CorralPlan) plan = corral_plan_make (&world->input, NULL);
    g_autoptr (CorralCapacity) capacity = NULL;
    guint n_places = 1 + world->topology->n_nodes;
    CorralPlanInput settled;

    g_assert_nonnull (plan);
    capacity = corral_capacity_compute (&world->input, plan, NULL, NULL);
    g_assert_nonnull (capacity);
    g_assert_cmpuint (capacity->n_rows, ==, n_places + N_CONTAINERS);
    apply (world, plan, &settled);
    for (guint i = 0; i < n_places; i++) {
        check_place (world, &settled, &capacity->rows[i]);
        check_stranded (world, &settled, &capacity->rows[i], capacity->shape_vcpus);
    }
    for (guint c = 0; c < N_CONTAINERS; c++)
        check_container (world, &settled, &capacity->rows[n_places + c], c);
}

static void
test_oracle (void)
{
    for (int n = 0; n < worlds; n++) {
        g_test_message ("world %" G_GINT64_FORMAT, first_seed + n);
        test_world ((guint32) (first_seed + n));
    }
}

int
main (int argc, char **argv)
{
    const GOptionEntry entries[] = {
        { "worlds", 0, 0, G_OPTION_ARG_INT, &worlds, "How many", "N" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &first_seed, "The first one's seed", "SEED" },
        { NULL },
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);

    g_test_init (&argc, &argv, NULL);
    g_option_context_add_main_entries (context, entries, NULL);
    if (!g_option_context_parse (context, &argc, &argv, NULL))
        return EXIT_FAILURE;
    g_test_add_func ("/capacity/oracle", test_oracle);
    return g_test_run ();
}
