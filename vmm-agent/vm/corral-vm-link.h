/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The connection to libvirtd. Every call that could wait for libvirtd is made in a thread of its
 * own; what it learns comes to the main context as plain values, one report at a time and in order.
 */
#pragma once

#include "vmm-agent/vm/corral-vm.h"

typedef enum {
    CORRAL_VM_LINK_DOWN,      /* text: why there is no connection */
    CORRAL_VM_LINK_UP,        /* connected; every active domain has been named by CHANGED */
    CORRAL_VM_LINK_CHANGED,   /* the domain name is active, or something has happened to it */
    CORRAL_VM_LINK_METADATA,  /* text: the URI whose element in name's metadata has changed */
    CORRAL_VM_LINK_DESCRIBED, /* text: name's live XML; with its state */
} CorralVmLinkReportType;

typedef struct {
    CorralVmLinkReportType type;
    char *name;
    char *text;
    CorralVmState state;
    gboolean starting; /* libvirt is not done with its start */
} CorralVmLinkReport;

typedef struct _CorralVmLink CorralVmLink;
typedef void (*CorralVmLinkFunc) (const CorralVmLinkReport *report, gpointer data);

/* Connects, read-only, and keeps connecting for as long as it lives. @func is called from the
 * thread-default main context of this call; libvirt's own events need the default main context to
 * run. */
CorralVmLink *corral_vm_link_new (const char *uri, CorralVmLinkFunc func, gpointer data);
/* Waits for nothing: a thread that libvirtd keeps waiting ends when that call does. */
void corral_vm_link_free (CorralVmLink *link);
/* Tries to connect now, if it is waiting to do so. */
void corral_vm_link_retry (CorralVmLink *link);
/* Asks libvirtd for one domain; nothing is reported if it is not active or libvirtd does not say.
 */
void corral_vm_link_describe (CorralVmLink *link, const char *name);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmLink, corral_vm_link_free)
