/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plan -> kernel: what the agent makes of the planner's word, on made-up hosts. */
#include "tests/unit/agent/plan-fixture.h"
#include "tests/unit/agent/plan-schema.h"

#include <string.h>

static void
test_dedicated (PlanFixture *f, gconstpointer data)
{
    pid_t first, second;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    first = plan_fixture_vm (f, "db1", 2);
    second = plan_fixture_vm (f, "db2", 4);
    plan_fixture_assert_apart (f,
                               (const pid_t[]){ first + 1, first + 2, second + 1, second + 2,
                                                second + 3, second + 4 },
                               6);
    /* the main thread and the one that is no vCPU */
    plan_fixture_assert_affinity (f, first, "0-1");
    plan_fixture_assert_affinity (f, first + 3, "0-1");
    plan_fixture_assert_affinity (f, second, "0-1");
    for (int i = 1; i <= 4; i++)
        g_assert_cmpint (plan_fixture_pcpu_of (f, second + i), >=, 2);
}

/* A vCPU whose place is the whole of its container stays there when the container grows. */
static void
test_grows (PlanFixture *f, gconstpointer data)
{
    g_autofree char *place = NULL;
    pid_t first, second;

    plan_fixture_define (f, "db", "mode='dedicated' emulator='container'", "");
    plan_fixture_start (f, "db");
    first = plan_fixture_vm (f, "db1", 1);
    place = plan_fixture_affinity (f, first + 1);
    second = plan_fixture_vm (f, "db2", 1);
    plan_fixture_assert_affinity (f, first + 1, place);
    plan_fixture_assert_apart (f, (const pid_t[]){ first + 1, second + 1 }, 2);
    fake_kernel_set_forgetful (f->kernel, TRUE);
    plan_fixture_vm (f, "db3", 3);
    plan_fixture_assert_affinity (f, first + 1, place);
}

static void
test_hotplug (PlanFixture *f, gconstpointer data)
{
    pid_t vm;
    int before;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 1);
    before = plan_fixture_pcpu_of (f, vm + 1);
    plan_fixture_plug (f, "db1", vm, 2);
    g_assert_cmpint (plan_fixture_pcpu_of (f, vm + 1), ==, before);
    plan_fixture_assert_apart (f, (const pid_t[]){ vm + 1, vm + 2 }, 2);
    plan_fixture_plug (f, "db1", vm, 1);
    g_assert_cmpint (plan_fixture_pcpu_of (f, vm + 1), ==, before);
}

static void
test_restart (PlanFixture *f, gconstpointer data)
{
    g_autofree char *before = NULL, *after = NULL;
    pid_t first;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    first = plan_fixture_vm (f, "db1", 3);
    before = plan_fixture_kernel (f);
    plan_fixture_restart (f, TRUE);
    fake_inventory_put (corral_agent_inventory (f->agent), "db1", first,
                        (const pid_t[]){ first + 1, first + 2, first + 3 }, 3);
    plan_fixture_run (f);
    after = plan_fixture_kernel (f);
    g_assert_cmpstr (before, ==, after);
}

static void
test_shared (PlanFixture *f, gconstpointer data)
{
    g_autofree char *first_list = NULL, *second_list = NULL;
    pid_t first, second;

    plan_fixture_define (f, "web", "mode='shared' overcommit='2.0'", "");
    plan_fixture_start (f, "web");
    first = plan_fixture_vm (f, "web1", 2);
    second = plan_fixture_vm (f, "web2", 2);
    first_list = plan_fixture_affinity (f, first + 1);
    second_list = plan_fixture_affinity (f, second + 2);
    g_assert_cmpstr (first_list, ==, second_list);
    g_assert_cmpstr (first_list, !=, "");
    plan_fixture_assert_affinity (f, first, "0-1");
}

static gint64
quota_of (PlanFixture *f, const char *path)
{
    CorralContainerCap cap;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cap (f->core, path, &cap, &error));
    g_assert_no_error (error);
    g_assert_cmpint (cap.period_usec, ==, 100000);
    return cap.quota_usec;
}

/* Each vCPU is promised half a pCPU, and each VM's helpers a fifth. */
static void
test_share (PlanFixture *f, gconstpointer data)
{
    gint64 helpers;
    pid_t first, second;

    plan_fixture_define (f, "web", "mode='shared' overcommit='2.0'",
                         "<corral:share percent='50' helpers='20'/>");
    plan_fixture_start (f, "web");
    first = plan_fixture_vm (f, "web1", 2);
    g_assert_cmpint (quota_of (f, "/web"), ==, 2 * 50000 + 20000);
    g_assert_true (corral_container_get_helpers_cap (f->core, first, &helpers));
    g_assert_cmpint (helpers, ==, 20000);
    second = plan_fixture_vm (f, "web2", 4);
    g_assert_cmpint (quota_of (f, "/web"), ==, 6 * 50000 + 2 * 20000);
    plan_fixture_end (f, "web1", first);
    g_assert_cmpint (quota_of (f, "/web"), ==, 4 * 50000 + 20000);
    plan_fixture_end (f, "web2", second);
    g_assert_cmpint (quota_of (f, "/web"), ==, -1);
}

/* What libvirt leaves of a VM for a while after its end: a group with its emulator's cap. */
static void
leave_behind (PlanFixture *f, const char *group, gint64 quota_usec)
{
    g_autofree char *emulator = g_strconcat (group, "/emulator", NULL);
    CorralContainerCap cap = { quota_usec, 100000, 0 };
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GError) error = NULL;
    CorralHierarchy *h = f->core->cpu;

    g_assert_true (corral_step_mkdir (f->core, h, group, NULL, undo, &error));
    g_assert_true (corral_step_mkdir (f->core, h, emulator, NULL, undo, &error));
    g_assert_true (corral_backend_of (h)->write_cap (f->core, h, emulator, &cap, undo, &error));
    g_assert_no_error (error);
}

/* A VM that has left is in nobody's way, whatever its helpers were promised; and one that is there
 * keeps what libvirt gave it. */
static void
test_share_left_behind (PlanFixture *f, gconstpointer data)
{
    const char *inner = "<domain type='corral' xmlns:corral='urn:corral:1'><name>in</name>"
                        "<resource><partition>/web/in</partition></resource>"
                        "<corral:placement mode='shared'/>"
                        "<corral:share percent='50' helpers='90'/>"
                        "<devices><member type='vm' name='in*'/></devices></domain>";
    g_autoptr (GError) error = NULL;
    gint64 helpers;
    pid_t one, two;

    plan_fixture_define (f, "web", "mode='shared'", "<corral:share percent='10' helpers='10'/>");
    plan_fixture_start (f, "web");
    plan_fixture_define_xml (f, inner);
    plan_fixture_start (f, "in");
    one = plan_fixture_vm (f, "web1", 1);
    two = plan_fixture_vm (f, "in1", 1);
    g_assert_cmpint (quota_of (f, "/web/in"), ==, 50000 + 90000);
    g_assert_cmpint (quota_of (f, "/web"), ==, 140000 + 20000);
    /* On v2 a child's cap may be larger. */
    if (f->core->cpu->version == 1)
        leave_behind (f, "web.partition/in.partition/qemu-7-gone.libvirt-qemu", 90000);
    plan_fixture_end (f, "in1", two);
    g_assert_cmpstr (f->problems->str, ==, "");
    g_assert_cmpint (quota_of (f, "/web/in"), ==, -1);
    g_assert_cmpint (quota_of (f, "/web"), ==, 20000);
    g_assert_true (corral_container_get_helpers_cap (f->core, one, &helpers));
    g_assert_cmpint (helpers, ==, 10000);
}

/* Whatever step fails, the kernel is as before, and the caller is told. */
static void
test_all_or_none (PlanFixture *f, gconstpointer data)
{
    guint failed = 0;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    plan_fixture_vm (f, "db1", 2);
    plan_fixture_define (f, "web", "mode='shared'", "<corral:reserve vcpus='4'/>");
    for (guint n = 1; n < 200; n++) {
        g_autofree char *before = plan_fixture_kernel (f), *after = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok;

        plan_fixture_fail_at (f, n);
        ok = corral_agent_start_container (f->agent, "web", &error);
        plan_fixture_fail_at (f, 0);
        plan_fixture_run (f);
        if (ok)
            break;
        failed++;
        after = plan_fixture_kernel (f);
        g_assert_cmpstr (before, ==, after);
        g_assert_false (corral_agent_lookup_name (f->agent, "web")->live != NULL);
    }
    g_assert_cmpuint (failed, >, 1);
    g_assert_nonnull (corral_agent_lookup_name (f->agent, "web")->live);
    g_string_truncate (f->problems, 0);
}

/* The same for an apply that has much to do: all that there is was changed by somebody else. */
static void
test_apply_all_or_none (PlanFixture *f, gconstpointer data)
{
    g_autofree char *cpus = NULL, *affinity = NULL;
    g_autoptr (CorralCpuset) other = NULL;
    g_autoptr (GError) error = NULL;
    guint failed;
    pid_t vm;

    plan_fixture_define (f, "web", "mode='shared'", "<corral:share percent='50' helpers='20'/>");
    plan_fixture_start (f, "web");
    vm = plan_fixture_vm (f, "web1", 2);
    cpus = plan_fixture_cpus (f, "/web");
    affinity = plan_fixture_affinity (f, vm + 1);
    g_assert_true (corral_cpuset_parse ("0-9", &other, NULL));
    g_assert_true (corral_container_set_cpuset (f->core, "/web", other, NULL, &error));
    g_assert_no_error (error);
    fake_kernel_set_affinity (f->kernel, vm, "1");
    plan_fixture_pin (f, vm, vm + 1, "0-1");
    g_assert_true (corral_container_set_cap (f->core, "/web",
                                             &(const CorralContainerCap){ 400000, 100000, 0 },
                                             &error));
    g_assert_no_error (error);
    failed = plan_fixture_apply_failing (f, 200);
    g_assert_cmpuint (failed, >, 3);
    plan_fixture_assert_cpus (f, "/web", cpus);
    plan_fixture_assert_affinity (f, vm, "0-1");
    plan_fixture_assert_affinity (f, vm + 1, affinity);
    plan_fixture_assert_affinity (f, vm + 2, affinity);
    g_assert_cmpint (quota_of (f, "/web"), ==, 2 * 50000 + 20000);
}

static void
test_generation (PlanFixture *f, gconstpointer data)
{
    guint64 first, second;
    g_autoptr (GError) error = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    first = corral_agent_get_generation (f->agent);
    g_assert_cmpuint (corral_agent_get_generation (f->agent), ==, first);
    vm = plan_fixture_vm (f, "db1", 2);
    second = corral_agent_get_generation (f->agent);
    g_assert_cmpuint (second, >, first);
    g_assert_false (corral_agent_apply (f->agent, first, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_true (corral_agent_apply (f->agent, second, &error));
    g_assert_no_error (error);
    /* What somebody else does makes a number, too; an apply sets it right. */
    second = corral_agent_get_generation (f->agent);
    plan_fixture_pin (f, vm, vm + 1, "0-1");
    g_assert_cmpuint (corral_agent_get_generation (f->agent), >, second);
    g_assert_true (corral_agent_apply (f->agent, 0, &error));
    g_assert_no_error (error);
    plan_fixture_assert_apart (f, (const pid_t[]){ vm + 1, vm + 2 }, 2);
}

static void
test_redefine (PlanFixture *f, gconstpointer data)
{
    g_autofree char *xml = g_strdup ("<domain type='corral' xmlns:corral='urn:corral:1'>"
                                     "<name>db</name><resource><partition>/db</partition>"
                                     "</resource><vcpu placement='auto' cpuset='4'/>"
                                     "<corral:placement mode='dedicated'/></domain>");
    g_autoptr (CorralDefinition) definition = NULL;
    g_autofree char *before = NULL, *after = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    before = plan_fixture_kernel (f);
    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, &error));
    g_assert_false (corral_agent_define (f->agent, definition, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    after = plan_fixture_kernel (f);
    g_assert_cmpstr (before, ==, after);
    g_assert_null (corral_agent_lookup_name (f->agent, "db")->config->cpus);
    /* Another mode is in force at once. */
    plan_fixture_define (f, "db", "mode='shared'", "");
    g_assert_cmpint (corral_agent_lookup_name (f->agent, "db")->live->placement.mode, ==,
                     CORRAL_MODE_SHARED);
    {
        g_autofree char *one = plan_fixture_affinity (f, vm + 1);
        g_autofree char *two = plan_fixture_affinity (f, vm + 2);

        g_assert_cmpstr (one, ==, two);
    }
}

static void
test_offline (PlanFixture *f, gconstpointer data)
{
    const CorralTopology *topology = corral_agent_get_topology (f->agent);
    g_autoptr (CorralCpuset) online = hwloc_bitmap_dup (topology->online);
    g_autoptr (CorralTopology) less = NULL;
    pid_t vm;
    int gone, kept;

    plan_fixture_define (f, "db", "mode='dedicated' drift='repair'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    gone = plan_fixture_pcpu_of (f, vm + 1);
    kept = plan_fixture_pcpu_of (f, vm + 2);
    hwloc_bitmap_clr (online, (unsigned) gone);
    less = corral_topology_with_online (topology, online);
    corral_agent_set_topology (f->agent, less);
    plan_fixture_run (f);
    g_assert_cmpint (plan_fixture_pcpu_of (f, vm + 1), !=, gone);
    g_assert_cmpint (plan_fixture_pcpu_of (f, vm + 2), ==, kept);
    plan_fixture_assert_apart (f, (const pid_t[]){ vm + 1, vm + 2 }, 2);
}

/* A VM that comes to a full container by a member's pattern is not taken in; it is said once. */
static void
test_claim_refused (PlanFixture *f, gconstpointer data)
{
    g_autofree char *path = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "<corral:limit vcpus='2'/>");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 3);
    g_assert_true (corral_container_of_process (f->core, vm, &path, NULL, NULL, NULL));
    g_assert_cmpstr (path, ==, NULL);
    g_assert_nonnull (strstr (f->problems->str, "db1"));
    g_string_truncate (f->problems, 0);
}

static void
test_leave (PlanFixture *f, gconstpointer data)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "db1", -1 };
    g_autoptr (GError) error = NULL;
    pid_t vm;

    plan_fixture_define (f, "outer", "mode='shared'", "");
    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    plan_fixture_start (f, "outer");
    vm = plan_fixture_vm (f, "db1", 2);
    plan_fixture_pcpu_of (f, vm + 1);
    g_assert_true (corral_agent_attach (f->agent, "outer", &member, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    {
        g_autofree char *one = plan_fixture_affinity (f, vm + 1);
        g_autofree char *two = plan_fixture_affinity (f, vm + 2);

        g_assert_cmpstr (one, ==, two);
        g_assert_null (strstr (f->problems->str, "db1"));
    }
}

/* It leaves before a corrald that has just started can plan, since another VM is not known yet: the
 * pins of the plan before that go as well. */
static void
test_leave_after_restart (PlanFixture *f, gconstpointer data)
{
    const char *xml = "<domain type='corral'><name>out</name><resource><partition>/out</partition>"
                      "</resource></domain>";
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "db1", -1 };
    g_autoptr (GError) error = NULL;
    pid_t first, second;
    int place;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    plan_fixture_define_xml (f, xml);
    plan_fixture_start (f, "out");
    first = plan_fixture_vm (f, "db1", 2);
    second = plan_fixture_vm (f, "db2", 2);
    place = plan_fixture_pcpu_of (f, first + 1);
    plan_fixture_restart (f, FALSE);
    plan_fixture_plug (f, "db1", first, 2);
    g_assert_true (corral_agent_attach (f->agent, "out", &member, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    g_assert_cmpint (plan_fixture_pcpu_of (f, first + 1), ==, place);
    plan_fixture_plug (f, "db2", second, 2);
    plan_fixture_assert_affinity (f, first + 1, "0-15");
    plan_fixture_assert_affinity (f, first + 2, "0-15");
    plan_fixture_assert_affinity (f, first, "0-15");
    plan_fixture_pcpu_of (f, second + 1);
}

static void
test_documents (PlanFixture *f, gconstpointer data)
{
    g_autofree char *plan = NULL, *explain = NULL, *drift = NULL, *dry = NULL;
    g_autoptr (CorralDefinition) candidate = NULL;
    g_autoptr (GError) error = NULL;
    const char *xml = "<domain type='corral' xmlns:corral='urn:corral:1'><name>big</name>"
                      "<corral:placement mode='dedicated'/><corral:reserve vcpus='64'/></domain>";
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    plan = corral_agent_plan_xml (f->agent, NULL, NULL, &error);
    g_assert_no_error (error);
    plan_schema_assert (plan);
    g_assert_nonnull (strstr (plan, "changed='no' moves='0' refused='0'"));
    explain = corral_agent_explain_xml (f->agent, "/db", &error);
    g_assert_no_error (error);
    plan_schema_assert (explain);
    g_assert_nonnull (strstr (explain, "rule='housekeeping'"));
    g_assert_true (corral_definition_parse (xml, strlen (xml), &candidate, &error));
    g_assert_no_error (error);
    dry = corral_agent_plan_xml (f->agent, candidate, NULL, &error);
    g_assert_no_error (error);
    plan_schema_assert (dry);
    g_assert_nonnull (strstr (dry, "<refused container='/machine/big'>"));
    plan_fixture_pin (f, vm, vm + 1, "0-1");
    drift = corral_agent_drift_xml (f->agent, NULL, &error);
    g_assert_no_error (error);
    plan_schema_assert (drift);
    g_assert_nonnull (strstr (drift, "what='affinity' container='/db' vm='db1'"));
    g_clear_pointer (&plan, g_free);
    plan = corral_agent_plan_xml (f->agent, NULL, NULL, &error);
    plan_schema_assert (plan);
    g_assert_nonnull (strstr (plan, "changed='yes'"));
}

static const CorralCapacity *
capacity_of (PlanFixture *f, guint64 *ret_generation)
{
    g_autoptr (GError) error = NULL;
    const CorralCapacity *capacity = corral_agent_capacity (f->agent, ret_generation, &error);

    g_assert_no_error (error);
    g_assert_cmpstr (capacity->rows[0].name, ==, "host");
    return capacity;
}

/* An answer holds as long as nothing has changed. */
static void
test_capacity (PlanFixture *f, gconstpointer data)
{
    const CorralCapacityRow *last;
    guint64 before, after;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    last = capacity_of (f, &before)->rows;
    g_assert_cmpint (last->largest_dedicated, ==, 14);
    g_assert_true (capacity_of (f, &after)->rows == last);
    g_assert_cmpuint (after, ==, before);
    vm = plan_fixture_vm (f, "db1", 4);
    g_assert_cmpint (capacity_of (f, &after)->rows[0].largest_dedicated, ==, 10);
    g_assert_cmpuint (after, >, before);
    plan_fixture_define (f, "db", "mode='dedicated' smt='isolate'", "");
    g_assert_cmpint (capacity_of (f, &after)->rows[0].largest_dedicated, ==, 6);
    plan_fixture_end (f, "db1", vm);
    g_assert_cmpint (capacity_of (f, &after)->rows[0].largest_dedicated, ==, 14);
    {
        const CorralTopology *topology = corral_agent_get_topology (f->agent);
        g_autoptr (CorralCpuset) online = hwloc_bitmap_dup (topology->online);
        g_autoptr (CorralTopology) less = NULL;

        hwloc_bitmap_clr (online, 15);
        less = corral_topology_with_online (topology, online);
        corral_agent_set_topology (f->agent, less);
        plan_fixture_run (f);
    }
    g_assert_cmpint (capacity_of (f, &after)->rows[0].largest_dedicated, ==, 13);
}

/* --- drift --- */

static void
test_drift_reported (PlanFixture *f, gconstpointer data)
{
    pid_t vm;
    int planned;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    planned = plan_fixture_pcpu_of (f, vm + 1);
    plan_fixture_pin (f, vm, vm + 1, "0-1");
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    g_assert_nonnull (strstr (f->drift->str, "vCPU 0 of the VM \"db1\" has affinity \"0-1\""));
    g_assert_nonnull (strstr (f->drift->str, "(open)"));
    plan_fixture_assert_affinity (f, vm + 1, "0-1");
    /* Told once; and another VM's plan does not undo what somebody wanted. */
    g_string_truncate (f->drift, 0);
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    g_assert_cmpstr (f->drift->str, ==, "");
    plan_fixture_vm (f, "db2", 2);
    plan_fixture_assert_affinity (f, vm + 1, "0-1");
    {
        g_autofree char *list = g_strdup_printf ("%d", planned);

        plan_fixture_pin (f, vm, vm + 1, list);
    }
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    g_assert_nonnull (strstr (f->drift->str, "(gone)"));
}

static void
test_drift_repaired (PlanFixture *f, gconstpointer data)
{
    g_autofree char *planned = NULL, *cpus = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    g_autoptr (GError) error = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated' drift='repair'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    planned = plan_fixture_affinity (f, vm + 1);
    cpus = plan_fixture_cpus (f, "/db");
    plan_fixture_pin (f, vm, vm + 1, "0-1");
    fake_kernel_set_affinity (f->kernel, vm, "1");
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    plan_fixture_assert_affinity (f, vm + 1, planned);
    plan_fixture_assert_affinity (f, vm, "0-1");
    g_assert_nonnull (strstr (f->drift->str, "(repaired)"));
    /* a foreign write to the container's cpuset */
    g_assert_true (corral_cpuset_parse ("8-9", &two, NULL));
    g_assert_true (corral_container_set_cpuset (f->core, "/db", two, NULL, &error));
    g_assert_no_error (error);
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    plan_fixture_assert_cpus (f, "/db", cpus);
    plan_fixture_assert_affinity (f, vm + 1, planned);
}

/* Somebody undoes each repair. He is told of, and not fought. */
static void
test_drift_fighter (PlanFixture *f, gconstpointer data)
{
    g_autofree char *drift = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated' drift='repair'", "");
    plan_fixture_start (f, "db");
    vm = plan_fixture_vm (f, "db1", 2);
    for (guint i = 0; i < 200; i++) {
        plan_fixture_pin (f, vm, vm + 1, "0-1");
        fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    }
    plan_fixture_assert_affinity (f, vm + 1, "0-1");
    drift = corral_agent_drift_xml (f->agent, NULL, NULL);
    plan_schema_assert (drift);
    g_assert_nonnull (strstr (drift, "state='waiting'"));
    /* one at once, and others only with time between them */
    g_assert_true (strstr (drift, "repairs='1'") != NULL || strstr (drift, "repairs='2'") != NULL ||
                   strstr (drift, "repairs='3'") != NULL);
    {
        g_auto (GStrv) lines = g_strsplit (f->drift->str, "\n", -1);

        g_assert_cmpuint (g_strv_length (lines), <, 16);
    }
}

static CorralContainerPartition
partition_of (PlanFixture *f, const char *path)
{
    CorralContainerPartition partition;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_partition (f->core, path, &partition, NULL, &error));
    g_assert_no_error (error);
    return partition;
}

/* pCPUs of its own by the kernel's word, where it has one; the helpers then stay among them. */
static void
test_exclusive (PlanFixture *f, gconstpointer data)
{
    gboolean v2 = GPOINTER_TO_INT (data) == FAKE_V2;
    CorralContainerPartition wanted = v2 ? CORRAL_PARTITION_ROOT : CORRAL_PARTITION_MEMBER;
    g_autoptr (GError) error = NULL;
    pid_t first;

    plan_fixture_define (f, "db", "mode='dedicated' exclusive='root' drift='repair'", "");
    plan_fixture_start (f, "db");
    first = plan_fixture_vm (f, "db1", 2);
    plan_fixture_vm (f, "db2", 2);
    g_assert_cmpint (partition_of (f, "/db"), ==, wanted);
    plan_fixture_pcpu_of (f, first + 1);
    {
        g_autofree char *cpus = plan_fixture_cpus (f, "/db");
        g_autofree char *helpers = plan_fixture_affinity (f, first);

        g_assert_true (g_str_has_prefix (cpus, "0-") != v2);
        g_assert_true (g_str_equal (helpers, "0-1") != v2);
    }
    g_assert_cmpstr (f->drift->str, ==, "");
    if (!v2)
        return;
    /* Somebody makes it share them. */
    g_assert_true (corral_container_set_partition (f->core, "/db", CORRAL_PARTITION_MEMBER,
                                                   &error));
    g_assert_no_error (error);
    fake_inventory_touch (corral_agent_inventory (f->agent), "db1");
    g_assert_nonnull (strstr (f->drift->str, "has exclusive \"none\", its plan is \"root\""));
    g_assert_cmpint (partition_of (f, "/db"), ==, CORRAL_PARTITION_ROOT);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/plan/dedicated", test_dedicated);
    plan_fixture_add ("/plan/grows", test_grows);
    plan_fixture_add ("/plan/hotplug", test_hotplug);
    plan_fixture_add ("/plan/restart", test_restart);
    plan_fixture_add ("/plan/shared", test_shared);
    plan_fixture_add ("/plan/share", test_share);
    plan_fixture_add ("/plan/share/left-behind", test_share_left_behind);
    plan_fixture_add ("/plan/all-or-none", test_all_or_none);
    plan_fixture_add ("/plan/apply-all-or-none", test_apply_all_or_none);
    plan_fixture_add ("/plan/generation", test_generation);
    plan_fixture_add ("/plan/redefine", test_redefine);
    plan_fixture_add ("/plan/offline", test_offline);
    plan_fixture_add ("/plan/claim-refused", test_claim_refused);
    plan_fixture_add ("/plan/leave", test_leave);
    plan_fixture_add ("/plan/leave-after-restart", test_leave_after_restart);
    plan_fixture_add ("/plan/documents", test_documents);
    plan_fixture_add ("/plan/capacity", test_capacity);
    plan_fixture_add ("/plan/exclusive", test_exclusive);
    plan_fixture_add ("/plan/drift/reported", test_drift_reported);
    plan_fixture_add ("/plan/drift/repaired", test_drift_repaired);
    plan_fixture_add ("/plan/drift/fighter", test_drift_fighter);
    return g_test_run ();
}
