/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How good and how fast the planner is.
 *
 * Good: on random small machines with random dedicated VMs, the vCPUs that it leaves out, against
 * the fewest that any assignment leaves out, as GLPK proves, and against first-fit (nodes in order,
 * VMs in order). Fast: 1,000 VMs of 8 vCPUs on 1,024 pCPUs, also as a ratio to a loop whose work is
 * fixed. Prints TAP.
 *
 *   bench-planner [--instances N] [--first SEED]
 */
#include "policy/corral-plan.h"
#include "tests/bench/bench-clock.h"

#include <glpk.h>
#include <string.h>

#define MAX_NODES 4
#define MAX_VMS 14

static int instances = 500;
static gint64 seed = 1;

/* --- one instance: VMs that want one node each --- */

typedef struct {
    guint n_nodes, cores; /* of two threads, in each node */
    guint n_vms;
    guint n_vcpus[MAX_VMS];
    CorralPlacementSmt smt[MAX_VMS];
} Instance;

static Instance
instance_new (GRand *rand)
{
    Instance instance = { (guint) g_rand_int_range (rand, 2, MAX_NODES + 1),
                          (guint) g_rand_int_range (rand, 3, 9),
                          (guint) g_rand_int_range (rand, 4, MAX_VMS + 1),
                          { 0 },
                          { 0 } };
    static const CorralPlacementSmt smts[] = { CORRAL_SMT_PREFER, CORRAL_SMT_ISOLATE,
                                               CORRAL_SMT_REQUIRE };

    for (guint v = 0; v < instance.n_vms; v++) {
        instance.n_vcpus[v] = (guint) g_rand_int_range (rand, 1, (gint32) instance.cores + 3);
        instance.smt[v] = smts[g_rand_int_range (rand, 0, G_N_ELEMENTS (smts))];
    }
    return instance;
}

/* Whole cores that it takes, when it shares none. */
static guint
cores_of (const Instance *instance, guint v)
{
    return instance->smt[v] == CORRAL_SMT_ISOLATE ? instance->n_vcpus[v]
                                                  : (instance->n_vcpus[v] + 1) / 2;
}

/* --- the three answers: vCPUs that have a place --- */

/* x[v][n]: the VM v is in node n; p[n]: cores of n that VMs share threads of. */
static guint
optimum (const Instance *in)
{
    glp_prob *lp = glp_create_prob ();
    glp_iocp options;
    guint result;

    glp_set_obj_dir (lp, GLP_MAX);
    glp_add_cols (lp, (int) ((in->n_vms + 1) * in->n_nodes));
    glp_add_rows (lp, (int) (in->n_vms + 2 * in->n_nodes));
    for (guint v = 0; v < in->n_vms; v++) {
        int columns[MAX_NODES + 1];
        double ones[MAX_NODES + 1];

        for (guint n = 0; n < in->n_nodes; n++) {
            const int column = (int) (1 + v * in->n_nodes + n);

            glp_set_col_kind (lp, column, GLP_BV);
            glp_set_obj_coef (lp, column, in->n_vcpus[v]);
            columns[n + 1] = column;
            ones[n + 1] = 1;
        }
        glp_set_row_bnds (lp, (int) (1 + v), GLP_UP, 0, 1);
        glp_set_mat_row (lp, (int) (1 + v), (int) in->n_nodes, columns, ones);
    }
    for (guint n = 0; n < in->n_nodes; n++) {
        const int shared = (int) (1 + in->n_vms * in->n_nodes + n);
        const int row = (int) (1 + in->n_vms + 2 * n);
        int columns[MAX_VMS + 2];
        double cores[MAX_VMS + 2], threads[MAX_VMS + 2];

        glp_set_col_kind (lp, shared, GLP_IV);
        glp_set_col_bnds (lp, shared, GLP_DB, 0, in->cores);
        for (guint v = 0; v < in->n_vms; v++) {
            const gboolean shares = in->smt[v] == CORRAL_SMT_PREFER;

            columns[v + 1] = (int) (1 + v * in->n_nodes + n);
            cores[v + 1] = shares ? 0 : cores_of (in, v);
            threads[v + 1] = shares ? in->n_vcpus[v] : 0;
        }
        columns[in->n_vms + 1] = shared;
        cores[in->n_vms + 1] = 1;
        threads[in->n_vms + 1] = -2;
        glp_set_row_bnds (lp, row, GLP_UP, 0, in->cores);
        glp_set_mat_row (lp, row, (int) in->n_vms + 1, columns, cores);
        glp_set_row_bnds (lp, row + 1, GLP_UP, 0, 0);
        glp_set_mat_row (lp, row + 1, (int) in->n_vms + 1, columns, threads);
    }
    glp_init_iocp (&options);
    options.presolve = GLP_ON;
    options.msg_lev = GLP_MSG_ERR;
    g_assert_cmpint (glp_intopt (lp, &options), ==, 0);
    g_assert_cmpint (glp_mip_status (lp), ==, GLP_OPT);
    result = (guint) (glp_mip_obj_val (lp) + 0.5);
    glp_delete_prob (lp);
    return result;
}

static guint
first_fit (const Instance *in)
{
    guint cores[MAX_NODES] = { 0 }, odd[MAX_NODES] = { 0 }, placed = 0;

    for (guint v = 0; v < in->n_vms; v++)
        for (guint n = 0; n < in->n_nodes; n++) {
            /* A thread left over of a shared core goes to the next that shares. */
            const gboolean shares = in->smt[v] == CORRAL_SMT_PREFER;
            const guint k = in->n_vcpus[v] - (shares ? MIN (odd[n], in->n_vcpus[v]) : 0);
            const guint need = shares ? (k + 1) / 2 : cores_of (in, v);

            if (cores[n] + need > in->cores)
                continue;
            if (shares)
                odd[n] = odd[n] - (in->n_vcpus[v] - k) + k % 2;
            cores[n] += need;
            placed += in->n_vcpus[v];
            break;
        }
    return placed;
}

static guint
planned (const Instance *in)
{
    g_autofree char *machine =
        g_strdup_printf ("package:%u [numa] l3:1 core:%u pu:2", in->n_nodes, in->cores);
    g_autoptr (CorralTopology) topology = corral_topology_from_synthetic (machine, NULL);
    static const char *const paths[] = { "/prefer", "/isolate", "/require" };
    CorralPlanContainer containers[G_N_ELEMENTS (paths)];
    char names[MAX_VMS][8];
    CorralPlanVm vms[MAX_VMS] = { 0 };
    CorralPlanInput input = { topology, NULL, containers, G_N_ELEMENTS (paths), vms, in->n_vms };
    g_autoptr (CorralPlan) plan = NULL;
    guint placed = 0;

    for (guint c = 0; c < G_N_ELEMENTS (paths); c++) {
        containers[c] = (CorralPlanContainer){ paths[c], CORRAL_PLACEMENT_INIT, NULL, NULL };
        containers[c].wish.mode = CORRAL_MODE_DEDICATED;
        containers[c].wish.smt = (CorralPlacementSmt) c;
        containers[c].wish.numa = CORRAL_NUMA_STRICT;
    }
    for (guint v = 0; v < in->n_vms; v++) {
        g_snprintf (names[v], sizeof names[v], "vm%u", v);
        vms[v].name = names[v];
        vms[v].path = paths[in->smt[v]];
        vms[v].n_vcpus = in->n_vcpus[v];
    }
    plan = corral_plan_make (&input, NULL);
    g_assert_nonnull (plan);
    for (guint v = 0; v < plan->n_vms; v++)
        placed += plan->vms[v].refused ? 0 : plan->vms[v].n_vcpus;
    return placed;
}

static void
test_quality (void)
{
    guint64 ours = 0, best = 0, first = 0;
    guint equal = 0, worse_than_first = 0, lost[21] = { 0 };

    for (int i = 0; i < instances; i++) {
        g_autoptr (GRand) rand = g_rand_new_with_seed ((guint32) (seed + i));
        const Instance instance = instance_new (rand);
        const guint a = planned (&instance), b = optimum (&instance), c = first_fit (&instance);

        g_assert_cmpuint (a, <=, b);
        ours += a;
        best += b;
        first += c;
        equal += a == b;
        worse_than_first += a < c;
        lost[MIN ((b - a) * 100 / MAX (b, 1), 20)]++;
    }
    g_test_message ("figure: %d instances: %" G_GUINT64_FORMAT
                    " vCPUs placed, optimum %" G_GUINT64_FORMAT
                    " (%.3f %% worse), first-fit %" G_GUINT64_FORMAT " (%.2f %% worse)",
                    instances, ours, best, 100.0 * (double) (best - ours) / (double) best, first,
                    100.0 * (double) (best - first) / (double) best);
    g_test_message ("figure: equal to the optimum: %u; worse than first-fit: %u", equal,
                    worse_than_first);
    for (guint i = 0; i < G_N_ELEMENTS (lost); i++)
        if (lost[i] > 0)
            g_test_message ("  %u %% to %u %% worse: %u", i, i + 1, lost[i]);
    g_assert_cmpuint (worse_than_first, ==, 0);
    g_assert_cmpfloat ((double) (best - ours), <=, 0.01 * (double) best);
}

/* --- speed --- */

static void
plan_once (gpointer input)
{
    g_autoptr (CorralPlan) plan = corral_plan_make (input, NULL);

    g_assert_nonnull (plan);
}

/* 936 VMs share 512 pCPUs, 64 have 512 of their own: 8 sockets of 8 L3 groups of 8 cores. */
static void
test_speed (void)
{
    g_autoptr (CorralTopology) topology =
        corral_topology_from_synthetic ("package:8 [numa] l3:8 core:8 pu:2", NULL);
    CorralPlanContainer containers[] = {
        { "/dedicated", CORRAL_PLACEMENT_INIT, NULL, NULL },
        { "/shared", CORRAL_PLACEMENT_INIT, NULL, NULL },
    };
    g_autofree CorralPlanVm *vms = g_new0 (CorralPlanVm, 1000);
    CorralPlanInput input = { topology, NULL, containers, G_N_ELEMENTS (containers), vms, 1000 };
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GPtrArray) garbage =
        g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    g_autofree CorralCpuset **now = g_new0 (CorralCpuset *, 8000);
    g_autoptr (CorralPlan) plan = NULL;
    double full, one, loop;

    containers[0].wish.mode = CORRAL_MODE_DEDICATED;
    containers[1].wish.mode = CORRAL_MODE_SHARED;
    containers[1].wish.overcommit = 16000;
    for (guint v = 0; v < 1000; v++) {
        g_ptr_array_add (names, g_strdup_printf ("vm%u", v));
        vms[v].name = g_ptr_array_index (names, v);
        vms[v].path = v % 16 == 0 ? "/dedicated" : "/shared";
        vms[v].n_vcpus = 8;
    }
    full = bench_median_ms (plan_once, &input);
    plan = corral_plan_make (&input, NULL);
    g_assert_cmpuint (plan->n_refused, ==, 0);
    /* All run but the last dedicated one. */
    for (guint v = 0; v < 1000; v++)
        if (v != 992) {
            CorralCpuset **sets = &now[v * 8];

            /* A set for each vCPU, as who reads them from the kernel has them. */
            for (guint i = 0; i < 8; i++) {
                sets[i] = hwloc_bitmap_dup (plan->vms[v].vcpus[i]);
                g_ptr_array_add (garbage, sets[i]);
            }
            vms[v].running = TRUE;
            vms[v].vcpus = (const CorralCpuset *const *) sets;
        }
    containers[0].cpus = plan->containers[0].cpus;
    containers[1].cpus = plan->containers[1].cpus;
    one = bench_median_ms (plan_once, &input);
    loop = bench_loop_ms ();
    g_test_message (
        "figure: 1,000 VMs of 8 vCPUs on 1,024 pCPUs: all %.2f ms [50], one that starts "
        "%.2f ms [1]; the loop takes %.2f ms: %.2f and %.3f of it",
        full, one, loop, full / loop, one / loop);
    g_assert_cmpfloat (full, <=, 50);
    g_assert_cmpfloat (one, <=, 1);
}

int
main (int argc, char **argv)
{
    const GOptionEntry options[] = {
        { "instances", 0, 0, G_OPTION_ARG_INT, &instances, "How many small instances", "N" },
        { "first", 0, 0, G_OPTION_ARG_INT64, &seed, "The first one's seed", "SEED" },
        { 0 }
    };
    g_autoptr (GOptionContext) context = g_option_context_new (NULL);

    g_test_init (&argc, &argv, NULL);
    g_option_context_add_main_entries (context, options, NULL);
    if (!g_option_context_parse (context, &argc, &argv, NULL))
        return 2;
    glp_term_out (GLP_OFF);
    g_test_add_func ("/planner/quality", test_quality);
    g_test_add_func ("/planner/speed", test_speed);
    return g_test_run ();
}
