/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A folder of container definitions, one NAME.xml for each, and which of them start at boot.
 * corrald keeps two: the persistent ones and the live copies. The libvirt hook reads them as well.
 */
#pragma once

#include "policy/corral-definition.h"

typedef struct CorralStore CorralStore;

/* The folder need not exist; it is made by the first save. No I/O. */
CorralStore *corral_store_new (const char *folder);
void corral_store_free (CorralStore *store);
const char *corral_store_folder (CorralStore *store);

/**
 * corral_store_name_check:
 *
 * Whether @name can be a container's: 1 to CORRAL_NAME_MAX bytes of UTF-8 without '/' and control
 * characters, and not starting with a dot. Every file name here is built from a name that passed.
 */
gboolean corral_store_name_check (const char *name, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_store_list:
 * @ret_definitions: (out) (transfer full): of CorralDefinition, sorted by name
 * @ret_broken: (out) (transfer full): of GError, one for each file that could not be read, with the
 *   file's name; such a file is left as it is
 *
 * A folder that does not exist holds nothing. A file must be named after the container in it.
 */
gboolean corral_store_list (CorralStore *store, GPtrArray **ret_definitions, GPtrArray **ret_broken,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* %CORRAL_ERROR_NOT_FOUND when there is no such file */
gboolean corral_store_load (CorralStore *store, const char *name, CorralDefinition **ret_definition,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Writes by atomic replacement, synced to disk: after a crash the file is either the old or the new
 * one. A file of that name that cannot be read is not overwritten: %CORRAL_ERROR_STATE. */
gboolean corral_store_save (CorralStore *store, const CorralDefinition *definition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Removes the definition, then its autostart link. A missing one is a success. */
gboolean corral_store_remove (CorralStore *store, const char *name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Renames a file that cannot be read to NAME.xml.broken, so that its name is free again. */
gboolean corral_store_set_aside (CorralStore *store, const char *name, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Autostart is a symbolic link, FOLDER/autostart/NAME.xml, as libvirt keeps it for domains. */
gboolean corral_store_get_autostart (CorralStore *store, const char *name);
gboolean corral_store_set_autostart (CorralStore *store, const char *name, gboolean autostart,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralStore, corral_store_free)
