/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An inventory that says what the test tells it to, about processes that are real. It stands in for
 * vmm-agent/vm in the agent's tests: libvirtd and QEMU cannot be made to change when we want it. */
#pragma once

#include "vmm-agent/vm/corral-vm.h"

#define FAKE_VM_THREADS_MAX 16

/* A process whose threads idle, and work when they are told to */
typedef struct {
    pid_t pid;
    struct FakeVmShared *shared;
} FakeVm;

FakeVm *fake_vm_start (guint n_vcpus);
/* Starts one thread more. */
void fake_vm_plug (FakeVm *vm);
pid_t fake_vm_tid (FakeVm *vm, guint vcpu);
/* Lets one vCPU use @ms of CPU time, and waits until it has. */
void fake_vm_work (FakeVm *vm, guint vcpu, guint ms);
/* Kills and reaps it. */
void fake_vm_end (FakeVm *vm);

/* Reports. @home_group: (nullable) */
void fake_inventory_add (CorralVmInventory *inventory, const char *name, FakeVm *vm,
                         CorralVmSource source, const char *partition, const char *home_group);
void fake_inventory_change (CorralVmInventory *inventory, const char *name, FakeVm *vm);
/* The same of a VM that is no process of this machine: new, or with other threads. */
void fake_inventory_put (CorralVmInventory *inventory, const char *name, pid_t pid,
                         const pid_t *tids, guint n_tids);
/* Its source has said something of it that changes nothing. */
void fake_inventory_touch (CorralVmInventory *inventory, const char *name);
void fake_inventory_remove (CorralVmInventory *inventory, const char *name);
void fake_inventory_settle (CorralVmInventory *inventory);
