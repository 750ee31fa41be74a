/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One suite for every backend: it runs on folders that behave like hosts of cgroup v2, v1 and both,
 * and on the kernel of the machine that it is started on. */
#include "tests/unit/container/conformance.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

/* --- life --- */

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

    if (host->core->hierarchies->len < 2) {
        g_test_skip ("one hierarchy only: nothing can be partial");
        return;
    }
    must_create (host, a, NULL);
    for (guint i = 0; i < host->core->hierarchies->len; i++) {
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

/* --- settings --- */

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
    assert_cpus (host, c, first);
    /* To the other one alone, so that the child has nothing left of its own. */
    hwloc_bitmap_only (absent, host->cpu[1]);
    must_set (host, a, absent);
    assert_cpus (host, b, absent);
    assert_cpus (host, c, absent);
    must_set (host, a, two);
    assert_cpus (host, b, two);
    assert_cpus (host, c, first);
    /* One that was given what its parent has is not one that was given nothing. */
    must_set (host, c, two);
    must_set (host, a, first);
    must_set (host, c, first);
    must_set (host, a, two);
    assert_cpus (host, c, first);
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
    static const guint64 values[] = { 2, 100, 512, 1024, 2048, 10000, 262144 };
    /* v2 knows steps of 10.24 shares, from 1 to 10,000 of them. */
    static const guint64 on_v2[] = { 10, 102, 512, 1024, 2048, 10004, 102400 };
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    guint64 before, shares;

    if (host == NULL)
        return;
    N (host, a);
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_WEIGHT) == 0) {
        g_test_skip ("no weight on this host");
        return;
    }
    must_create (host, a, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (values); i++) {
        g_assert_true (corral_container_set_weight (host->core, a, values[i], &error));
        g_assert_no_error (error);
        g_assert_true (corral_container_get_weight (host->core, a, &shares, &error));
        g_assert_cmpuint (shares, ==, host->core->cpu->version == 1 ? values[i] : on_v2[i]);
        /* What was read can be written and read again. */
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

/* A list of every other one of thousands of pCPUs, as v1's notes may hold it. */
static void
test_long_note (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GString) list = g_string_new ("0");
    g_autofree char *dir = NULL, *path = NULL, *text = NULL;
    int err;

    if (host == NULL)
        return;
    N (host, a);
    dir = host_dir (host, "a");
    path = corral_dir_file (dir, CORRAL_IO_NOTE "cpus");
    for (guint i = 2; i <= CORRAL_CPUSET_MAX; i += 2)
        g_string_append_printf (list, ",%u", i);
    must_create (host, a, NULL);
    err = corral_io_write (&host->core->io, &host->core->main->tree, path, list->str);
    /* Few file systems of disks take so much; the kernel's cgroups do. */
    if (host->kind != HOST_REAL && (err == ENOSPC || err == E2BIG)) {
        g_test_skip ("no room for it in a folder");
        return;
    }
    g_assert_cmpint (err, ==, 0);
    g_assert_cmpint (corral_io_read (host->core->main->tree.fd, path, &text), ==, 0);
    /* Kernels before 5.7 keep none. */
    if (*text != '\0')
        g_assert_cmpstr (text, ==, list->str);
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
        { 999, 100000, 0 }, { 50000, 999, 0 },     { 50000, 1000001, 0 },
        { -2, 100000, 0 },  { 0, 100000, 0 },      { 50000, 100000, 50001 },
        { -1, 100000, 1 },  { 50000, 100000, -1 }, { G_MAXINT64, 100000, 0 },
    };
    const CorralContainerCap more = { 60000, 100000, 0 };

    if (host == NULL)
        return;
    N (host, a);
    g_autofree char *b = host_path (host, "a/b");

    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_CAP) == 0) {
        g_test_skip ("no cap on this host");
        return;
    }
    must_create (host, b, NULL);
    must_cap (host, a, 50000, 100000, 20000);
    must_cap (host, a, 10000, 100000, 10000); /* below the old burst */
    must_cap (host, a, 10000, 20000, 5000);   /* a new period */
    must_cap (host, a, 200000, 50000, 0);
    must_cap (host, a, (G_GINT64_CONSTANT (1) << 44) - 1, 1000000, 0); /* the most there is */
    must_cap (host, a, -1, 100000, 0);
    must_cap (host, a, 50000, 100000, 0);
    must_cap (host, b, 20000, 100000, 0);
    for (guint i = 0; i < G_N_ELEMENTS (wrong); i++) {
        g_assert_false (corral_container_set_cap (host->core, a, &wrong[i], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
        g_clear_error (&error);
    }
    if (host->core->cpu->version == 1) {
        CorralContainerCap now;

        g_assert_false (corral_container_set_cap (host->core, b, &more, &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE);
        g_assert_nonnull (strstr (error->message, "parent"));
        g_clear_error (&error);
        g_assert_true (corral_container_get_cap (host->core, b, &now, NULL));
        g_assert_cmpint (now.quota_usec, ==, 20000);
    } else
        must_cap (host, b, 60000, 100000, 0);
}

/* --- names --- */

static void
test_names (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    static const char *const good[] = { "cpu", "cgroup",   "_x",    "cpuset",   "tasks",
                                        "a b", "emulator", "vcpu0", "\303\244", "machine" };
    static const char *const bad[] = { "..",
                                       "../x",
                                       "",
                                       "/",
                                       "x/",
                                       "/x",
                                       "x//y",
                                       "x/../y",
                                       ".",
                                       "a.b",
                                       "cgroup.procs",
                                       "cpu.x",
                                       "a\nb",
                                       "a\tb",
                                       "\377",
                                       "x.partition",
                                       "qemu-1-x.libvirt-qemu" };
    g_autoptr (GError) error = NULL;
    g_auto (GStrv) list = NULL;

    if (host == NULL)
        return;
    for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autofree char *path = host_path (host, good[i]);

        must_create (host, path, NULL);
    }
    g_assert_true (corral_container_list (host->core, host->top, &list, NULL));
    g_assert_cmpuint (g_strv_length (list), ==, G_N_ELEMENTS (good));
    for (guint i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autofree char *path = host_path (host, good[i]);

        g_assert_true (g_strv_contains ((const char *const *) list, path));
        g_assert_true (corral_container_destroy (host->core, path, &error));
        g_assert_no_error (error);
    }
    for (guint i = 0; i < G_N_ELEMENTS (bad); i++) {
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
    static const char *const backends[N_HOSTS] = { NULL, "v2", "v1", "hybrid", "v2" };
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));

    if (host == NULL)
        return;
    if (host->fake != NULL)
        g_assert_cmpstr (corral_container_core_backend (host->core), ==, backends[host->kind]);
    g_test_message ("backend %s, features 0x%x", corral_container_core_backend (host->core),
                    corral_container_core_features (host->core));
    g_assert_false (hwloc_bitmap_iszero (host->mems));
    if (host->kind == HOST_FAKE_V2 || host->kind == HOST_FAKE_V2_KVM)
        g_assert_cmpuint (corral_container_core_features (host->core), ==,
                          CORRAL_FEATURE_CPUSET | CORRAL_FEATURE_WEIGHT | CORRAL_FEATURE_CAP |
                              CORRAL_FEATURE_BURST | CORRAL_FEATURE_PARTITION |
                              (host->kind == HOST_FAKE_V2 ? 0 : CORRAL_FEATURE_KVM));
    if (host->kind == HOST_FAKE_V1 || host->kind == HOST_FAKE_HYBRID)
        g_assert_cmpuint (corral_container_core_features (host->core), ==,
                          CORRAL_FEATURE_CPUSET | CORRAL_FEATURE_WEIGHT | CORRAL_FEATURE_CAP |
                              CORRAL_FEATURE_BURST | CORRAL_FEATURE_USAGE_PERCPU |
                              CORRAL_FEATURE_THREAD_ANYWHERE);
}

/* A v2 tree that systemd runs is left alone; what it keeps beside v1 controllers is no matter. */
static void
test_systemd (void)
{
    static const FakeKind kinds[] = { FAKE_V2, FAKE_HYBRID };

    for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
        g_autoptr (FakeKernel) kernel = fake_kernel_new (kinds[i], "0-3");
        g_autoptr (CorralContainerCore) core = NULL;
        g_autoptr (GError) error = NULL;
        const char *scope =
            kinds[i] == FAKE_V2 ? "sys/fs/cgroup/init.scope" : "sys/fs/cgroup/unified/init.scope";

        g_assert_cmpint (mkdirat (fake_kernel_root (kernel), scope, 0755), ==, 0);
        core = corral_container_core_open (fake_kernel_root (kernel), &error);
        if (kinds[i] != FAKE_V2) {
            g_assert_no_error (error);
            continue;
        }
        g_assert_null (core);
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
        g_assert_nonnull (strstr (error->message, "systemd owns the tree \"/sys/fs/cgroup\""));
        g_assert_nonnull (strstr (error->message, "Delegate="));
    }
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
        { "long-note", test_long_note },
        { "cap", test_cap },
        { "process", test_process },
        { "attach", test_attach },
        { "newborn", test_newborn },
        { "libvirt", test_libvirt },
        { "devices", test_devices },
        { "repair", test_repair },
        { "live-cpuset", test_live_cpuset },
        { "pin", test_pin },
        { "pin-kept", test_pin_kept },
        { "thread", test_thread },
        { "usage", test_usage },
        { "throttled", test_throttled },
        { "usage-remade", test_usage_remade },
        { "names", test_names },
        { "kvm", test_kvm },
        { "kvm-usage", test_kvm_usage },
        { "kvm-module", test_kvm_module },
        { "kvm-attach", test_kvm_attach },
    };

    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/container/systemd", test_systemd);
    for (int kind = 0; kind < N_HOSTS; kind++)
        for (guint i = 0; i < G_N_ELEMENTS (tests); i++) {
            g_autofree char *path =
                g_strdup_printf ("/container/%s/%s", host_names[kind], tests[i].name);

            g_test_add_data_func (path, GINT_TO_POINTER (kind), tests[i].func);
        }
    return g_test_run ();
}
