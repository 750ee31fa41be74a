/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt keeps of a running domain in its state directory: NAME.pid, which the domain's
 * process holds locked as long as it lives, and NAME.xml, the status from which libvirtd itself
 * finds its domains again after a restart. */
#pragma once

#include "vmm-agent/vm/corral-vm-process.h"
#include "vmm-agent/vm/corral-vm.h"

typedef struct {
    CorralVmState state;
    gboolean starting; /* libvirt is not done with its start: its threads are still being placed */
    pid_t pid;
    int id; /* libvirt's domain id; -1 where unknown */
    guint8 uuid[16];
    char *name;
    char *partition; /* (nullable) */
    guint wishes;    /* CorralWish bits; none when they cannot be read */
    CorralPlacement wish;
    GPtrArray *pins; /* (nullable): as in CorralVm */
    CorralCpuset *emulator_pin;
    GPtrArray *iothread_pins; /* (nullable): likewise, by I/O thread number ... */
    CorralCpuset *any_pin;    /* ... and, (nullable), for those that have none there */
    GArray *vcpus; /* of CorralThread, as libvirt believes; a thread may be gone, tids are > 0 */
} CorralVmStatus;

void corral_vm_status_free (CorralVmStatus *status);

/* @xml: a <domstatus>, or the <domain> that libvirt's API gives, for which pid is 0 and state
 * CORRAL_VM_OTHER. Fails with CORRAL_ERROR_XML. */
gboolean corral_vm_status_parse (const char *xml, gsize length, CorralVmStatus **ret_status,
                                 GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Reads @directory/@name.xml. CORRAL_ERROR_NOT_FOUND: there is none. */
gboolean corral_vm_status_read (const char *directory, const char *name,
                                CorralVmStatus **ret_status, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Reads @directory/@name.pid. @ret_locked tells whether that very process holds the file locked,
 * which only the one that libvirt started does; a stale file may hold another process' number. */
gboolean corral_vm_status_read_pid (const char *directory, const char *name, pid_t *ret_pid,
                                    gboolean *ret_locked, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Whether @name can be that of a domain: a file name. */
gboolean corral_vm_status_name_is_valid (const char *name);

/* The directory, below a hierarchy's root, that libvirt makes on a host without systemd for the
 * domain
 * @name with @id in @partition. (transfer full) (nullable): NULL when @partition is no absolute
 * path */
char *corral_vm_status_group (const char *partition, int id, const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmStatus, corral_vm_status_free)
