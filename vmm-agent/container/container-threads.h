/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Affinities of threads around a change: remembered before it, checked and repaired after it, and
 * put back if it fails. */
#pragma once

#include "vmm-agent/container/container-private.h"

typedef struct {
    pid_t tid;
    CorralCpuset *affinity;
    gboolean unpinned; /* it had all that its cpuset granted: no wish of its own */
} CorralThreadBefore;

/* tid -> CorralThreadBefore */
GHashTable *corral_threads_before_new (void);

/* Remembers @tid, unless it is known already or has ended. @allowed (nullable): what its cpuset
 * grants; NULL: take it for a thread without a wish. */
const CorralThreadBefore *corral_threads_remember (CorralContainerCore *core, GHashTable *before,
                                                   pid_t tid, const CorralCpuset *allowed);

/* Adds the step that puts all affinities in @before back. To be added before the steps that change
 * cpusets, so that it is undone after them, when the old affinities are valid again. */
void corral_threads_undo (CorralContainerCore *core, GHashTable *before, CorralUndo *undo);

/**
 * corral_thread_settle:
 * @before: (nullable): what it was, if that is known
 * @allowed: the cpuset it is in now
 * @pin: (nullable): what it must be pinned to, within @allowed
 *
 * Checks that @tid's affinity is what it should be: @pin; or all of @allowed if it had no wish of
 * its own; or else something within @allowed. Some kernels leave threads outside their cpuset when
 * a whole process is moved; so it is repaired, and read again. %CORRAL_ERROR_PARTIAL if that has no
 * effect.
 */
gboolean corral_thread_settle (CorralContainerCore *core, pid_t tid,
                               const CorralThreadBefore *before, const CorralCpuset *allowed,
                               const CorralCpuset *pin, GError **error) G_GNUC_WARN_UNUSED_RESULT;
