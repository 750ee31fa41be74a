/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-path.h"

#include "common/corral-error.h"

#include <string.h>

#define SUFFIX ".partition"
#define SCOPE_PREFIX "machine-"
#define SCOPE_SUFFIX ".scope"
#define OWN_SUFFIX ".corral"
#define INDEX_MAX 1000000

static gboolean
is_fixed_top (const char *name)
{
    return g_str_equal (name, "machine") || g_str_equal (name, "system") ||
           g_str_equal (name, "user");
}

/* libvirt puts a "_" before names that could be taken for files of the cgroup core. Its check for
 * the names of controllers looks for a space where /proc/cgroups has a tab, and so never acts; the
 * directory must be the one that libvirt looks for, so it does not act here either. */
static gboolean
needs_escape (const char *name)
{
    return g_str_has_prefix (name, "cgroup.") || *name == '_';
}

char *
corral_container_name_of_dir (const char *name, gboolean is_top)
{
    g_autofree char *bare = NULL;

    if (is_top && is_fixed_top (name))
        return g_strdup (name);
    if (!g_str_has_suffix (name, SUFFIX))
        return NULL;
    if (*name == '_') {
        if (!needs_escape (name + 1))
            return NULL;
        name++;
    } else if (needs_escape (name))
        return NULL;
    bare = g_strndup (name, strlen (name) - strlen (SUFFIX));
    if (*bare == '\0' || strchr (bare, '.') != NULL || (is_top && is_fixed_top (bare)))
        return NULL;
    return g_steal_pointer (&bare);
}

gboolean
corral_container_is_own_group (const char *name)
{
    return g_str_has_suffix (name, OWN_SUFFIX) ||
           (g_str_has_prefix (name, SCOPE_PREFIX) && g_str_has_suffix (name, SCOPE_SUFFIX));
}

gboolean
corral_container_is_group (const char *name)
{
    const char *libvirt = strstr (name, ".libvirt-");

    return corral_container_is_own_group (name) ||
           (libvirt != NULL && libvirt != name && libvirt[strlen (".libvirt-")] != '\0');
}

static gboolean
name_is_clean (const char *name)
{
    if (*name == '\0' || strlen (name) > CORRAL_PATH_NAME_MAX || *name == '.')
        return FALSE;
    for (const char *at = name; *at != '\0'; at++)
        if (g_ascii_iscntrl (*at) || *at == '/')
            return FALSE;
    return g_utf8_validate (name, -1, NULL);
}

static gboolean
refuse (GError **error, const char *what, const char *text, const char *why)
{
    g_autofree char *valid = g_utf8_make_valid (text, (gssize) strnlen (text, 120));
    g_autofree char *shown = g_strescape (valid, NULL);

    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "cannot use \"%s\" as %s: %s", shown,
                 what, why);
    return FALSE;
}

gboolean
corral_container_path_to_dir (const char *path, char **ret_dir, GError **error)
{
    static const char what[] = "a container's path";
    g_auto (GStrv) names = NULL;
    g_autoptr (GString) dir = g_string_new (NULL);
    guint n;

    if (path == NULL || *path != '/')
        return refuse (error, what, path != NULL ? path : "", "it does not start with a slash");
    if (path[1] == '\0')
        return refuse (error, what, path, "the top of the tree is no container");
    if (strlen (path) > (gsize) CORRAL_PATH_DEPTH_MAX * (CORRAL_PATH_NAME_MAX + 1))
        return refuse (error, what, path, "it is too long");
    names = g_strsplit (path + 1, "/", CORRAL_PATH_DEPTH_MAX + 1);
    n = g_strv_length (names);
    if (n > CORRAL_PATH_DEPTH_MAX)
        return refuse (error, what, path, "it is too deep");
    for (guint i = 0; i < n; i++) {
        const gboolean is_group = i + 1 < n && corral_container_is_group (names[i]);

        if (!name_is_clean (names[i]))
            return refuse (error, what, path,
                           "a name in it is empty, longer than 200 bytes, "
                           "starts with a dot or holds control characters");
        if (strchr (names[i], '.') != NULL && !is_group)
            return refuse (error, what, path, "a name in it holds a dot");
        if (i > 0)
            g_string_append_c (dir, '/');
        if (is_group || (i == 0 && is_fixed_top (names[i]))) {
            g_string_append (dir, names[i]);
            continue;
        }
        /* What is escaped is the name with its suffix, as in libvirt. */
        if (*names[i] == '_' || g_str_equal (names[i], "cgroup"))
            g_string_append_c (dir, '_');
        g_string_append (dir, names[i]);
        g_string_append (dir, SUFFIX);
    }
    *ret_dir = g_string_free (g_steal_pointer (&dir), FALSE);
    return TRUE;
}

gboolean
corral_container_group_check (const char *group, GError **error)
{
    static const char what[] = "a VM's group";
    g_auto (GStrv) names = NULL;
    guint n;

    if (group == NULL || *group == '\0' || *group == '/' || strlen (group) > 4000)
        return refuse (error, what, group != NULL ? group : "",
                       "it is no path below the tree's top");
    names = g_strsplit (group, "/", CORRAL_PATH_DEPTH_MAX + 1);
    n = g_strv_length (names);
    for (guint i = 0; i < n; i++)
        if (!name_is_clean (names[i]) || strlen (names[i]) > 255)
            return refuse (error, what, group,
                           "a name in it is empty, too long or holds control "
                           "characters");
    if (n > CORRAL_PATH_DEPTH_MAX || !corral_container_is_group (names[n - 1]))
        return refuse (error, what, group, "its last name is not one of a VM's directory");
    return TRUE;
}

char *
corral_container_dir_to_path (const char *dir, char **ret_group)
{
    g_auto (GStrv) names = g_strsplit (dir, "/", CORRAL_PATH_DEPTH_MAX * 2);
    g_autoptr (GString) path = g_string_new (NULL);
    g_autoptr (GString) at = g_string_new (NULL);
    g_autofree char *group = NULL;
    gsize length = 0; /* of the innermost container's part of path */

    for (guint i = 0; names[i] != NULL; i++) {
        g_autofree char *name = corral_container_name_of_dir (names[i], i == 0);

        if (i > 0)
            g_string_append_c (at, '/');
        g_string_append (at, names[i]);
        if (name != NULL) {
            g_string_append_printf (path, "/%s", name);
            length = path->len;
            g_clear_pointer (&group, g_free);
        } else if (corral_container_is_group (names[i]) && group == NULL) {
            g_string_append_printf (path, "/%s", names[i]);
            group = g_strdup (at->str);
        } else
            break;
    }
    if (ret_group != NULL)
        *ret_group = g_steal_pointer (&group);
    if (length == 0)
        return NULL;
    return g_strndup (path->str, length);
}

char *
corral_container_dir_parent (const char *dir)
{
    const char *slash = strrchr (dir, '/');

    return slash != NULL ? g_strndup (dir, (gsize) (slash - dir)) : g_strdup ("");
}

gboolean
corral_container_dir_within (const char *dir, const char *top)
{
    const gsize length = strlen (top);

    return length == 0 ||
           (strncmp (dir, top, length) == 0 && (dir[length] == '/' || dir[length] == 0));
}

/* systemd's escaping, as libvirt applies it to the name of a machine. */
static char *
scope_name (const char *machine)
{
    GString *name = g_string_new (SCOPE_PREFIX);

    for (const char *at = machine; *at != '\0'; at++)
        if (g_ascii_isalnum (*at) || strchr (":_", *at) != NULL || (*at == '.' && at != machine))
            g_string_append_c (name, *at);
        else
            g_string_append_printf (name, "\\x%02x", (guchar) *at);
    return g_string_free (g_string_append (name, SCOPE_SUFFIX), FALSE);
}

char *
corral_container_group_name (const char *vm_name, pid_t pid, const char *from)
{
    const char *libvirt = from != NULL ? strstr (from, ".libvirt-") : NULL;
    GString *name;

    if (libvirt != NULL) {
        g_autofree char *machine = g_strndup (from, (gsize) (libvirt - from));
        g_autofree char *scope = scope_name (machine);

        if (strlen (scope) <= 255)
            return g_steal_pointer (&scope);
    }
    if (from != NULL && g_str_has_prefix (from, SCOPE_PREFIX) &&
        corral_container_is_own_group (from))
        return g_strdup (from);
    name = g_string_new (NULL);
    g_string_append_printf (name, "vm-%d", (int) pid);
    if (vm_name != NULL && *vm_name != '\0')
        g_string_append_c (name, '-');
    for (const char *at = vm_name; at != NULL && *at != '\0' && at - vm_name < 64; at++)
        g_string_append_c (name, g_ascii_isalnum (*at) || *at == '_' ? *at : '-');
    return g_string_free (g_string_append (name, OWN_SUFFIX), FALSE);
}

char *
corral_container_role_dir (CorralThreadRole role, int index)
{
    switch (role) {
    case CORRAL_THREAD_VCPU:
        return g_strdup_printf ("vcpu%d", index);
    case CORRAL_THREAD_IOTHREAD:
        return g_strdup_printf ("iothread%d", index);
    case CORRAL_THREAD_EMULATOR:
    default:
        return g_strdup ("emulator");
    }
}

gboolean
corral_container_role_parse (const char *name, CorralThreadRole *ret_role, int *ret_index)
{
    static const struct {
        const char *prefix;
        CorralThreadRole role;
    } kinds[] = { { "vcpu", CORRAL_THREAD_VCPU }, { "iothread", CORRAL_THREAD_IOTHREAD } };

    if (g_str_equal (name, "emulator")) {
        *ret_role = CORRAL_THREAD_EMULATOR;
        *ret_index = 0;
        return TRUE;
    }
    for (guint i = 0; i < G_N_ELEMENTS (kinds); i++) {
        guint64 index;

        if (g_str_has_prefix (name, kinds[i].prefix) &&
            g_ascii_string_to_unsigned (name + strlen (kinds[i].prefix), 10, 0, INDEX_MAX, &index,
                                        NULL)) {
            *ret_role = kinds[i].role;
            *ret_index = (int) index;
            return TRUE;
        }
    }
    return FALSE;
}
