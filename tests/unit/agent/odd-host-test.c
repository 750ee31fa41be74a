/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans on hosts that are built otherwise than most. */
#include "tests/unit/agent/plan-fixture.h"

#include <string.h>

static void
set_topology (PlanFixture *f, const char *description)
{
    g_autoptr (CorralTopology) topology = NULL;
    g_autoptr (GError) error = NULL;

    topology = corral_topology_from_synthetic (description, &error);
    g_assert_no_error (error);
    corral_agent_set_topology (f->agent, topology);
    plan_fixture_run (f);
}

static void
assert_mems (PlanFixture *f, const char *path, const char *expected)
{
    g_autoptr (CorralCpuset) mems = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *list = NULL;

    g_assert_true (corral_container_get_cpuset (f->core, path, NULL, &mems, &error));
    g_assert_no_error (error);
    list = corral_cpuset_format (mems);
    g_assert_cmpstr (list, ==, expected);
}

/* The kernel has nodes 0 and 1; 2 and 3 have pCPUs and no memory, and are in no cpuset. */
static void
test_no_memory (PlanFixture *f, gconstpointer data)
{
    pid_t near, far, both;

    set_topology (f, "numanode:4 core:2 pu:2");
    plan_fixture_define (f, "near", "mode='dedicated'", "<vcpu placement='auto' cpuset='4-7'/>");
    plan_fixture_start (f, "near");
    near = plan_fixture_vm (f, "near1", 2);
    plan_fixture_assert_affinity (f, near + 1, "4");
    assert_mems (f, "/near", "1");
    plan_fixture_define (f, "far", "mode='dedicated'", "<vcpu placement='auto' cpuset='8-15'/>");
    plan_fixture_start (f, "far");
    far = plan_fixture_vm (f, "far1", 2);
    plan_fixture_assert_affinity (f, far + 1, "8");
    assert_mems (f, "/far", "0-1");
    plan_fixture_define (f, "both", "mode='dedicated'",
                         "<vcpu placement='auto' cpuset='6-7,12-15'/>");
    plan_fixture_start (f, "both");
    both = plan_fixture_vm (f, "both1", 6);
    plan_fixture_assert_affinity (f, both + 1, "6");
    plan_fixture_assert_affinity (f, both + 6, "15");
    assert_mems (f, "/both", "1");
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/odd-host/no-memory", test_no_memory);
    return g_test_run ();
}
