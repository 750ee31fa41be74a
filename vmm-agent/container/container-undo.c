/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-undo.h"

#include <errno.h>

typedef struct {
    CorralUndoFunc func;
    gpointer data;
    GDestroyNotify destroy;
    char *what;
} Step;

struct _CorralUndo {
    GPtrArray *steps;
};

static void
step_free (gpointer data)
{
    Step *step = data;

    if (step->destroy != NULL)
        step->destroy (step->data);
    g_free (step->what);
    g_free (step);
}

CorralUndo *
corral_undo_new (void)
{
    CorralUndo *undo = g_new0 (CorralUndo, 1);

    undo->steps = g_ptr_array_new_with_free_func (step_free);
    return undo;
}

void
corral_undo_add (CorralUndo *undo, CorralUndoFunc func, gpointer data, GDestroyNotify destroy,
                 const char *what, ...)
{
    Step *step = g_new0 (Step, 1);
    va_list args;

    va_start (args, what);
    *step = (Step){ func, data, destroy, g_strdup_vprintf (what, args) };
    va_end (args);
    g_ptr_array_add (undo->steps, step);
}

gboolean
corral_undo_run (CorralUndo *undo, GError **error)
{
    while (undo->steps->len > 0) {
        const guint last = undo->steps->len - 1;
        const Step *step = g_ptr_array_index (undo->steps, last);
        const int err = step->func (step->data);

        if (err != 0 && error != NULL && *error != NULL) {
            char *message = g_strdup_printf ("%s; and %s could not be undone: %s",
                                             (*error)->message, step->what, g_strerror (err));

            g_free ((*error)->message);
            (*error)->message = message;
        }
        g_ptr_array_remove_index (undo->steps, last);
    }
    return FALSE;
}

void
corral_undo_append (CorralUndo *undo, CorralUndo *more)
{
    while (more->steps->len > 0)
        g_ptr_array_add (undo->steps, g_ptr_array_steal_index (more->steps, 0));
}

void
corral_undo_free (CorralUndo *undo)
{
    if (undo == NULL)
        return;
    g_ptr_array_unref (undo->steps);
    g_free (undo);
}
