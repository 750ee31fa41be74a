/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's hook for QEMU domains: the container a VM names is there before QEMU is. No libvirt
 * call is made here: libvirtd waits for the hook, and would wait for itself. */
#pragma once

#include "policy/corral-definition.h"
#include "vmm-agent/container/corral-container.h"

/* Where libvirt puts a domain that names no partition. */
#define CORRAL_HOOK_DEFAULT_PARTITION "/machine"

/**
 * corral_hook_admit:
 * @settings_file: (nullable): corrald's settings; NULL means the default file
 * @xml: the domain's document, as libvirt gives it to a hook at "prepare"
 *
 * Makes sure that the partition of the domain exists, whole, before its QEMU does. A container that
 * is defined and does not run is made, and its parents with it, with their values; a whole one is
 * left as it is. One that is planned needs corrald's consent, which also makes it wide enough;
 * without corrald, VMs of such containers do not start, and all others do as ever. libvirt's
 * default partition is libvirt's own affair unless a container is
 * defined there, and so is a path that no container can have.
 *
 * Returns: %FALSE when the domain must not start; the message is for the one who starts it
 */
gboolean corral_hook_admit (const char *settings_file, const char *xml, gsize length,
                            GError **error) G_GNUC_WARN_UNUSED_RESULT;

typedef enum {
    CORRAL_HOOK_ADMITTED,
    CORRAL_HOOK_REFUSED,
    CORRAL_HOOK_NO_ANSWER,
} CorralHookAnswer;

/**
 * corral_hook_ask:
 * @socket_dir: where corrald's socket is
 * @xml: the domain's document
 * @release: gives back what an earlier call has kept for the VM
 *
 * Whether corrald's plan has room for this VM. It takes a few milliseconds, and no longer than some
 * seconds. @error is set unless it is admitted.
 */
CorralHookAnswer corral_hook_ask (const char *socket_dir, const char *xml, gboolean release,
                                  GError **error);

/* The VM has ended, or was never started. This cannot fail. */
void corral_hook_release (const char *settings_file, const char *xml);

/* Which container is defined at which path, by the files corrald keeps. */
typedef struct CorralHookIndex CorralHookIndex;

/**
 * corral_hook_index_new:
 * @folders: (array zero-terminated=1): folders of NAME.xml; an earlier one goes before a later one
 *
 * Looks at each file's name and partition only, so that many definitions cost little.
 */
gboolean corral_hook_index_new (const char *const *folders, CorralHookIndex **ret_index,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;
void corral_hook_index_free (CorralHookIndex *index);

/* Whether a file names @partition. It need not be valid. */
gboolean corral_hook_index_has (CorralHookIndex *index, const char *partition);

/**
 * corral_hook_index_load:
 * @ret_definition: (out) (transfer full) (nullable): NULL when no file names @partition
 *
 * Returns: %FALSE when the file that does is not a valid definition; or when none does, but one
 *   that cannot be read might. The message names the file, and the line.
 */
gboolean corral_hook_index_load (CorralHookIndex *index, const char *partition,
                                 CorralDefinition **ret_definition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_hook_make:
 * @index: the definitions of @partition and of its parents
 *
 * Makes @partition and what is missing above it. What this call made is removed when it fails.
 * %CORRAL_ERROR_NOT_FOUND when no container is defined at @partition.
 */
gboolean corral_hook_make (CorralContainerCore *core, CorralHookIndex *index, const char *partition,
                           GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* All of @fd, up to @max bytes; @what and @max are for the message. */
gboolean corral_hook_read_all (int fd, const char *what, gsize max, char **ret_text,
                               gsize *ret_length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralHookIndex, corral_hook_index_free)
