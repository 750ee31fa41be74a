/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Several changes as one: the steps back of each are kept until all are made. */
#include "vmm-agent/container/container-private.h"

void
corral_container_begin (CorralContainerCore *core)
{
    g_return_if_fail (core->journal == NULL);
    core->journal = corral_undo_new ();
}

void
corral_container_commit (CorralContainerCore *core)
{
    g_clear_pointer (&core->journal, corral_undo_free);
}

gboolean
corral_container_rollback (CorralContainerCore *core, GError **error)
{
    g_autoptr (CorralUndo) journal = g_steal_pointer (&core->journal);

    return journal != NULL && corral_undo_run (journal, error);
}

gboolean
corral_container_done (CorralContainerCore *core, CorralUndo *undo)
{
    if (core->journal != NULL)
        corral_undo_append (core->journal, undo);
    return TRUE;
}
