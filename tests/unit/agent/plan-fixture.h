/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An agent on a made-up host: 2 nodes of 4 cores of 2 threads, pCPUs 0 to 15, where pCPUs 0 and 1
 * are housekeeping; cgroup v2, v1 or hybrid. */
#pragma once

#include "common/corral-error.h"
#include "tests/unit/agent/fake-inventory.h"
#include "tests/unit/container/fake-kernel.h"
#include "vmm-agent/agent/corral-agent-plan.h"

typedef struct {
    FakeKernel *kernel;
    CorralContainerCore *core;
    CorralAgent *agent;
    char *folder;
    GString *problems;
    GString *drift;        /* what was told of it, one line each */
    guint writes;          /* since the last plan_fixture_fail_at() */
    guint fail_at;         /* which of them fails; 0: none */
    gboolean fail_weights; /* all that are of a weight fail */
} PlanFixture;

/* @data: a FakeKind */
void plan_fixture_set_up (PlanFixture *f, gconstpointer data);
void plan_fixture_tear_down (PlanFixture *f, gconstpointer data);
/* The test on each kind of host */
void plan_fixture_add (const char *path, void (*test) (PlanFixture *f, gconstpointer data));

/* Makes a new agent for the same host, as after a restart of corrald. @settled: no VM runs that it
 * is not told of at once */
void plan_fixture_restart (PlanFixture *f, gboolean settled);
void plan_fixture_fail_at (PlanFixture *f, guint n);
/* Applies the plan, with one more write let through each time, until one has none that fails or
 * @most is reached; after each failure the kernel is as before. Returns: how many failed */
guint plan_fixture_apply_failing (PlanFixture *f, guint most);
/* Runs what waits in the main loop. */
void plan_fixture_run (PlanFixture *f);

/* Defines /NAME with @placement, for example "mode='dedicated' smt='isolate'", whose VMs are those
 * whose names begin with NAME. @more: further elements, or "" */
void plan_fixture_define (PlanFixture *f, const char *name, const char *placement,
                          const char *more);
void plan_fixture_define_xml (PlanFixture *f, const char *xml);
void plan_fixture_start (PlanFixture *f, const char *name);

/* A VM with a main thread, @n_vcpus vCPUs and one other thread starts, and is told to the agent.
 * Its pid */
pid_t plan_fixture_vm (PlanFixture *f, const char *name, guint n_vcpus);
void plan_fixture_plug (PlanFixture *f, const char *name, pid_t pid, guint n_vcpus);
void plan_fixture_end (PlanFixture *f, const char *name, pid_t pid);

/* (transfer full): the affinity of a thread, as a list. vCPU i is thread pid + 1 + i. */
char *plan_fixture_affinity (PlanFixture *f, pid_t tid);
/* Somebody else pins a vCPU, as virsh vcpupin does: its own directory and its affinity. taskset
 * alone cannot take it out of its directory's cpuset. */
void plan_fixture_pin (PlanFixture *f, pid_t pid, pid_t tid, const char *list);
/* (transfer full): the container's effective cpuset */
char *plan_fixture_cpus (PlanFixture *f, const char *path);
/* The one pCPU that the thread may run on */
int plan_fixture_pcpu_of (PlanFixture *f, pid_t tid);
/* That each of the threads has one, and no two the same */
void plan_fixture_assert_apart (PlanFixture *f, const pid_t *tids, guint n);
void plan_fixture_assert_affinity (PlanFixture *f, pid_t tid, const char *expected);
void plan_fixture_assert_cpus (PlanFixture *f, const char *path, const char *expected);
/* (transfer full): every cpuset, cap and affinity */
char *plan_fixture_kernel (PlanFixture *f);
