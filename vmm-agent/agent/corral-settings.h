/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corrald's settings: a keyfile with a folder of additions, read by corrald and by the libvirt
 * hook. */
#pragma once

#include <glib.h>

#define CORRAL_SETTINGS_FILE "/etc/corral/corral.conf"

typedef struct {
    /* [corrald] */
    char *definition_dir; /* "/etc/corral/containers" */
    char *state_dir;      /* "/run/corral": live copies, usage, the lock */
    char *socket_dir;     /* "/run/corral": libvirt-sock and libvirt-sock-ro */
    char *socket_group;   /* (nullable): the group that owns libvirt-sock; NULL: root's */
    guint socket_mode;    /* permissions of libvirt-sock: 0660 */
    guint socket_ro_mode; /* permissions of libvirt-sock-ro: 0666 */
    guint max_clients;    /* connections at once, over both sockets: 500 */
    char *host_file;      /* "/etc/corral/host.xml"; it need not be there */
    guint drift_interval; /* seconds between two looks for changes that the kernel tells nobody: 5
                           */
    /* [libvirt] */
    char *libvirt_uri;       /* (nullable): "qemu:///system"; empty in the file: NULL, no libvirt */
    char *libvirt_state_dir; /* "/run/libvirt/qemu" */
    /* [qmp] NAME=SOCKET */
    GHashTable *qmp_sockets; /* VM name -> absolute path of its QMP socket; never NULL */
} CorralSettings;

/**
 * corral_settings_load:
 * @file: (nullable): NULL reads CORRAL_SETTINGS_FILE, which may be missing; a file that is named
 * must exist
 *
 * Reads @file, then the files that end in ".conf" in the folder @file + ".d", by name; a later
 * value replaces an earlier one. An unknown group or key is an error, so that a misspelt setting is
 * not passed over.
 *
 * Returns: %FALSE with %CORRAL_ERROR_INVALID or %CORRAL_ERROR_IO; the message names the file
 */
gboolean corral_settings_load (const char *file, CorralSettings **ret_settings, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_settings_free (CorralSettings *settings);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralSettings, corral_settings_free)
