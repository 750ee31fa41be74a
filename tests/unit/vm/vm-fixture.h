/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An inventory over a folder that stands for the host: its cgroups and libvirt's state directory
 * are made up; processes and threads are real. */
#pragma once

#include "vmm-agent/vm/corral-vm.h"

typedef struct {
    char *folder;
    char *state_dir;
    CorralContainerCore *core;
    GHashTable *qmp_sockets;
    CorralVmInventory *inventory;
    GString *log;     /* each signal as a letter: + added, ~ changed, - removed, s settled */
    GArray *children; /* of pid_t */
} VmFixture;

/* @data: not NULL for a host of cgroup v2 with the kvm subsystem; else it is one of v1. */
void vm_fixture_set_up (VmFixture *f, gconstpointer data);
void vm_fixture_tear_down (VmFixture *f, gconstpointer unused);
void vm_fixture_start (VmFixture *f, gboolean with_libvirt);
void vm_fixture_stop (VmFixture *f);

/* A process of two threads; with @pid_file (nullable) it holds that file locked, as a VM of
 * libvirt's does. */
pid_t vm_fixture_spawn (VmFixture *f, const char *pid_file);
pid_t vm_fixture_second_thread (pid_t pid);
/* The process goes on with its second one. */
void vm_fixture_end_main_thread (pid_t pid);
void vm_fixture_kill (VmFixture *f, pid_t pid);
/* Puts the process into a group of the made-up cgroup tree; NULL: into none. */
void vm_fixture_place (VmFixture *f, pid_t pid, const char *group);
/* Writes a thread into @group/@part. */
void vm_fixture_sort (VmFixture *f, const char *group, const char *part, pid_t tid);
/* What kvm.vms says; NULL: the subsystem is gone. */
void vm_fixture_kvm_vms (VmFixture *f, const char *text);
/* Writes NAME.xml as libvirt does: another file, renamed. */
void vm_fixture_status (VmFixture *f, const char *name, const char *text);
char *vm_fixture_path (VmFixture *f, const char *name);

/* Runs the main loop until @condition, or fails. */
#define vm_spin_until(condition)                                                                   \
    G_STMT_START                                                                                   \
    {                                                                                              \
        g_autoptr (GSource) timer_ = vm_spin_start ();                                             \
        while (!(condition)) {                                                                     \
            if (g_source_is_destroyed (timer_))                                                    \
                g_error ("%s:%d: waited in vain for %s", __FILE__, __LINE__, #condition);          \
            g_main_context_iteration (NULL, TRUE);                                                 \
        }                                                                                          \
        g_source_destroy (timer_);                                                                 \
    }                                                                                              \
    G_STMT_END
GSource *vm_spin_start (void);
