/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/agent/corral-settings.h"

#include "common/corral-error.h"
#include "vmm-agent/agent/corral-store.h"

#include <string.h>

/* Longest path that fits a unix socket's address, its NUL included. */
#define SOCKET_PATH_MAX 108

typedef enum {
    KIND_PATH,     /* absolute */
    KIND_OPTIONAL, /* any text; empty is NULL */
    KIND_MODE,     /* octal permissions */
    KIND_COUNT,    /* 1 to 100000 */
} Kind;

static const struct {
    const char *group;
    const char *key;
    Kind kind;
    gsize offset;
    const char *value; /* where no file says otherwise */
} keys[] = {
    { "corrald", "definition_dir", KIND_PATH, G_STRUCT_OFFSET (CorralSettings, definition_dir),
      "/etc/corral/containers" },
    { "corrald", "state_dir", KIND_PATH, G_STRUCT_OFFSET (CorralSettings, state_dir),
      "/run/corral" },
    { "corrald", "socket_dir", KIND_PATH, G_STRUCT_OFFSET (CorralSettings, socket_dir),
      "/run/corral" },
    { "corrald", "socket_group", KIND_OPTIONAL, G_STRUCT_OFFSET (CorralSettings, socket_group),
      "" },
    { "corrald", "socket_mode", KIND_MODE, G_STRUCT_OFFSET (CorralSettings, socket_mode), "0660" },
    { "corrald", "socket_ro_mode", KIND_MODE, G_STRUCT_OFFSET (CorralSettings, socket_ro_mode),
      "0666" },
    { "corrald", "max_clients", KIND_COUNT, G_STRUCT_OFFSET (CorralSettings, max_clients), "500" },
    { "corrald", "host_file", KIND_PATH, G_STRUCT_OFFSET (CorralSettings, host_file),
      "/etc/corral/host.xml" },
    { "corrald", "drift_interval", KIND_COUNT, G_STRUCT_OFFSET (CorralSettings, drift_interval),
      "5" },
    { "libvirt", "uri", KIND_OPTIONAL, G_STRUCT_OFFSET (CorralSettings, libvirt_uri),
      "qemu:///system" },
    { "libvirt", "state_dir", KIND_PATH, G_STRUCT_OFFSET (CorralSettings, libvirt_state_dir),
      "/run/libvirt/qemu" },
};

/* Paths must be absolute, since corrald's working directory means nothing to who writes the file.
 */
static gboolean
take_path (const char *value, char **field, GError **error)
{
    if (!g_path_is_absolute (value)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "\"%s\" is not an absolute path",
                     value);
        return FALSE;
    }
    g_free (*field);
    *field = g_strdup (value);
    return TRUE;
}

static gboolean
take_number (const char *value, guint base, guint64 min, guint64 max, guint *field, GError **error)
{
    guint64 number;

    if (!g_ascii_string_to_unsigned (value, base, min, max, &number, error)) {
        g_prefix_error (error, "%s", base == 8 ? "octal permissions are expected: " : "");
        (*error)->domain = CORRAL_ERROR;
        (*error)->code = CORRAL_ERROR_INVALID;
        return FALSE;
    }
    *field = (guint) number;
    return TRUE;
}

static gboolean
take_value (CorralSettings *settings, gsize at, const char *value, GError **error)
{
    gpointer field = G_STRUCT_MEMBER_P (settings, keys[at].offset);
    char **text = field;

    switch (keys[at].kind) {
    case KIND_PATH:
        return take_path (value, text, error);
    case KIND_OPTIONAL:
        g_free (*text);
        *text = *value != '\0' ? g_strdup (value) : NULL;
        return TRUE;
    case KIND_MODE:
        return take_number (value, 8, 0, 0777, field, error);
    case KIND_COUNT:
        return take_number (value, 10, 1, 100000, field, error);
    }
    g_assert_not_reached ();
}

static gboolean
take_qmp_socket (CorralSettings *settings, const char *name, const char *path, GError **error)
{
    g_autofree char *kept = NULL;

    if (!corral_store_name_check (name, error) || !take_path (path, &kept, error))
        return FALSE;
    if (strlen (path) >= SOCKET_PATH_MAX) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "\"%s\" is longer than a socket's path can be (%d bytes)", path,
                     SOCKET_PATH_MAX - 1);
        return FALSE;
    }
    g_hash_table_replace (settings->qmp_sockets, g_strdup (name), g_steal_pointer (&kept));
    return TRUE;
}

static gboolean
take_key (CorralSettings *settings, const char *group, const char *key, const char *value,
          GError **error)
{
    if (g_str_equal (group, "qmp"))
        return take_qmp_socket (settings, key, value, error);
    for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
        if (g_str_equal (keys[i].group, group) && g_str_equal (keys[i].key, key))
            return take_value (settings, i, value, error);
    g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "there is no such setting");
    return FALSE;
}

static gboolean
take_group (CorralSettings *settings, GKeyFile *keyfile, const char *group, GError **error)
{
    gboolean known = g_str_equal (group, "qmp");
    g_auto (GStrv) names = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS (keys); i++)
        known = known || g_str_equal (keys[i].group, group);
    if (!known) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "there is no group [%s]", group);
        return FALSE;
    }
    names = g_key_file_get_keys (keyfile, group, NULL, error);
    for (gsize i = 0; names != NULL && names[i] != NULL; i++) {
        g_autofree char *value = g_key_file_get_string (keyfile, group, names[i], error);

        if (value == NULL || !take_key (settings, group, names[i], value, error)) {
            g_prefix_error (error, "%s in [%s]: ", names[i], group);
            return FALSE;
        }
    }
    return names != NULL;
}

/* Every error of one file leaves here with the file's name and one of our codes. */
static gboolean
take_file (CorralSettings *settings, const char *path, gboolean may_be_missing, GError **error)
{
    g_autoptr (GKeyFile) keyfile = g_key_file_new ();
    g_autoptr (GError) reason = NULL;
    g_auto (GStrv) groups = NULL;
    gboolean ok;

    ok = g_key_file_load_from_file (keyfile, path, G_KEY_FILE_NONE, &reason);
    if (!ok && may_be_missing && g_error_matches (reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))
        return TRUE;
    if (ok)
        groups = g_key_file_get_groups (keyfile, NULL);
    for (gsize i = 0; ok && groups[i] != NULL; i++)
        ok = take_group (settings, keyfile, groups[i], &reason);
    if (!ok)
        g_set_error (error, CORRAL_ERROR,
                     reason->domain == G_FILE_ERROR ? CORRAL_ERROR_IO : CORRAL_ERROR_INVALID,
                     "cannot read settings from \"%s\": %s", path, reason->message);
    return ok;
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *) a, *(char *const *) b);
}

static gboolean
take_folder (CorralSettings *settings, const char *folder, GError **error)
{
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GError) reason = NULL;
    g_autoptr (GDir) dir = g_dir_open (folder, 0, &reason);
    const char *name;

    if (dir == NULL) {
        if (g_error_matches (reason, G_FILE_ERROR, G_FILE_ERROR_NOENT))
            return TRUE;
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot read settings from \"%s\": %s",
                     folder, reason->message);
        return FALSE;
    }
    while ((name = g_dir_read_name (dir)) != NULL)
        if (*name != '.' && g_str_has_suffix (name, ".conf"))
            g_ptr_array_add (names, g_strdup (name));
    g_ptr_array_sort (names, compare_names);
    for (guint i = 0; i < names->len; i++) {
        g_autofree char *path = g_build_filename (folder, g_ptr_array_index (names, i), NULL);

        if (!take_file (settings, path, FALSE, error))
            return FALSE;
    }
    return TRUE;
}

/* The state folder holds the live copies of active containers in a folder of its own, and what is
 * not active is removed from that. */
static gboolean
check_folders (const CorralSettings *settings, const char *path, GError **error)
{
    g_autofree char *lives = g_build_filename (settings->state_dir, "containers", NULL);
    g_autofree char *first = g_canonicalize_filename (lives, "/");
    g_autofree char *second = g_canonicalize_filename (settings->definition_dir, "/");

    if (!g_str_equal (first, second))
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot use the settings from \"%s\": definition_dir is \"%s\", where state_dir "
                 "has its own copies, which come and go with the containers",
                 path, settings->definition_dir);
    return FALSE;
}

gboolean
corral_settings_load (const char *file, CorralSettings **ret_settings, GError **error)
{
    g_autoptr (CorralSettings) settings = g_new0 (CorralSettings, 1);
    const char *path = file != NULL ? file : CORRAL_SETTINGS_FILE;
    g_autofree char *folder = g_strconcat (path, ".d", NULL);

    settings->qmp_sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    for (gsize i = 0; i < G_N_ELEMENTS (keys); i++) {
        gboolean ok = take_value (settings, i, keys[i].value, NULL);

        g_assert (ok);
    }
    if (!take_file (settings, path, file == NULL, error) ||
        !take_folder (settings, folder, error) || !check_folders (settings, path, error))
        return FALSE;
    *ret_settings = g_steal_pointer (&settings);
    return TRUE;
}

void
corral_settings_free (CorralSettings *settings)
{
    if (settings == NULL)
        return;
    g_free (settings->definition_dir);
    g_free (settings->state_dir);
    g_free (settings->socket_dir);
    g_free (settings->socket_group);
    g_free (settings->host_file);
    g_free (settings->libvirt_uri);
    g_free (settings->libvirt_state_dir);
    g_clear_pointer (&settings->qmp_sockets, g_hash_table_unref);
    g_free (settings);
}
