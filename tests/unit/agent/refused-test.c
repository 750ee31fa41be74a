/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What runs and has no room: who is told not to fit, and that everybody can see it. */
#include "tests/unit/agent/plan-fixture.h"
#include "tests/unit/agent/plan-schema.h"

#include <string.h>

/* The last thing told, which is forgotten. */
static void
assert_problem (PlanFixture *f, const char *name)
{
    g_autofree char *expected =
        g_strdup_printf ("the VM \"%s\" cannot have the pCPUs it wishes for", name);

    if (strstr (f->problems->str, expected) == NULL)
        g_error ("expected \"%s\" in \"%s\"", expected, f->problems->str);
    g_string_truncate (f->problems, 0);
}

/* A vCPU too many is plugged behind our back: the VM that has it is the one that does not fit,
 * whatever the others are called. */
static void
grow (PlanFixture *f, const char *placement)
{
    g_autofree char *drift = NULL, *explain = NULL, *last_place = NULL;
    g_autoptr (GError) error = NULL;
    pid_t first, last;

    plan_fixture_define (f, "web", placement, "");
    plan_fixture_start (f, "web");
    last = plan_fixture_vm (f, "web9", 6);
    first = plan_fixture_vm (f, "web1", 8);
    last_place = plan_fixture_affinity (f, last + 6);
    g_assert_cmpstr (f->drift->str, ==, "");
    plan_fixture_plug (f, "web1", first, 9);
    assert_problem (f, "web1");
    g_assert_nonnull (strstr (f->drift->str, "the VM \"web1\" cannot have the pCPUs"));
    g_assert_nonnull (strstr (f->drift->str, "(open)"));
    plan_fixture_assert_affinity (f, last + 6, last_place);
    drift = corral_agent_drift_xml (f->agent, "/web", &error);
    g_assert_no_error (error);
    plan_schema_assert (drift);
    g_assert_nonnull (strstr (drift, "what='refused' container='/web' vm='web1'"));
    g_assert_nonnull (strstr (drift, "planned='9 vCPUs'"));
    explain = corral_agent_explain_xml (f->agent, "/web", &error);
    g_assert_no_error (error);
    plan_schema_assert (explain);
    g_assert_null (strstr (explain, "vm name='web9' refused='yes'"));
    /* Nothing is told twice, nor after another plan. */
    g_string_truncate (f->drift, 0);
    plan_fixture_plug (f, "web9", last, 6);
    g_free (corral_agent_drift_xml (f->agent, NULL, NULL));
    g_assert_cmpstr (f->problems->str, ==, "");
    g_assert_cmpstr (f->drift->str, ==, "");
    plan_fixture_plug (f, "web1", first, 8);
    g_assert_nonnull (strstr (f->drift->str, "(gone)"));
    g_assert_null (strstr (f->drift->str, "(open)"));
}

static void
test_grown_shared (PlanFixture *f, gconstpointer data)
{
    grow (f, "mode='shared' drift='repair'");
}

static void
test_grown_dedicated (PlanFixture *f, gconstpointer data)
{
    grow (f, "mode='dedicated' drift='repair'");
}

/* --- where it runs meanwhile --- */

/* The thread, and the next @n_more, may not run where a vCPU of the other VM does. */
static void
assert_apart (PlanFixture *f, pid_t stray, guint n_more, pid_t other, guint n_vcpus)
{
    for (guint i = 0; i <= n_more; i++)
        for (guint j = 1; j <= n_vcpus; j++) {
            g_autofree char *one = plan_fixture_affinity (f, stray + (pid_t) i);
            g_autofree char *two = plan_fixture_affinity (f, other + (pid_t) j);
            g_autoptr (CorralCpuset) a = NULL, b = NULL;

            g_assert_true (corral_cpuset_parse (one, &a, NULL));
            g_assert_true (corral_cpuset_parse (two, &b, NULL));
            g_assert_cmpint (hwloc_bitmap_weight (b), ==, 1);
            if (hwloc_bitmap_intersects (a, b))
                g_error ("thread %u of one may run on \"%s\", vCPU %u of the other on \"%s\"", i,
                         one, j - 1, two);
        }
}

static GStrv
affinities (PlanFixture *f, pid_t pid, guint n_vcpus)
{
    GStrv lists = g_new0 (char *, n_vcpus + 1);

    for (guint i = 0; i < n_vcpus; i++)
        lists[i] = plan_fixture_affinity (f, pid + 1 + (pid_t) i);
    return lists;
}

static void
assert_affinities (PlanFixture *f, pid_t pid, const char *const *lists)
{
    for (guint i = 0; lists[i] != NULL; i++)
        plan_fixture_assert_affinity (f, pid + 1 + (pid_t) i, lists[i]);
}

/* One vCPU too many: it goes to the housekeeping pCPUs, and all others stay. */
static void
test_stray_plugged (PlanFixture *f, gconstpointer data)
{
    g_auto (GStrv) first_places = NULL, last_places = NULL;
    g_autofree char *plan = NULL, *explain = NULL, *before = NULL, *after = NULL;
    g_autoptr (GError) error = NULL;
    pid_t first, last;

    plan_fixture_define (f, "web", "mode='dedicated' drift='repair'", "");
    plan_fixture_start (f, "web");
    last = plan_fixture_vm (f, "web9", 6);
    first = plan_fixture_vm (f, "web1", 8);
    first_places = affinities (f, first, 8);
    last_places = affinities (f, last, 6);
    plan_fixture_plug (f, "web1", first, 9);
    assert_problem (f, "web1");
    assert_affinities (f, first, (const char *const *) first_places);
    assert_affinities (f, last, (const char *const *) last_places);
    plan_fixture_assert_affinity (f, first + 9, "0-1");
    assert_apart (f, first, 9, last, 6);
    plan = corral_agent_plan_xml (f->agent, NULL, NULL, &error);
    g_assert_no_error (error);
    plan_schema_assert (plan);
    g_assert_nonnull (strstr (plan, "changed='no' moves='0' refused='1'"));
    g_assert_nonnull (strstr (plan, "<vcpu id='8' cpus='0-1' now='0-1'/>"));
    explain = corral_agent_explain_xml (f->agent, "/web", &error);
    g_assert_no_error (error);
    plan_schema_assert (explain);
    g_assert_nonnull (strstr (explain, "<reason rule='stray' cpus='0-1' nodes=''>"));
    g_assert_nonnull (strstr (explain, "meanwhile: 1 of 9<"));
    /* What somebody else makes of that is drift like any other. */
    plan_fixture_pin (f, first, first + 9, last_places[0]);
    fake_inventory_touch (corral_agent_inventory (f->agent), "web1");
    plan_fixture_assert_affinity (f, first + 9, "0-1");
    g_assert_nonnull (strstr (f->drift->str, "vCPU 8 of the VM \"web1\" has affinity"));
    /* A corrald that knows nothing yet finds the same. */
    before = plan_fixture_kernel (f);
    plan_fixture_restart (f, FALSE);
    plan_fixture_plug (f, "web9", last, 6);
    plan_fixture_plug (f, "web1", first, 9);
    assert_problem (f, "web1");
    after = plan_fixture_kernel (f);
    g_assert_true (g_str_equal (before, after));
    /* Room is made: it has a place of its own, and nobody else moves. */
    plan_fixture_end (f, "web9", last);
    assert_affinities (f, first, (const char *const *) first_places);
    assert_apart (f, first + 9, 0, first, 8);
    {
        g_autofree char *list = plan_fixture_affinity (f, first + 9);

        g_assert_cmpstr (list, !=, "0-1");
    }
}

/* A pCPU goes from under a vCPU, and there is no other: the same, until it is back. */
static void
test_stray_offline (PlanFixture *f, gconstpointer data)
{
    g_autoptr (CorralTopology) all = NULL, less = NULL;
    g_autoptr (CorralCpuset) online = NULL, gone = NULL;
    g_auto (GStrv) first_places = NULL, last_places = NULL;
    pid_t first, last;

    plan_fixture_define (f, "web", "mode='dedicated'", "");
    plan_fixture_start (f, "web");
    first = plan_fixture_vm (f, "web1", 6);
    last = plan_fixture_vm (f, "web9", 8);
    first_places = affinities (f, first, 6);
    last_places = affinities (f, last, 8);
    g_assert_true (corral_cpuset_parse (first_places[2], &gone, NULL));
    online = hwloc_bitmap_dup (corral_agent_get_topology (f->agent)->online);
    all = corral_topology_with_online (corral_agent_get_topology (f->agent), online);
    hwloc_bitmap_andnot (online, online, gone);
    less = corral_topology_with_online (all, online);
    corral_agent_set_topology (f->agent, less);
    plan_fixture_run (f);
    assert_problem (f, "web1");
    plan_fixture_assert_affinity (f, first + 3, "0-1");
    plan_fixture_assert_affinity (f, first + 2, first_places[1]);
    plan_fixture_assert_affinity (f, first + 4, first_places[3]);
    assert_affinities (f, last, (const char *const *) last_places);
    assert_apart (f, first, 6, last, 8);
    corral_agent_set_topology (f->agent, all);
    plan_fixture_run (f);
    assert_affinities (f, first, (const char *const *) first_places);
    assert_affinities (f, last, (const char *const *) last_places);
}

/* Housekeeping pCPUs are not among those of a partition: there a VM shares its own. */
static void
test_stray_partition (PlanFixture *f, gconstpointer data)
{
    g_autoptr (CorralCpuset) own = hwloc_bitmap_alloc ();
    g_auto (GStrv) first_places = NULL, last_places = NULL;
    g_autofree char *expected = NULL;
    pid_t first, last;

    plan_fixture_define (f, "web", "mode='dedicated' exclusive='root'", "");
    plan_fixture_start (f, "web");
    last = plan_fixture_vm (f, "web9", 6);
    first = plan_fixture_vm (f, "web1", 8);
    first_places = affinities (f, first, 8);
    last_places = affinities (f, last, 6);
    for (guint i = 0; first_places[i] != NULL; i++) {
        g_autoptr (CorralCpuset) one = NULL;

        g_assert_true (corral_cpuset_parse (first_places[i], &one, NULL));
        hwloc_bitmap_or (own, own, one);
    }
    expected = corral_cpuset_format (own);
    plan_fixture_plug (f, "web1", first, 9);
    assert_problem (f, "web1");
    assert_affinities (f, first, (const char *const *) first_places);
    assert_affinities (f, last, (const char *const *) last_places);
    plan_fixture_assert_affinity (f, first + 9, expected);
    assert_apart (f, first + 8, 1, last, 6);
    if (GPOINTER_TO_INT (data) == FAKE_V2)
        plan_fixture_assert_cpus (f, "/web", "2-15");
    g_assert_null (strstr (f->drift->str, "exclusive"));
    plan_fixture_end (f, "web9", last);
}

/* Whatever step fails, all is as before. */
static void
test_stray_all_or_none (PlanFixture *f, gconstpointer data)
{
    g_autofree char *place = NULL;
    pid_t first, last;
    guint failed;

    plan_fixture_define (f, "web", "mode='dedicated' emulator='container'", "");
    plan_fixture_start (f, "web");
    last = plan_fixture_vm (f, "web9", 6);
    first = plan_fixture_vm (f, "web1", 8);
    place = plan_fixture_affinity (f, last + 1);
    plan_fixture_plug (f, "web1", first, 9);
    assert_problem (f, "web1");
    plan_fixture_pin (f, first, first + 1, place);
    plan_fixture_pin (f, first, first + 9, place);
    failed = plan_fixture_apply_failing (f, 100);
    g_assert_cmpuint (failed, >, 1);
    plan_fixture_assert_affinity (f, first + 9, "0-1");
    assert_apart (f, first + 1, 8, last, 6);
}

/* Who wants to come in is refused, by his own name. */
static void
test_newcomer (PlanFixture *f, gconstpointer data)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "a new one", -1 };
    g_autofree char *before = NULL, *after = NULL;
    g_autoptr (GError) error = NULL;

    plan_fixture_define (f, "web", "mode='shared'", "");
    plan_fixture_start (f, "web");
    plan_fixture_vm (f, "web1", 8);
    plan_fixture_vm (f, "web2", 6);
    plan_fixture_vm (f, "a new one", 1);
    before = plan_fixture_kernel (f);
    g_assert_false (corral_agent_attach (f->agent, "web", &member, CORRAL_AFFECT_LIVE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED);
    g_assert_nonnull (strstr (error->message, "\"a new one\" cannot have"));
    g_assert_null (strstr (error->message, "\"web2\" cannot have"));
    after = plan_fixture_kernel (f);
    g_assert_cmpstr (before, ==, after);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/refused/grown/shared", test_grown_shared);
    plan_fixture_add ("/refused/grown/dedicated", test_grown_dedicated);
    plan_fixture_add ("/refused/newcomer", test_newcomer);
    plan_fixture_add ("/refused/stray/plugged", test_stray_plugged);
    plan_fixture_add ("/refused/stray/offline", test_stray_offline);
    plan_fixture_add ("/refused/stray/partition", test_stray_partition);
    plan_fixture_add ("/refused/stray/all-or-none", test_stray_all_or_none);
    return g_test_run ();
}
