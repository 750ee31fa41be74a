/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/cgroup-mounts.h"

#include "common/corral-error.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *v1, *v2;
    guint bit;
} controllers[] = {
    { "cpu", "cpu", CORRAL_CONTROLLER_CPU },
    { "cpuset", "cpuset", CORRAL_CONTROLLER_CPUSET },
    { "cpuacct", NULL, CORRAL_CONTROLLER_CPUACCT },
    { "memory", "memory", CORRAL_CONTROLLER_MEMORY },
    { "blkio", "io", CORRAL_CONTROLLER_IO },
    { "devices", NULL, CORRAL_CONTROLLER_DEVICES },
    { "freezer", NULL, CORRAL_CONTROLLER_FREEZER },
    { "net_cls", NULL, CORRAL_CONTROLLER_NET_CLS },
    { "perf_event", "perf_event", CORRAL_CONTROLLER_PERF_EVENT },
    { NULL, "kvm", CORRAL_CONTROLLER_KVM },
};

guint
corral_controllers_parse (const char *names, const char *separator, int version)
{
    g_auto (GStrv) list = g_strsplit (names, separator, -1);
    guint bits = 0;

    for (guint i = 0; list[i] != NULL; i++)
        for (guint c = 0; c < G_N_ELEMENTS (controllers); c++)
            if (g_strcmp0 (version == 1 ? controllers[c].v1 : controllers[c].v2, list[i]) == 0)
                bits |= controllers[c].bit;
    return bits;
}

static void
hierarchy_free (gpointer data)
{
    CorralHierarchy *h = data;

    if (h->tree.fd >= 0)
        close (h->tree.fd);
    g_free (h->tree.mount);
    g_free (h->label);
    g_free (h);
}

/* "\040" and its like, by which the mount table writes spaces. */
static char *
unescape (const char *text)
{
    return g_strcompress (text);
}

/* Opens the mount and looks whether a cgroup tree is to be seen there: an entry may lie beneath a
 * later mount, or its place may not exist below our root. */
static gboolean
open_mount (const CorralIo *io, CorralHierarchy *h)
{
    const char *relative = h->tree.mount + strspn (h->tree.mount, "/");

    return corral_io_open (io->root_fd, relative, O_PATH | O_DIRECTORY, &h->tree.fd) == 0 &&
           corral_io_exists (h->tree.fd, "cgroup.procs");
}

static CorralHierarchy *
read_entry (const CorralIo *io, const char *line)
{
    g_auto (GStrv) halves = g_strsplit (line, " - ", 2);
    g_auto (GStrv) left = NULL;
    g_auto (GStrv) right = NULL;
    CorralHierarchy *h;

    if (halves[0] == NULL || halves[1] == NULL)
        return NULL;
    left = g_strsplit (halves[0], " ", -1);
    right = g_strsplit (halves[1], " ", -1);
    if (g_strv_length (left) < 6 || g_strv_length (right) < 3 || !g_str_equal (left[3], "/"))
        return NULL; /* a bind of a part of the tree shows no container's real path */
    if (!g_str_equal (right[0], "cgroup") && !g_str_equal (right[0], "cgroup2"))
        return NULL;
    h = g_new0 (CorralHierarchy, 1);
    h->tree.fd = -1;
    h->tree.mount = unescape (left[4]);
    h->version = g_str_equal (right[0], "cgroup2") ? 2 : 1;
    if (h->version == 1) {
        h->controllers = corral_controllers_parse (right[2], ",", 1);
        if (strstr (right[2], "name=") != NULL)
            h->controllers = 0;
    }
    if ((h->version == 1 && h->controllers == 0) || !open_mount (io, h)) {
        hierarchy_free (h);
        return NULL;
    }
    return h;
}

static gboolean
finish (CorralHierarchy *h, GError **error)
{
    g_autofree char *names = NULL;
    int err;

    if (h->version == 1) {
        for (guint c = 0; c < G_N_ELEMENTS (controllers) && h->label == NULL; c++)
            if ((h->controllers & controllers[c].bit) != 0)
                h->label = g_strdup (controllers[c].v1);
        return TRUE;
    }
    h->label = g_strdup ("");
    err = corral_io_read (h->tree.fd, "cgroup.controllers", &names);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the controllers of \"%s\"", h->tree.mount);
    h->controllers = corral_controllers_parse (names, " ", 2);
    return TRUE;
}

gboolean
corral_cgroup_mounts_read (const CorralIo *io, GPtrArray **ret_hierarchies, GError **error)
{
    g_autoptr (GPtrArray) found = g_ptr_array_new_with_free_func (hierarchy_free);
    g_autofree char *table = NULL;
    CorralHierarchy *unified = NULL;
    char *rest;
    int err = corral_io_read (io->root_fd, "proc/self/mountinfo", &table);

    if (err != 0)
        return corral_io_fail (error, err, "cannot read the mount table");
    rest = table;
    while (rest != NULL) {
        CorralHierarchy *h = read_entry (io, strsep (&rest, "\n"));

        if (h == NULL)
            continue;
        /* The same tree may be mounted twice; the last mount is the one libvirt takes. */
        for (guint k = 0; k < found->len; k++) {
            const CorralHierarchy *other = g_ptr_array_index (found, k);

            if (other->version == h->version &&
                (h->version == 2 || (other->controllers & h->controllers) != 0))
                g_ptr_array_remove_index (found, k--);
        }
        g_ptr_array_add (found, h);
    }
    for (guint i = 0; i < found->len; i++)
        if (!finish (g_ptr_array_index (found, i), error))
            return FALSE;
    for (guint i = 0; i < found->len && unified == NULL; i++)
        if (((CorralHierarchy *) g_ptr_array_index (found, i))->version == 2) {
            unified = g_ptr_array_steal_index (found, i);
            g_ptr_array_add (found, unified);
        }
    *ret_hierarchies = g_steal_pointer (&found);
    return TRUE;
}
