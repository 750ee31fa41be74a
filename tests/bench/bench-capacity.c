/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a capacity costs on a machine of 1,024 pCPUs: CPU time, beside that of one plan. */
#include "policy/corral-capacity.h"

#include <time.h>

static double
cpu_ms (clock_t since)
{
    return (double) (clock () - since) * 1000 / CLOCKS_PER_SEC;
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
    g_autoptr (CorralPlan) plan = NULL;
    g_autoptr (CorralCapacity) capacity = NULL;
    double plan_ms;
    clock_t start;
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
    start = clock ();
    plan = corral_plan_make (&input, &error);
    plan_ms = cpu_ms (start);
    g_assert_no_error (error);
    start = clock ();
    capacity = corral_capacity_compute (&input, plan, NULL, &error);
    g_assert_no_error (error);
    g_print ("# figure: capacity, %u VMs of %u vCPUs in %u containers: %.1f ms; a plan: %.1f ms\n",
             n_vms, n_vcpus, n_containers, cpu_ms (start), plan_ms);
    g_assert_cmpuint (capacity->n_rows, ==, 1 + 8 + n_containers);
    g_assert_cmpuint (capacity->rows[0].total, ==, 1024);
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
