/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"
#include "vmm-agent/agent/corral-store.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define SUFFIX ".xml"

/* Where the definition of one partition is. */
typedef struct {
    char *folder;
    char *name;
} Place;

struct CorralHookIndex {
    GHashTable *places; /* partition -> Place */
    GError *unreadable; /* (nullable): of the first file whose partition is unknown */
};

static void
place_free (Place *place)
{
    g_free (place->folder);
    g_free (place->name);
    g_free (place);
}

/* The partition that the definition at @path has, whether or not the rest of it is valid.
 * @ret_partition: (nullable): the file is gone, or is none that could be a definition's */
static gboolean
peek (const char *path, char **ret_partition, GError **error)
{
    /* A FIFO that someone put there must not hold up a start. */
    int fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    g_autofree char *shown = g_strdup_printf ("\"%s\"", path);
    g_autofree char *text = NULL;
    g_autofree char *name = NULL;
    gsize length;
    gboolean ok;

    if (fd < 0 && errno == ENOENT)
        return TRUE;
    if (fd < 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read %s: %s", shown,
                     g_strerror (errno));
        return FALSE;
    }
    ok = corral_hook_read_all (fd, shown, CORRAL_XML_MAX, &text, &length, error);
    close (fd);
    if (!ok)
        return FALSE;
    if (!corral_vm_partition_parse (text, length, &name, ret_partition, error)) {
        g_prefix_error (error, "cannot read %s: ", shown);
        return FALSE;
    }
    if (*ret_partition == NULL)
        *ret_partition = g_strconcat ("/machine/", name, NULL);
    else
        g_strstrip (*ret_partition);
    return TRUE;
}

static void
add_file (CorralHookIndex *index, const char *folder, const char *file)
{
    g_autofree char *path = g_build_filename (folder, file, NULL);
    g_autofree char *partition = NULL;
    g_autoptr (GError) reason = NULL;
    Place *place;

    if (!peek (path, &partition, &reason)) {
        if (index->unreadable == NULL)
            index->unreadable = g_steal_pointer (&reason);
        return;
    }
    if (partition == NULL || g_hash_table_contains (index->places, partition))
        return;
    place = g_new0 (Place, 1);
    place->folder = g_strdup (folder);
    place->name = g_strndup (file, strlen (file) - strlen (SUFFIX));
    g_hash_table_insert (index->places, g_steal_pointer (&partition), place);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *) a, *(char *const *) b);
}

/* In the order of names, as corrald reads them: of two that claim one path, the first has it. */
static gboolean
add_folder (CorralHookIndex *index, const char *folder, GError **error)
{
    g_autoptr (GPtrArray) files = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GError) reason = NULL;
    g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
    const char *file;

    if (dir == NULL && g_error_matches (reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
    if (dir == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot list \"%s\": %s", folder,
                     reason->message);
        return FALSE;
    }
    while ((file = g_dir_read_name (dir)) != NULL)
        if (*file != '.' && g_str_has_suffix (file, SUFFIX))
            g_ptr_array_add (files, g_strdup (file));
    g_ptr_array_sort (files, compare_names);
    for (guint i = 0; i < files->len; i++)
        add_file (index, folder, g_ptr_array_index (files, i));
    return TRUE;
}

gboolean
corral_hook_index_new (const char *const *folders, CorralHookIndex **ret_index, GError **error)
{
    g_autoptr (CorralHookIndex) index = g_new0 (CorralHookIndex, 1);

    index->places =
        g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) place_free);
    for (; *folders != NULL; folders++)
        if (!add_folder (index, *folders, error))
            return FALSE;
    *ret_index = g_steal_pointer (&index);
    return TRUE;
}

void
corral_hook_index_free (CorralHookIndex *index)
{
    if (index == NULL)
        return;
    g_clear_pointer (&index->places, g_hash_table_unref);
    g_clear_error (&index->unreadable);
    g_free (index);
}

gboolean
corral_hook_index_has (CorralHookIndex *index, const char *partition)
{
    return g_hash_table_contains (index->places, partition);
}

gboolean
corral_hook_index_load (CorralHookIndex *index, const char *partition,
                        CorralDefinition **ret_definition, GError **error)
{
    const Place *place = g_hash_table_lookup (index->places, partition);
    g_autoptr (CorralStore) store = NULL;

    if (place != NULL) {
        store = corral_store_new (place->folder);
        return corral_store_load (store, place->name, ret_definition, error);
    }
    if (index->unreadable != NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_XML,
                     "the container at \"%s\" may be defined in a file that is broken: %s",
                     partition, index->unreadable->message);
        return FALSE;
    }
    *ret_definition = NULL;
    return TRUE;
}
