/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kvm subsystem of a kernel with our series. It is there while VMs can be created, that is: it
 * comes and goes with the module of the processor's vendor, at any time. So nothing of it is taken
 * for granted: each use looks for its file, and where that is missing all is as on a stock kernel.
 *
 * Only on pure v2: on a hybrid host VMs are told apart, pinned and counted in v1. */
#include "vmm-agent/container/container-kvm-files.h"
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <string.h>

gboolean
corral_container_has_kvm (CorralContainerCore *core)
{
    CorralHierarchy *h = core->unified;

    /* At the top of the tree it has its files as soon as it is there. */
    if (h == NULL || !g_str_equal (core->backend, "v2") ||
        !corral_io_exists (h->tree.fd, CORRAL_KVM_STAT)) {
        core->features &= ~(guint) CORRAL_FEATURE_KVM;
        if (h != NULL)
            h->controllers &= ~(guint) CORRAL_CONTROLLER_KVM;
        return FALSE;
    }
    core->features |= CORRAL_FEATURE_KVM;
    h->controllers |= CORRAL_CONTROLLER_KVM;
    return TRUE;
}

/* Turns it on in the directories in @dir. */
static gboolean
pass_on (CorralContainerCore *core, const char *dir, GError **error)
{
    CorralHierarchy *h = core->unified;
    g_autofree char *path = corral_dir_file (dir, "cgroup.subtree_control");
    g_autofree char *on = NULL;
    int err = corral_io_read (h->tree.fd, path, &on);

    if (err == 0 && (corral_controllers_parse (on, " ", 2) & CORRAL_CONTROLLER_KVM) != 0)
        return TRUE;
    if (err == 0)
        err = corral_io_write (&core->io, &h->tree, path, "+kvm");
    return err == 0 ||
           corral_io_fail (error, err, "cannot write \"+kvm\" to \"%s/%s\"", h->tree.mount, path);
}

gboolean
corral_container_enable_kvm (CorralContainerCore *core, const char *path, GError **error)
{
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (!corral_container_has_kvm (core)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot have the kvm subsystem count the container \"%s\": this host's kernel "
                     "has none now",
                     path);
        return FALSE;
    }
    if (!pass_on (core, "", error))
        return FALSE;
    for (const char *slash = strchr (dir, '/'); slash != NULL; slash = strchr (slash + 1, '/')) {
        g_autofree char *parent = g_strndup (dir, (gsize) (slash - dir));

        if (!pass_on (core, parent, error))
            return FALSE;
    }
    return TRUE;
}

gboolean
corral_kvm_pass_on (CorralContainerCore *core, const char *group)
{
    g_autofree char *path = corral_container_dir_to_path (group, NULL);

    return path != NULL && corral_container_has_kvm (core) &&
           corral_container_enable_kvm (core, path, NULL);
}

/* A VM is listed in the directory of its process's main thread, or in the nearest above for which
 * the subsystem is on. */
static int
read_vms (CorralContainerCore *core, pid_t pid, char **ret_text)
{
    g_autofree char *proc = NULL;
    g_autofree char *dir = NULL;
    int err = corral_proc_cgroups (core, 0, pid, &proc);

    if (err != 0)
        return err;
    dir = corral_proc_dir (core->unified, proc);
    if (dir == NULL)
        return ENOENT;
    for (;;) {
        g_autofree char *path = corral_dir_file (dir, "kvm.vms");
        char *parent;

        err = corral_io_read (core->unified->tree.fd, path, ret_text);
        if ((err != ENOENT && err != ENODEV) || *dir == '\0')
            return err;
        parent = corral_container_dir_parent (dir);
        g_free (dir);
        dir = parent;
    }
}

int
corral_kvm_find (CorralContainerCore *core, pid_t pid, guint *ret_fd, GArray *vcpus,
                 gboolean *ret_complete)
{
    g_autofree char *text = NULL;
    int err;

    if (!corral_container_has_kvm (core))
        return ENOENT;
    err = read_vms (core, pid, &text);
    return err != 0 ? err : corral_kvm_vms_find (text, pid, ret_fd, vcpus, ret_complete);
}

gboolean
corral_container_get_kvm_vcpus (CorralContainerCore *core, pid_t pid, GArray **ret_vcpus,
                                gboolean *ret_complete)
{
    g_autoptr (GArray) vcpus = g_array_new (FALSE, FALSE, sizeof (CorralKvmVcpu));
    guint fd;

    if (pid <= 0 || corral_kvm_find (core, pid, &fd, vcpus, ret_complete) != 0)
        return FALSE;
    *ret_vcpus = g_steal_pointer (&vcpus);
    return TRUE;
}

int
corral_kvm_attach (CorralContainerCore *core, CorralHierarchy *h, const char *dir, pid_t pid)
{
    g_autoptr (GArray) vcpus = g_array_new (FALSE, FALSE, sizeof (CorralKvmVcpu));
    g_autofree char *path = corral_dir_file (dir, "kvm.attach");
    g_autofree char *text = NULL;
    gboolean complete;
    guint fd;
    int err;

    if (h != core->unified || !corral_io_exists (h->tree.fd, path) ||
        corral_kvm_find (core, pid, &fd, vcpus, &complete) != 0)
        return ENOENT;
    text = g_strdup_printf ("%d-%u all", (int) pid, fd);
    err = corral_io_write (&core->io, &h->tree, path, text);
    /* The VM, the subsystem or the directory has gone meanwhile, or two VMs have one name. */
    return err == ENODEV || err == ENOTUNIQ ? ENOENT : err;
}
