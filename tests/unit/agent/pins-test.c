/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pins that a plan of the last corrald has left on VMs. */
#include "tests/unit/agent/plan-fixture.h"

#include <string.h>

/* It leaves while corrald is down: what the last plan has pinned is known by the record, and what
 * somebody has pinned since then is not touched. */
static void
test_leave_while_down (PlanFixture *f, gconstpointer data)
{
    const char *xml = "<domain type='corral'><name>out</name><resource><partition>/out</partition>"
                      "</resource></domain>";
    CorralThread threads[3];
    CorralContainerVm described = { "guest", 0, threads, G_N_ELEMENTS (threads) };
    g_autofree char *place = NULL;
    g_autoptr (GError) error = NULL;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    plan_fixture_define_xml (f, xml);
    plan_fixture_start (f, "out");
    described.pid = fake_kernel_spawn (f->kernel, G_N_ELEMENTS (threads) + 2);
    for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
        threads[i] = (CorralThread){ described.pid + 1 + (pid_t) i, CORRAL_THREAD_VCPU, (int) i };
    /* It is there by its partition: no container names it. */
    g_assert_true (corral_container_attach (f->core, "/db", &described, &error));
    g_assert_no_error (error);
    plan_fixture_plug (f, "guest", described.pid, G_N_ELEMENTS (threads));
    place = plan_fixture_affinity (f, threads[0].tid);
    plan_fixture_assert_affinity (f, described.pid, "0-1");
    /* No main loop runs, so this is as good as down. */
    g_assert_true (corral_container_attach (f->core, "/out", &described, &error));
    g_assert_no_error (error);
    plan_fixture_assert_affinity (f, threads[0].tid, place);
    plan_fixture_pin (f, described.pid, threads[1].tid, "14-15");
    plan_fixture_restart (f, TRUE);
    plan_fixture_plug (f, "guest", described.pid, G_N_ELEMENTS (threads));
    plan_fixture_assert_affinity (f, threads[0].tid, "0-15");
    plan_fixture_assert_affinity (f, threads[2].tid, "0-15");
    plan_fixture_assert_affinity (f, described.pid, "0-15");
    plan_fixture_assert_affinity (f, threads[1].tid, "14-15");
    /* That was it: what looks like a pin of that plan is somebody's now. */
    plan_fixture_pin (f, described.pid, threads[0].tid, place);
    plan_fixture_restart (f, TRUE);
    plan_fixture_plug (f, "guest", described.pid, G_N_ELEMENTS (threads));
    plan_fixture_assert_affinity (f, threads[0].tid, place);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/pins/leave-while-down", test_leave_while_down);
    return g_test_run ();
}
