/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The threads of a VM that are no vCPUs: pinned, capped and let go, on each kind of host; and each
 * step of it made to fail. */
#include "tests/unit/container/host.h"

#include <errno.h>
#include <string.h>

/* A process of 4 threads: 0 the main one, 1 and 2 vCPUs, 3 an I/O thread. */
typedef struct {
    Host *host;
    char *path;
    Vm *vm;
    CorralThread threads[8];
    CorralContainerVm described;
    char *lists[2]; /* the host's two pCPUs */
    char *both;
} Case;

static gboolean
case_open (Case *c, gconstpointer kind)
{
    g_autoptr (CorralCpuset) set = NULL;
    g_autoptr (GError) error = NULL;

    *c = (Case){ .host = host_new (GPOINTER_TO_INT (kind)) };
    if (c->host == NULL)
        return FALSE;
    c->path = host_path (c->host, "a");
    set = hwloc_bitmap_alloc ();
    hwloc_bitmap_set (set, c->host->cpu[0]);
    hwloc_bitmap_set (set, c->host->cpu[1]);
    c->both = corral_cpuset_format (set);
    c->lists[0] = host_one (c->host->cpu[0]);
    c->lists[1] = host_one (c->host->cpu[1]);
    g_assert_true (corral_container_create (c->host->core, c->path, set, NULL, &error));
    g_assert_no_error (error);
    c->vm = host_spawn (c->host, 4);
    c->described = host_vm (c->vm, c->threads);
    g_assert_true (corral_container_attach (c->host->core, c->path, &c->described, &error));
    g_assert_no_error (error);
    return TRUE;
}

static void
case_close (Case *c)
{
    g_free (c->path);
    g_free (c->both);
    g_free (c->lists[0]);
    g_free (c->lists[1]);
    host_free (c->host);
}

static void
assert_affinities (Case *c, const char *main, const char *first, const char *second, const char *io)
{
    const char *const expected[] = { main, first, second, io };

    for (guint i = 0; i < G_N_ELEMENTS (expected); i++) {
        g_autofree char *list = host_affinity (c->host, c->vm->tids[i]);
        g_autoptr (CorralCpuset) read = NULL;
        g_autofree char *read_list = NULL;

        g_assert_cmpstr (list, ==, expected[i]);
        g_assert_true (corral_container_get_affinity (c->host->core, c->vm->tids[i], &read, NULL));
        read_list = corral_cpuset_format (read);
        g_assert_cmpstr (read_list, ==, expected[i]);
    }
}

static void
test_pin (gconstpointer kind)
{
    g_autoptr (CorralCpuset) first = NULL, second = NULL, none = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) stray = NULL;
    g_autoptr (GError) error = NULL;
    gboolean unpinned;
    pid_t tid;
    Case c;

    if (!case_open (&c, kind))
        return;
    first = host_set (c.lists[0]);
    second = host_set (c.lists[1]);
    g_assert_true (corral_container_pin_thread (c.host->core, c.vm->pid, c.vm->tids[1], second,
                                                &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_pin_helpers (c.host->core, &c.described, first, &error));
    g_assert_no_error (error);
    assert_affinities (&c, c.lists[0], c.lists[1], c.both, c.lists[0]);
    g_assert_false (corral_container_helpers_stray (c.host->core, &c.described, first, &tid,
                                                    &stray));
    host_set_affinity (c.host, c.vm->tids[0], first);
    g_assert_true (corral_container_helpers_stray (c.host->core, &c.described, second, &tid,
                                                   &stray));
    g_assert_true (tid == c.vm->tids[0] || tid == c.vm->tids[3]);
    g_assert_false (corral_container_pin_helpers (c.host->core, &c.described, none, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    unpinned = corral_container_unpin_helpers (c.host->core, &c.described, &error);
    g_assert_no_error (error);
    g_assert_true (unpinned);
    assert_affinities (&c, c.both, c.lists[1], c.both, c.both);
    g_assert_true (corral_container_unpin_thread (c.host->core, c.vm->pid, c.vm->tids[1], &error));
    g_assert_no_error (error);
    assert_affinities (&c, c.both, c.both, c.both, c.both);
    /* Let go, they follow the container: down, and up again. */
    g_assert_true (corral_container_set_cpuset (c.host->core, c.path, first, NULL, &error));
    g_assert_no_error (error);
    assert_affinities (&c, c.lists[0], c.lists[0], c.lists[0], c.lists[0]);
    case_close (&c);
}

/* A vCPU that is unplugged, and whose thread has not ended: it is in nobody's way. */
static void
test_leaving (gconstpointer kind)
{
    g_autoptr (CorralCpuset) first = NULL, second = NULL, stray = NULL;
    g_autoptr (GError) error = NULL;
    CorralContainerVm rest;
    CorralThread threads[8];
    pid_t tid;
    Case c;

    if (!case_open (&c, kind))
        return;
    first = host_set (c.lists[0]);
    second = host_set (c.lists[1]);
    g_assert_true (corral_container_pin_thread (c.host->core, c.vm->pid, c.vm->tids[2], second,
                                                &error));
    g_assert_no_error (error);
    rest = c.described;
    rest.threads = threads;
    rest.n_threads = 0;
    for (gsize i = 0; i < c.described.n_threads; i++)
        if (c.described.threads[i].tid != c.vm->tids[2])
            threads[rest.n_threads++] = c.described.threads[i];
    g_assert_true (corral_container_pin_helpers (c.host->core, &rest, first, &error));
    g_assert_no_error (error);
    assert_affinities (&c, c.lists[0], c.both, c.lists[1], c.lists[0]);
    g_assert_false (corral_container_helpers_stray (c.host->core, &rest, first, &tid, &stray));
    case_close (&c);
}

static void
test_cap (gconstpointer kind)
{
    g_autoptr (GError) error = NULL;
    gint64 quota = 0;
    Case c;

    if (!case_open (&c, kind))
        return;
    g_assert_true (corral_container_get_helpers_cap (c.host->core, c.vm->pid, &quota));
    g_assert_cmpint (quota, ==, -1);
    /* in two directories: the emulator's and the I/O thread's */
    g_assert_true (corral_container_cap_helpers (c.host->core, &c.described, 30000, &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_get_helpers_cap (c.host->core, c.vm->pid, &quota));
    g_assert_cmpint (quota, ==, 30000);
    g_assert_true (corral_container_cap_helpers (c.host->core, &c.described, -1, &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_get_helpers_cap (c.host->core, c.vm->pid, &quota));
    g_assert_cmpint (quota, ==, -1);
    case_close (&c);
}

/* The largest cap there is, left in a group of v1, is in the way of a smaller one with the longest
 * period. */
static void
test_lift (gconstpointer kind)
{
    const gint64 most = (G_GINT64_CONSTANT (1) << 44) - 1;
    const CorralContainerCap cap = { 50000, 1000000, 0 };
    g_autoptr (GHashTable) keep = g_hash_table_new (g_str_hash, g_str_equal);
    g_autoptr (GError) error = NULL;
    gint64 quota = 0;
    Case c;

    if (!case_open (&c, kind))
        return;
    g_assert_true (corral_container_cap_helpers (c.host->core, &c.described, 2 * most, &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_lift_caps (c.host->core, c.path, &cap, keep, &error));
    g_assert_no_error (error);
    g_assert_true (corral_container_get_helpers_cap (c.host->core, c.vm->pid, &quota));
    g_assert_cmpint (quota, ==, c.host->core->cpu->version == 1 ? -1 : 2 * most);
    case_close (&c);
}

static gboolean
change (Case *c, guint which, const CorralCpuset *cpus, GError **error)
{
    switch (which) {
    case 0:
        return corral_container_pin_helpers (c->host->core, &c->described, cpus, error);
    case 1:
        return corral_container_cap_helpers (c->host->core, &c->described, 20000, error);
    default:
        return corral_container_unpin_helpers (c->host->core, &c->described, error);
    }
}

/* In this order each of the three has something to do. */
static void
test_fault (gconstpointer kind)
{
    g_autoptr (CorralCpuset) first = NULL;
    Case c;

    if (!case_open (&c, kind))
        return;
    first = host_set (c.lists[0]);
    for (guint which = 0; which < 3; which++) {
        guint failed = 0;

        for (guint n = 1;; n++) {
            g_autofree char *before = host_snapshot (c.host), *after = NULL;
            g_autoptr (GError) error = NULL;

            host_fail_at (c.host, n, EIO);
            if (change (&c, which, first, &error)) {
                host_fail_at (c.host, 0, 0);
                break;
            }
            host_fail_at (c.host, 0, 0);
            failed++;
            after = host_snapshot (c.host);
            g_assert_cmpstr (before, ==, after);
        }
        g_assert_cmpuint (failed, >, 0);
    }
    case_close (&c);
}

static void
test_ended (void)
{
    g_autoptr (CorralContainerCore) core = NULL;
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (GError) error = NULL;
    FakeKernel *kernel = fake_kernel_new (FAKE_V2, "0-3");

    core = corral_container_core_open (fake_kernel_root (kernel), &error);
    g_assert_no_error (error);
    g_assert_false (corral_container_get_affinity (core, 4242, &cpus, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_assert_false (corral_container_unpin_thread (core, 4242, 4242, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_object (&core);
    fake_kernel_free (kernel);
}

static void
test_count (gconstpointer kind)
{
    Case c;

    if (!case_open (&c, kind))
        return;
    g_assert_cmpuint (corral_container_count_vms (c.host->core, c.path), ==, 1);
    g_assert_cmpuint (corral_container_count_vms (c.host->core, c.host->top), ==, 0);
    host_kill (c.host, c.vm);
    g_assert_cmpuint (corral_container_count_vms (c.host->core, c.path), ==, 0);
    case_close (&c);
}

int
main (int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = {
        { "pin", test_pin },   { "leaving", test_leaving }, { "cap", test_cap },
        { "lift", test_lift }, { "fault", test_fault },     { "count", test_count },
    };

    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/helpers/ended", test_ended);
    for (int kind = 0; kind < N_HOSTS; kind++)
        for (guint i = 0; i < G_N_ELEMENTS (tests); i++) {
            g_autofree char *path =
                g_strdup_printf ("/helpers/%s/%s", host_names[kind], tests[i].name);

            g_test_add_data_func (path, GINT_TO_POINTER (kind), tests[i].func);
        }
    return g_test_run ();
}
