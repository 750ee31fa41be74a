/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"

#include <string.h>

static gboolean
set_tune (CorralContainerCore *core, const char *path, const CorralCpuTune *tune, GError **error)
{
    CorralContainerCap cap;

    if (tune->shares != -1 &&
        !corral_container_set_weight (core, path, (guint64) tune->shares, error))
        return FALSE;
    if (tune->period_usec == -1 && tune->quota_usec == -1 && tune->burst_usec == -1)
        return TRUE;
    if (!corral_container_get_cap (core, path, &cap, error))
        return FALSE;
    if (tune->period_usec != -1)
        cap.period_usec = tune->period_usec;
    if (tune->quota_usec != -1)
        cap.quota_usec = tune->quota_usec == CORRAL_QUOTA_NONE ? -1 : tune->quota_usec;
    if (tune->burst_usec != -1)
        cap.burst_usec = tune->burst_usec;
    return corral_container_set_cap (core, path, &cap, error);
}

static gboolean
check_set (const char *path, const char *what, const CorralCpuset *wanted, const CorralCpuset *has,
           GError **error)
{
    g_autofree char *wanted_list = NULL;
    g_autofree char *has_list = NULL;

    if (wanted == NULL || hwloc_bitmap_isequal (wanted, has))
        return TRUE;
    wanted_list = corral_cpuset_format (wanted);
    has_list = corral_cpuset_format (has);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "cannot make the container \"%s\": the kernel granted it %s %s instead of %s",
                 path, what, has_list, wanted_list);
    return FALSE;
}

/* Another process may have made it a moment ago, so it is looked at as it is now. */
static gboolean
check (CorralContainerCore *core, const char *path, const CorralDefinition *definition,
       GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL, mems = NULL;

    if (corral_container_get_state (core, path) != CORRAL_CONTAINER_WHOLE) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_FAILED,
                     "cannot make the container \"%s\": it is not whole in every hierarchy", path);
        return FALSE;
    }
    return corral_container_get_cpuset (core, path, &cpus, &mems, error) &&
           check_set (path, "pCPUs", definition->cpus, cpus, error) &&
           check_set (path, "NUMA nodes", definition->mems, mems, error);
}

/* @made: takes @path when this call has made it */
static gboolean
make_one (CorralContainerCore *core, const CorralDefinition *definition, GPtrArray *made,
          GError **error)
{
    const char *path = definition->partition;
    gboolean absent = corral_container_get_state (core, path) == CORRAL_CONTAINER_ABSENT;
    g_autoptr (GError) reason = NULL;

    if (corral_container_create (core, path, definition->cpus, definition->mems, &reason)) {
        if (absent)
            g_ptr_array_add (made, g_strdup (path));
        return set_tune (core, path, &definition->tune, error) &&
               check (core, path, definition, error);
    }
    /* corrald was faster, and sets the weight and the cap as well. */
    if (g_error_matches (reason, CORRAL_ERROR, CORRAL_ERROR_EXISTS))
        return check (core, path, definition, error);
    g_propagate_error (error, g_steal_pointer (&reason));
    return FALSE;
}

/* @partition and all above it, the highest first: "/machine", "/machine/prod", ... */
static GPtrArray *
list_paths (const char *partition)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);

    for (const char *at = strchr (partition + 1, '/'); at != NULL; at = strchr (at + 1, '/'))
        g_ptr_array_add (paths, g_strndup (partition, (gsize) (at - partition)));
    g_ptr_array_add (paths, g_strdup (partition));
    return paths;
}

static gboolean
make_missing (CorralContainerCore *core, CorralHookIndex *index, const GPtrArray *paths,
              GPtrArray *made, GError **error)
{
    for (guint i = 0; i < paths->len; i++) {
        const char *path = g_ptr_array_index (paths, i);
        g_autoptr (CorralDefinition) definition = NULL;

        if (corral_container_get_state (core, path) == CORRAL_CONTAINER_WHOLE)
            continue;
        /* libvirt uses this one for itself; a file that cannot be read says nothing about it. */
        if (g_str_equal (path, CORRAL_HOOK_DEFAULT_PARTITION) &&
            !corral_hook_index_has (index, path))
            continue;
        if (!corral_hook_index_load (index, path, &definition, error))
            return FALSE;
        /* A parent that is not defined comes with its child. */
        if (definition != NULL && !make_one (core, definition, made, error))
            return FALSE;
        if (definition == NULL && i + 1 == paths->len) {
            g_set_error (
                error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND,
                "there is no container at the partition \"%s\", neither defined nor in the "
                "kernel",
                path);
            return FALSE;
        }
    }
    return TRUE;
}

gboolean
corral_hook_make (CorralContainerCore *core, CorralHookIndex *index, const char *partition,
                  GError **error)
{
    g_autoptr (GPtrArray) paths = list_paths (partition);
    g_autoptr (GPtrArray) made = g_ptr_array_new_with_free_func (g_free);

    if (make_missing (core, index, paths, made, error))
        return TRUE;
    for (guint i = made->len; i-- > 0;)
        if (!corral_container_destroy (core, g_ptr_array_index (made, i), NULL))
            g_prefix_error (error, "\"%s\" could not be removed after this: ",
                            (const char *) g_ptr_array_index (made, i));
    return FALSE;
}
