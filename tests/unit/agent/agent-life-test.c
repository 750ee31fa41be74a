/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/agent-fixture.h"
#include "vmm-agent/agent/corral-store.h"

#include <glib/gstdio.h>
#include <string.h>

static guint
count_lives (Fixture *f)
{
    g_autofree char *folder = g_build_filename (f->state, "containers", NULL);
    g_autoptr (CorralStore) store = corral_store_new (folder);
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;

    g_assert_true (corral_store_list (store, &definitions, &broken, NULL));
    g_assert_cmpuint (broken->len, ==, 0);
    return definitions->len;
}

static void
test_life (Fixture *f, gconstpointer unused)
{
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;
    int id;

    FIXTURE_CHECK (f);
    fixture_define (f, "web", "/web", "<title>one</title>");
    g_assert_cmpint (fixture_kernel_state (f, "/web"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_false (fixture_is_active (f, "web"));
    fixture_start_container (f, "web");
    g_assert_cmpint (fixture_kernel_state (f, "/web"), ==, CORRAL_CONTAINER_WHOLE);
    container = corral_agent_lookup_name (f->agent, "web");
    id = container->id;
    g_assert_cmpint (id, >, 0);
    g_assert_true (corral_agent_lookup_id (f->agent, id) == container);
    g_assert_true (corral_agent_lookup_uuid (f->agent, container->live->uuid) == container);
    g_assert_cmpmem (container->live->uuid, 16, container->config->uuid, 16);
    g_assert_cmpuint (count_lives (f), ==, 1);
    g_assert_false (corral_agent_start_container (f->agent, "web", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    fixture_define (f, "web", "/web", "<title>two</title>");
    g_assert_cmpstr (container->live->title, ==, "one");
    g_assert_cmpstr (container->config->title, ==, "two");
    g_assert_true (corral_agent_undefine (f->agent, "web", &error));
    g_assert_null (container->config);
    g_assert_true (fixture_is_active (f, "web"));
    g_assert_false (corral_agent_undefine (f->agent, "web", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_true (corral_agent_destroy (f->agent, "web", &error));
    g_assert_null (corral_agent_lookup_name (f->agent, "web"));
    g_assert_cmpint (fixture_kernel_state (f, "/web"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_cmpuint (count_lives (f), ==, 0);
    g_assert_false (corral_agent_destroy (f->agent, "web", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    fixture_expect_events (f, "def:web on:web upd:web undef:web off:web");
}

static void
test_transient (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    definition = fixture_definition (f, "t", "/t", "");
    g_assert_true (corral_agent_create (f->agent, definition, &container, &error));
    g_assert_null (container->config);
    g_assert_false (corral_agent_create (f->agent, definition, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_false (corral_agent_set_autostart (f->agent, "t", TRUE, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    /* Defined while it runs, it outlives its destruction. */
    g_assert_true (corral_agent_define (f->agent, definition, &container, &error));
    g_assert_true (corral_agent_destroy (f->agent, "t", &error));
    g_assert_no_error (error);
    g_assert_nonnull (corral_agent_lookup_name (f->agent, "t"));
    fixture_expect_events (f, "on:t def:t off:t");
}

static void
test_unique (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) same_path = NULL, same_uuid = NULL, other_uuid = NULL,
                                 moved = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "a", "/a", "");
    same_path = fixture_definition (f, "b", "/a", "");
    g_assert_false (corral_agent_define (f->agent, same_path, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    g_assert_false (corral_agent_create (f->agent, same_path, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    same_uuid = fixture_definition (f, "c", "/c", "");
    memcpy (same_uuid->uuid, corral_agent_lookup_name (f->agent, "a")->config->uuid, 16);
    g_assert_false (corral_agent_define (f->agent, same_uuid, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    other_uuid = fixture_definition (f, "a", "/a", "");
    other_uuid->uuid[3] = 7;
    g_assert_false (corral_agent_define (f->agent, other_uuid, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    moved = fixture_definition (f, "a", "/elsewhere", "");
    g_assert_false (corral_agent_define (f->agent, moved, &container, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_true (corral_agent_destroy (f->agent, "a", &error));
    g_assert_true (corral_agent_define (f->agent, moved, &container, &error));
    g_assert_no_error (error);
}

static void
test_parents (Fixture *f, gconstpointer unused)
{
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define (f, "inner", "/outer/middle/inner", "");
    fixture_define (f, "outer", "/outer", "<cputune><shares>512</shares></cputune>");
    fixture_define (f, "bad", "/outer/bad", "<vcpu cpuset='8000'>1</vcpu>");
    g_string_truncate (f->events, 0);
    g_assert_false (corral_agent_start_container (f->agent, "bad", &error));
    g_assert_false (fixture_is_active (f, "outer"));
    g_assert_cmpint (fixture_kernel_state (f, "/outer"), ==, CORRAL_CONTAINER_ABSENT);
    g_assert_cmpuint (count_lives (f), ==, 0);
    fixture_expect_events (f, "on:outer off:outer");
    fixture_start_container (f, "inner");
    g_assert_true (fixture_is_active (f, "outer"));
    fixture_expect_events (f, "on:outer on:inner");
    g_clear_error (&error);
    g_assert_false (corral_agent_destroy (f->agent, "outer", &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY);
    g_assert_nonnull (strstr (error->message, "\"inner\""));
    g_assert_true (fixture_is_active (f, "outer"));
}

static void
test_watch (Fixture *f, gconstpointer unused)
{
    g_autofree char *web = NULL, *t = NULL;
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    web = fixture_path (f, "/web");
    t = fixture_path (f, "/t");
    fixture_define (f, "web", "/web", "<cputune><shares>512</shares></cputune>");
    definition = fixture_definition (f, "t", "/t", "");
    g_assert_true (corral_agent_create (f->agent, definition, &container, &error));
    fixture_expect_events (f, "def:web on:t");
    g_assert_true (corral_container_create (f->core, web, NULL, NULL, &error));
    fixture_wait_events (f, "on:web");
    g_assert_true (fixture_is_active (f, "web"));
    g_assert_true (corral_container_destroy (f->core, t, &error));
    fixture_wait_events (f, "off:t");
    g_assert_null (corral_agent_lookup_name (f->agent, "t"));
    g_assert_true (corral_container_destroy (f->core, web, &error));
    fixture_wait_events (f, "off:web");
    g_assert_false (fixture_is_active (f, "web"));
    g_assert_no_error (error);
    g_assert_cmpuint (count_lives (f), ==, 0);
}

static void
test_restart (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralDefinition) definition = NULL;
    g_autofree char *gone = NULL, *found = NULL;
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;
    guint8 uuid[16];
    int id;

    FIXTURE_CHECK (f);
    gone = fixture_path (f, "/gone");
    found = fixture_path (f, "/found");
    definition = fixture_definition (f, "t", "/t", "<title>live</title>");
    g_assert_true (corral_agent_create (f->agent, definition, &container, &error));
    fixture_define_and_start (f, "gone", "/gone", "");
    fixture_define (f, "found", "/found", "<cputune><shares>300</shares></cputune>");
    id = corral_agent_lookup_name (f->agent, "t")->id;
    memcpy (uuid, corral_agent_lookup_name (f->agent, "t")->live->uuid, 16);
    fixture_stop (f);
    g_assert_true (corral_container_destroy (f->core, gone, &error));
    g_assert_true (corral_container_create (f->core, found, NULL, NULL, &error));
    fixture_start (f);
    container = corral_agent_lookup_name (f->agent, "t");
    g_assert_nonnull (container);
    g_assert_null (container->config);
    g_assert_cmpint (container->id, ==, id);
    g_assert_cmpmem (container->live->uuid, 16, uuid, 16);
    g_assert_cmpstr (container->live->title, ==, "live");
    g_assert_false (fixture_is_active (f, "gone"));
    g_assert_true (fixture_is_active (f, "found"));
    g_assert_cmpuint (count_lives (f), ==, 2);
    if ((corral_container_core_features (f->core) & CORRAL_FEATURE_WEIGHT) != 0) {
        guint64 shares;

        g_assert_true (corral_container_get_weight (f->core, found, &shares, &error));
        g_assert_cmpuint (shares, >=, 280);
        g_assert_cmpuint (shares, <=, 320);
    }
}

static void
test_autostart (Fixture *f, gconstpointer unused)
{
    g_autofree char *marker = NULL;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    marker = g_build_filename (f->state, "autostarted", NULL);
    fixture_define (f, "inner", "/outer/inner", "");
    fixture_define (f, "outer", "/outer", "");
    fixture_define (f, "other", "/other", "");
    g_assert_true (corral_agent_set_autostart (f->agent, "inner", TRUE, &error));
    g_assert_true (corral_agent_lookup_name (f->agent, "inner")->autostart);
    fixture_restart (f);
    /* Not a boot: the state folder was kept. */
    g_assert_false (fixture_is_active (f, "inner"));
    g_assert_cmpint (g_unlink (marker), ==, 0);
    fixture_restart (f);
    g_assert_true (fixture_is_active (f, "inner"));
    g_assert_true (fixture_is_active (f, "outer"));
    g_assert_false (fixture_is_active (f, "other"));
}

static void
write_definition (Fixture *f, const char *file, const char *text)
{
    g_autofree char *path = g_build_filename (f->definitions, file, NULL);

    g_assert_cmpint (g_mkdir_with_parents (f->definitions, 0755), ==, 0);
    g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
test_broken_files (Fixture *f, gconstpointer unused)
{
    g_autofree char *xml = NULL, *live = NULL;
    guint8 uuid[16];

    FIXTURE_CHECK (f);
    xml = g_strdup_printf ("<domain type='corral'><name>b</name><resource><partition>%s/a"
                           "</partition></resource></domain>",
                           f->top);
    fixture_define_and_start (f, "a", "/a", "");
    fixture_stop (f);
    write_definition (f, "bad.xml", "<domain");
    write_definition (f, "b.xml", xml); /* a's partition */
    live = g_build_filename (f->state, "containers", "a.xml", NULL);
    g_assert_true (g_file_set_contents (live, "garbage", -1, NULL));
    fixture_start (f);
    fixture_expect_problems (f, 3);
    /* The kernel has it, and its definition is good: it goes on, with a fresh live copy. */
    g_assert_true (fixture_is_active (f, "a"));
    g_assert_null (corral_agent_lookup_name (f->agent, "b"));
    g_assert_cmpuint (count_lives (f), ==, 1);
    fixture_stop (f);
    g_free (xml);
    xml = g_strdup_printf ("<domain type='corral'><name>b</name><resource><partition>%s/b"
                           "</partition></resource></domain>",
                           f->top);
    write_definition (f, "b.xml", xml);
    fixture_start (f);
    fixture_expect_problems (f, 1);
    memcpy (uuid, corral_agent_lookup_name (f->agent, "b")->config->uuid, 16);
    fixture_restart (f);
    fixture_expect_problems (f, 1);
    /* A file without a UUID has the same one each time. */
    g_assert_cmpmem (corral_agent_lookup_name (f->agent, "b")->config->uuid, 16, uuid, 16);
}

static void
test_reload (Fixture *f, gconstpointer unused)
{
    g_autofree char *fresh = NULL, *removed = NULL, *text = NULL, *changed = NULL;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define (f, "kept", "/kept", "");
    fixture_define (f, "changed", "/changed", "<title>old</title>");
    fixture_define (f, "removed", "/removed", "");
    fixture_define (f, "broken", "/broken", "<title>before</title>");
    g_string_truncate (f->events, 0);
    fresh = g_strdup_printf ("<domain type='corral'><name>fresh</name><resource><partition>%s/fresh"
                             "</partition></resource></domain>",
                             f->top);
    write_definition (f, "fresh.xml", fresh);
    write_definition (f, "broken.xml", "<domain");
    removed = g_build_filename (f->definitions, "removed.xml", NULL);
    changed = g_build_filename (f->definitions, "changed.xml", NULL);
    g_assert_cmpint (g_unlink (removed), ==, 0);
    g_assert_true (g_file_get_contents (changed, &text, NULL, NULL));
    strstr (text, "old")[0] = 'O';
    write_definition (f, "changed.xml", text);
    g_assert_true (corral_agent_reload (f->agent, &error));
    fixture_expect_events (f, "undef:removed upd:changed def:fresh");
    fixture_expect_problems (f, 1);
    g_assert_cmpstr (corral_agent_lookup_name (f->agent, "changed")->config->title, ==, "Old");
    g_assert_cmpstr (corral_agent_lookup_name (f->agent, "broken")->config->title, ==, "before");
    g_assert_null (corral_agent_lookup_name (f->agent, "removed"));
    g_assert_true (corral_agent_reload (f->agent, &error));
    fixture_expect_events (f, "");
    fixture_expect_problems (f, 1);
}

static void
test_tune (Fixture *f, gconstpointer unused)
{
    const guint both = CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG;
    CorralCpuTune tune = CORRAL_CPU_TUNE_INIT, got;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define (f, "web", "/web", "<cputune><shares>512</shares></cputune>");
    g_assert_true (corral_agent_get_tune (f->agent, "web", 0, &got, &error));
    g_assert_cmpint (got.shares, ==, 512);
    g_assert_cmpint (got.period_usec, ==, 100000);
    g_assert_cmpint (got.quota_usec, ==, CORRAL_QUOTA_NONE);
    g_assert_cmpint (got.burst_usec, ==, 0);
    tune.quota_usec = 50000;
    g_assert_false (corral_agent_set_tune (f->agent, "web", &tune, both, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    fixture_start_container (f, "web");
    g_assert_true (corral_agent_set_tune (f->agent, "web", &tune, both, &error));
    g_assert_true (corral_agent_get_tune (f->agent, "web", CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_cmpint (got.quota_usec, ==, 50000);
    g_assert_cmpint (got.shares, ==, 512);
    g_assert_cmpint (corral_agent_lookup_name (f->agent, "web")->config->tune.quota_usec, ==,
                     50000);
    g_assert_cmpint (corral_agent_lookup_name (f->agent, "web")->live->tune.quota_usec, ==, 50000);
    fixture_expect_events (f, "def:web on:web tune:web");
    /* Nonsense changes nothing. */
    tune = (CorralCpuTune){ 1, -1, -1, -1 };
    g_assert_false (corral_agent_set_tune (f->agent, "web", &tune, both, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    /* A definition that cannot be saved: the kernel keeps its value. */
    write_definition (f, "web.xml", "<broken");
    tune = (CorralCpuTune){ 768, -1, CORRAL_QUOTA_NONE, -1 };
    g_assert_false (corral_agent_set_tune (f->agent, "web", &tune, both, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
    g_clear_error (&error);
    g_assert_true (corral_agent_get_tune (f->agent, "web", CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_cmpint (got.shares, ==, 512);
    g_assert_cmpint (got.quota_usec, ==, 50000);
    g_assert_true (corral_agent_set_tune (f->agent, "web", &tune, CORRAL_AFFECT_LIVE, &error));
    g_assert_true (corral_agent_get_tune (f->agent, "web", CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_cmpint (got.quota_usec, ==, CORRAL_QUOTA_NONE);
    g_assert_no_error (error);
    fixture_restart (f);
    fixture_expect_problems (f, 1);
    g_assert_cmpint (corral_agent_lookup_name (f->agent, "web")->live->tune.shares, ==, 768);
}

/* Nobody else sets the cap of a container whose VMs are promised a share; its weight is free. */
static void
test_tune_share (Fixture *f, gconstpointer unused)
{
    CorralCpuTune tune = CORRAL_CPU_TUNE_INIT;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define (f, "web", "/web",
                    "<vcpu placement='auto'/>"
                    "<corral:share xmlns:corral='urn:corral:1' percent='50'/>");
    tune.quota_usec = 50000;
    g_assert_false (corral_agent_set_tune (f->agent, "web", &tune, CORRAL_AFFECT_CONFIG, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_nonnull (strstr (error->message, "<corral:share>"));
    g_clear_error (&error);
    tune = (CorralCpuTune){ 768, -1, -1, -1 };
    g_assert_true (corral_agent_set_tune (f->agent, "web", &tune, CORRAL_AFFECT_CONFIG, &error));
    g_assert_no_error (error);
    fixture_restart (f);
    g_assert_cmpint (corral_agent_lookup_name (f->agent, "web")->config->tune.shares, ==, 768);
    g_assert_cmpuint (corral_agent_lookup_name (f->agent, "web")->config->placement.share_percent,
                      ==, 50);
}

static void
test_cpuset (Fixture *f, gconstpointer unused)
{
    const guint both = CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG;
    g_autoptr (CorralCpuset) one = hwloc_bitmap_alloc (), far = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) host = NULL, mems = NULL, got = NULL, after = NULL;
    g_autoptr (CorralDefinition) stored = NULL;
    g_autoptr (CorralStore) store = NULL;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    store = corral_store_new (f->definitions);
    g_assert_true (corral_container_core_host_cpus (f->core, &host, &mems, &error));
    hwloc_bitmap_set (one, (unsigned) hwloc_bitmap_first (host));
    hwloc_bitmap_set (far, 8000);
    fixture_define_and_start (f, "web", "/web", "");
    g_assert_true (corral_agent_set_cpuset (f->agent, "web", one, both, &error));
    g_assert_true (corral_agent_get_cpuset (f->agent, "web", CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_true (hwloc_bitmap_isequal (got, one));
    fixture_expect_events (f, "def:web on:web tune:web");
    g_assert_false (corral_agent_set_cpuset (f->agent, "web", far, both, &error));
    g_assert_true (corral_agent_get_cpuset (f->agent, "web", CORRAL_AFFECT_LIVE, &after, NULL));
    g_assert_true (hwloc_bitmap_isequal (after, one));
    /* The kernel refused, so the file is as it was. */
    g_assert_true (corral_store_load (store, "web", &stored, NULL));
    g_assert_true (hwloc_bitmap_isequal (stored->cpus, one));
    g_assert_true (hwloc_bitmap_isequal (corral_agent_lookup_name (f->agent, "web")->live->cpus,
                                         one));
}

static void
assert_cpus (Fixture *f, const char *name, const CorralCpuset *wanted)
{
    g_autoptr (CorralCpuset) got = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_agent_get_cpuset (f->agent, name, CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_true (hwloc_bitmap_isequal (got, wanted));
}

/* The parent of a container is narrowed and widened: one that names no pCPUs has the parent's
 * again, one that names some has those, also after a restart in between. */
static void
test_cpuset_of_parent (Fixture *f, gconstpointer unused)
{
    g_autoptr (CorralCpuset) host = NULL, mems = NULL, one = hwloc_bitmap_alloc ();
    g_autoptr (GError) error = NULL;
    g_autofree char *own = NULL;

    FIXTURE_CHECK (f);
    g_assert_true (corral_container_core_host_cpus (f->core, &host, &mems, &error));
    if (hwloc_bitmap_weight (host) < 2) {
        g_test_skip ("needs two pCPUs");
        return;
    }
    hwloc_bitmap_set (one, (unsigned) hwloc_bitmap_first (host));
    own = g_strdup_printf ("<vcpu cpuset='%d'>1</vcpu>", hwloc_bitmap_first (host));
    fixture_define_and_start (f, "p", "/p", "");
    fixture_define_and_start (f, "any", "/p/any", "");
    fixture_define_and_start (f, "own", "/p/own", own);
    g_assert_true (corral_agent_set_cpuset (f->agent, "p", one, CORRAL_AFFECT_LIVE, &error));
    assert_cpus (f, "any", one);
    assert_cpus (f, "own", one);
    fixture_restart (f);
    g_assert_true (corral_agent_set_cpuset (f->agent, "p", host, CORRAL_AFFECT_LIVE, &error));
    g_assert_no_error (error);
    assert_cpus (f, "any", host);
    assert_cpus (f, "own", one);
}

static void
test_mems (Fixture *f, gconstpointer unused)
{
    const guint both = CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG;
    g_autoptr (CorralCpuset) host = NULL, nodes = NULL, one = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) far = hwloc_bitmap_alloc (), got = NULL, after = NULL, cpus = NULL;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    g_assert_true (corral_container_core_host_cpus (f->core, &host, &nodes, &error));
    hwloc_bitmap_set (one, (unsigned) hwloc_bitmap_first (nodes));
    hwloc_bitmap_set (far, 1000);
    fixture_define_and_start (f, "web", "/web", "");
    g_assert_true (corral_agent_set_mems (f->agent, "web", one, both, &error));
    g_assert_true (corral_agent_get_mems (f->agent, "web", CORRAL_AFFECT_LIVE, &got, &error));
    g_assert_true (hwloc_bitmap_isequal (got, one));
    g_assert_true (hwloc_bitmap_isequal (corral_agent_lookup_name (f->agent, "web")->config->mems,
                                         one));
    g_assert_false (corral_agent_set_mems (f->agent, "web", far, both, &error));
    g_clear_error (&error);
    g_assert_true (corral_agent_get_mems (f->agent, "web", CORRAL_AFFECT_CONFIG, &after, &error));
    g_assert_true (hwloc_bitmap_isequal (after, one));
    g_assert_true (corral_agent_get_cpuset (f->agent, "web", CORRAL_AFFECT_LIVE, &cpus, &error));
    g_assert_true (hwloc_bitmap_isequal (cpus, host));
    fixture_expect_events (f, "def:web on:web");
}

static void
test_texts (Fixture *f, gconstpointer unused)
{
    const CorralContainer *container;
    g_autoptr (GError) error = NULL;

    FIXTURE_CHECK (f);
    fixture_define_and_start (f, "web", "/web", "");
    g_assert_true (corral_agent_set_text (f->agent, "web", CORRAL_TEXT_TITLE, NULL, NULL, "Front",
                                          CORRAL_AFFECT_LIVE, &error));
    g_assert_true (corral_agent_set_text (f->agent, "web", CORRAL_TEXT_METADATA, "urn:x", "x",
                                          "<a>1</a>", CORRAL_AFFECT_CONFIG, &error));
    g_assert_no_error (error);
    container = corral_agent_lookup_name (f->agent, "web");
    g_assert_cmpstr (container->live->title, ==, "Front");
    g_assert_null (container->config->title);
    g_assert_null (corral_definition_get_metadata (container->live, "urn:x"));
    g_assert_nonnull (corral_definition_get_metadata (container->config, "urn:x"));
    g_assert_false (corral_agent_set_text (f->agent, "web", CORRAL_TEXT_TITLE, NULL, NULL, "a\nb",
                                           CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    fixture_expect_events (f, "def:web on:web text:web text:web");
    fixture_restart (f);
    container = corral_agent_lookup_name (f->agent, "web");
    g_assert_cmpstr (container->live->title, ==, "Front");
    g_assert_nonnull (corral_definition_get_metadata (container->config, "urn:x"));
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    FIXTURE_ADD ("/agent/life", test_life);
    FIXTURE_ADD ("/agent/transient", test_transient);
    FIXTURE_ADD ("/agent/unique", test_unique);
    FIXTURE_ADD ("/agent/parents", test_parents);
    FIXTURE_ADD ("/agent/watch", test_watch);
    FIXTURE_ADD ("/agent/restart", test_restart);
    FIXTURE_ADD ("/agent/autostart", test_autostart);
    FIXTURE_ADD ("/agent/broken-files", test_broken_files);
    FIXTURE_ADD ("/agent/reload", test_reload);
    FIXTURE_ADD ("/agent/tune", test_tune);
    FIXTURE_ADD ("/agent/tune-share", test_tune_share);
    FIXTURE_ADD ("/agent/cpuset", test_cpuset);
    FIXTURE_ADD ("/agent/cpuset-of-parent", test_cpuset_of_parent);
    FIXTURE_ADD ("/agent/mems", test_mems);
    FIXTURE_ADD ("/agent/texts", test_texts);
    return g_test_run ();
}
