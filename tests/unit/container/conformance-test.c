/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One suite for every backend: it runs on folders that behave like cgroup v2, v1 and hybrid hosts, and
 * on the kernel of the machine that it is started on. */
#include "tests/unit/container/host.h"

#include <errno.h>
#include <string.h>

#define N(host, name) g_autofree char *name = host_path (host, #name)

static void
assert_state (Host *host, const char *path, CorralContainerState state)
{
    g_assert_cmpint (corral_container_get_state (host->core, path), ==, state);
}

static void
must_create (Host *host, const char *path, const CorralCpuset *cpus)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_create (host->core, path, cpus, NULL, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    assert_state (host, path, CORRAL_CONTAINER_WHOLE);
}

static void
assert_cpus (Host *host, const char *path, const CorralCpuset *wanted)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (CorralCpuset) mems = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *want = corral_cpuset_format (wanted);
    g_autofree char *have = NULL;
    gboolean ok = corral_container_get_cpuset (host->core, path, &cpus, &mems, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    have = corral_cpuset_format (cpus);
    g_assert_cmpstr (have, ==, want);
    g_assert_false (hwloc_bitmap_iszero (mems));
}

static void
must_set (Host *host, const char *path, const CorralCpuset *cpus)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_set_cpuset (host->core, path, cpus, NULL, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    assert_cpus (host, path, cpus);
}

static void
must_attach (Host *host, const char *path, Vm *vm)
{
    g_autoptr (GError) error = NULL;
    CorralThread threads[8];
    const CorralContainerVm view = host_vm (vm, threads);
    gboolean ok = corral_container_attach (host->core, path, &view, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
}

/* By the kernel's own files: the process is in @path, everywhere; returns its group. */
static char *
assert_member (Host *host, Vm *vm, const char *path)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *now = NULL;
    char *group = NULL;
    gboolean everywhere = FALSE;
    gboolean ok = corral_container_of_process (host->core, vm->pid, &now, &group, &everywhere, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpstr (now, ==, path);
    g_assert_nonnull (group);
    g_assert_true (everywhere);
    for (int i = 0; i < vm->n; i++)
      {
        g_autofree char *of_thread = NULL;

        ok = corral_container_of_thread (host->core, vm->pid, vm->tids[i], &of_thread, &error);
        g_assert_no_error (error);
        g_assert_cmpstr (of_thread, ==, path);
      }
    return group;
}

static void
assert_roles (Host *host, Vm *vm, const char *group)
{
    g_autoptr (GArray) threads = NULL;
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_group_threads (host->core, group, &threads, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpuint (threads->len, >=, (guint) vm->n);
    for (guint i = 0; i < threads->len; i++)
      {
        const CorralThread *thread = &g_array_index (threads, CorralThread, i);
        int number = 0;

        while (number < vm->n && vm->tids[number] != thread->tid)
            number++;
        if (number == 0 || number == vm->n)
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_EMULATOR);
        else if (number == vm->n - 1)
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_IOTHREAD);
        else
          {
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_VCPU);
            g_assert_cmpint (thread->index, ==, number - 1);
          }
      }
}

static void
assert_affinity (Host *host, pid_t tid, const CorralCpuset *wanted)
{
    g_autofree char *want = corral_cpuset_format (wanted);
    g_autofree char *have = host_affinity (host, tid);

    g_assert_cmpstr (have, ==, want);
}

static CorralCpuset *
one (Host *host, guint which)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    hwloc_bitmap_only (set, host->cpu[which]);
    return set;
}

static CorralCpuset *
both (Host *host)
{
    CorralCpuset *set = one (host, 0);

    hwloc_bitmap_set (set, host->cpu[1]);
    return set;
}

/* --- life -------------------------------------------------------------------------------------- */

static void
test_life (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) list = NULL;
    int a_id, b_id, again;

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *b = host_path (host, "a/b");
    g_autofree char *c = host_path (host, "a/c");

    assert_state (host, a, CORRAL_CONTAINER_ABSENT);
    must_create (host, b, NULL);
    assert_state (host, a, CORRAL_CONTAINER_WHOLE);
    must_create (host, c, NULL);
    assert_cpus (host, c, host->cpus);
    g_assert_false (corral_container_create (host->core, b, NULL, NULL, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_EXISTS);
    g_clear_error (&error);
    g_assert_true (corral_container_get_id (host->core, a, &a_id, NULL));
    g_assert_true (corral_container_get_id (host->core, b, &b_id, NULL));
    g_assert_true (corral_container_get_id (host->core, a, &again, NULL));
    g_assert_cmpint (a_id, >, 0);
    g_assert_cmpint (a_id, !=, b_id);
    g_assert_cmpint (a_id, ==, again);
    g_assert_true (corral_container_list (host->core, a, &list, NULL));
    g_assert_cmpuint (g_strv_length (list), ==, 2);
    g_assert_cmpstr (list[0], ==, b);
    g_assert_cmpstr (list[1], ==, c);
    g_clear_pointer (&list, g_strfreev);
    g_assert_true (corral_container_list (host->core, NULL, &list, NULL));
    g_assert_true (g_strv_contains ((const char *const *) list, host->top));
    g_assert_false (corral_container_destroy (host->core, a, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY);
    g_clear_error (&error);
    assert_state (host, b, CORRAL_CONTAINER_WHOLE);
    g_assert_true (corral_container_destroy (host->core, b, NULL));
    g_assert_true (corral_container_destroy (host->core, c, NULL));
    g_assert_true (corral_container_destroy (host->core, a, NULL));
    assert_state (host, a, CORRAL_CONTAINER_ABSENT);
    g_assert_false (corral_container_destroy (host->core, a, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_clear_error (&error);
    g_clear_pointer (&list, g_strfreev);
    g_assert_false (corral_container_list (host->core, a, &list, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
}

/* libvirt removes a partition from some hierarchies when a start in it fails. */
static void
test_partial (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *dir = host_dir (host, "a");

    if (host->core->hierarchies->len < 2)
      {
        g_test_skip ("one hierarchy only: nothing can be partial");
        return;
      }
    must_create (host, a, NULL);
    for (guint i = 0; i < host->core->hierarchies->len; i++)
      {
        CorralHierarchy *h = g_ptr_array_index (host->core->hierarchies, i);

        g_assert_cmpint (corral_io_rmdir (&host->core->io, &h->tree, dir), ==, 0);
        assert_state (host, a, CORRAL_CONTAINER_PARTIAL);
        g_assert_false (corral_container_set_cpuset (host->core, a, host->cpus, NULL, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
        g_clear_error (&error);
        must_create (host, a, NULL);
      }
    g_assert_true (corral_container_destroy (host->core, a, NULL));
}

/* --- settings ---------------------------------------------------------------------------------- */

static void
test_cpuset (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    g_autoptr (CorralCpuset) none = hwloc_bitmap_alloc ();
    g_autoptr (CorralCpuset) absent = hwloc_bitmap_alloc ();
    g_autoptr (GError) error = NULL;

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *b = host_path (host, "a/b");
    g_autofree char *c = host_path (host, "a/c");

    first = one (host, 0);
    two = both (host);
    must_create (host, a, two);
    assert_cpus (host, a, two);
    must_create (host, b, NULL);
    must_create (host, c, first);
    assert_cpus (host, b, two);
    assert_cpus (host, c, first);
    /* Narrower, with all beneath it; and wider again. */
    must_set (host, a, first);
    assert_cpus (host, b, first);
    assert_cpus (host, c, first);
    must_set (host, a, two);
    assert_cpus (host, b, two);
    /* To the other one alone, so that the child has nothing left of its own. */
    hwloc_bitmap_only (absent, host->cpu[1]);
    must_set (host, a, absent);
    assert_cpus (host, b, absent);
    assert_cpus (host, c, absent);
    must_set (host, a, two);
    /* More than the host has, than the parent has, and nothing at all. */
    hwloc_bitmap_only (absent, CORRAL_CPUSET_MAX);
    hwloc_bitmap_set (absent, host->cpu[0]);
    g_assert_false (corral_container_set_cpuset (host->core, a, absent, NULL, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL);
    g_assert_nonnull (strstr (error->message, "can have only"));
    g_clear_error (&error);
    assert_cpus (host, a, two);
    must_set (host, a, first);
    g_assert_false (corral_container_set_cpuset (host->core, b, two, NULL, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL);
    g_clear_error (&error);
    assert_cpus (host, b, first);
    g_assert_false (corral_container_set_cpuset (host->core, b, none, NULL, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_true (corral_container_set_cpuset (host->core, a, NULL, host->mems, &error));
    g_assert_no_error (error);
    /* A create that cannot have its CPUs leaves nothing behind. */
    g_autofree char *d = host_path (host, "d/e");
    g_autofree char *d_parent = host_path (host, "d");
    g_assert_false (corral_container_create (host->core, d, absent, NULL, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL);
    assert_state (host, d_parent, CORRAL_CONTAINER_ABSENT);
}

static void
test_weight (gconstpointer kind)
{
    static const guint64 values[] = { 2, 100, 1024, 2048, 10000, 262144 };
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    guint64 before = 0, shares;

    if (host == NULL)
        return;
    N (host, a);
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_WEIGHT) == 0)
      {
        g_test_skip ("no weight on this host");
        return;
      }
    must_create (host, a, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (values); i++)
      {
        g_assert_true (corral_container_set_weight (host->core, a, values[i], &error));
        g_assert_no_error (error);
        g_assert_true (corral_container_get_weight (host->core, a, &shares, &error));
        if (host->core->cpu->version == 1)
            g_assert_cmpuint (shares, ==, values[i]);
        /* v2 knows 10,000 steps of 26 shares or so; what was read can be written and read again. */
        g_assert_cmpuint (shares, >=, values[i] - MIN (values[i] - 2, 27));
        g_assert_cmpuint (shares, <=, values[i] + 27);
        g_assert_cmpuint (shares, >=, before);
        before = shares;
        g_assert_true (corral_container_set_weight (host->core, a, shares, &error));
        g_assert_true (corral_container_get_weight (host->core, a, &shares, &error));
        g_assert_cmpuint (shares, ==, before);
      }
    g_assert_false (corral_container_set_weight (host->core, a, 1, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_container_set_weight (host->core, a, 262145, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

static void
must_cap (Host *host, const char *path, gint64 quota, gint64 period, gint64 burst)
{
    const gboolean has_burst =
        (corral_container_core_features (host->core) & CORRAL_FEATURE_BURST) != 0;
    const CorralContainerCap cap = { quota, period, has_burst ? burst : 0 };
    g_autoptr (GError) error = NULL;
    CorralContainerCap now;
    gboolean ok = corral_container_set_cap (host->core, path, &cap, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_true (corral_container_get_cap (host->core, path, &now, &error));
    g_assert_cmpint (now.quota_usec, ==, cap.quota_usec);
    g_assert_cmpint (now.period_usec, ==, cap.period_usec);
    g_assert_cmpint (now.burst_usec, ==, cap.burst_usec);
}

static void
test_cap (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    static const CorralContainerCap wrong[] = {
        { 999, 100000, 0 },    { 50000, 999, 0 },      { 50000, 1000001, 0 }, { -2, 100000, 0 },
        { 0, 100000, 0 },      { 50000, 100000, 50001 }, { -1, 100000, 1 },   { 50000, 100000, -1 },
        { G_MAXINT64, 100000, 0 },
    };
    const CorralContainerCap more = { 60000, 100000, 0 };

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *b = host_path (host, "a/b");

    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_CAP) == 0)
      {
        g_test_skip ("no cap on this host");
        return;
      }
    must_create (host, b, NULL);
    must_cap (host, a, 50000, 100000, 20000);
    must_cap (host, a, 10000, 100000, 10000); /* below the old burst */
    must_cap (host, a, 10000, 20000, 5000);   /* a new period */
    must_cap (host, a, 200000, 50000, 0);
    must_cap (host, a, -1, 100000, 0);
    must_cap (host, a, 50000, 100000, 0);
    must_cap (host, b, 20000, 100000, 0);
    for (guint i = 0; i < G_N_ELEMENTS (wrong); i++)
      {
        g_assert_false (corral_container_set_cap (host->core, a, &wrong[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
      }
    if (host->core->cpu->version == 1)
      {
        CorralContainerCap now;

        g_assert_false (corral_container_set_cap (host->core, b, &more, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
        g_assert_nonnull (strstr (error->message, "parent"));
        g_clear_error (&error);
        g_assert_true (corral_container_get_cap (host->core, b, &now, NULL));
        g_assert_cmpint (now.quota_usec, ==, 20000);
      }
    else
        must_cap (host, b, 60000, 100000, 0);
}

/* --- members ----------------------------------------------------------------------------------- */

static void
test_process (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *group = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    first = one (host, 0);
    must_create (host, a, first);
    vm = host_spawn (host, 4);
    g_assert_true (corral_container_add_process (host->core, a, vm->pid, &error));
    g_assert_no_error (error);
    group = assert_member (host, vm, a);
    g_assert_true (g_str_has_suffix (group, ".corral"));
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], first);
    g_assert_false (corral_container_destroy (host->core, a, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY);
    g_clear_error (&error);
    g_free (assert_member (host, vm, a));
    g_assert_true (corral_container_prune (host->core, a, NULL));
    g_free (assert_member (host, vm, a));
    host_kill (host, vm);
    g_assert_true (corral_container_destroy (host->core, a, &error));
    g_assert_no_error (error);
    g_assert_false (corral_container_add_process (host->core, a, 0, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_container_add_process (host->core, a, 1, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
}

static void
test_attach (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    g_autofree char *group = NULL;
    g_autofree char *other = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    N (host, c);
    first = one (host, 0);
    second = one (host, 1);
    two = both (host);
    must_create (host, a, two);
    must_create (host, b, host->cpus);
    must_create (host, c, second);
    vm = host_spawn (host, 4);
    must_attach (host, a, vm);
    group = assert_member (host, vm, a);
    assert_roles (host, vm, group);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], two);
    must_attach (host, a, vm); /* again: nothing to do */
    g_free (assert_member (host, vm, a));
    /* A pin goes along, where it fits. */
    host_set_affinity (host, vm->tids[1], first);
    must_attach (host, b, vm);
    other = assert_member (host, vm, b);
    assert_roles (host, vm, other);
    assert_affinity (host, vm->tids[1], first);
    assert_affinity (host, vm->tids[2], host->cpus);
    g_assert_false (corral_io_exists (host->core->main->tree.fd, group));
    must_attach (host, c, vm);
    g_free (group);
    group = assert_member (host, vm, c);
    assert_roles (host, vm, group);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], second);
    g_assert_false (corral_io_exists (host->core->main->tree.fd, other));
    host_kill (host, vm);
    g_assert_true (corral_container_prune (host->core, c, NULL));
    g_assert_false (corral_io_exists (host->core->main->tree.fd, group));
    g_assert_true (corral_container_destroy (host->core, c, NULL));
}

static void
test_newborn (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    must_create (host, a, NULL);
    must_create (host, b, NULL);
    vm = host_spawn (host, 5);
    host_storm (host, vm, TRUE);
    for (int i = 0; i < 10; i++)
      {
        const char *path = i % 2 == 0 ? a : b;
        g_autoptr (GArray) tids = NULL;

        must_attach (host, path, vm);
        g_free (assert_member (host, vm, path));
        g_assert_cmpint (corral_proc_tasks (host->core, vm->pid, &tids), ==, 0);
        for (guint t = 0; t < tids->len; t++)
          {
            g_autofree char *now = NULL;

            if (corral_container_of_thread (host->core, vm->pid, g_array_index (tids, pid_t, t), &now,
                                            NULL))
                g_assert_cmpstr (now, ==, path);
          }
      }
    host_storm (host, vm, FALSE);
}

/* What libvirt made is taken over where the VM stays, and found again after a visit elsewhere. */
static void
test_libvirt (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    g_autofree char *home = NULL;
    g_autofree char *now = NULL;
    g_autofree char *away = NULL;
    g_autofree char *path = NULL;
    g_autofree char *place = NULL;
    g_autofree char *place_after = NULL;
    gboolean everywhere;
    CorralThread threads[8];
    CorralContainerVm view;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    must_create (host, a, NULL);
    must_create (host, b, NULL);
    vm = host_spawn (host, 4);
    view = host_vm (vm, threads);
    home = host_libvirt_group (host, "a", "qemu-7-web-1", vm);
    g_assert_true (corral_container_of_process (host->core, vm->pid, &path, &now, &everywhere, &error));
    g_assert_cmpstr (path, ==, a);
    g_assert_cmpstr (now, ==, home);
    if (host->kind == HOST_FAKE_HYBRID)
        g_assert_false (everywhere);
    must_attach (host, a, vm);
    g_clear_pointer (&now, g_free);
    now = assert_member (host, vm, a);
    g_assert_cmpstr (now, ==, home);
    assert_roles (host, vm, home);
    place = host_place (host, vm, vm->tids[1]);
    must_attach (host, b, vm);
    away = assert_member (host, vm, b);
    g_assert_true (g_str_has_suffix (away, "/machine-qemu\\x2d7\\x2dweb\\x2d1.scope"));
    assert_roles (host, vm, away);
    /* Empty now, but not ours to remove: the VM may come back. */
    g_assert_true (corral_io_exists (host->core->main->tree.fd, home));
    g_assert_false (corral_container_destroy (host->core, a, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_BUSY);
    g_clear_error (&error);
    g_assert_true (corral_container_restore (host->core, home, &view, &error));
    g_assert_no_error (error);
    g_clear_pointer (&now, g_free);
    now = assert_member (host, vm, a);
    g_assert_cmpstr (now, ==, home);
    place_after = host_place (host, vm, vm->tids[1]);
    g_assert_cmpstr (place, ==, place_after);
    g_assert_false (corral_io_exists (host->core->main->tree.fd, away));
    g_assert_true (corral_container_destroy (host->core, b, &error));
    g_assert_false (corral_container_restore (host->core, away, &view, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
}

static void
test_repair (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (GError) error = NULL;
    CorralThread threads[8];
    CorralContainerVm view;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    first = one (host, 0);
    second = one (host, 1);
    must_create (host, a, second);
    must_create (host, b, first);
    vm = host_spawn (host, 4);
    view = host_vm (vm, threads);
    must_attach (host, a, vm);
    if (host->fake != NULL)
        fake_kernel_set_stale (host->fake, TRUE);
    g_assert_true (corral_container_add_process (host->core, b, vm->pid, &error));
    g_assert_no_error (error);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], first);
    must_attach (host, a, vm);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], second);
    if (host->fake == NULL)
        return;
    /* And a kernel that does not take the repair: the VM stays where it was, the error says it. */
    before = host_snapshot (host);
    fake_kernel_set_deaf (host->fake, 1);
    g_assert_false (corral_container_add_process (host->core, b, vm->pid, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL);
    after = host_snapshot (host);
    g_assert_cmpstr (before, ==, after);
    g_assert_cmpint (view.pid, ==, vm->pid);
}

/* A container's cpuset changes beneath running VMs. */
static void
test_live_cpuset (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    g_autoptr (GError) error = NULL;
    Vm *vm, *other;

    if (host == NULL)
        return;
    N (host, a);
    first = one (host, 0);
    second = one (host, 1);
    two = both (host);
    must_create (host, a, two);
    vm = host_spawn (host, 4);
    other = host_spawn (host, 4);
    must_attach (host, a, vm);
    g_free (host_libvirt_group (host, "a", "qemu-1-other", other));
    must_attach (host, a, other);
    g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[1], first, &error));
    g_assert_no_error (error);
    assert_affinity (host, vm->tids[1], first);
    must_set (host, a, first);
    for (int i = 0; i < vm->n; i++)
      {
        assert_affinity (host, vm->tids[i], first);
        assert_affinity (host, other->tids[i], first);
      }
    must_set (host, a, second);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], second);
    must_set (host, a, two);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, other->tids[i], two);
    must_set (host, a, host->cpus);
    assert_affinity (host, other->tids[0], host->cpus);
    assert_affinity (host, other->tids[1], host->cpus);
}

static void
test_pin (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    g_autoptr (CorralCpuset) none = hwloc_bitmap_alloc ();
    g_autoptr (GError) error = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    first = one (host, 0);
    second = one (host, 1);
    two = both (host);
    must_create (host, a, two);
    vm = host_spawn (host, 4);
    must_attach (host, a, vm);
    for (int i = 0; i < vm->n; i++)
      {
        g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[i], first, &error));
        g_assert_no_error (error);
        assert_affinity (host, vm->tids[i], first);
        g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[i], second, &error));
        g_assert_no_error (error);
        assert_affinity (host, vm->tids[i], second);
        g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[i], two, &error));
        g_assert_no_error (error);
        assert_affinity (host, vm->tids[i], two);
      }
    must_set (host, a, first);
    g_assert_false (corral_container_pin_thread (host->core, vm->pid, vm->tids[1], two, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_assert_nonnull (strstr (error->message, a));
    g_clear_error (&error);
    g_assert_false (corral_container_pin_thread (host->core, vm->pid, vm->tids[1], none, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    g_assert_false (corral_container_pin_thread (host->core, vm->pid, 0, first, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    assert_affinity (host, vm->tids[1], first);
}

static void
test_thread (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *group = NULL;
    g_autofree char *beneath = NULL;
    g_autofree char *now = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    first = one (host, 0);
    second = one (host, 1);
    must_create (host, a, host->cpus);
    must_create (host, b, second);
    vm = host_spawn (host, 4);
    must_attach (host, a, vm);
    group = assert_member (host, vm, a);
    g_assert_false (corral_container_add_thread (host->core, b, vm->pid, 0, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
    g_clear_error (&error);
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_THREAD_ANYWHERE) == 0)
      {
        g_assert_false (corral_container_add_thread (host->core, b, vm->pid, vm->tids[1], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
        g_assert_nonnull (strstr (error->message, "threaded subtree"));
        g_clear_error (&error);
      }
    else
      {
        g_assert_true (corral_container_add_thread (host->core, b, vm->pid, vm->tids[1], &error));
        g_assert_no_error (error);
        g_assert_true (
            corral_container_of_thread (host->core, vm->pid, vm->tids[1], &now, &error));
        g_assert_cmpstr (now, ==, b);
        assert_affinity (host, vm->tids[1], second);
        g_assert_true (corral_container_of_process (host->core, vm->pid, &beneath, NULL, NULL, NULL));
        g_assert_cmpstr (beneath, ==, a);
        g_clear_pointer (&beneath, g_free);
        /* Attaching the whole brings it back, and the group that it was alone in goes. */
        must_attach (host, a, vm);
        g_free (assert_member (host, vm, a));
        assert_affinity (host, vm->tids[1], host->cpus);
        g_assert_true (corral_container_destroy (host->core, b, &error));
        g_assert_no_error (error);
      }
    /* Beneath the VM's own group it works everywhere. */
    beneath = g_strconcat (a, strrchr (group, '/'), "/fast", NULL);
    must_create (host, beneath, first);
    g_assert_true (corral_container_add_thread (host->core, beneath, vm->pid, vm->tids[1], &error));
    g_assert_no_error (error);
    g_clear_pointer (&now, g_free);
    g_assert_true (corral_container_of_thread (host->core, vm->pid, vm->tids[1], &now, &error));
    g_assert_cmpstr (now, ==, beneath);
    assert_affinity (host, vm->tids[1], first);
}

/* --- usage ------------------------------------------------------------------------------------- */

static guint64
usage_of (Host *host, const char *path)
{
    CorralContainerUsage usage;
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_get_usage (host->core, path, &usage, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    return usage.total_ns;
}

static void
check_percpu (Host *host, const char *path)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (GArray) ns = NULL;
    guint64 before = usage_of (host, path), sum = 0;

    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_USAGE_PERCPU) == 0)
      {
        g_assert_false (corral_container_get_usage_percpu (host->core, path, &ns, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
        return;
      }
    g_assert_true (corral_container_get_usage_percpu (host->core, path, &ns, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (ns->len, >, (guint) hwloc_bitmap_last (host->cpus));
    for (guint i = 0; i < ns->len; i++)
        sum += g_array_index (ns, guint64, i);
    g_assert_cmpuint (sum, >=, before);
    g_assert_cmpuint (sum, <=, usage_of (host, path) + 1000000);
}

static void
test_usage (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    CorralContainerUsage usage;
    guint64 before, after, parent;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *b = host_path (host, "a/b");

    must_create (host, b, NULL);
    g_assert_cmpuint (usage_of (host, b), ==, 0);
    vm = host_spawn (host, 4);
    must_attach (host, b, vm);
    before = usage_of (host, b);
    host_burn (host, vm, 1, 60);
    host_burn (host, vm, 2, 60);
    after = usage_of (host, b);
    g_assert_cmpuint (after - before, >=, 115 * 1000000);
    parent = usage_of (host, a);
    g_assert_cmpuint (parent, >=, after);
    g_assert_true (corral_container_get_usage (host->core, b, &usage, NULL));
    g_assert_cmpuint (usage.user_ns + usage.system_ns, >, 0);
    check_percpu (host, b);
    /* What has ended still counts. */
    host_kill (host, vm);
    g_assert_cmpuint (usage_of (host, b), >=, after);
    g_assert_true (corral_container_prune (host->core, b, NULL));
    g_assert_cmpuint (usage_of (host, b), >=, after);
    /* A new container of the old name starts from nothing, also if another made it. */
    g_assert_true (corral_container_destroy (host->core, b, &error));
    g_assert_no_error (error);
    g_assert_false (corral_container_get_usage (host->core, b, &usage, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
    g_assert_cmpuint (usage_of (host, a), >=, after);
    must_create (host, b, NULL);
    g_assert_cmpuint (usage_of (host, b), ==, 0);
}

static void
test_usage_remade (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *dir = host_dir (host, "a");

    must_create (host, a, NULL);
    vm = host_spawn (host, 3);
    must_attach (host, a, vm);
    host_burn (host, vm, 1, 20);
    g_assert_cmpuint (usage_of (host, a), >, 0);
    host_kill (host, vm);
    g_assert_true (corral_container_prune (host->core, a, NULL));
    for (guint i = 0; i < host->core->hierarchies->len; i++)
      {
        CorralHierarchy *h = g_ptr_array_index (host->core->hierarchies, i);
        int err;

        /* As another program would, behind the core's back. */
        while ((err = corral_io_rmdir (&host->core->io, &h->tree, dir)) == EBUSY)
            g_usleep (1000);
        g_assert_cmpint (err, ==, 0);
        g_assert_cmpint (corral_io_mkdir (&host->core->io, &h->tree, dir), ==, 0);
      }
    g_assert_cmpuint (usage_of (host, a), ==, 0);
}

/* --- names ------------------------------------------------------------------------------------- */

static void
test_names (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    static const char *const good[] = { "cpu", "cgroup", "_x", "cpuset", "tasks", "a b", "emulator",
                                        "vcpu0", "\303\244", "machine" };
    static const char *const bad[] = { "..", "../x", "", "/", "x/", "/x", "x//y", "x/../y", ".", "a.b",
                                       "cgroup.procs", "cpu.x", "a\nb", "a\tb", "\377", "x.partition",
                                       "qemu-1-x.libvirt-qemu" };
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) list = NULL;

    if (host == NULL)
        return;
    for (guint i = 0; i < G_N_ELEMENTS (good); i++)
      {
        g_autofree char *path = host_path (host, good[i]);

        must_create (host, path, NULL);
      }
    g_assert_true (corral_container_list (host->core, host->top, &list, NULL));
    g_assert_cmpuint (g_strv_length (list), ==, G_N_ELEMENTS (good));
    for (guint i = 0; i < G_N_ELEMENTS (good); i++)
      {
        g_autofree char *path = host_path (host, good[i]);

        g_assert_true (g_strv_contains ((const char *const *) list, path));
        g_assert_true (corral_container_destroy (host->core, path, &error));
        g_assert_no_error (error);
      }
    for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
      {
        g_autofree char *path = g_strconcat (host->top, "/", bad[i], NULL);

        g_assert_false (corral_container_create (host->core, path, NULL, NULL, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
        assert_state (host, path, CORRAL_CONTAINER_ABSENT);
      }
}

static void
test_core (gconstpointer kind)
{
    static const char *const backends[N_HOSTS] = { NULL, "v2", "v1", "hybrid" };
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));

    if (host == NULL)
        return;
    if (host->fake != NULL)
        g_assert_cmpstr (corral_container_core_backend (host->core), ==, backends[host->kind]);
    g_test_message ("backend %s, features 0x%x", corral_container_core_backend (host->core),
                    corral_container_core_features (host->core));
    g_assert_false (hwloc_bitmap_iszero (host->mems));
    if (host->kind == HOST_FAKE_V2)
        g_assert_cmpuint (corral_container_core_features (host->core), ==,
                          CORRAL_FEATURE_CPUSET | CORRAL_FEATURE_WEIGHT | CORRAL_FEATURE_CAP |
                              CORRAL_FEATURE_BURST);
    if (host->kind == HOST_FAKE_V1 || host->kind == HOST_FAKE_HYBRID)
        g_assert_cmpuint (corral_container_core_features (host->core), ==,
                          CORRAL_FEATURE_CPUSET | CORRAL_FEATURE_WEIGHT | CORRAL_FEATURE_CAP |
                              CORRAL_FEATURE_BURST | CORRAL_FEATURE_USAGE_PERCPU |
                              CORRAL_FEATURE_THREAD_ANYWHERE);
}

int
main (int argc, char **argv)
{
    static const struct {
        const char *name;
        GTestDataFunc func;
    } tests[] = {
        { "core", test_core },
        { "life", test_life },
        { "partial", test_partial },
        { "cpuset", test_cpuset },
        { "weight", test_weight },
        { "cap", test_cap },
        { "process", test_process },
        { "attach", test_attach },
        { "newborn", test_newborn },
        { "libvirt", test_libvirt },
        { "repair", test_repair },
        { "live-cpuset", test_live_cpuset },
        { "pin", test_pin },
        { "thread", test_thread },
        { "usage", test_usage },
        { "usage-remade", test_usage_remade },
        { "names", test_names },
    };

    g_test_init (&argc, &argv, NULL);
    for (int kind = 0; kind < N_HOSTS; kind++)
        for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
          {
            g_autofree char *path =
                g_strdup_printf ("/container/%s/%s", host_names[kind], tests[i].name);

            g_test_add_data_func (path, GINT_TO_POINTER (kind), tests[i].func);
          }
    return g_test_run ();
}
