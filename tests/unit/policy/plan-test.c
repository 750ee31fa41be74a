/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner on machines small enough to work out by hand. */
#include "common/corral-error.h"
#include "policy/corral-plan.h"

typedef struct {
    CorralTopology *topology;
    CorralCpuset *housekeeping;
    GArray *containers, *vms;
    GPtrArray *garbage; /* sets and arrays */
} World;

static World *
world_new (const char *machine, const char *housekeeping)
{
    World *world = g_new0 (World, 1);
    g_autoptr (GError) error = NULL;

    world->topology = corral_topology_from_synthetic (machine, &error);
    g_assert_no_error (error);
    g_assert_true (corral_cpuset_parse (housekeeping, &world->housekeeping, NULL));
    world->containers = g_array_new (FALSE, TRUE, sizeof (CorralPlanContainer));
    world->vms = g_array_new (FALSE, TRUE, sizeof (CorralPlanVm));
    world->garbage = g_ptr_array_new ();
    return world;
}

static void
world_free (World *world)
{
    corral_topology_free (world->topology);
    hwloc_bitmap_free (world->housekeeping);
    g_array_unref (world->containers);
    for (guint v = 0; v < world->vms->len; v++)
        g_free ((gpointer) g_array_index (world->vms, CorralPlanVm, v).vcpus);
    g_array_unref (world->vms);
    g_ptr_array_set_free_func (world->garbage, (GDestroyNotify) hwloc_bitmap_free);
    g_ptr_array_unref (world->garbage);
    g_free (world);
}

G_DEFINE_AUTOPTR_CLEANUP_FUNC (World, world_free)

static const CorralCpuset *
set_of (World *world, const char *list)
{
    CorralCpuset *set = NULL;

    if (list == NULL)
        return NULL;
    g_assert_true (corral_cpuset_parse (list, &set, NULL));
    g_ptr_array_add (world->garbage, set);
    return set;
}

static CorralPlacement *
add_container (World *world, const char *path, CorralPlacementMode mode, const char *allowed,
               const char *now)
{
    CorralPlanContainer container = { .path = path,
                                      .wish = CORRAL_PLACEMENT_INIT,
                                      .allowed = set_of (world, allowed),
                                      .cpus = set_of (world, now) };

    container.wish.mode = mode;
    g_array_append_val (world->containers, container);
    return &g_array_index (world->containers, CorralPlanContainer, world->containers->len - 1).wish;
}

/* @now: (nullable): a pCPU for each vCPU, separated by spaces: the VM runs */
static CorralPlanVm *
add_vm (World *world, const char *name, const char *path, guint n_vcpus, const char *now)
{
    CorralPlanVm vm = { .name = name, .path = path, .n_vcpus = n_vcpus, .running = now != NULL };

    if (now != NULL) {
        g_auto (GStrv) words = g_strsplit (now, " ", -1);
        const CorralCpuset **sets = g_new0 (const CorralCpuset *, n_vcpus);

        for (guint i = 0; i < n_vcpus; i++)
            sets[i] = set_of (world, words[i]);
        vm.vcpus = sets;
    }
    g_array_append_val (world->vms, vm);
    return &g_array_index (world->vms, CorralPlanVm, world->vms->len - 1);
}

static CorralPlan *
plan (World *world)
{
    const CorralPlanInput input = { .topology = world->topology,
                                    .housekeeping = world->housekeeping,
                                    .containers = (gpointer) world->containers->data,
                                    .n_containers = world->containers->len,
                                    .vms = (gpointer) world->vms->data,
                                    .n_vms = world->vms->len };
    g_autoptr (GError) error = NULL;
    CorralPlan *made = corral_plan_make (&input, &error);

    g_assert_no_error (error);
    return made;
}

static void
assert_vm (const CorralPlan *plan, const char *name, const char *expected)
{
    const CorralPlannedVm *vm = corral_plan_find_vm (plan, name);
    g_autoptr (GString) text = g_string_new (NULL);

    g_assert_nonnull (vm);
    if (vm->refused)
        g_string_append (text, "refused");
    for (guint i = 0; i < vm->n_vcpus && vm->vcpus != NULL; i++) {
        g_autofree char *list = corral_cpuset_format (vm->vcpus[i]);

        g_string_append_printf (text, "%s%s", i > 0 ? " " : "", list);
    }
    g_assert_cmpstr (text->str, ==, expected);
}

static void
assert_container (const CorralPlan *plan, const char *path, const char *expected)
{
    const CorralPlannedContainer *container = corral_plan_find_container (plan, path);
    g_autofree char *list = NULL;

    g_assert_nonnull (container);
    list = corral_cpuset_format (container->cpus);
    g_assert_cmpstr (list, ==, expected);
}

static gboolean
has_reason (const GPtrArray *reasons, CorralPlanRule rule, const char *cpus, const char *detail)
{
    for (guint i = 0; i < reasons->len; i++) {
        const CorralPlanReason *reason = g_ptr_array_index (reasons, i);
        g_autofree char *list = corral_cpuset_format (reason->cpus);

        if (reason->rule == rule && g_str_equal (list, cpus) &&
            g_strcmp0 (reason->detail, detail) == 0)
            return TRUE;
    }
    return FALSE;
}

/* Two nodes of one L3 of four cores of two threads; pCPU 2n and 2n+1 are siblings. */
#define TWO_NODES "package:2 [numa] l3:1 core:4 pu:2"

static void
test_dedicated (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "0-1");
    g_autoptr (CorralPlan) made = NULL;

    add_container (world, "/machine/prod", CORRAL_MODE_DEDICATED, NULL, NULL);
    add_vm (world, "a", "/machine/prod", 4, NULL);
    add_vm (world, "b", "/machine/prod", 2, NULL);
    add_vm (world, "c", "/machine/prod", 8, NULL);
    made = plan (world);
    /* a and b fill what housekeeping leaves of the first node, so that c has the second. */
    assert_vm (made, "a", "2 3 4 5");
    assert_vm (made, "b", "6 7");
    assert_vm (made, "c", "8 9 10 11 12 13 14 15");
    assert_container (made, "/machine/prod", "2-15");
    g_assert_cmpuint (made->n_refused, ==, 0);
    g_assert_true (hwloc_bitmap_isequal (corral_plan_find_vm (made, "a")->helpers,
                                         world->housekeeping));
}

static void
test_smt (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    g_autoptr (CorralPlan) made = NULL, again = NULL, full = NULL;

    add_container (world, "/iso", CORRAL_MODE_DEDICATED, NULL, NULL)->smt = CORRAL_SMT_ISOLATE;
    add_container (world, "/whole", CORRAL_MODE_DEDICATED, NULL, NULL)->smt = CORRAL_SMT_REQUIRE;
    add_container (world, "/avoid", CORRAL_MODE_DEDICATED, NULL, NULL)->smt = CORRAL_SMT_AVOID;
    add_vm (world, "i", "/iso", 2, NULL);
    add_vm (world, "w", "/whole", 3, NULL);
    add_vm (world, "s", "/avoid", 4, NULL);
    made = plan (world);
    assert_vm (made, "i", "0 2");
    assert_vm (made, "w", "4 5 6");
    assert_vm (made, "s", "8 10 12 14");
    assert_container (made, "/iso", "0-3");
    assert_container (made, "/whole", "4-7");
    /* With these running a core can be made free for one more vCPU by one move, not for three. */
    g_array_set_size (world->vms, 0);
    add_vm (world, "i", "/iso", 2, "0 2");
    add_vm (world, "w", "/whole", 3, "4 5 6");
    add_vm (world, "s", "/avoid", 4, "8 10 12 14");
    add_vm (world, "one", "/iso", 1, NULL);
    again = plan (world);
    assert_vm (again, "one", "8");
    assert_vm (again, "s", "11 10 12 14");
    g_assert_cmpuint (again->n_moves, ==, 1);
    g_array_set_size (world->vms, 3);
    add_vm (world, "three", "/iso", 3, NULL);
    full = plan (world);
    assert_vm (full, "s", "8 10 12 14");
    assert_vm (full, "three", "refused");
    g_assert_true (has_reason (corral_plan_find_vm (full, "three")->reasons, CORRAL_RULE_SIBLING,
                               "9,11,13,15", NULL));
    g_assert_true (has_reason (corral_plan_find_vm (full, "three")->reasons, CORRAL_RULE_OWNED,
                               "4-6", "the VM \"w\""));
    g_assert_true (has_reason (corral_plan_find_vm (full, "three")->reasons, CORRAL_RULE_SIBLING,
                               "1,3", "the VM \"i\""));
}

static void
test_numa (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    g_autoptr (CorralPlan) made = NULL;
    CorralPlanVm *vm;

    add_container (world, "/s", CORRAL_MODE_DEDICATED, NULL, NULL)->numa = CORRAL_NUMA_STRICT;
    add_vm (world, "a", "/s", 5, NULL);
    add_vm (world, "b", "/s", 5, NULL);
    add_vm (world, "c", "/s", 4, NULL);
    vm = add_vm (world, "d", "/s", 4, NULL);
    vm->wishes = CORRAL_WISH_NUMA;
    vm->wish.numa = CORRAL_NUMA_PREFER;
    made = plan (world);
    g_assert_false (corral_plan_find_vm (made, "b")->refused);
    assert_vm (made, "c", "refused");
    g_assert_true (has_reason (corral_plan_find_vm (made, "c")->reasons, CORRAL_RULE_NODE_FULL,
                               "5-7,13-15", "4 are needed together") ||
                   corral_plan_find_vm (made, "d")->planned);
    g_assert_false (corral_plan_find_vm (made, "d")->refused);
    g_assert_cmpint (hwloc_bitmap_weight (corral_plan_find_vm (made, "d")->mems), ==, 2);
}

static void
test_shared (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "0-1");
    g_autoptr (CorralPlan) made = NULL;
    CorralPlacement *wish = add_container (world, "/dev", CORRAL_MODE_SHARED, NULL, NULL);

    wish->overcommit = 2000;
    wish->share_percent = 40;
    wish->helpers_percent = 10;
    wish->limit_vcpus = 7;
    add_vm (world, "a", "/dev", 4, NULL);
    add_vm (world, "b", "/dev", 3, NULL);
    add_vm (world, "c", "/dev", 6, NULL);
    made = plan (world);
    assert_container (made, "/dev", "2-5");
    assert_vm (made, "b", "2-5 2-5 2-5");
    assert_vm (made, "c", "refused");
    g_assert_true (has_reason (corral_plan_find_vm (made, "c")->reasons, CORRAL_RULE_LIMIT, "",
                               "the container \"/dev\" may have 7 vCPUs and has 7"));
    g_assert_cmpint (corral_plan_find_container (made, "/dev")->quota_usec, ==,
                     (7 * 40 + 2 * 10) * 1000);
    g_assert_cmpint (corral_plan_find_vm (made, "a")->helpers_quota_usec, ==, 10000);
}

static void
test_nested (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    g_autoptr (CorralPlan) made = NULL;

    add_container (world, "/p", CORRAL_MODE_SHARED, "0-7", NULL);
    add_container (world, "/p/db", CORRAL_MODE_DEDICATED, NULL, NULL);
    add_vm (world, "a", "/p", 4, NULL);
    add_vm (world, "d", "/p/db", 4, NULL);
    add_vm (world, "e", "/p/db", 4, NULL);
    made = plan (world);
    assert_vm (made, "d", "4 5 6 7");
    assert_container (made, "/p", "0-7");
    assert_container (made, "/p/db", "4-7");
    assert_vm (made, "e", "refused");
    g_assert_true (has_reason (corral_plan_find_vm (made, "e")->reasons, CORRAL_RULE_PARENT, "8-15",
                               NULL));
    assert_vm (made, "a", "0-3 0-3 0-3 0-3");
}

static void
test_reserve (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    g_autoptr (CorralPlan) made = NULL;

    add_container (world, "/r", CORRAL_MODE_DEDICATED, NULL, NULL)->reserve_vcpus = 6;
    add_container (world, "/o", CORRAL_MODE_DEDICATED, NULL, NULL);
    add_vm (world, "big", "/o", 11, NULL);
    add_vm (world, "fits", "/o", 10, NULL);
    add_vm (world, "in", "/r", 6, NULL);
    made = plan (world);
    assert_vm (made, "big", "refused");
    g_assert_false (corral_plan_find_vm (made, "fits")->refused);
    g_assert_false (corral_plan_find_vm (made, "in")->refused);
}

/* What runs stays, and is moved only for what could not be had otherwise. */
static void
test_moves (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    g_autoptr (CorralPlan) kept = NULL, moved = NULL;

    add_container (world, "/s", CORRAL_MODE_DEDICATED, NULL, "1-2,8-9")->numa = CORRAL_NUMA_STRICT;
    add_vm (world, "a", "/s", 2, "2 1");
    add_vm (world, "b", "/s", 2, "9 8");
    add_vm (world, "small", "/s", 4, NULL);
    kept = plan (world);
    assert_vm (kept, "a", "2 1");
    assert_vm (kept, "b", "9 8");
    g_assert_cmpuint (kept->n_moves, ==, 0);
    g_array_set_size (world->vms, 2);
    add_vm (world, "big", "/s", 8, NULL);
    moved = plan (world);
    g_assert_cmpuint (moved->n_refused, ==, 0);
    g_assert_cmpuint (moved->n_moves, ==, 2);
}

static void
test_refused (void)
{
    g_autoptr (World) world = world_new (TWO_NODES, "");
    CorralPlanInput input = { .topology = world->topology };
    const CorralPlanContainer twice[] = { { .path = "/a" }, { .path = "/a" } };
    const CorralPlanVm bad = { .name = "x", .path = "/a" };
    g_autoptr (GError) error = NULL;

    input.containers = twice;
    input.n_containers = 2;
    g_assert_null (corral_plan_make (&input, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    input.n_containers = 1;
    input.vms = &bad;
    input.n_vms = 1;
    g_assert_null (corral_plan_make (&input, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/plan/dedicated", test_dedicated);
    g_test_add_func ("/plan/smt", test_smt);
    g_test_add_func ("/plan/numa", test_numa);
    g_test_add_func ("/plan/shared", test_shared);
    g_test_add_func ("/plan/nested", test_nested);
    g_test_add_func ("/plan/reserve", test_reserve);
    g_test_add_func ("/plan/moves", test_moves);
    g_test_add_func ("/plan/refused", test_refused);
    return g_test_run ();
}
