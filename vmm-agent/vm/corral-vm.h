/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The VM inventory: which VMs and which threads exist on this host, from libvirt's events and from
 * QMP sockets named in the settings. It polls nothing, and no call of it waits for QEMU or
 * libvirtd. */
#pragma once

#include "policy/corral-placement.h"
#include "vmm-agent/container/corral-container.h"

#include <glib-object.h>

typedef enum {
    CORRAL_VM_LIBVIRT,
    CORRAL_VM_QMP, /* plain QEMU, started outside libvirt */
} CorralVmSource;

typedef enum {
    CORRAL_VM_RUNNING,
    CORRAL_VM_PAUSED,
    CORRAL_VM_OTHER, /* shutting down, crashed, no state known */
} CorralVmState;

/* One running VM. Values are replaced as a whole; a pointer is good until the next signal. */
typedef struct {
    char *name;      /* libvirt's domain name, or the name given in the settings; unique */
    guint8 uuid[16]; /* all zero where unknown */
    CorralVmSource source;
    CorralVmState state;
    pid_t pid;
    guint64 start_time; /* field 22 of /proc/PID/stat: with @pid it names the process for good */
    char *partition;    /* (nullable): the live <resource><partition>, its home */
    /* (nullable): the group directory its source made for it, relative to a hierarchy's root, as
     * corral_container_of_process() writes it. It stays the same when the VM is moved. NULL while
     * the VM is in no group; one that is made later is a "vm-changed". */
    char *home_group;
    /* Of CorralThread: every vCPU and I/O thread that exists in the kernel now, sorted by role and
     * index. Never from thread names. */
    GArray *threads;
    guint wishes; /* CorralWish: what its own metadata say of its placement, in @wish */
    CorralPlacement wish;
    /* (nullable): where its source has pinned it, by vCPU number: CorralCpuset or NULL */
    GPtrArray *pins;
    CorralCpuset *emulator_pin; /* (nullable) */
    GPtrArray *iothread_pins;   /* (nullable): likewise, by I/O thread number ... */
    CorralCpuset *any_pin;      /* ... and, (nullable), for those that have none there */
} CorralVm;

#define CORRAL_TYPE_VM_INVENTORY (corral_vm_inventory_get_type ())
G_DECLARE_FINAL_TYPE (CorralVmInventory, corral_vm_inventory, CORRAL, VM_INVENTORY, GObject)

typedef struct {
    const char *libvirt_uri;       /* (nullable): NULL: no libvirt. "qemu:///system" */
    const char *libvirt_state_dir; /* where NAME.pid and NAME.xml are: "/run/libvirt/qemu" */
    GHashTable *qmp_sockets;       /* (nullable): VM name -> path of a QMP socket of ours alone */
} CorralVmSettings;

/* @core is used for reading only: cgroup directories and /proc. */
CorralVmInventory *corral_vm_inventory_new (CorralContainerCore *core,
                                            const CorralVmSettings *settings);

/* Starts to connect, and keeps trying (backing off, at most 5 s between tries) for as long as it
 * lives. Signals come on the thread-default main context of this call; libvirt calls are made in a
 * thread of their own. */
void corral_vm_inventory_start (CorralVmInventory *inventory);

/* Whether every source has been read once since start, so that absence means absence. */
gboolean corral_vm_inventory_is_settled (CorralVmInventory *inventory);
/* Whether libvirtd answers now; @ret_reason (transfer full) (nullable) says why not. */
gboolean corral_vm_inventory_is_connected (CorralVmInventory *inventory, char **ret_reason);

/* (transfer container): CorralVm pointers, sorted by name; borrowed until the next signal. */
GPtrArray *corral_vm_inventory_list (CorralVmInventory *inventory);
const CorralVm *corral_vm_inventory_lookup (CorralVmInventory *inventory, const char *name);

/* Reads the threads of one VM from the kernel again, at once; emits "vm-changed" if they differ.
 * The agent calls this when the container core reports a change in the VM's group. */
void corral_vm_inventory_refresh_threads (CorralVmInventory *inventory, const char *name);

/* Signals, each with the const CorralVm *:
 *   "vm-added"    it runs now, and libvirt is done with its start: before that, libvirt still sorts
 *                 its threads into cgroups, and the start would fail if they were moved. One of QMP
 *                 comes with its threads, or after a second without, if QEMU does not answer
 *   "vm-changed"  its state, its partition, its home, its wishes or its threads
 *   "vm-touched"  its source wrote or said something of it that changes nothing here (a pin, say)
 *   "vm-removed"  its process has ended (the pointer is still good during the signal)
 *   "settled"     (no argument) is_settled() has become true
 *   "vm-metadata" (const char *name, const char *uri) libvirt's metadata of it changed */
