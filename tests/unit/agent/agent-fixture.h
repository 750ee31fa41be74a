/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An agent on this machine's kernel, below a container of the test's own. */
#pragma once

#include "common/corral-error.h"
#include "tests/unit/agent/fake-inventory.h"
#include "vmm-agent/agent/corral-agent.h"

typedef struct {
    CorralContainerCore
        *core; /* NULL: this machine has no usable cgroups, and the test was skipped */
    CorralAgent *agent;
    char *folder;
    char *definitions;
    char *state;
    char *top;       /* "/corral-agent-test-PID-N" */
    GString *events; /* "+web", "-web", ...: see agent_event_text() */
    GPtrArray *problems;
    GPtrArray *vms; /* of FakeVm; ended at the latest when the test ends */
} Fixture;

void fixture_set_up (Fixture *f, gconstpointer unused);
void fixture_tear_down (Fixture *f, gconstpointer unused);
#define FIXTURE_ADD(path, function)                                                                \
    g_test_add (path, Fixture, NULL, fixture_set_up, function, fixture_tear_down)
/* For the first line of each test */
#define FIXTURE_CHECK(f)                                                                           \
    if ((f)->core == NULL)                                                                         \
    return

/* Makes a new agent on the same folders, as after a restart of corrald. */
void fixture_start (Fixture *f);
void fixture_stop (Fixture *f);
void fixture_restart (Fixture *f);

/* (transfer full): f->top + @path */
char *fixture_path (Fixture *f, const char *path);
/* @extra: further elements of the document, or "" */
CorralDefinition *fixture_definition (Fixture *f, const char *name, const char *path,
                                      const char *extra);
void fixture_define (Fixture *f, const char *name, const char *path, const char *extra);
void fixture_start_container (Fixture *f, const char *name);
void fixture_define_and_start (Fixture *f, const char *name, const char *path, const char *extra);
gboolean fixture_is_active (Fixture *f, const char *name);
CorralContainerState fixture_kernel_state (Fixture *f, const char *path);
FakeVm *fixture_vm (Fixture *f, guint n_vcpus);
/* (transfer full): the container the kernel has a thread in, without f->top; "" for any other */
char *fixture_place (Fixture *f, pid_t pid, pid_t tid);

/* (transfer full): a group as libvirt makes it, in the container at @path, with @vm, of two vCPUs,
 * in it */
char *fixture_libvirt_group (Fixture *f, const char *path, FakeVm *vm);

/* Compares what happened since the last call, and forgets it. */
void fixture_expect_events (Fixture *f, const char *events);
void fixture_expect_problems (Fixture *f, guint n);
/* Runs the main loop until @events have come. */
void fixture_wait_events (Fixture *f, const char *events);
