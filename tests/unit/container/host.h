/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One host for the suite to run on: this machine's kernel, or a folder that behaves like one. */
#pragma once

#include "tests/unit/container/fake-kernel.h"

typedef enum {
    HOST_REAL,
    HOST_FAKE_V2,
    HOST_FAKE_V1,
    HOST_FAKE_HYBRID,
    HOST_FAKE_V2_KVM, /* each VM is one of KVM, by descriptor 11 */
    N_HOSTS
} HostKind;

typedef struct {
    HostKind kind;
    CorralContainerCore *core;
    FakeKernel *fake; /* NULL: the real one */
    char *top;        /* the test's own container; all others are beneath it */
    GPtrArray *vms;
    pid_t guardian; /* cleans up after this process, should it die */
    int guard_fd;
    CorralCpuset *cpus, *mems;
    guint cpu[2];     /* two that it has */
    guint steps;      /* changes since the last host_fail_at() */
    guint fail_at;    /* which of them fails; 0: none */
    guint fail_count; /* how many in a row */
    int fail_errno;
    pid_t clone_from;    /* fake: at each step a new thread appears beside this one */
    guint clones;        /* so many times */
    char *attached;      /* (nullable): what was last written to a kvm.attach */
    guint process_moves; /* writes to a cgroup.procs */
} Host;

typedef struct {
    pid_t pid;
    pid_t tids[8];
    int n;
    int to, from; /* pipes to the child */
} Vm;

extern const char *const host_names[N_HOSTS];

/* NULL, with the test skipped, where this machine lacks what is needed. */
Host *host_new (HostKind kind);
void host_free (Host *host);

/* The path of a container beneath the test's own. */
char *host_path (Host *host, const char *name);
char *host_dir (Host *host, const char *name);
/* The @n-th change from now on fails with @err. */
void host_fail_at (Host *host, guint n, int err);

/* A process of @n threads: a main one, vCPUs 0 to @n - 3, and I/O thread 1. */
Vm *host_spawn (Host *host, int n);
void host_kill (Host *host, Vm *vm);
/* Lets thread @index use about this much CPU time. */
void host_burn (Host *host, Vm *vm, int index, guint msec);
/* Starts, or ends, threads of @vm coming and going without pause. */
void host_storm (Host *host, Vm *vm, gboolean on);
/* Real hosts only: the errno with which @vm can open /dev/null, or 0. */
int host_open_device (Host *host, Vm *vm);
CorralContainerVm host_vm (Vm *vm, CorralThread threads[8]);
void host_set_affinity (Host *host, pid_t tid, const CorralCpuset *cpus);
char *host_affinity (Host *host, pid_t tid);
/* Where thread @tid is, in each hierarchy, and its affinity. */
char *host_place (Host *host, Vm *vm, pid_t tid);
/* All settings below the test's container, and all threads of its VMs. */
char *host_snapshot (Host *host);
/* What libvirt would make for a domain, in the hierarchies that it uses, with @vm in it. */
char *host_libvirt_group (Host *host, const char *container, const char *domain, Vm *vm);

CorralCpuset *host_set (const char *list);
char *host_one (guint cpu);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (Host, host_free)
