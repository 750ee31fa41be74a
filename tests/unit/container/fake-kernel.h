/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder that behaves like a host's cgroup mounts and /proc, as far as the container core looks:
 * the rules of Documentation/admin-guide/cgroup-v1 and cgroup-v2, in the core's own I/O hook. */
#pragma once

#include "vmm-agent/container/container-private.h"

typedef enum { FAKE_V2, FAKE_V1, FAKE_HYBRID, FAKE_V2_KVM } FakeKind;

typedef struct _FakeKernel FakeKernel;

/* A host with CPUs @cpus and nodes 0-1. */
FakeKernel *fake_kernel_new (FakeKind kind, const char *cpus);
void fake_kernel_free (FakeKernel *kernel);
int fake_kernel_root (FakeKernel *kernel);
/* The core's hook; @data is the FakeKernel. */
int fake_kernel_hook (const CorralIoCall *call, gpointer data);

/* A process of @n threads, numbered from its pid on, at the top of every hierarchy. */
pid_t fake_kernel_spawn (FakeKernel *kernel, int n);
/* One more thread, where @parent is. */
pid_t fake_kernel_clone (FakeKernel *kernel, pid_t parent);
void fake_kernel_exit (FakeKernel *kernel, pid_t pid);
/* A user's sched_setaffinity(). */
void fake_kernel_set_affinity (FakeKernel *kernel, pid_t tid, const char *list);
/* Spends CPU time, all of it on the last pCPU. */
void fake_kernel_burn (FakeKernel *kernel, pid_t tid, guint64 usec);
/* As seen on 6.12: threads moved by cgroup.procs keep an affinity outside their new cpuset. */
void fake_kernel_set_stale (FakeKernel *kernel, gboolean stale);
/* As before Linux 6.2: a cpuset that changes takes the affinities of its threads away. */
void fake_kernel_set_forgetful (FakeKernel *kernel, gboolean forgetful);
/* How often a written affinity is ignored from now on. */
void fake_kernel_set_deaf (FakeKernel *kernel, guint times);

/* --- FAKE_V2_KVM --- */

/* A VM of @pid, with @n vCPUs of the ids 0, 2, 4...; threads 0 have not run yet. */
void fake_kernel_create_kvm (FakeKernel *kernel, pid_t pid, guint fd, const pid_t *vcpus, guint n);
typedef struct {
    guint64 guest_usec, host_usec, run_delay_usec, exits;
} FakeRun;
/* What the thread does while it runs a vCPU; it burns that. */
void fake_kernel_run (FakeKernel *kernel, pid_t tid, const FakeRun *run);
/* KVM's module goes, with all VMs and all that was counted, or comes. */
void fake_kernel_set_kvm (FakeKernel *kernel, gboolean on);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (FakeKernel, fake_kernel_free)
