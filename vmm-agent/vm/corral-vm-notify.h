/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories watched by inotify, whether they exist already or not. One inotify descriptor serves
 * all of them, since a host has few instances to give. */
#pragma once

#include <glib.h>

typedef struct _CorralVmNotify CorralVmNotify;

/* @name was made in the directory, or renamed into it. NULL: look at all of it again (the directory
 * has appeared, or events were lost). */
typedef void (*CorralVmNotifyFunc) (const char *name, gpointer data);

CorralVmNotify *corral_vm_notify_new (void);
void corral_vm_notify_free (CorralVmNotify *notify);

/* Calls from the thread-default main context of corral_vm_notify_new(); not for what is in
 * @directory already. While @directory is missing, the nearest of its parents is watched for it to
 * appear. Returns an id that is never 0. */
guint corral_vm_notify_add (CorralVmNotify *notify, const char *directory, CorralVmNotifyFunc func,
                            gpointer data);
void corral_vm_notify_remove (CorralVmNotify *notify, guint id);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralVmNotify, corral_vm_notify_free)
