/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <string.h>

typedef struct {
    CorralContainerCore *core; /* borrowed: the steps never outlive the call that took them */
    CorralHierarchy *h;
    char *path;
    char *text;          /* what to write back */
    GPtrArray *settings; /* file, text, file, text... of a removed directory */
} Back;

static void
back_free (gpointer data)
{
    Back *back = data;

    g_free (back->path);
    g_free (back->text);
    g_clear_pointer (&back->settings, g_ptr_array_unref);
    g_free (back);
}

static Back *
back_new (CorralContainerCore *core, CorralHierarchy *h, const char *path, const char *text)
{
    Back *back = g_new0 (Back, 1);

    *back = (Back){ core, h, g_strdup (path), g_strdup (text), NULL };
    return back;
}

/* A write of no bytes would change nothing; a newline empties a setting. */
static const char *
text_or_newline (const char *text)
{
    return *text != '\0' ? text : "\n";
}

/* v2 lets no cpuset with tasks be emptied again. One that has what the whole host has is bounded by
 * what is above it as an empty one is. */
static int
widen (const Back *back)
{
    g_autofree char *name = g_path_get_basename (back->path);
    g_autofree char *effective = g_strconcat (name, ".effective", NULL), *all = NULL;
    int err = corral_io_read (back->h->tree.fd, effective, &all);

    return err != 0 ? err : corral_io_write (&back->core->io, &back->h->tree, back->path, all);
}

static int
undo_write (gpointer data)
{
    const Back *back = data;
    int err =
        corral_io_write (&back->core->io, &back->h->tree, back->path, text_or_newline (back->text));

    if (err == ENOSPC && *back->text == '\0')
        err = widen (back);
    /* Somebody has removed the directory meanwhile, with what was in it. */
    return err == ENOENT || err == ENODEV ? 0 : err;
}

static int
undo_mkdir (gpointer data)
{
    const Back *back = data;
    int err = corral_io_rmdir (&back->core->io, &back->h->tree, back->path);

    return err == ENOENT ? 0 : err;
}

static int
undo_rmdir (gpointer data)
{
    const Back *back = data;
    int err = corral_io_mkdir (&back->core->io, &back->h->tree, back->path);

    if (err != 0 && err != EEXIST)
        return err;
    for (guint i = 0; i + 1 < back->settings->len; i += 2) {
        g_autofree char *file = corral_dir_file (back->path, g_ptr_array_index (back->settings, i));
        const char *text = g_ptr_array_index (back->settings, i + 1);
        g_autofree char *now = NULL;

        if (corral_io_read (back->h->tree.fd, file, &now) != 0 || g_str_equal (now, text))
            continue;
        err = corral_io_write (&back->core->io, &back->h->tree, file, text_or_newline (text));
        if (err != 0)
            return err;
    }
    return 0;
}

gboolean
corral_step_write_back (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                        const char *file, const char *text, const char *back, CorralUndo *undo,
                        GError **error)
{
    g_autofree char *path = corral_dir_file (dir, file);
    int err = corral_io_write (&core->io, &h->tree, path, text_or_newline (text));

    if (err != 0)
        return corral_io_fail (error, err, "cannot write \"%s\" to \"%s/%s\"", text, h->tree.mount,
                               path);
    corral_undo_add (undo, undo_write, back_new (core, h, path, back), back_free,
                     "writing \"%s/%s\"", h->tree.mount, path);
    return TRUE;
}

gboolean
corral_step_write (CorralContainerCore *core, CorralHierarchy *h, const char *dir, const char *file,
                   const char *text, CorralUndo *undo, GError **error)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *old = NULL;
    int err = corral_io_read (h->tree.fd, path, &old);

    if (err != 0)
        return corral_io_fail (error, err, "cannot read \"%s/%s\"", h->tree.mount, path);
    if (g_str_equal (old, text))
        return TRUE;
    return corral_step_write_back (core, h, dir, file, text, old, undo, error);
}

gboolean
corral_step_mkdir (CorralContainerCore *core, CorralHierarchy *h, const char *dir,
                   gboolean *ret_made, CorralUndo *undo, GError **error)
{
    int err;

    if (ret_made != NULL)
        *ret_made = FALSE;
    if (corral_io_exists (h->tree.fd, dir))
        return TRUE;
    err = corral_io_mkdir (&core->io, &h->tree, dir);
    if (err == EEXIST)
        return TRUE;
    if (err != 0)
        return corral_io_fail (error, err, "cannot make the directory \"%s/%s\"", h->tree.mount,
                               dir);
    if (ret_made != NULL)
        *ret_made = TRUE;
    corral_undo_add (undo, undo_mkdir, back_new (core, h, dir, NULL), back_free, "making \"%s/%s\"",
                     h->tree.mount, dir);
    return TRUE;
}

static GPtrArray *
read_settings (CorralHierarchy *h, const char *dir)
{
    const CorralBackend *backend = corral_backend_of (h);
    GPtrArray *settings = g_ptr_array_new_with_free_func (g_free);

    for (guint i = 0; backend->settings[i] != NULL; i++) {
        g_autofree char *path = corral_dir_file (dir, backend->settings[i]);
        g_autofree char *text = NULL;

        if (corral_io_read (h->tree.fd, path, &text) != 0)
            continue;
        if (g_str_equal (backend->settings[i], "cgroup.subtree_control") && *text != '\0') {
            /* Read as "cpu cpuset", written as "+cpu +cpuset". */
            g_auto (GStrv) names = g_strsplit (text, " ", -1);
            g_autofree char *joined = g_strjoinv (" +", names);

            g_free (text);
            text = g_strconcat ("+", joined, NULL);
        }
        g_ptr_array_add (settings, g_strdup (backend->settings[i]));
        g_ptr_array_add (settings, g_steal_pointer (&text));
    }
    return settings;
}

gboolean
corral_step_rmdir (CorralContainerCore *core, CorralHierarchy *h, const char *dir, CorralUndo *undo,
                   GError **error)
{
    Back *back;
    int err;

    back = back_new (core, h, dir, NULL);
    back->settings = read_settings (h, dir);
    err = corral_io_rmdir (&core->io, &h->tree, dir);
    if (err == 0) {
        corral_undo_add (undo, undo_rmdir, back, back_free, "removing \"%s/%s\"", h->tree.mount,
                         dir);
        return TRUE;
    }
    back_free (back);
    return err == ENOENT ||
           corral_io_fail (error, err, "cannot remove the directory \"%s/%s\"", h->tree.mount, dir);
}
