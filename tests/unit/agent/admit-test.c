/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who may start: what libvirt's hook asks before there is a QEMU, on made-up hosts. */
#include "tests/unit/agent/plan-fixture.h"
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include <string.h>

static char *
vm_xml (const char *name, const char *container, guint n_vcpus, const char *metadata)
{
    return g_strdup_printf ("<domain type='qemu'><name>%s</name><vcpu>%u</vcpu>%s"
                            "<resource><partition>/%s</partition></resource></domain>",
                            name, n_vcpus, metadata, container);
}

static gboolean
admit (PlanFixture *f, const char *name, const char *container, guint n_vcpus, GError **error)
{
    g_autofree char *xml = vm_xml (name, container, n_vcpus, "");
    gboolean ready, admitted = corral_agent_admit (f->agent, xml, strlen (xml), &ready, error);

    /* Whoever may start finds its container. */
    g_assert_cmpint (ready, ==, admitted);
    return admitted;
}

/* 14 pCPUs are there for VMs; a promise to one that does not run yet counts. */
static void
test_admit (PlanFixture *f, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *cpus = NULL;
    g_autoptr (CorralCpuset) set = NULL;
    pid_t vm;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    /* Nothing was started for one that is refused. */
    g_assert_false (admit (f, "db0", "db", 15, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    g_assert_null (corral_agent_lookup_name (f->agent, "db")->live);
    g_clear_error (&error);
    g_assert_true (admit (f, "db1", "db", 8, &error));
    g_assert_no_error (error);
    plan_fixture_run (f);
    cpus = plan_fixture_cpus (f, "/db");
    g_assert_true (corral_cpuset_parse (cpus, &set, NULL));
    g_assert_cmpint (hwloc_bitmap_weight (set), >=, 8);
    g_assert_false (admit (f, "db2", "db", 7, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    g_assert_nonnull (strstr (error->message, "db2"));
    g_clear_error (&error);
    corral_agent_release (f->agent, "db1");
    g_assert_true (admit (f, "db2", "db", 7, &error));
    g_assert_no_error (error);
    vm = plan_fixture_vm (f, "db2", 7);
    plan_fixture_assert_apart (f,
                               (const pid_t[]){ vm + 1, vm + 2, vm + 3, vm + 4, vm + 5, vm + 6,
                                                vm + 7 },
                               7);
    /* Its place is its own now, and not kept twice. */
    g_assert_true (admit (f, "db3", "db", 7, &error));
    g_assert_no_error (error);
    g_assert_false (admit (f, "db4", "db", 1, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
}

/* libvirtd was killed between the admission and the start: the place is not kept for ever. */
static void
test_admit_forgotten (PlanFixture *f, gconstpointer data)
{
    gint64 deadline = g_get_monotonic_time () + 20 * G_USEC_PER_SEC;
    g_autoptr (GError) error = NULL;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    f->agent->planner->pending_msec = 20;
    g_assert_true (admit (f, "db1", "db", 8, &error));
    g_assert_no_error (error);
    while (g_hash_table_size (f->agent->planner->pending) > 0) {
        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        g_main_context_iteration (NULL, TRUE);
    }
    plan_fixture_run (f);
    g_assert_true (admit (f, "db2", "db", 14, &error));
    g_assert_no_error (error);
}

static void
test_admit_wishes (PlanFixture *f, gconstpointer data)
{
    g_autofree char *isolated = vm_xml ("db1", "db", 7,
                                        "<metadata><corral:placement xmlns:corral='urn:corral:1' "
                                        "smt='isolate'/></metadata>");
    g_autofree char *broken = vm_xml ("db1", "db", 1,
                                      "<metadata><corral:placement xmlns:corral='urn:corral:1' "
                                      "smt='perhaps'/></metadata>");
    g_autofree char *elsewhere = vm_xml ("other", "elsewhere", 100, "");
    g_autoptr (GError) error = NULL;
    gboolean ready;

    plan_fixture_define (f, "db", "mode='dedicated'", "");
    g_assert_false (corral_agent_admit (f->agent, broken, strlen (broken), &ready, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_XML);
    g_clear_error (&error);
    /* 7 cores are left, whose siblings stay idle. */
    g_assert_true (corral_agent_admit (f->agent, isolated, strlen (isolated), &ready, &error));
    g_assert_no_error (error);
    g_assert_false (admit (f, "db2", "db", 1, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    /* It is nobody's business where unplanned ones go. */
    g_clear_error (&error);
    g_assert_true (corral_agent_admit (f->agent, elsewhere, strlen (elsewhere), &ready, &error));
    g_assert_no_error (error);
    g_assert_false (ready);
    corral_agent_release (f->agent, "other");
}

/* The first VM of a container that is not planned starts it, with what is above it. Where nothing
 * is defined only libvirt's default partition needs nobody to make it. */
static void
test_admit_unplanned (PlanFixture *f, gconstpointer data)
{
    static const char outer[] =
        "<domain type='corral'><name>outer</name><resource><partition>/outer"
        "</partition></resource></domain>";
    static const char inner[] =
        "<domain type='corral'><name>inner</name><resource><partition>/outer"
        "/inner</partition></resource></domain>";
    g_autofree char *left = vm_xml ("a", "machine", 1, ""), *below = vm_xml ("b", "outer/x", 1, "");
    g_autoptr (GError) error = NULL;
    gboolean ready;

    plan_fixture_define_xml (f, outer);
    plan_fixture_define_xml (f, inner);
    g_assert_true (corral_agent_admit (f->agent, left, strlen (left), &ready, &error));
    g_assert_true (ready);
    g_assert_true (corral_agent_admit (f->agent, below, strlen (below), &ready, &error));
    g_assert_false (ready);
    g_assert_null (corral_agent_lookup_name (f->agent, "outer")->live);
    for (guint i = 0; i < 2; i++) {
        g_assert_true (admit (f, "db1", "outer/inner", 100, &error));
        g_assert_no_error (error);
        g_assert_nonnull (corral_agent_lookup_name (f->agent, "outer")->live);
        g_assert_nonnull (corral_agent_lookup_name (f->agent, "inner")->live);
    }
}

static void
test_admit_shared (PlanFixture *f, gconstpointer data)
{
    g_autoptr (GError) error = NULL;

    plan_fixture_define (f, "web", "mode='shared' overcommit='2.0'", "");
    plan_fixture_start (f, "web");
    plan_fixture_vm (f, "web1", 2);
    g_assert_false (admit (f, "web2", "web", 100, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    g_clear_error (&error);
    g_assert_true (admit (f, "web2", "web", 2, &error));
    g_assert_no_error (error);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/admit/promised", test_admit);
    plan_fixture_add ("/admit/forgotten", test_admit_forgotten);
    plan_fixture_add ("/admit/wishes", test_admit_wishes);
    plan_fixture_add ("/admit/unplanned", test_admit_unplanned);
    plan_fixture_add ("/admit/shared", test_admit_shared);
    return g_test_run ();
}
