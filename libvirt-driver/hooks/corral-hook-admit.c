/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"
#include "vmm-agent/agent/corral-settings.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK "hook.lock"
/* What libvirt adds to each component of a partition's path that has no dot. */
#define SUFFIX ".partition"

/* Two VMs may start in the same container at once. The lock goes with the process. */
static gboolean
take_lock (const char *state_dir, GError **error)
{
    g_autofree char *path = g_build_filename (state_dir, LOCK, NULL);
    int fd = -1;

    if (g_mkdir_with_parents (state_dir, 0755) == 0)
        fd = open (path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd >= 0 && TEMP_FAILURE_RETRY (flock (fd, LOCK_EX)) == 0)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO, "cannot lock \"%s\": %s", path,
                 g_strerror (errno));
    if (fd >= 0)
        close (fd);
    return FALSE;
}

/* What an active container has been given since its definition was written goes before that. */
static gboolean
read_index (const CorralSettings *settings, CorralHookIndex **ret_index, GError **error)
{
    g_autofree char *live = g_build_filename (settings->state_dir, "containers", NULL);
    const char *const folders[] = { live, settings->definition_dir, NULL };

    return corral_hook_index_new (folders, ret_index, error);
}

static gboolean
make_partition (const CorralSettings *settings, CorralContainerCore *core, const char *partition,
                GError **error)
{
    g_autoptr (CorralHookIndex) index = NULL;

    return take_lock (settings->state_dir, error) && read_index (settings, &index, error) &&
           corral_hook_make (core, index, partition, error);
}

/* Without settings it is not known whether the container is planned, not even of one that is there:
 * corrald was not asked. */
static gboolean
make_sure (const char *settings_file, const char *partition, GError **error)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (CorralContainerCore) core = NULL;

    if (!corral_settings_load (settings_file, &settings, error))
        return FALSE;
    core = corral_container_core_open (-1, error);
    return core != NULL &&
           (corral_container_get_state (core, partition) == CORRAL_CONTAINER_WHOLE ||
            make_partition (settings, core, partition, error));
}

/* Where libvirt puts a VM that asks for nothing. libvirt makes it, unless a container is defined
 * there; broken files of ours do not stop such a VM. */
static gboolean
is_left_to_libvirt (const char *settings_file, const char *partition)
{
    g_autoptr (CorralSettings) settings = NULL;
    g_autoptr (CorralHookIndex) index = NULL;

    return g_str_equal (partition, CORRAL_HOOK_DEFAULT_PARTITION) &&
           (!corral_settings_load (settings_file, &settings, NULL) ||
            !read_index (settings, &index, NULL) || !corral_hook_index_has (index, partition));
}

/* Whether the innermost container that is defined at @partition or above it is planned. */
static gboolean
is_planned (const CorralSettings *settings, const char *partition)
{
    g_autofree char *path = g_strdup (partition);
    g_autoptr (CorralHookIndex) index = NULL;
    char *slash;

    if (!read_index (settings, &index, NULL))
        return FALSE;
    for (; *path != '\0'; *slash = '\0') {
        g_autoptr (CorralDefinition) definition = NULL;

        if (corral_hook_index_has (index, path))
            return corral_hook_index_load (index, path, &definition, NULL) && definition != NULL &&
                   definition->planned;
        slash = strrchr (path, '/');
        if (slash == NULL)
            break;
    }
    return FALSE;
}

/* As containers spell the directory that libvirt makes of @partition: it adds ".partition" to what
 * has no suffix yet, but for three names right after the first slash, and to the kernel two slashes
 * are one. What is no container's directory stays as it is. */
static char *
own_spelling (const char *partition)
{
    static const char *const bare[] = { "machine", "system", "user", NULL };
    g_auto (GStrv) parts = g_strsplit (partition, "/", -1);
    g_autoptr (GString) path = g_string_new (NULL);

    for (guint i = 1; *partition == '/' && parts[i] != NULL; i++) {
        gboolean is_bare = i == 1 && g_strv_contains (bare, parts[i]);

        if (*parts[i] == '\0')
            continue;
        if (g_str_has_suffix (parts[i], SUFFIX))
            parts[i][strlen (parts[i]) - strlen (SUFFIX)] = '\0';
        /* "machine.partition" */
        if (path->len == 0 && !is_bare && g_strv_contains (bare, parts[i]))
            break;
        g_string_append_printf (path, "/%s", parts[i]);
    }
    return path->len > 0 ? g_string_free (g_steal_pointer (&path), FALSE) : g_strdup (partition);
}

/* Those who need corrald's consent do not start while it cannot be had; the others do. By another
 * spelling corrald was asked about another place. */
static gboolean
check_consent (const char *settings_file, const char *partition, const char *unanswered,
               GError **error)
{
    g_autofree char *path = own_spelling (partition);
    g_autoptr (CorralSettings) settings = NULL;

    if ((unanswered == NULL && g_str_equal (path, partition)) ||
        !corral_settings_load (settings_file, &settings, NULL) || !is_planned (settings, path))
        return TRUE;
    if (unanswered != NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED,
                     "its container is planned by corrald, without which no place can be found: %s",
                     unanswered);
    else
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED,
                     "its container is planned by corrald, which knows it as \"%s\" only", path);
    return FALSE;
}

gboolean
corral_hook_admit (const char *settings_file, const char *unanswered, const char *xml, gsize length,
                   GError **error)
{
    g_autofree char *name = NULL;
    g_autofree char *partition = NULL;
    g_autoptr (GError) reason = NULL;

    if (!corral_vm_partition_parse (xml, length, &name, &partition, error))
        return FALSE;
    if (partition == NULL)
        partition = g_strdup (CORRAL_HOOK_DEFAULT_PARTITION);
    if (check_consent (settings_file, partition, unanswered, &reason)) {
        /* With a dot it is none that we could make: no VM can be in another VM's directory. */
        if (!corral_partition_check (partition, NULL) || strchr (partition, '.') != NULL ||
            is_left_to_libvirt (settings_file, partition) ||
            make_sure (settings_file, partition, &reason))
            return TRUE;
    }
    g_set_error (error, CORRAL_ERROR, reason->code, "cannot start \"%s\" in \"%s\": %s", name,
                 partition, reason->message);
    return FALSE;
}
