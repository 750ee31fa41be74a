/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel refuses half way has changed nothing: not in the kernel, not in memory, not on
 * disk. */
#include "tests/unit/agent/plan-fixture.h"

#include <string.h>

#define WRITES_MAX 200

static void
append_file (PlanFixture *f, GString *out, const char *name)
{
    g_autofree char *path = g_build_filename (f->folder, name, NULL), *text = NULL;

    if (g_file_get_contents (path, &text, NULL, NULL))
        g_string_append_printf (out, "%s: %s\n", name, text);
}

/* (transfer full): all that is known of the container "db" */
static char *
state_of (PlanFixture *f)
{
    const CorralContainer *container = corral_agent_lookup_name (f->agent, "db");
    g_autofree char *kernel = plan_fixture_kernel (f);
    GString *out = g_string_new (kernel);

    append_file (f, out, "etc/db.xml");
    append_file (f, out, "run/containers/db.xml");
    if (container->live != NULL) {
        g_autofree char *live = corral_definition_format (container->live, NULL);

        g_string_append (out, live);
    }
    if (container->config != NULL) {
        g_autofree char *config = corral_definition_format (container->config, NULL);

        g_string_append (out, config);
    }
    return g_string_free (out, FALSE);
}

typedef gboolean (*Change) (PlanFixture *f, GError **error);

/* Makes @change with one more write let through each time, until none fails. */
static void
fail_each_write (PlanFixture *f, Change change)
{
    g_autofree char *before = state_of (f), *at_last = NULL;
    guint n;

    for (n = 1; n < WRITES_MAX; n++) {
        g_autofree char *after = NULL;
        g_autoptr (GError) error = NULL;
        gboolean ok;

        plan_fixture_fail_at (f, n);
        ok = change (f, &error);
        plan_fixture_fail_at (f, 0);
        if (ok)
            break;
        g_assert_nonnull (error);
        after = state_of (f);
        g_assert_cmpstr (before, ==, after);
    }
    g_assert_cmpuint (n, >, 1);
    g_assert_cmpuint (n, <, WRITES_MAX);
    at_last = state_of (f);
    g_assert_cmpstr (before, !=, at_last);
}

static gboolean
define_elsewhere (PlanFixture *f, GError **error)
{
    static const char xml[] = "<domain type='corral' xmlns:corral='urn:corral:1'><name>db</name>"
                              "<vcpu placement='auto' cpuset='8-15'/>"
                              "<resource><partition>/db</partition></resource>"
                              "<corral:placement mode='dedicated' smt='isolate'/></domain>";
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container;

    g_assert_true (corral_definition_parse (xml, strlen (xml), &definition, NULL));
    return corral_agent_define (f->agent, definition, &container, error);
}

static gboolean
set_elsewhere (PlanFixture *f, GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL;

    g_assert_true (corral_cpuset_parse ("8-15", &cpus, NULL));
    return corral_agent_set_cpuset (f->agent, "db", cpus, CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG,
                                    error);
}

static void
start_db (PlanFixture *f)
{
    plan_fixture_define (f, "db", "mode='dedicated'", "");
    plan_fixture_start (f, "db");
    plan_fixture_vm (f, "db1", 2);
}

static void
test_define (PlanFixture *f, gconstpointer data)
{
    start_db (f);
    fail_each_write (f, define_elsewhere);
}

/* One that was never defined is transient as before. */
static void
test_define_transient (PlanFixture *f, gconstpointer data)
{
    g_autoptr (GError) error = NULL;

    start_db (f);
    g_assert_true (corral_agent_undefine (f->agent, "db", &error));
    g_assert_no_error (error);
    fail_each_write (f, define_elsewhere);
}

static void
test_set_cpuset (PlanFixture *f, gconstpointer data)
{
    start_db (f);
    fail_each_write (f, set_elsewhere);
}

/* A directory that was there before keeps what it had, also where that was its parent's. */
static void
test_adopt (PlanFixture *f, gconstpointer data)
{
    static const char xml[] = "<domain type='corral'><name>db</name><vcpu cpuset='2-3'/>"
                              "<cputune><shares>2048</shares></cputune>"
                              "<resource><partition>/db</partition></resource></domain>";
    static const char more_xml[] = "<domain type='corral'><name>web</name>"
                                   "<cputune><shares>2048</shares></cputune>"
                                   "<resource><partition>/web</partition></resource></domain>";
    g_autofree char *before = NULL, *after = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_create (f->core, "/db", NULL, NULL, &error));
    g_assert_true (corral_container_create (f->core, "/web", NULL, NULL, &error));
    g_assert_no_error (error);
    before = plan_fixture_kernel (f);
    f->fail_weights = TRUE;
    plan_fixture_define_xml (f, xml);
    plan_fixture_define_xml (f, more_xml);
    f->fail_weights = FALSE;
    after = plan_fixture_kernel (f);
    g_assert_cmpstr (before, ==, after);
    g_assert_nonnull (strstr (f->problems->str, "cannot set the weight"));
    g_string_truncate (f->problems, 0);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    plan_fixture_add ("/undo/define", test_define);
    plan_fixture_add ("/undo/define-transient", test_define_transient);
    plan_fixture_add ("/undo/set-cpuset", test_set_cpuset);
    plan_fixture_add ("/undo/adopt", test_adopt);
    return g_test_run ();
}
