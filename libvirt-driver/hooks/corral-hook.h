/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's hook for QEMU domains: the container a VM names is there before QEMU is. No libvirt
 * call is made here: libvirtd waits for the hook, and would wait for itself. */
#pragma once

#include "policy/corral-definition.h"
#include "vmm-agent/container/corral-container.h"

/* Where libvirt puts a domain that names no partition. */
#define CORRAL_HOOK_DEFAULT_PARTITION "/machine"

/* --- the hook itself: corrald is asked --- */

typedef enum {
    CORRAL_HOOK_READY,    /* and its container is made */
    CORRAL_HOOK_ADMITTED, /* corrald has nothing against it, and did not make its container */
    CORRAL_HOOK_REFUSED,
    CORRAL_HOOK_NO_ANSWER,
} CorralHookAnswer;

/**
 * corral_hook_ask:
 * @socket_dir: where corrald's socket is
 * @xml: the domain's document
 * @release: gives back what an earlier call has kept for the VM
 *
 * Whether corrald's plan has room for this VM, in a container that is ready. It takes a few
 * milliseconds, and no longer than some seconds. @error is set when it is refused, and when there
 * is no answer.
 */
CorralHookAnswer corral_hook_ask (const char *socket_dir, const char *xml, gboolean release,
                                  GError **error);

/* --- both programs --- */

/* All of @fd, up to @max bytes, and a NUL that @ret_length does not count; @what and @max are for
 * the message. */
gboolean corral_hook_read_all (int fd, const char *what, gsize max, char **ret_text,
                               gsize *ret_length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* Ends this process with a message after 30 seconds. */
void corral_hook_bound_time (void);

/* On stderr, in one line: libvirt shows it. */
void corral_hook_print_error (const GError *error);

/* --- corral-hook-make: what corrald did not make --- */

/**
 * corral_hook_admit:
 * @settings_file: (nullable): corrald's settings; NULL means the default file
 * @unanswered: (nullable): why corrald gave no answer; NULL: it has nothing against this VM
 * @xml: the domain's document, as libvirt gives it to a hook at "prepare"
 *
 * Makes sure that the partition of the domain exists, whole, before its QEMU does. A container that
 * is defined and does not run is made, and its parents with it, with their values; a whole one is
 * left as it is. Without corrald, VMs of planned containers do not start, and all others do as
 * ever. libvirt's default partition is libvirt's own affair unless a container is defined there,
 * and so is a path that no container can have. One that leads to a planned container by another
 * spelling ("/machine//a", "/machine/a.partition") is refused: corrald found no place in that
 * container. So are all but libvirt's own while the settings cannot be read.
 *
 * Returns: %FALSE when the domain must not start; the message is for the one who starts it
 */
gboolean corral_hook_admit (const char *settings_file, const char *unanswered, const char *xml,
                            gsize length, GError **error) G_GNUC_WARN_UNUSED_RESULT;

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

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralHookIndex, corral_hook_index_free)
