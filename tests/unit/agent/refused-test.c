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
    return g_test_run ();
}
