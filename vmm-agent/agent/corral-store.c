/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/agent/corral-store.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUFFIX ".xml"
#define AUTOSTART "autostart"

struct CorralStore {
    char *folder;
    char *autostart; /* FOLDER/autostart */
};

CorralStore *
corral_store_new (const char *folder)
{
    CorralStore *store = g_new0 (CorralStore, 1);

    store->folder = g_strdup (folder);
    store->autostart = g_build_filename (folder, AUTOSTART, NULL);
    return store;
}

void
corral_store_free (CorralStore *store)
{
    if (store == NULL)
        return;
    g_free (store->folder);
    g_free (store->autostart);
    g_free (store);
}

const char *
corral_store_folder (CorralStore *store)
{
    return store->folder;
}

/* (nullable): the only place where a name becomes part of a path */
static char *
path_in (const char *folder, const char *name, GError **error)
{
    g_autofree char *base = NULL;

    if (!corral_store_name_check (name, error))
        return NULL;
    base = g_strconcat (name, SUFFIX, NULL);
    return g_build_filename (folder, base, NULL);
}

/* A new name, or the end of one, is on disk only when its folder is. */
static gboolean
sync_folder (const char *folder)
{
    int fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    gboolean ok = fd >= 0 && fsync (fd) == 0;
    int saved = errno;

    if (fd >= 0)
        close (fd);
    errno = saved;
    return ok;
}

static gboolean
read_regular (const char *path, char **ret_text, gsize *ret_length, GError **error)
{
    /* O_NONBLOCK: a FIFO that someone put there must not hold us up. */
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    g_autofree char *text = NULL;
    gsize length = 0;
    ssize_t got = 1;
    struct stat st;
    gboolean ok = fd >= 0 && fstat (fd, &st) == 0;

    if (ok && (!S_ISREG (st.st_mode) || st.st_size > CORRAL_XML_MAX)) {
        close (fd);
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot read \"%s\": it is not a plain file of at most %d bytes", path,
                     CORRAL_XML_MAX);
        return FALSE;
    }
    text = g_malloc (CORRAL_XML_MAX);
    while (ok && got > 0 && length < CORRAL_XML_MAX) {
        got = TEMP_FAILURE_RETRY (read (fd, text + length, CORRAL_XML_MAX - length));
        ok = got >= 0;
        length += got > 0 ? (gsize) got : 0;
    }
    if (!ok)
        g_set_error (error, CORRAL_ERROR,
                     errno == ENOENT ? CORRAL_ERROR_NOT_FOUND : CORRAL_ERROR_IO,
                     "cannot read \"%s\": %s", path, g_strerror (errno));
    if (fd >= 0)
        close (fd);
    if (!ok)
        return FALSE;
    *ret_length = length;
    *ret_text = g_realloc (g_steal_pointer (&text), MAX (length, 1));
    return TRUE;
}

gboolean
corral_store_load (CorralStore *store, const char *name, CorralDefinition **ret_definition,
                   GError **error)
{
    g_autofree char *path = path_in (store->folder, name, error);
    g_autoptr (CorralDefinition) definition = NULL;
    g_autofree char *text = NULL;
    gsize length;

    if (path == NULL || !read_regular (path, &text, &length, error))
        return FALSE;
    if (!corral_definition_parse (text, length, &definition, error)) {
        g_prefix_error (error, "cannot read \"%s\": ", path);
        return FALSE;
    }
    if (!g_str_equal (definition->name, name)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot use \"%s\": it defines \"%s\", which belongs into a file of that name",
                     path, definition->name);
        return FALSE;
    }
    *ret_definition = g_steal_pointer (&definition);
    return TRUE;
}

static int
compare_definitions (gconstpointer a, gconstpointer b)
{
    const CorralDefinition *const *first = a, *const *second = b;

    return strcmp ((*first)->name, (*second)->name);
}

gboolean
corral_store_list (CorralStore *store, GPtrArray **ret_definitions, GPtrArray **ret_broken,
                   GError **error)
{
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;
    g_autoptr (GError) reason = NULL;
    g_autoptr (GDir) dir = g_dir_open (store->folder, 0, &reason);
    const char *file;

    definitions = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_definition_free);
    broken = g_ptr_array_new_with_free_func ((GDestroyNotify) g_error_free);
    if (dir == NULL && !g_error_matches (reason, G_FILE_ERROR, G_FILE_ERROR_NOENT)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot list \"%s\": %s", store->folder,
                     reason->message);
        return FALSE;
    }
    while (dir != NULL && (file = g_dir_read_name (dir)) != NULL) {
        g_autofree char *name = NULL;
        CorralDefinition *definition;
        GError *problem = NULL;

        if (*file == '.' || !g_str_has_suffix (file, SUFFIX))
            continue;
        name = g_strndup (file, strlen (file) - strlen (SUFFIX));
        if (corral_store_load (store, name, &definition, &problem))
            g_ptr_array_add (definitions, definition);
        else if (g_error_matches (problem, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND))
            g_error_free (problem); /* removed since the folder was read */
        else
            g_ptr_array_add (broken, problem);
    }
    g_ptr_array_sort (definitions, compare_definitions);
    *ret_definitions = g_steal_pointer (&definitions);
    *ret_broken = g_steal_pointer (&broken);
    return TRUE;
}

/* A new definition must not inherit the autostart of one that was removed by hand; and a file that
 * we cannot read may hold what its author still wants. */
static gboolean
make_room (CorralStore *store, const char *name, GError **error)
{
    g_autoptr (CorralDefinition) old = NULL;
    g_autoptr (GError) reason = NULL;

    if (corral_store_load (store, name, &old, &reason))
        return TRUE;
    if (g_error_matches (reason, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND))
        return corral_store_set_autostart (store, name, FALSE, error);
    g_set_error (
        error, CORRAL_ERROR, CORRAL_ERROR_STATE,
        "cannot save the definition of \"%s\" over a file that needs repair or removal: %s", name,
        reason->message);
    return FALSE;
}

gboolean
corral_store_save (CorralStore *store, const CorralDefinition *definition, GError **error)
{
    g_autofree char *path = path_in (store->folder, definition->name, error);
    g_autofree char *text = NULL;
    g_autoptr (GError) reason = NULL;

    if (path == NULL)
        return FALSE;
    if (g_mkdir_with_parents (store->folder, 0755) != 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot make the folder \"%s\": %s",
                     store->folder, g_strerror (errno));
        return FALSE;
    }
    if (!make_room (store, definition->name, error))
        return FALSE;
    text = corral_definition_format (definition, NULL);
    if (strlen (text) > CORRAL_XML_MAX) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot save the definition of \"%s\": it is longer than %d bytes, and could "
                     "not be read again",
                     definition->name, CORRAL_XML_MAX);
        return FALSE;
    }
    if (!g_file_set_contents_full (path, text, -1,
                                   G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE,
                                   0600, &reason)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "cannot save the definition of \"%s\" in \"%s\": %s", definition->name,
                     store->folder, reason->message);
        return FALSE;
    }
    return TRUE;
}

/* Unlinks @path for good; that it is gone already is what was wanted. */
static gboolean
unlink_synced (const char *folder, const char *path, GError **error)
{
    if (unlink (path) == 0) {
        if (sync_folder (folder))
            return TRUE;
    } else if (errno == ENOENT)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot remove \"%s\": %s", path,
                 g_strerror (errno));
    return FALSE;
}

gboolean
corral_store_remove (CorralStore *store, const char *name, GError **error)
{
    g_autofree char *path = path_in (store->folder, name, error);

    return path != NULL && unlink_synced (store->folder, path, error) &&
           corral_store_set_autostart (store, name, FALSE, error);
}

gboolean
corral_store_set_aside (CorralStore *store, const char *name, GError **error)
{
    g_autofree char *path = path_in (store->folder, name, error);
    g_autofree char *aside = NULL;

    if (path == NULL)
        return FALSE;
    aside = g_strconcat (path, ".broken", NULL);
    if (rename (path, aside) != 0 || !sync_folder (store->folder)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot rename \"%s\" to \"%s\": %s",
                     path, aside, g_strerror (errno));
        return FALSE;
    }
    return TRUE;
}

gboolean
corral_store_get_autostart (CorralStore *store, const char *name)
{
    g_autofree char *path = path_in (store->autostart, name, NULL);
    struct stat st;

    return path != NULL && lstat (path, &st) == 0 && S_ISLNK (st.st_mode);
}

gboolean
corral_store_set_autostart (CorralStore *store, const char *name, gboolean autostart,
                            GError **error)
{
    g_autofree char *path = path_in (store->autostart, name, error);
    g_autofree char *target = NULL;

    if (path == NULL)
        return FALSE;
    if (!autostart)
        return unlink_synced (store->autostart, path, error);
    if (corral_store_get_autostart (store, name))
        return TRUE;
    target = g_strconcat ("../", name, SUFFIX, NULL);
    if (g_mkdir_with_parents (store->autostart, 0755) != 0 || symlink (target, path) != 0 ||
        !sync_folder (store->autostart)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot make the link \"%s\": %s", path,
                     g_strerror (errno));
        return FALSE;
    }
    return TRUE;
}
