/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kvm subsystem, where it is and where it is not. */
#include "tests/unit/container/conformance.h"

#include <string.h>

static gboolean
has_kvm (Host *host)
{
    return (corral_container_core_features (host->core) & CORRAL_FEATURE_KVM) != 0;
}

/* NULL, with the test skipped, on a host without KVM's VMs in its folder. */
static Host *
host_with_kvm (gconstpointer kind)
{
    if (GPOINTER_TO_INT (kind) == HOST_FAKE_V2_KVM)
        return host_new (HOST_FAKE_V2_KVM);
    g_test_skip ("no VMs of KVM");
    return NULL;
}

static void
must_enable (Host *host, const char *path)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_enable_kvm (host->core, path, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
}

static CorralContainerKvmUsage
kvm_usage (Host *host, const char *path)
{
    CorralContainerKvmUsage usage = { 0 };
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_get_kvm_usage (host->core, path, &usage, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpuint (usage.file, !=, 0);
    return usage;
}

static void
assert_not_counted (Host *host, const char *path)
{
    CorralContainerKvmUsage usage;
    g_autoptr (GError) error = NULL;

    g_assert_false (corral_container_get_kvm_usage (host->core, path, &usage, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND);
}

void
test_kvm (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (GError) error = NULL;
    CorralContainerKvmUsage usage;
    GArray *vcpus = NULL;
    gboolean complete;

    if (host == NULL)
        return;
    g_autofree char *b = host_path (host, "a/b");
    g_autofree char *absent = host_path (host, "absent");

    must_create (host, b, NULL);
    g_assert_true (has_kvm (host) == corral_container_has_kvm (host->core));
    g_assert_false (corral_container_get_kvm_vcpus (host->core, 1, &vcpus, &complete));
    assert_not_counted (host, absent);
    if (has_kvm (host)) {
        /* Made while it is there, a container is counted from the start, without a further call. */
        usage = kvm_usage (host, b);
        g_assert_cmpuint (usage.guest_ns + usage.host_ns + usage.exits, ==, 0);
        must_enable (host, b);
        g_assert_cmpuint (kvm_usage (host, b).file, ==, usage.file);
        return;
    }
    assert_not_counted (host, b);
    g_assert_false (corral_container_enable_kvm (host->core, b, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
}

static void
assert_usage (Host *host, const char *path, guint64 times)
{
    const CorralContainerKvmUsage usage = kvm_usage (host, path);

    g_assert_cmpuint (usage.guest_ns, ==, times * 7000 * 1000);
    g_assert_cmpuint (usage.host_ns, ==, times * 300 * 1000);
    g_assert_cmpuint (usage.run_delay_ns, ==, times * 50 * 1000);
    g_assert_cmpuint (usage.exits, ==, times * 21);
}

void
test_kvm_usage (gconstpointer kind)
{
    static const FakeRun run = { 7000, 300, 50, 21 };
    g_autoptr (Host) host = host_with_kvm (kind);
    g_autoptr (GArray) vcpus = NULL;
    gboolean complete;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, c);
    g_autofree char *b = host_path (host, "a/b");

    must_create (host, b, NULL);
    must_create (host, c, NULL);
    vm = host_spawn (host, 4);
    must_attach (host, b, vm);
    fake_kernel_run (host->fake, vm->tids[1], &run);
    fake_kernel_run (host->fake, vm->tids[2], &run);
    assert_usage (host, b, 2);
    assert_usage (host, a, 2);
    assert_usage (host, c, 0);
    must_attach (host, a, vm);
    fake_kernel_run (host->fake, vm->tids[2], &run);
    assert_usage (host, b, 2);
    assert_usage (host, a, 3);
    g_assert_true (corral_container_get_kvm_vcpus (host->core, vm->pid, &vcpus, &complete));
    g_assert_true (complete);
    g_assert_cmpuint (vcpus->len, ==, 2);
    for (guint i = 0; i < 2; i++) {
        g_assert_cmpint (g_array_index (vcpus, CorralKvmVcpu, i).tid, ==, vm->tids[1 + i]);
        g_assert_cmpint (g_array_index (vcpus, CorralKvmVcpu, i).id, ==, 2 * i);
    }
    host_kill (host, vm);
    assert_usage (host, a, 3);
}

/* It goes, and comes again, with containers that are there. */
void
test_kvm_module (gconstpointer kind)
{
    static const FakeRun run = { 7000, 300, 50, 21 };
    g_autoptr (Host) host = host_with_kvm (kind);
    CorralContainerUsage usage;
    Vm *vm;

    if (host == NULL)
        return;
    g_autofree char *b = host_path (host, "a/b");
    g_autofree char *c = host_path (host, "a/c");

    must_create (host, b, NULL);
    vm = host_spawn (host, 4);
    must_attach (host, b, vm);
    fake_kernel_run (host->fake, vm->tids[1], &run);
    assert_usage (host, b, 1);
    fake_kernel_set_kvm (host->fake, FALSE);
    g_assert_false (has_kvm (host));
    assert_not_counted (host, b);
    g_assert_true (corral_container_get_usage (host->core, b, &usage, NULL));
    g_assert_cmpuint (usage.total_ns, ==, 7300 * 1000);
    must_create (host, c, NULL);
    must_attach (host, c, vm);
    g_free (assert_member (host, vm, c));
    fake_kernel_set_kvm (host->fake, TRUE);
    g_assert_true (has_kvm (host));
    assert_not_counted (host, b);
    must_enable (host, b);
    assert_usage (host, b, 0);
    assert_usage (host, c, 0);
    /* Or with the first VM that moves there. */
    fake_kernel_set_kvm (host->fake, FALSE);
    fake_kernel_set_kvm (host->fake, TRUE);
    assert_not_counted (host, b);
    fake_kernel_create_kvm (host->fake, vm->pid, 12, vm->tids + 1, 2);
    must_attach (host, b, vm);
    assert_usage (host, b, 0);
    g_assert_nonnull (host->attached);
    g_assert_true (g_str_has_suffix (host->attached, "-12 all"));
    fake_kernel_run (host->fake, vm->tids[1], &run);
    assert_usage (host, b, 1);
    assert_usage (host, c, 0);
}

/* By its name, and with no write for the process elsewhere; or as ever, where that cannot be. */
void
test_kvm_attach (gconstpointer kind)
{
    g_autoptr (Host) host = host_with_kvm (kind);
    g_autoptr (GError) error = NULL;
    g_autofree char *wanted = NULL;
    g_autofree char *group = NULL;
    g_autofree char *home = NULL;
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
    home = host_libvirt_group (host, "a", "qemu-1-web", vm);
    wanted = g_strdup_printf ("%d-11 all", (int) vm->pid);
    host->process_moves = 0;
    must_attach (host, b, vm);
    group = assert_member (host, vm, b);
    assert_roles (host, vm, group);
    g_assert_cmpstr (host->attached, ==, wanted);
    g_assert_cmpuint (host->process_moves, ==, 0);
    g_assert_true (corral_container_restore (host->core, home, &view, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (host->process_moves, ==, 0);
    /* What has no threads of its own in the list moves so, too. */
    g_clear_pointer (&host->attached, g_free);
    g_assert_true (corral_container_add_process (host->core, b, vm->pid, &error));
    g_assert_no_error (error);
    g_assert_cmpstr (host->attached, ==, wanted);
    g_assert_cmpuint (host->process_moves, ==, 0);
    /* A second VM of that name: there is no telling which. */
    fake_kernel_create_kvm (host->fake, vm->pid, 11, NULL, 0);
    must_attach (host, a, vm);
    g_free (assert_member (host, vm, a));
    g_assert_cmpuint (host->process_moves, ==, 1);
}
