/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capacities of machines small enough to count by hand, and what holds of every one. */
#include "policy/corral-capacity.h"

#include <string.h>

#define VMS_MAX 24
#define VCPUS_MAX 8

/* An input and what lives as long as it. */
typedef struct {
    CorralTopology *topology;
    CorralCpuset *housekeeping;
    CorralPlanContainer containers[8];
    CorralPlanVm vms[VMS_MAX + 1];
    char names[VMS_MAX][16];
    const CorralCpuset *places[VMS_MAX][VCPUS_MAX];
    CorralPlanInput input;
    CorralPlan *plan;
    GPtrArray *sets;
} World;

static void
world_init (World *world, const char *machine, const char *housekeeping)
{
    g_autoptr (GError) error = NULL;

    memset (world, 0, sizeof *world);
    world->topology = corral_topology_from_synthetic (machine, &error);
    g_assert_no_error (error);
    g_assert_true (corral_cpuset_parse (housekeeping, &world->housekeeping, NULL));
    world->sets = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    world->input = (CorralPlanInput){ .topology = world->topology,
                                      .housekeeping = world->housekeeping,
                                      .containers = world->containers,
                                      .vms = world->vms };
}

static void
world_clear (World *world)
{
    g_clear_pointer (&world->topology, corral_topology_free);
    g_clear_pointer (&world->housekeeping, hwloc_bitmap_free);
    g_clear_pointer (&world->plan, corral_plan_free);
    g_clear_pointer (&world->sets, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (World, world_clear)

static CorralCpuset *
set_of (World *world, const char *list)
{
    CorralCpuset *set = NULL;

    g_assert_true (corral_cpuset_parse (list, &set, NULL));
    g_ptr_array_add (world->sets, set);
    return set;
}

static CorralPlanContainer *
add_container (World *world, const char *path, CorralPlacementMode mode)
{
    CorralPlanContainer *container = &world->containers[world->input.n_containers++];

    g_assert_cmpuint (world->input.n_containers, <=, G_N_ELEMENTS (world->containers));
    *container = (CorralPlanContainer){ .path = path, .wish = CORRAL_PLACEMENT_INIT };
    container->wish.mode = mode;
    return container;
}

/* @now: (nullable): where each vCPU runs */
static CorralPlanVm *
add_vm (World *world, const char *path, guint n_vcpus, const char *const *now)
{
    guint index = world->input.n_vms++;
    CorralPlanVm *vm = &world->vms[index];

    g_assert_cmpuint (world->input.n_vms, <=, VMS_MAX);
    g_snprintf (world->names[index], sizeof world->names[index], "vm%u", index);
    *vm = (CorralPlanVm){ .name = world->names[index], .path = path, .n_vcpus = n_vcpus };
    for (guint i = 0; now != NULL && i < n_vcpus; i++)
        world->places[index][i] = set_of (world, now[i]);
    if (now != NULL) {
        vm->running = TRUE;
        vm->vcpus = world->places[index];
    }
    return vm;
}

static CorralCapacity *
compute (World *world, const CorralCapacityUsage *usage)
{
    g_autoptr (GError) error = NULL;
    CorralCapacity *capacity;

    g_clear_pointer (&world->plan, corral_plan_free);
    world->plan = corral_plan_make (&world->input, &error);
    g_assert_no_error (error);
    capacity = corral_capacity_compute (&world->input, world->plan, usage, &error);
    g_assert_no_error (error);
    return capacity;
}

/* "total reserved dedicated idle shared free vcpus dedicated_vcpus ratio | largest three |
 * stranded"
 */
static void
assert_row (const CorralCapacity *capacity, const char *name, const char *expected)
{
    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];
        g_autofree char *found =
            g_strdup_printf ("%u %u %u %u %u %u %u %u %u | %d %d %d | %u", row->total,
                             row->reserved, row->dedicated, row->idle, row->shared, row->free,
                             row->vcpus, row->dedicated_vcpus, row->allocation_ratio,
                             row->largest_dedicated, row->largest_isolated, row->largest_shared,
                             row->stranded);

        if (g_str_equal (row->name, name)) {
            g_assert_cmpstr (found, ==, expected);
            return;
        }
    }
    g_error ("no row \"%s\"", name);
}

/* --- by hand --- */

static void
test_empty (void)
{
    g_auto (World) world = { NULL };
    g_autoptr (CorralCapacity) capacity = NULL;

    world_init (&world, "node:2 core:4 pu:2", "0-1");
    capacity = compute (&world, NULL);
    g_assert_cmpuint (capacity->n_rows, ==, 3);
    g_assert_cmpuint (capacity->shape_vcpus, ==, 4);
    /* 14 free: three VMs of 4 in whole cores, one in node 0, two in node 1; no more fit in 14 */
    assert_row (capacity, "host", "16 2 0 0 0 14 0 0 1000 | 14 7 14 | 0");
    assert_row (capacity, "node0", "8 2 0 0 0 6 0 0 1000 | 6 3 6 | 0");
    assert_row (capacity, "node1", "8 0 0 0 0 8 0 0 1000 | 8 4 8 | 0");
    g_assert_cmpfloat (capacity->rows[0].used, <, 0);
}

/* Two isolated vCPUs have two cores; four vCPUs at 2.0 share one core. */
static void
test_mixed (void)
{
    g_auto (World) world = { NULL };
    guint64 busy[16] = { 500, 0, 1000, 2000 };
    guint64 used[] = { 1500, 250 };
    CorralCapacityUsage usage = { .window_ns = 1000, .busy_ns = busy, .container_ns = used };
    g_autoptr (CorralCapacity) capacity = NULL;
    CorralPlanContainer *web;

    world_init (&world, "node:2 core:4 pu:2", "0-1");
    add_container (&world, "/machine/prod", CORRAL_MODE_DEDICATED)->wish.smt = CORRAL_SMT_ISOLATE;
    web = add_container (&world, "/machine/web", CORRAL_MODE_SHARED);
    web->wish.overcommit = 2000;
    web->wish.limit_vcpus = 10;
    add_vm (&world, "/machine/prod", 2, (const char *[]){ "2", "4" });
    add_vm (&world, "/machine/web", 4, (const char *[]){ "8-9", "8-9", "8-9", "8-9" });
    capacity = compute (&world, &usage);
    g_assert_cmpuint (capacity->shape_vcpus, ==, 2);
    assert_row (capacity, "host", "16 2 4 2 2 8 6 2 2000 | 8 4 8 | 0");
    /* for a VM in one node, what runs there would be moved to the other, as far as it has room */
    assert_row (capacity, "node0", "8 2 4 2 0 2 2 2 1000 | 6 3 6 | 0");
    assert_row (capacity, "node1", "8 0 0 0 2 6 4 0 2000 | 8 4 8 | 0");
    /* with its siblings idle a container gets half of the 8 */
    assert_row (capacity, "/machine/prod", "4 0 4 2 0 0 2 2 1000 | 4 4 -1 | 0");
    assert_row (capacity, "/machine/web", "2 0 0 0 2 0 4 0 2000 | -1 -1 6 | 0");
    g_assert_cmpfloat_with_epsilon (capacity->rows[0].used, 2.5, 1e-9);
    g_assert_cmpfloat_with_epsilon (capacity->rows[1].used, 2.5, 1e-9);
    g_assert_cmpfloat_with_epsilon (capacity->rows[3].used, 1.5, 1e-9);
    g_assert_cmpfloat_with_epsilon (capacity->rows[4].used, 0.25, 1e-9);
    g_assert_cmpfloat (capacity->pcpus[3].busy, ==, 1);
    g_assert_cmpint (capacity->pcpus[2].use, ==, CORRAL_USE_DEDICATED);
    g_assert_cmpstr (capacity->pcpus[2].vm, ==, "vm0");
    g_assert_cmpuint (capacity->pcpus[4].vcpu, ==, 1);
    g_assert_cmpint (capacity->pcpus[5].use, ==, CORRAL_USE_IDLE);
    g_assert_cmpstr (capacity->pcpus[8].container, ==, "/machine/web");
}

/* Four half cores of node 0 are free, and no VM in whole cores can have them as they lie. */
static void
test_stranded (void)
{
    g_auto (World) world = { NULL };
    g_autoptr (CorralCapacity) capacity = NULL;
    CorralPlanContainer *prod;

    world_init (&world, "node:2 core:4 pu:2", "");
    prod = add_container (&world, "/machine/prod", CORRAL_MODE_DEDICATED);
    prod->wish.smt = CORRAL_SMT_AVOID;
    add_vm (&world, "/machine/prod", 2, (const char *[]){ "0", "2" });
    add_vm (&world, "/machine/prod", 2, (const char *[]){ "4", "6" });
    capacity = compute (&world, NULL);
    g_assert_cmpuint (capacity->shape_vcpus, ==, 2);
    /* free are 1, 3, 5, 7 and 8-15; six VMs of 2 if they lay side by side, four as they lie */
    g_assert_cmpuint (capacity->rows[0].free, ==, 12);
    g_assert_cmpuint (capacity->rows[0].stranded, ==, 4);
    g_assert_cmpuint (capacity->rows[1].stranded, ==, 4);
    g_assert_cmpuint (capacity->rows[2].stranded, ==, 0);
    g_assert_cmpint (capacity->rows[0].largest_dedicated, ==, 12);
}

/* What is kept for a container is reserved for all, and room for its own VMs. */
static void
test_reserve (void)
{
    g_auto (World) world = { NULL };
    g_autoptr (CorralCapacity) capacity = NULL;
    CorralPlanContainer *prod;

    world_init (&world, "core:8 pu:1", "0");
    prod = add_container (&world, "/machine/prod", CORRAL_MODE_DEDICATED);
    prod->wish.reserve_vcpus = 4;
    prod->wish.limit_vcpus = 5;
    add_vm (&world, "/machine/prod", 1, (const char *[]){ "1" });
    capacity = compute (&world, NULL);
    assert_row (capacity, "/machine/prod", "4 3 1 0 0 0 1 1 1000 | 4 4 -1 | 0");
    assert_row (capacity, "host", "8 4 1 0 0 3 1 1 1000 | 4 4 3 | 0");
}

/* A VM that runs and does not fit has what it has kept, and no vCPU that counts. */
static void
test_refused (void)
{
    g_auto (World) world = { NULL };
    g_autoptr (CorralCapacity) capacity = NULL;

    world_init (&world, "core:6 pu:1", "0");
    add_container (&world, "/machine/prod", CORRAL_MODE_DEDICATED)->allowed =
        set_of (&world, "1-3");
    add_vm (&world, "/machine/prod", 4, (const char *[]){ "1", "2", "3", "0-5" });
    capacity = compute (&world, NULL);
    g_assert_cmpuint (capacity->rows[0].dedicated, ==, 3);
    g_assert_cmpuint (capacity->rows[0].free, ==, 2);
    g_assert_cmpuint (capacity->rows[0].vcpus, ==, 0);
    g_assert_cmpuint (capacity->rows[0].dedicated_vcpus, ==, 0);
    g_assert_cmpint (capacity->pcpus[3].use, ==, CORRAL_USE_DEDICATED);
    g_assert_cmpuint (capacity->pcpus[3].vcpu, ==, 2);
    g_assert_cmpint (capacity->pcpus[0].use, ==, CORRAL_USE_HOUSEKEEPING);
}

/* Offline pCPUs count nowhere; a container that is not planned has what its definition says. */
static void
test_unplanned (void)
{
    g_auto (World) world = { NULL };
    g_autoptr (CorralCapacity) capacity = NULL;
    g_autoptr (CorralCpuset) online = NULL;
    CorralTopology *whole;

    world_init (&world, "core:8 pu:1", "0");
    g_assert_true (corral_cpuset_parse ("0-6", &online, NULL));
    whole = world.topology;
    world.topology = corral_topology_with_online (whole, online);
    corral_topology_free (whole);
    world.input.topology = world.topology;
    add_container (&world, "/machine/old", CORRAL_MODE_NONE)->allowed = set_of (&world, "1-2");
    add_container (&world, "/machine/new", CORRAL_MODE_NONE)->allowed = set_of (&world, "2-3");
    add_vm (&world, "/machine/old", 3, NULL);
    capacity = compute (&world, NULL);
    g_assert_cmpuint (capacity->rows[0].total, ==, 7);
    g_assert_cmpuint (capacity->rows[0].reserved, ==, 1);
    g_assert_cmpuint (capacity->rows[0].shared, ==, 3);
    g_assert_cmpuint (capacity->rows[0].free, ==, 3);
    g_assert_cmpuint (capacity->rows[0].vcpus, ==, 3);
    g_assert_cmpint (capacity->pcpus[7].use, ==, CORRAL_USE_OFFLINE);
    g_assert_cmpstr (capacity->pcpus[2].container, ==, "/machine/old");
    g_assert_cmpuint (capacity->pcpus[2].more_containers, ==, 1);
    g_assert_cmpuint (capacity->pcpus[1].more_containers, ==, 0);
}

/* --- whatever the machine and its VMs --- */

/* As if the plan had been applied. */
static void
settle (World *world)
{
    for (guint i = 0; i < world->input.n_containers; i++) {
        if (!world->plan->containers[i].refused)
            world->containers[i].cpus = hwloc_bitmap_dup (world->plan->containers[i].cpus);
        if (world->containers[i].cpus != NULL)
            g_ptr_array_add (world->sets, (gpointer) world->containers[i].cpus);
    }
    for (guint i = 0; i < world->input.n_vms; i++) {
        const CorralPlannedVm *planned = &world->plan->vms[i];

        if (planned->refused)
            continue;
        for (guint j = 0; j < planned->n_vcpus; j++) {
            world->places[i][j] = hwloc_bitmap_dup (planned->vcpus[j]);
            g_ptr_array_add (world->sets, (gpointer) world->places[i][j]);
        }
        world->vms[i].running = TRUE;
        world->vms[i].vcpus = world->places[i];
    }
}

static void
make_random (World *world, GRand *rand)
{
    static const char *const machines[] = { "node:1 core:4 pu:2", "node:2 core:4 pu:2",
                                            "node:4 l3:2 core:2 pu:2", "node:2 core:6 pu:1",
                                            "package:2 core:4 pu:4" };
    static const char *const paths[] = { "/machine/a", "/machine/b", "/machine/c" };

    world_init (world, machines[g_rand_int_range (rand, 0, G_N_ELEMENTS (machines))],
                g_rand_boolean (rand) ? "0" : "");
    for (guint i = 0; i < G_N_ELEMENTS (paths); i++) {
        CorralPlanContainer *container =
            add_container (world, paths[i],
                           g_rand_boolean (rand) ? CORRAL_MODE_DEDICATED : CORRAL_MODE_SHARED);

        container->wish.smt = (CorralPlacementSmt) g_rand_int_range (rand, 0, 4);
        container->wish.numa = (CorralPlacementNuma) g_rand_int_range (rand, 0, 3);
        if (container->wish.mode == CORRAL_MODE_SHARED)
            container->wish.overcommit = (guint) g_rand_int_range (rand, 1, 5) * 1000;
    }
    for (int i = g_rand_int_range (rand, 0, 7); i > 0; i--)
        add_vm (world, paths[g_rand_int_range (rand, 0, G_N_ELEMENTS (paths))],
                (guint) g_rand_int_range (rand, 1, 5), NULL);
    g_clear_pointer (&world->plan, corral_plan_free);
    world->plan = corral_plan_make (&world->input, NULL);
    g_assert_nonnull (world->plan);
    settle (world);
}

static void
assert_adds_up (const World *world, const CorralCapacity *capacity)
{
    const CorralCapacityRow *host = &capacity->rows[0];
    guint total = 0, reserved = 0, dedicated = 0, shared = 0, left = 0, vcpus = 0, own = 0;

    for (guint i = 0; i < capacity->n_rows; i++) {
        const CorralCapacityRow *row = &capacity->rows[i];

        g_assert_cmpuint (row->total, ==, (guint) hwloc_bitmap_weight (row->cpus));
        g_assert_cmpuint (row->total, ==, row->reserved + row->dedicated + row->shared + row->free);
        g_assert_cmpuint (row->dedicated_vcpus, <=, row->vcpus);
        g_assert_cmpuint (row->stranded, <=, row->free);
        if (row->kind != CORRAL_CAPACITY_NODE)
            continue;
        total += row->total;
        reserved += row->reserved;
        dedicated += row->dedicated;
        shared += row->shared;
        left += row->free;
        vcpus += row->vcpus;
        own += row->dedicated_vcpus;
    }
    g_assert_cmpuint (host->total, ==, total);
    g_assert_cmpuint (host->reserved, ==, reserved);
    g_assert_cmpuint (host->dedicated, ==, dedicated);
    g_assert_cmpuint (host->dedicated - host->idle, ==, host->dedicated_vcpus);
    g_assert_cmpuint (host->shared, ==, shared);
    g_assert_cmpuint (host->free, ==, left);
    g_assert_cmpuint (host->vcpus, ==, vcpus);
    g_assert_cmpuint (host->dedicated_vcpus, ==, own);
}

/* Whether the planner takes one more VM, when asked without any help of the capacity's. */
static gboolean
takes (World *world, const char *path, guint n_vcpus, guint wishes, CorralPlacementSmt smt)
{
    CorralPlanInput input = world->input;
    g_autoptr (CorralPlan) before = corral_plan_make (&input, NULL);
    g_autoptr (CorralPlan) after = NULL;

    world->vms[input.n_vms] = (CorralPlanVm){
        .name = "one more", .path = path, .n_vcpus = n_vcpus, .wishes = wishes, .wish.smt = smt
    };
    input.n_vms++;
    after = corral_plan_make (&input, NULL);
    g_assert_nonnull (before);
    g_assert_nonnull (after);
    return !after->vms[input.n_vms - 1].refused && after->n_refused <= before->n_refused;
}

static void
assert_largest (World *world, const char *path, int largest, guint wishes)
{
    if (largest < 0)
        return;
    if (largest > 0)
        g_assert_true (takes (world, path, (guint) largest, wishes, CORRAL_SMT_ISOLATE));
    g_assert_false (takes (world, path, (guint) largest + 1, wishes, CORRAL_SMT_ISOLATE));
}

static void
test_properties (void)
{
    for (guint round = 0; round < 150; round++) {
        g_autoptr (GRand) rand = g_rand_new_with_seed (round);
        g_auto (World) world = { NULL };
        g_autoptr (CorralCapacity) capacity = NULL;

        make_random (&world, rand);
        capacity = compute (&world, NULL);
        assert_adds_up (&world, capacity);
        for (guint i = 0; i < capacity->n_rows; i++) {
            const CorralCapacityRow *row = &capacity->rows[i];

            if (row->kind != CORRAL_CAPACITY_CONTAINER)
                continue;
            assert_largest (&world, row->name, row->largest_dedicated, 0);
            assert_largest (&world, row->name, row->largest_isolated, CORRAL_WISH_SMT);
            assert_largest (&world, row->name, row->largest_shared, 0);
            g_assert_cmpint (capacity->rows[0].largest_dedicated, >=, row->largest_dedicated);
            g_assert_cmpint (capacity->rows[0].largest_shared, >=, row->largest_shared);
        }
    }
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/capacity/empty", test_empty);
    g_test_add_func ("/capacity/mixed", test_mixed);
    g_test_add_func ("/capacity/stranded", test_stranded);
    g_test_add_func ("/capacity/reserve", test_reserve);
    g_test_add_func ("/capacity/refused", test_refused);
    g_test_add_func ("/capacity/unplanned", test_unplanned);
    g_test_add_func ("/capacity/properties", test_properties);
    return g_test_run ();
}
