/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes of somebody else on the real kernel, which nobody reads and no timer looks for: inotify
 * tells. */
#include "tests/unit/agent/agent-fixture.h"
#include "vmm-agent/agent/corral-agent-plan.h"
#include "vmm-agent/container/container-private.h"

#include <string.h>

#define PLANNED                                                                                    \
    "<corral:placement xmlns:corral='urn:corral:1' mode='shared' emulator='container' %s/>"        \
    "<corral:reserve xmlns:corral='urn:corral:1' vcpus='1'/>"
#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

typedef struct {
    char *path;
    CorralCpuset *planned, *other;
    GString *told; /* of drift, one line each */
} Planned;

static void
on_event (CorralAgent *agent, const CorralEvent *event, Planned *planned)
{
    if (event->type == CORRAL_EVENT_DRIFT)
        g_string_append_printf (planned->told, "%s\n", event->detail);
}

static CorralCpuset *
cpus_of (Fixture *f, const char *path)
{
    CorralCpuset *cpus = NULL;
    g_autoptr (GError) error = NULL;

    g_assert_true (corral_container_get_cpuset (f->core, path, &cpus, NULL, &error));
    g_assert_no_error (error);
    return cpus;
}

/* %FALSE: this machine has too few pCPUs for two sets. */
static gboolean
start (Fixture *f, const char *drift, Planned *planned)
{
    g_autofree char *extra = g_strdup_printf (PLANNED, drift);
    g_autoptr (CorralCpuset) mems = NULL;

    memset (planned, 0, sizeof *planned);
    planned->told = g_string_new (NULL);
    planned->path = fixture_path (f, "/web");
    g_assert_true (corral_container_core_host_cpus (f->core, &planned->other, &mems, NULL));
    if (hwloc_bitmap_weight (planned->other) < 2) {
        g_test_skip ("this machine has one CPU");
        return FALSE;
    }
    fixture_define_and_start (f, "web", "/web", extra);
    planned->planned = cpus_of (f, planned->path);
    hwloc_bitmap_andnot (planned->other, planned->other, planned->planned);
    g_assert_false (hwloc_bitmap_iszero (planned->other));
    g_signal_connect (f->agent, "event", G_CALLBACK (on_event), planned);
    return TRUE;
}

static void
stop (Fixture *f, Planned *planned)
{
    if (f->agent != NULL)
        g_signal_handlers_disconnect_by_data (f->agent, planned);
    g_free (planned->path);
    hwloc_bitmap_free (planned->planned);
    hwloc_bitmap_free (planned->other);
    g_string_free (planned->told, TRUE);
}

/* The kernel does not ask who writes. */
static void
write_other (Fixture *f, const Planned *planned)
{
    const char *file = corral_backend_of (f->core->cpuset)->cpus_file;
    g_autofree char *list = corral_cpuset_format (planned->other), *dir = NULL, *path = NULL;

    g_assert_true (corral_container_path_to_dir (planned->path, &dir, NULL));
    path = corral_dir_file (dir, file);
    g_assert_cmpint (corral_io_write (&f->core->io, &f->core->cpuset->tree, path, list), ==, 0);
}

static void
wait_told (const Planned *planned, const char *state)
{
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    while (strstr (planned->told->str, state) == NULL) {
        if (g_get_monotonic_time () > deadline)
            g_error ("expected \"%s\" in \"%s\"", state, planned->told->str);
        g_main_context_iteration (NULL, FALSE);
    }
}

static void
assert_has (Fixture *f, const Planned *planned, const CorralCpuset *expected)
{
    g_autoptr (CorralCpuset) now = cpus_of (f, planned->path);

    g_assert_true (hwloc_bitmap_isequal (now, expected));
}

static void
test_repaired (Fixture *f, gconstpointer unused)
{
    Planned planned;

    FIXTURE_CHECK (f);
    if (start (f, "drift='repair'", &planned)) {
        write_other (f, &planned);
        assert_has (f, &planned, planned.other);
        wait_told (&planned, "(repaired)");
        assert_has (f, &planned, planned.planned);
        /* The same again is found, and nobody is fought. */
        write_other (f, &planned);
        wait_told (&planned, "(waiting)");
        assert_has (f, &planned, planned.other);
    }
    stop (f, &planned);
}

static void
test_told (Fixture *f, gconstpointer unused)
{
    Planned planned;

    FIXTURE_CHECK (f);
    if (start (f, "", &planned)) {
        write_other (f, &planned);
        wait_told (&planned, "(open)");
        assert_has (f, &planned, planned.other);
        /* Our own writes are none of somebody else. */
        g_string_truncate (planned.told, 0);
        g_assert_true (corral_agent_apply (f->agent, 0, NULL));
        wait_told (&planned, "(gone)");
        assert_has (f, &planned, planned.planned);
        g_assert_null (strstr (planned.told->str, "(open)"));
    }
    stop (f, &planned);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    FIXTURE_ADD ("/drift/repaired", test_repaired);
    FIXTURE_ADD ("/drift/told", test_told);
    return g_test_run ();
}
