/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Runs the hook as libvirtd does, on the real kernel, with containers of this process only. */
#pragma once

#include "common/corral-error.h"
#include "policy/corral-definition.h"
#include "vmm-agent/container/corral-container.h"

#include <gio/gio.h>

extern CorralContainerCore *core;
extern char *folder;     /* settings, definitions, live copies */
extern char *top;        /* "/corral-test-PID": all containers of this test */
extern const char *hook; /* the program */
extern CorralCpuset *host_cpus, *host_mems;

/* Runs what @add_tests adds in a child, since a failing assertion ends it; then cleans up. */
int fixture_run (int argc, char **argv, void (*add_tests) (void));

/* Each test starts with this: no container, no file but the settings. */
void fixture_set_up (void);

/* --- running the hook --- */

/* @name: relative to the folder */
void fixture_put_file (const char *name, const char *text, gssize length);
void fixture_remove_file (const char *name);

/* @input: the file for stdin. The domain is called web1. */
GSubprocess *fixture_spawn (const char *operation, const char *sub_operation, const char *input);

/* Returns: what the hook wrote to stderr, without the line's end. Nothing may be on stdout: libvirt
 * would take it for another domain document. */
char *fixture_finish (GSubprocess *process, int expected);

/* Makes the file "in": a VM that names @partition, which may be NULL. */
void fixture_put_vm (const char *partition);
/* Such a VM starts, or is refused with the message that is returned. */
void fixture_admit (const char *partition);
char *fixture_refuse (const char *partition);
void fixture_assert_holds (const char *text, const char *part);

/* --- containers --- */

/* A definition NAME.xml in the folder's @where, of the container TOP/PATH. */
void fixture_define (const char *where, const char *name, const char *path, const char *inner);
void fixture_destroy_tree (const char *path);
CorralContainerState fixture_state_of (const char *path);
void fixture_assert_cpus (const char *path, const CorralCpuset *expected);
guint64 fixture_weight_of (const char *path);
/* The @index-th pCPU of the host, alone */
CorralCpuset *fixture_nth_cpu (int index);
char *fixture_vcpu_element (const CorralCpuset *cpus);
