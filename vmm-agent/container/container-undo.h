/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of steps that take a half-done change back, last one first. */
#pragma once

#include <glib.h>

typedef struct _CorralUndo CorralUndo;

/* 0, or the errno of what could not be undone. */
typedef int (*CorralUndoFunc) (gpointer data);

CorralUndo *corral_undo_new (void);
/* @data is freed by @destroy in any case; @what names the step in an error message. */
void corral_undo_add (CorralUndo *undo, CorralUndoFunc func, gpointer data, GDestroyNotify destroy,
                      const char *what, ...) G_GNUC_PRINTF (5, 6);
/* Takes everything back. What could not be undone is added to *error's message. Returns %FALSE, so
 * that a failing function can end with it. */
gboolean corral_undo_run (CorralUndo *undo, GError **error);
/* Moves the steps of @more, which come after those of @undo. */
void corral_undo_append (CorralUndo *undo, CorralUndo *more);
/* Forgets the steps: the change is complete. */
void corral_undo_free (CorralUndo *undo);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralUndo, corral_undo_free)
