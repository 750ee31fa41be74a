/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The agent on a made-up host whose kernel has the kvm subsystem: what it tells of a container's
 * usage is what kvm.stat says, and goes on when that comes and goes. */
#include "tests/unit/agent/plan-fixture.h"

#include <string.h>

#define DEADLINE_USEC (10 * G_USEC_PER_SEC)
#define FD 11

static const FakeRun one_run = { 7000, 300, 50, 21 };

static void
define (PlanFixture *f, const char *path)
{
    const char *name = strrchr (path, '/') + 1;
    g_autofree char *xml =
        g_strdup_printf ("<domain type='corral'><name>%s</name><resource><partition>%s</partition>"
                         "</resource><devices><member type='vm' name='%s*'/></devices></domain>",
                         name, path, name);
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_no_error (error);
    g_assert_true (corral_agent_define (f->agent, definition, &container, &error));
    g_assert_no_error (error);
    plan_fixture_start (f, name);
}

/* Of two vCPUs; @kvm: by KVM, else emulated */
static pid_t
start_vm (PlanFixture *f, const char *name, gboolean kvm)
{
    const pid_t pid = fake_kernel_spawn (f->kernel, 4);
    const pid_t tids[2] = { pid + 1, pid + 2 };

    if (kvm)
        fake_kernel_create_kvm (f->kernel, pid, FD, tids, 2);
    fake_inventory_put (corral_agent_inventory (f->agent), name, pid, tids, 2);
    plan_fixture_run (f);
    return pid;
}

static CorralAgentUsage
usage_of (PlanFixture *f, const char *name)
{
    g_autoptr (GError) error = NULL;
    CorralAgentUsage usage = { 0 };
    gboolean ok = corral_agent_get_usage (f->agent, name, &usage, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpuint (usage.guest_ns + usage.host_ns + usage.emulator_ns, ==, usage.total_ns);
    return usage;
}

/* Waits until answers are no more those of before. */
static void
assert_usage (PlanFixture *f, const char *name, guint64 runs, const char *source)
{
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;
    CorralAgentUsage usage = usage_of (f, name);

    while ((usage.exits != runs * one_run.exits || g_strcmp0 (usage.source, source) != 0) &&
           g_get_monotonic_time () < deadline)
        usage = usage_of (f, name);
    g_assert_cmpuint (usage.guest_ns, ==, runs * one_run.guest_usec * 1000);
    g_assert_cmpuint (usage.host_ns, ==, runs * one_run.host_usec * 1000);
    g_assert_cmpuint (usage.wait_ns, ==, runs * one_run.run_delay_usec * 1000);
    g_assert_cmpuint (usage.exits, ==, runs * one_run.exits);
    g_assert_true (usage.have_exits == (runs > 0 || strstr (source, "kernel") != NULL));
    g_assert_cmpstr (usage.source, ==, source);
}

static void
test_usage (PlanFixture *f, gconstpointer unused)
{
    pid_t pid;

    define (f, "/a");
    define (f, "/a/b");
    assert_usage (f, "b", 0, "kernel");
    pid = start_vm (f, "b1", TRUE);
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    fake_kernel_run (f->kernel, pid + 2, &one_run);
    fake_kernel_burn (f->kernel, pid, 900);
    assert_usage (f, "b", 2, "kernel");
    assert_usage (f, "a", 2, "kernel");
    g_assert_cmpuint (usage_of (f, "b").emulator_ns, ==, 900 * 1000);
    /* What it used since the last look is there after its end, too. */
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    plan_fixture_end (f, "b1", pid);
    assert_usage (f, "b", 3, "kernel");
    assert_usage (f, "a", 3, "kernel");
    start_vm (f, "b2", FALSE);
    assert_usage (f, "b", 3, "kernel+threads");
    define (f, "/c");
    assert_usage (f, "c", 0, "kernel");
}

static void
test_restart (PlanFixture *f, gconstpointer unused)
{
    const pid_t tids[2] = { 1001, 1002 };
    pid_t pid;

    define (f, "/a");
    pid = start_vm (f, "a1", TRUE);
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    assert_usage (f, "a", 1, "kernel");
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    plan_fixture_restart (f, TRUE);
    assert_usage (f, "a", 2, "kernel");
    g_assert_cmpint (pid, ==, tids[0] - 1);
    fake_inventory_put (corral_agent_inventory (f->agent), "a1", pid, tids, 2);
    plan_fixture_run (f);
    fake_kernel_run (f->kernel, pid + 2, &one_run);
    assert_usage (f, "a", 3, "kernel");
    /* Restarted while it is away: what was counted is not forgotten. */
    plan_fixture_end (f, "a1", pid);
    fake_kernel_set_kvm (f->kernel, FALSE);
    assert_usage (f, "a", 3, "threads");
    plan_fixture_restart (f, TRUE);
    assert_usage (f, "a", 3, "threads");
    fake_kernel_set_kvm (f->kernel, TRUE);
    assert_usage (f, "a", 3, "kernel");
}

/* KVM's module is unloaded and loaded, with nobody to tell us. */
static void
test_module (PlanFixture *f, gconstpointer unused)
{
    pid_t pid;

    define (f, "/a");
    define (f, "/a/b");
    for (guint round = 1; round <= 3; round++) {
        pid = start_vm (f, "b1", TRUE);
        fake_kernel_run (f->kernel, pid + 1, &one_run);
        assert_usage (f, "b", round, "kernel");
        assert_usage (f, "a", round, "kernel");
        plan_fixture_end (f, "b1", pid);
        fake_kernel_set_kvm (f->kernel, FALSE);
        /* In the second round nobody asks while it is away. */
        if (round != 2) {
            assert_usage (f, "b", round, "threads");
            assert_usage (f, "a", round, "threads");
        }
        fake_kernel_set_kvm (f->kernel, TRUE);
    }
}

/* Somebody else has turned it on: up to the moment when we see that, threads were counted by
 * themselves, so nothing of the time before is taken from it. */
static void
test_turned_on_by_others (PlanFixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;
    pid_t pid;

    fake_kernel_set_kvm (f->kernel, FALSE);
    define (f, "/a");
    assert_usage (f, "a", 0, "threads");
    fake_kernel_set_kvm (f->kernel, TRUE);
    g_assert_true (corral_container_enable_kvm (f->core, "/a", &error));
    g_assert_no_error (error);
    pid = fake_kernel_spawn (f->kernel, 4);
    g_assert_true (corral_container_add_process (f->core, "/a", pid, &error));
    g_assert_no_error (error);
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    assert_usage (f, "a", 0, "kernel");
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    assert_usage (f, "a", 1, "kernel");
    /* Also when we were not there. */
    plan_fixture_restart (f, TRUE);
    fake_kernel_run (f->kernel, pid + 1, &one_run);
    assert_usage (f, "a", 2, "kernel");
    fake_kernel_exit (f->kernel, pid);
}

/* A container that it cannot be had for is told of once, and counted as on a stock kernel. */
static void
test_refused (PlanFixture *f, gconstpointer unused)
{
    fake_kernel_set_kvm (f->kernel, FALSE);
    define (f, "/a");
    fake_kernel_set_kvm (f->kernel, TRUE);
    plan_fixture_fail_at (f, 1);
    for (guint i = 0; i < 3; i++)
        assert_usage (f, "a", 0, "threads");
    g_assert_nonnull (strstr (f->problems->str, "+kvm"));
    g_assert_null (strchr (strchr (f->problems->str, '\n') + 1, '\n'));
    g_string_truncate (f->problems, 0);
    plan_fixture_fail_at (f, 0);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
#define ADD(path, function)                                                                        \
    g_test_add (path, PlanFixture, GINT_TO_POINTER (FAKE_V2_KVM), plan_fixture_set_up, function,   \
                plan_fixture_tear_down)
    ADD ("/agent-kvm/usage", test_usage);
    ADD ("/agent-kvm/restart", test_restart);
    ADD ("/agent-kvm/module", test_module);
    ADD ("/agent-kvm/turned-on-by-others", test_turned_on_by_others);
    ADD ("/agent-kvm/refused", test_refused);
    return g_test_run ();
}
