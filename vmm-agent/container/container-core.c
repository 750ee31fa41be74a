/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

G_DEFINE_FINAL_TYPE (CorralContainerCore, corral_container_core, G_TYPE_OBJECT)

static guint changed_signal;

static void
corral_container_core_finalize (GObject *object)
{
    CorralContainerCore *core = CORRAL_CONTAINER_CORE (object);

    g_clear_pointer (&core->watch, corral_watch_free);
    g_clear_pointer (&core->usage_files, g_hash_table_unref);
    g_clear_pointer (&core->hierarchies, g_ptr_array_unref);
    if (core->io.root_fd >= 0)
        close (core->io.root_fd);
    G_OBJECT_CLASS (corral_container_core_parent_class)->finalize (object);
}

static void
corral_container_core_class_init (CorralContainerCoreClass *class)
{
    G_OBJECT_CLASS (class)->finalize = corral_container_core_finalize;
    changed_signal = g_signal_new ("changed", CORRAL_TYPE_CONTAINER_CORE, G_SIGNAL_RUN_LAST, 0,
                                   NULL, NULL, NULL, G_TYPE_NONE, 2, G_TYPE_STRING, G_TYPE_STRING);
}

static void
corral_container_core_init (CorralContainerCore *core)
{
    core->io.root_fd = -1;
}

void
corral_container_emit_changed (CorralContainerCore *core, const char *path, const char *what)
{
    g_signal_emit (core, changed_signal, 0, path, what);
}

char *
corral_dir_file (const char *dir, const char *file)
{
    return *dir != '\0' ? g_strconcat (dir, "/", file, NULL) : g_strdup (file);
}

static CorralHierarchy *
find_controller (CorralContainerCore *core, guint controller)
{
    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);

        if ((h->controllers & controller) != 0)
            return h;
    }
    return NULL;
}

/* On a hybrid host VMs stay where libvirt put them in the v2 tree, if v1 has an accounting of its
 * own: that tree schedules and pins nobody there; libvirt keeps its filter of devices in it; and
 * its rule that a process's threads stay together would make libvirt's hotplug of a vCPU fail. */
static void
choose_members (CorralContainerCore *core)
{
    core->cpuset = find_controller (core, CORRAL_CONTROLLER_CPUSET);
    core->cpu = find_controller (core, CORRAL_CONTROLLER_CPU);
    core->acct = find_controller (core, CORRAL_CONTROLLER_CPUACCT);
    core->main = core->cpuset != NULL ? core->cpuset : core->cpu;
    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);

        if (h->version == 2)
            core->unified = h;
    }
    if (core->acct == NULL)
        core->acct = core->unified;
    for (guint i = 0; i < core->hierarchies->len; i++) {
        CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);

        h->members = h == core->cpuset || h == core->cpu || h == core->acct;
    }
}

/* Whether a file that only containers have can be had: looked for in a top-level directory, since
 * the top itself lacks most. A host without any such directory is asked by what its kernel always
 * has. */
static gboolean
has_burst (CorralContainerCore *core)
{
    g_autoptr (GPtrArray) names = NULL;

    if (core->cpu->version == 1)
        return corral_io_exists (core->cpu->tree.fd, "cpu.cfs_burst_us");
    /* v2 has cpu.max.burst since 5.14, as v1 has, but not at the top: any child with the controller
     * shows it; without a child, cpu.stat tells, which counts bursts wherever they can be had. */
    if (corral_io_list (core->cpu->tree.fd, "", &names) == 0)
        for (guint i = 0; i < names->len; i++) {
            g_autofree char *cap = corral_dir_file (g_ptr_array_index (names, i), "cpu.max");
            g_autofree char *burst =
                corral_dir_file (g_ptr_array_index (names, i), "cpu.max.burst");

            if (corral_io_exists (core->cpu->tree.fd, cap))
                return corral_io_exists (core->cpu->tree.fd, burst);
        }
    return TRUE;
}

static gboolean
has_cap (CorralContainerCore *core)
{
    return core->cpu->version == 2 || corral_io_exists (core->cpu->tree.fd, "cpu.cfs_quota_us");
}

static void
look_at_features (CorralContainerCore *core)
{
    if (core->cpuset != NULL)
        core->features |= CORRAL_FEATURE_CPUSET;
    if (core->cpuset != NULL && core->cpuset->version == 2)
        core->features |= CORRAL_FEATURE_PARTITION;
    if (core->cpu != NULL) {
        core->features |= CORRAL_FEATURE_WEIGHT;
        if (has_cap (core))
            core->features |= CORRAL_FEATURE_CAP;
        if (has_burst (core))
            core->features |= CORRAL_FEATURE_BURST;
    }
    if (core->acct != NULL && core->acct->version == 1)
        core->features |= CORRAL_FEATURE_USAGE_PERCPU;
    corral_container_has_kvm (core);
    core->features |= CORRAL_FEATURE_THREAD_ANYWHERE;
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);

        if (h->members && h->version == 2)
            core->features &= ~(guint) CORRAL_FEATURE_THREAD_ANYWHERE;
    }
}

static gboolean
same_directory (int a, int b)
{
    struct stat sa, sb;

    return fstat (a, &sa) == 0 && fstat (b, &sb) == 0 && sa.st_dev == sb.st_dev &&
           sa.st_ino == sb.st_ino;
}

static gboolean
open_root (CorralContainerCore *core, int root_fd, GError **error)
{
    int host = open ("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (host < 0)
        return corral_io_fail (error, errno, "cannot open the root directory");
    core->io.root_fd = root_fd < 0 ? host : fcntl (root_fd, F_DUPFD_CLOEXEC, 3);
    if (core->io.root_fd < 0) {
        corral_io_fail (error, errno, "cannot duplicate the root's descriptor");
        close (host);
        return FALSE;
    }
    core->io.is_host = same_directory (core->io.root_fd, host);
    if (core->io.root_fd != host)
        close (host);
    return TRUE;
}

/* systemd holds every directory of a v2 tree that it runs, and allows nobody else in: it turns off
 * the controllers that none of its units needs, and a VM taken out of its scope is one that has
 * ended. Its own process sits in init.scope, at the top. Beneath a cgroup namespace that begins at
 * a delegated unit there is no such directory, and all of the tree is the unit's. */
static gboolean
is_free_of_systemd (CorralContainerCore *core, GError **error)
{
    for (guint i = 0; i < core->hierarchies->len; i++) {
        const CorralHierarchy *h = g_ptr_array_index (core->hierarchies, i);

        if (!h->members || h->version != 2 || !corral_io_exists (h->tree.fd, "init.scope"))
            continue;
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot use the cgroups of this host: systemd owns the tree \"%s\"; run "
                     "libvirtd and corrald in one unit of a slice of their own, with Delegate=yes "
                     "and a cgroup namespace, as corrald(8) shows",
                     h->tree.mount);
        return FALSE;
    }
    return TRUE;
}

CorralContainerCore *
corral_container_core_open (int root_fd, GError **error)
{
    g_autoptr (CorralContainerCore) core = g_object_new (CORRAL_TYPE_CONTAINER_CORE, NULL);
    gboolean has_v1 = FALSE;

    if (!open_root (core, root_fd, error) ||
        !corral_cgroup_mounts_read (&core->io, &core->hierarchies, error))
        return NULL;
    choose_members (core);
    if (core->main == NULL) {
        g_set_error (
            error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
            "cannot use the cgroups of this host: none of its mounts has the cpuset or cpu "
            "controller");
        return NULL;
    }
    if (!is_free_of_systemd (core, error))
        return NULL;
    for (guint i = 0; i < core->hierarchies->len; i++)
        has_v1 |= ((CorralHierarchy *) g_ptr_array_index (core->hierarchies, i))->version == 1;
    core->backend = !has_v1 ? "v2" : core->unified != NULL ? "hybrid" : "v1";
    look_at_features (core);
    return g_steal_pointer (&core);
}

const char *
corral_container_core_backend (CorralContainerCore *core)
{
    return core->backend;
}

guint
corral_container_core_features (CorralContainerCore *core)
{
    corral_container_has_kvm (core);
    return core->features;
}

gboolean
corral_container_core_host_cpus (CorralContainerCore *core, CorralCpuset **ret_cpus,
                                 CorralCpuset **ret_mems, GError **error)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autoptr (CorralCpuset) mems = NULL;
    int err;

    if (core->cpuset == NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot read which CPUs containers can have: no cpuset controller is mounted");
        return FALSE;
    }
    err = corral_cpuset_effective (core->cpuset, "", FALSE, &cpus);
    if (err == 0)
        err = corral_cpuset_effective (core->cpuset, "", TRUE, &mems);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the cpuset at the top of \"%s\"",
                               core->cpuset->tree.mount);
    *ret_cpus = g_steal_pointer (&cpus);
    *ret_mems = g_steal_pointer (&mems);
    return TRUE;
}
