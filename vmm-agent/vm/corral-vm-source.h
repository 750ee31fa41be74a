/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Between the inventory and its sources: a source says what it believes of a VM, the inventory
 * checks that against the kernel and tells the agent. Everything here runs in the inventory's main
 * context. */
#pragma once

#include "vmm-agent/vm/corral-vm-notify.h"
#include "vmm-agent/vm/corral-vm-process.h"
#include "vmm-agent/vm/corral-vm.h"

/* What a source believes of a VM that runs. Borrowed by the call that gets it. */
typedef struct {
    const char *name;
    CorralVmSource source;
    CorralVmState state;
    guint8 uuid[16];
    CorralVmProcess process;
    const char *partition; /* (nullable) */
    const char
        *home_group; /* (nullable): where the source would have put it; used if it is there */
    const GArray
        *threads; /* (nullable): of CorralThread; what the source last heard, maybe stale */
    guint wishes; /* as in CorralVm */
    CorralPlacement wish;
    GPtrArray *pins;
    const CorralCpuset *emulator_pin;
    GPtrArray *iothread_pins;
    const CorralCpuset *any_pin;
} CorralVmFacts;

/* A VM was read: adds it, changes it, or replaces one of that name whose process was another.
 * While one source has a VM of this name, the other's is passed over. */
void corral_vm_inventory_put (CorralVmInventory *inventory, const CorralVmFacts *facts);
/* Looks whether the VM's process is still there, for a source that heard that it is not. */
void corral_vm_inventory_check (CorralVmInventory *inventory, const char *name);
/* One more source has been read once. */
void corral_vm_inventory_source_read (CorralVmInventory *inventory);
/* (transfer full) (nullable): the group that the process is in, as corral_container_of_process()
 * says */
char *corral_vm_inventory_group_of (CorralVmInventory *inventory, pid_t pid);
/* Whether the container core made the group @group for a VM that was moved. */
gboolean corral_vm_inventory_is_group_of_ours (const char *group);
void corral_vm_inventory_metadata (CorralVmInventory *inventory, const char *name, const char *uri);

/* --- the sources --- */

typedef struct _CorralVmLibvirt CorralVmLibvirt;
CorralVmLibvirt *corral_vm_libvirt_new (CorralVmInventory *inventory, CorralVmNotify *notify,
                                        const char *uri, const char *state_dir);
void corral_vm_libvirt_free (CorralVmLibvirt *libvirt);
/* Puts the VM @name again, if there is one. */
void corral_vm_libvirt_offer (CorralVmLibvirt *libvirt, const char *name);
gboolean corral_vm_libvirt_is_connected (CorralVmLibvirt *libvirt, char **ret_reason);

typedef struct _CorralVmQmp CorralVmQmp;
/* One VM; @socket is the path of its QMP socket. */
CorralVmQmp *corral_vm_qmp_new (CorralVmInventory *inventory, CorralVmNotify *notify,
                                const char *name, const char *socket);
void corral_vm_qmp_free (CorralVmQmp *qmp);
void corral_vm_qmp_offer (CorralVmQmp *qmp);
/* Asks QEMU for its threads again; the answer is put when it comes. */
void corral_vm_qmp_refresh (CorralVmQmp *qmp);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmLibvirt, corral_vm_libvirt_free)
G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmQmp, corral_vm_qmp_free)
