/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/conformance.h"

void
assert_state (Host *host, const char *path, CorralContainerState state)
{
    g_assert_cmpint (corral_container_get_state (host->core, path), ==, state);
}

void
must_create (Host *host, const char *path, const CorralCpuset *cpus)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_create (host->core, path, cpus, NULL, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    assert_state (host, path, CORRAL_CONTAINER_WHOLE);
}

void
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

void
must_set (Host *host, const char *path, const CorralCpuset *cpus)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_set_cpuset (host->core, path, cpus, NULL, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    assert_cpus (host, path, cpus);
}

void
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
char *
assert_member (Host *host, Vm *vm, const char *path)
{
    g_autoptr (GError) error = NULL;
    g_autofree char *now = NULL;
    char *group = NULL;
    gboolean everywhere = FALSE;
    gboolean ok =
        corral_container_of_process (host->core, vm->pid, &now, &group, &everywhere, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpstr (now, ==, path);
    g_assert_nonnull (group);
    g_assert_true (everywhere);
    for (int i = 0; i < vm->n; i++) {
        g_autofree char *of_thread = NULL;

        ok = corral_container_of_thread (host->core, vm->pid, vm->tids[i], &of_thread, &error);
        g_assert_no_error (error);
        g_assert_cmpstr (of_thread, ==, path);
    }
    return group;
}

void
assert_roles (Host *host, Vm *vm, const char *group)
{
    g_autoptr (GArray) threads = NULL;
    g_autoptr (GError) error = NULL;
    gboolean ok = corral_container_group_threads (host->core, group, &threads, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
    g_assert_cmpuint (threads->len, >=, (guint) vm->n);
    for (guint i = 0; i < threads->len; i++) {
        const CorralThread *thread = &g_array_index (threads, CorralThread, i);
        int number = 0;

        while (number < vm->n && vm->tids[number] != thread->tid)
            number++;
        if (number == 0 || number == vm->n)
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_EMULATOR);
        else if (number == vm->n - 1)
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_IOTHREAD);
        else {
            g_assert_cmpint (thread->role, ==, CORRAL_THREAD_VCPU);
            g_assert_cmpint (thread->index, ==, number - 1);
        }
    }
}

void
assert_affinity (Host *host, pid_t tid, const CorralCpuset *wanted)
{
    g_autofree char *want = corral_cpuset_format (wanted);
    g_autofree char *have = host_affinity (host, tid);

    g_assert_cmpstr (have, ==, want);
}

CorralCpuset *
one (Host *host, guint which)
{
    CorralCpuset *set = hwloc_bitmap_alloc ();

    hwloc_bitmap_only (set, host->cpu[which]);
    return set;
}

CorralCpuset *
both (Host *host)
{
    CorralCpuset *set = one (host, 0);

    hwloc_bitmap_set (set, host->cpu[1]);
    return set;
}
