/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a capacity costs on a machine of 1,024 pCPUs: CPU time, beside that of one plan, of the
 * document that it becomes, and of a loop whose work is fixed. */
#include "policy/corral-capacity.h"
#include "tests/bench/bench-clock.h"

typedef struct {
    const CorralPlanInput *input;
    CorralPlan *plan;
    CorralCapacity *capacity;
} Work;

static void
plan_once (gpointer data)
{
    Work *work = data;

    g_clear_pointer (&work->plan, corral_plan_free);
    work->plan = corral_plan_make (work->input, NULL);
    g_assert_nonnull (work->plan);
}

static void
compute_once (gpointer data)
{
    Work *work = data;

    g_clear_pointer (&work->capacity, corral_capacity_free);
    work->capacity = corral_capacity_compute (work->input, work->plan, NULL, NULL);
    g_assert_nonnull (work->capacity);
}

static void
write_once (gpointer data)
{
    g_autofree char *xml = corral_capacity_xml (((Work *) data)->capacity, 1);

    g_assert_nonnull (xml);
}

/* Half of the containers share at 16.0, half are dedicated; one VM of 20 is in the latter. */
static void
measure (guint n_vms, guint n_containers, guint n_vcpus)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (CorralTopology) topology =
        corral_topology_from_synthetic ("package:8 node:1 l3:4 core:16 pu:2", &error);
    g_autofree CorralPlanContainer *containers = g_new0 (CorralPlanContainer, n_containers);
    g_autofree CorralPlanVm *vms = g_new0 (CorralPlanVm, n_vms);
    g_autoptr (GStringChunk) names = g_string_chunk_new (4096);
    CorralPlanInput input = { .topology = topology,
                              .containers = containers,
                              .n_containers = n_containers,
                              .vms = vms,
                              .n_vms = n_vms };
    Work work = { .input = &input };
    double plan, capacity, document;
    char name[32];

    g_assert_no_error (error);
    for (guint i = 0; i < n_containers; i++) {
        g_snprintf (name, sizeof name, "/machine/c%u", i);
        containers[i] = (CorralPlanContainer){ .path = g_string_chunk_insert (names, name),
                                               .wish = CORRAL_PLACEMENT_INIT };
        containers[i].wish.mode = i % 2 ? CORRAL_MODE_DEDICATED : CORRAL_MODE_SHARED;
        containers[i].wish.overcommit = i % 2 ? 1000 : 16000;
    }
    for (guint i = 0; i < n_vms; i++) {
        g_snprintf (name, sizeof name, "vm%u", i);
        vms[i] = (CorralPlanVm){
            .name = g_string_chunk_insert (names, name),
            .path = containers[2 * (i % (n_containers / 2)) + (i < n_vms / 20)].path,
            .n_vcpus = n_vcpus,
        };
    }
    plan = bench_median_ms (plan_once, &work);
    capacity = bench_median_ms (compute_once, &work);
    document = bench_median_ms (write_once, &work);
    g_print (
        "# figure: capacity, %u VMs of %u vCPUs in %u containers: %.1f ms; a plan: %.1f ms; the "
        "document: %.1f ms; the loop: %.1f ms\n",
        n_vms, n_vcpus, n_containers, capacity, plan, document, bench_loop_ms ());
    g_assert_cmpuint (work.capacity->n_rows, ==, 1 + 8 + n_containers);
    g_assert_cmpuint (work.capacity->rows[0].total, ==, 1024);
    corral_capacity_free (work.capacity);
    corral_plan_free (work.plan);
}

static void
test_cost (void)
{
    measure (10, 4, 4);
    measure (200, 20, 4);
    measure (1000, 20, 8);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/bench/capacity", test_cost);
    return g_test_run ();
}
