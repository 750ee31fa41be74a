/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/conformance.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* --- members --- */

void
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

void
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

void
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
    for (int i = 0; i < 10; i++) {
        const char *path = i % 2 == 0 ? a : b;
        g_autoptr (GArray) tids = NULL;

        must_attach (host, path, vm);
        g_free (assert_member (host, vm, path));
        g_assert_cmpint (corral_proc_tasks (host->core, vm->pid, &tids), ==, 0);
        for (guint t = 0; t < tids->len; t++) {
            const pid_t tid = g_array_index (tids, pid_t, t);
            g_autofree char *now = NULL;

            /* One that had begun to exit before the move stays where it was until it is gone. */
            if (corral_container_of_thread (host->core, vm->pid, tid, &now, NULL) &&
                !corral_proc_is_ending (host->core, vm->pid, tid))
                g_assert_cmpstr (now, ==, path);
        }
    }
    host_storm (host, vm, FALSE);
}

static void
check_left_over (Host *host, const char *home)
{
    g_autofree char *other = host_path (host, "other");
    g_autofree char *dir = host_dir (host, "other");
    g_autofree char *group = g_strconcat (dir, strrchr (home, '/'), NULL);

    if (g_strcmp0 (corral_container_core_backend (host->core), "hybrid") != 0 ||
        host->core->acct == host->core->cpu || host->core->acct->version != 1)
        return;
    must_create (host, other, NULL);
    g_assert_cmpint (corral_io_mkdir (&host->core->io, &host->core->acct->tree, group), ==, 0);
    g_assert_cmpint (corral_io_mkdir (&host->core->io, &host->core->cpu->tree, group), ==, 0);
    g_assert_true (corral_container_prune (host->core, other, NULL));
    g_assert_true (corral_io_exists (host->core->acct->tree.fd, group));
    g_assert_true (corral_io_exists (host->core->cpu->tree.fd, group));
    g_assert_cmpint (corral_io_rmdir (&host->core->io, &host->core->cpu->tree, group), ==, 0);
    g_assert_true (corral_container_prune (host->core, other, NULL));
    g_assert_false (corral_io_exists (host->core->acct->tree.fd, group));
    g_assert_true (corral_container_destroy (host->core, other, NULL));
}

/* What libvirt made is taken over where the VM stays, and found again after a visit elsewhere. */
void
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
    g_assert_true (corral_container_of_process (host->core, vm->pid, &path, &now, &everywhere,
                                                &error));
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
    g_clear_error (&error);
    /* What we made for it to be counted does not outlive what libvirt made. */
    check_left_over (host, home);
    /* It ends elsewhere, and libvirt has forgotten its group: nobody will come back to that. */
    must_create (host, b, NULL);
    must_attach (host, b, vm);
    host_kill (host, vm);
    g_assert_true (corral_container_destroy (host->core, a, &error));
    g_assert_no_error (error);
}

/* A program that allows no device, on one directory. An errno. */
static int
filter_devices (Host *host, const char *dir)
{
    const struct bpf_insn code[] = {
        { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0 },
        { .code = BPF_JMP | BPF_EXIT },
    };
    union bpf_attr attr = { 0 };
    int program, fd, err;

    attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    attr.insns = (guint64) (guintptr) code;
    attr.insn_cnt = G_N_ELEMENTS (code);
    attr.license = (guint64) (guintptr) "LGPL";
    program = (int) syscall (SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
    if (program < 0)
        return errno;
    g_assert_cmpint (corral_io_open (host->core->unified->tree.fd, dir, O_RDONLY | O_DIRECTORY,
                                     &fd),
                     ==, 0);
    attr = (union bpf_attr){ 0 };
    attr.target_fd = (guint32) fd;
    attr.attach_bpf_fd = (guint32) program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    err = syscall (SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr) < 0 ? errno : 0;
    close (fd);
    close (program);
    return err;
}

void
test_devices (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autofree char *home = NULL;
    CorralThread threads[8];
    CorralContainerVm view;
    Vm *vm;
    int err;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    N (host, c);
    if (host->fake != NULL || host->core->unified == NULL || !host->core->unified->members) {
        g_test_skip ("no v2 tree in which VMs are moved, or no kernel behind it");
        return;
    }
    must_create (host, a, NULL);
    must_create (host, b, NULL);
    must_create (host, c, NULL);
    vm = host_spawn (host, 3);
    view = host_vm (vm, threads);
    home = host_libvirt_group (host, "a", "qemu-1-filtered", vm);
    g_assert_cmpint (host_open_device (host, vm), ==, 0);
    err = filter_devices (host, home);
    if (err != 0) {
        g_test_skip ("this kernel takes no filter of devices");
        return;
    }
    g_assert_cmpint (host_open_device (host, vm), ==, EPERM);
    must_attach (host, b, vm);
    g_assert_cmpint (host_open_device (host, vm), ==, EPERM);
    must_attach (host, c, vm);
    must_attach (host, c, vm);
    g_assert_cmpint (host_open_device (host, vm), ==, EPERM);
    g_assert_true (corral_container_restore (host->core, home, &view, NULL));
    g_assert_cmpint (host_open_device (host, vm), ==, EPERM);
}

static void
must_pin (Host *host, Vm *vm, int index, const CorralCpuset *cpus)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_pin_thread (host->core, vm->pid, vm->tids[index], cpus, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    assert_affinity (host, vm->tids[index], cpus);
}

static void
write_file (Host *host, CorralHierarchy *h, const char *path, const CorralCpuset *cpus)
{
    g_autofree char *list = corral_cpuset_format (cpus);

    g_assert_cmpint (corral_io_write (&host->core->io, &h->tree, path, list), ==, 0);
}

void
test_repair (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL;
    g_autoptr (CorralCpuset) second = NULL;
    g_autoptr (GError) error = NULL;
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autofree char *group = NULL;
    g_autofree char *emulator = NULL;
    g_autoptr (CorralCpuset) two = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    N (host, b);
    N (host, c);
    first = one (host, 0);
    second = one (host, 1);
    two = both (host);
    must_create (host, a, second);
    must_create (host, b, first);
    must_create (host, c, two);
    vm = host_spawn (host, 4);
    /* What was seen on 6.12: the emulator's CPUs are those of the new container already, so nothing
     * seems to change, and the vCPUs stay outside of it. */
    must_attach (host, c, vm);
    group = assert_member (host, vm, c);
    emulator = corral_dir_file (group, "emulator/cpuset.cpus");
    must_pin (host, vm, 1, second);
    must_pin (host, vm, 2, second);
    write_file (host, host->core->cpuset, emulator, first);
    must_attach (host, b, vm);
    for (int i = 0; i < vm->n; i++)
        assert_affinity (host, vm->tids[i], first);
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
}

/* A container's cpuset changes beneath running VMs. */
void
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
    for (int i = 0; i < vm->n; i++) {
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

/* Somebody's own pin outlives a change of the container's cpuset that it fits into. */
void
test_pin_kept (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    g_autoptr (CorralCpuset) first = NULL, two = NULL;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    first = one (host, 0);
    two = both (host);
    if (hwloc_bitmap_isequal (two, host->cpus)) {
        g_test_skip ("needs three CPUs");
        return;
    }
    must_create (host, a, two);
    vm = host_spawn (host, 2);
    must_attach (host, a, vm);
    for (int forgetful = 0; forgetful <= (host->fake != NULL); forgetful++) {
        if (host->fake != NULL)
            fake_kernel_set_forgetful (host->fake, forgetful);
        host_set_affinity (host, vm->tids[1], first);
        must_set (host, a, host->cpus);
        assert_affinity (host, vm->tids[1], first);
        assert_affinity (host, vm->tids[0], host->cpus);
        must_set (host, a, two);
        assert_affinity (host, vm->tids[1], first);
        assert_affinity (host, vm->tids[0], two);
    }
}

void
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
    for (int i = 0; i < vm->n; i++) {
        g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[i], first,
                                                    &error));
        g_assert_no_error (error);
        assert_affinity (host, vm->tids[i], first);
        g_assert_true (corral_container_pin_thread (host->core, vm->pid, vm->tids[i], second,
                                                    &error));
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

void
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
    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_THREAD_ANYWHERE) == 0) {
        g_assert_false (corral_container_add_thread (host->core, b, vm->pid, vm->tids[1], &error));
        g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED);
        g_assert_nonnull (strstr (error->message, "threaded subtree"));
        g_clear_error (&error);
    } else {
        g_assert_true (corral_container_add_thread (host->core, b, vm->pid, vm->tids[1], &error));
        g_assert_no_error (error);
        g_assert_true (corral_container_of_thread (host->core, vm->pid, vm->tids[1], &now, &error));
        g_assert_cmpstr (now, ==, b);
        assert_affinity (host, vm->tids[1], second);
        g_assert_true (corral_container_of_process (host->core, vm->pid, &beneath, NULL, NULL,
                                                    NULL));
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

/* --- usage --- */

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

    if ((corral_container_core_features (host->core) & CORRAL_FEATURE_USAGE_PERCPU) == 0) {
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

void
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

void
test_throttled (gconstpointer kind)
{
    g_autoptr (Host) host = host_new (GPOINTER_TO_INT (kind));
    const CorralContainerCap cap = { 5000, 50000, 0 };
    g_autoptr (GError) error = NULL;
    CorralContainerUsage usage;
    Vm *vm;

    if (host == NULL)
        return;
    N (host, a);
    if (host->fake != NULL ||
        (corral_container_core_features (host->core) & CORRAL_FEATURE_CAP) == 0) {
        g_test_skip ("no scheduler, or one without a cap");
        return;
    }
    must_create (host, a, NULL);
    g_assert_true (corral_container_set_cap (host->core, a, &cap, &error));
    g_assert_no_error (error);
    vm = host_spawn (host, 3);
    must_attach (host, a, vm);
    host_burn (host, vm, 1, 30);
    g_assert_true (corral_container_get_usage (host->core, a, &usage, &error));
    g_assert_no_error (error);
    g_assert_cmpuint (usage.nr_periods, >, 0);
    g_assert_cmpuint (usage.nr_throttled, >, 0);
    g_assert_cmpuint (usage.nr_throttled, <=, usage.nr_periods);
    g_assert_cmpuint (usage.throttled_ns, >, 1000000);
}

void
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
    for (guint i = 0; i < host->core->hierarchies->len; i++) {
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
