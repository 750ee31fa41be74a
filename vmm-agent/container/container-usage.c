/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CPU usage, from descriptors that stay open. */
#include "vmm-agent/container/container-kvm-files.h"
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef enum {
    FILE_TOTAL,  /* v2: cpu.stat; v1: cpuacct.usage */
    FILE_USER,   /* v1: cpuacct.usage_user */
    FILE_SYSTEM, /* v1: cpuacct.usage_sys */
    FILE_CAP,    /* v1: cpu.stat of the cpu controller */
    FILE_PERCPU, /* v1: cpuacct.usage_percpu */
    FILE_KVM,    /* v2: kvm.stat */
    N_FILES,
} UsageFile;

typedef struct {
    int fd[N_FILES];
} Files;

static void
files_free (gpointer data)
{
    Files *files = data;

    for (guint i = 0; i < N_FILES; i++)
        if (files->fd[i] >= 0)
            close (files->fd[i]);
    g_free (files);
}

static Files *
files_of (CorralContainerCore *core, const char *dir)
{
    Files *files;

    if (core->usage_files == NULL)
        core->usage_files = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, files_free);
    files = g_hash_table_lookup (core->usage_files, dir);
    if (files == NULL) {
        files = g_new (Files, 1);
        for (guint i = 0; i < N_FILES; i++)
            files->fd[i] = -1;
        g_hash_table_insert (core->usage_files, g_strdup (dir), files);
    }
    return files;
}

void
corral_usage_forget (CorralContainerCore *core, const char *dir)
{
    GHashTableIter iter;
    gpointer key;

    if (core->usage_files == NULL)
        return;
    g_hash_table_iter_init (&iter, core->usage_files);
    while (g_hash_table_iter_next (&iter, &key, NULL))
        if (corral_container_dir_within (key, dir))
            g_hash_table_iter_remove (&iter);
}

static int
open_file (CorralContainerCore *core, const char *dir, UsageFile which, int *ret_fd)
{
    static const char *const v1_names[N_FILES] = { "cpuacct.usage", "cpuacct.usage_user",
                                                   "cpuacct.usage_sys", "cpu.stat",
                                                   "cpuacct.usage_percpu" };
    CorralHierarchy *h = which == FILE_CAP ? core->cpu : core->acct;
    g_autofree char *path = corral_dir_file (dir, which == FILE_KVM ? CORRAL_KVM_STAT
                                                  : h->version == 2 ? "cpu.stat"
                                                                    : v1_names[which]);

    return corral_io_open (h->tree.fd, path, O_RDONLY | O_NOFOLLOW, ret_fd);
}

/* A plain file stays readable when it is removed; one of the kernel's answers ENODEV by itself. */
static int
check_alive (CorralContainerCore *core, int fd)
{
    struct stat status;

    if (core->io.is_host)
        return 0;
    return fstat (fd, &status) < 0 ? errno : status.st_nlink == 0 ? ENODEV : 0;
}

static int
read_kept (int fd, char *buffer, gsize size)
{
    ssize_t got;

    do
        got = pread (fd, buffer, size - 1, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno;
    buffer[got] = '\0';
    return (gsize) got == size - 1 ? EFBIG : 0;
}

/* A container may have been removed and made again since the descriptor was opened. So one that
 * turns out dead is opened anew, once. */
static int
read_file (CorralContainerCore *core, const char *dir, UsageFile which, char *buffer, gsize size)
{
    int err = 0;

    for (guint try = 0; try < 2; try++) {
        Files *files = files_of (core, dir);

        if (files->fd[which] < 0)
            err = open_file (core, dir, which, &files->fd[which]);
        if (err == 0)
            err = check_alive (core, files->fd[which]);
        if (err == 0)
            err = read_kept (files->fd[which], buffer, size);
        if (err == 0)
            return 0;
        /* kvm.stat may go, or never have been there, with the others as good as before. */
        if (which != FILE_KVM)
            g_hash_table_remove (core->usage_files, dir);
        else if (files->fd[which] >= 0)
            close (g_steal_fd (&files->fd[which]));
        if (err != ENODEV)
            break;
        if (try == 0)
            err = 0;
    }
    return err;
}

static guint64
number_after (const char *text, const char *key)
{
    const gsize length = strlen (key);

    for (const char *line = text; line != NULL; line = strchr (line, '\n')) {
        line += *line == '\n';
        if (strncmp (line, key, length) == 0 && line[length] == ' ')
            return g_ascii_strtoull (line + length + 1, NULL, 10);
    }
    return 0;
}

static int
read_number (CorralContainerCore *core, const char *dir, UsageFile which, guint64 *ret_value)
{
    char text[64];
    int err = read_file (core, dir, which, text, sizeof text);

    if (err == 0)
        *ret_value = g_ascii_strtoull (text, NULL, 10);
    return err;
}

static void
take_cap (const CorralHierarchy *h, const char *text, CorralContainerUsage *usage)
{
    usage->nr_periods = number_after (text, "nr_periods");
    usage->nr_throttled = number_after (text, "nr_throttled");
    usage->throttled_ns = h->version == 2 ? number_after (text, "throttled_usec") * 1000
                                          : number_after (text, "throttled_time");
}

static int
read_usage (CorralContainerCore *core, const char *dir, CorralContainerUsage *usage)
{
    char text[4096];
    int err;

    if (core->acct->version == 2) {
        err = read_file (core, dir, FILE_TOTAL, text, sizeof text);
        if (err != 0)
            return err;
        usage->total_ns = number_after (text, "usage_usec") * 1000;
        usage->user_ns = number_after (text, "user_usec") * 1000;
        usage->system_ns = number_after (text, "system_usec") * 1000;
        if (core->cpu == core->acct)
            take_cap (core->cpu, text, usage);
    } else {
        err = read_number (core, dir, FILE_TOTAL, &usage->total_ns);
        if (err == 0)
            err = read_number (core, dir, FILE_USER, &usage->user_ns);
        if (err == 0)
            err = read_number (core, dir, FILE_SYSTEM, &usage->system_ns);
        if (err != 0)
            return err;
    }
    if (core->cpu == NULL || core->cpu == core->acct || (core->features & CORRAL_FEATURE_CAP) == 0)
        return 0;
    err = read_file (core, dir, FILE_CAP, text, sizeof text);
    if (err == 0)
        take_cap (core->cpu, text, usage);
    return err;
}

static gboolean
check_acct (CorralContainerCore *core, gboolean percpu, GError **error)
{
    if (core->acct != NULL && (!percpu || (core->features & CORRAL_FEATURE_USAGE_PERCPU) != 0))
        return TRUE;
    g_set_error (
        error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
        "cannot read CPU usage%s: only the v1 controller cpuacct%s counts it, and that is not "
        "mounted on this host",
        percpu ? " by pCPU" : "", percpu ? "" : " and the v2 tree");
    return FALSE;
}

gboolean
corral_container_get_usage (CorralContainerCore *core, const char *path,
                            CorralContainerUsage *ret_usage, GError **error)
{
    CorralContainerUsage usage = { 0 };
    g_autofree char *dir = NULL;
    int err;

    if (!corral_container_path_to_dir (path, &dir, error) || !check_acct (core, FALSE, error))
        return FALSE;
    err = read_usage (core, dir, &usage);
    if (err != 0)
        return corral_io_fail (error, err, "cannot read the CPU usage of the container \"%s\"",
                               path);
    *ret_usage = usage;
    return TRUE;
}

gboolean
corral_container_get_usage_percpu (CorralContainerCore *core, const char *path, GArray **ret_ns,
                                   GError **error)
{
    const gsize size = 256 * 1024; /* 8,192 numbers of up to 20 digits would be less */
    g_autoptr (GArray) all = g_array_new (FALSE, FALSE, sizeof (guint64));
    g_autofree char *text = NULL;
    g_autofree char *dir = NULL;
    char *end;
    int err;

    if (!corral_container_path_to_dir (path, &dir, error) || !check_acct (core, TRUE, error))
        return FALSE;
    text = g_malloc (size);
    err = read_file (core, dir, FILE_PERCPU, text, size);
    if (err != 0)
        return corral_io_fail (error, err,
                               "cannot read the CPU usage of the container \"%s\" by pCPU", path);
    for (const char *at = text + strspn (text, " \n"); g_ascii_isdigit (*at);
         at = end + strspn (end, " \n")) {
        guint64 ns = g_ascii_strtoull (at, &end, 10);

        g_array_append_val (all, ns);
    }
    *ret_ns = g_steal_pointer (&all);
    return TRUE;
}

gboolean
corral_container_get_kvm_usage (CorralContainerCore *core, const char *path,
                                CorralContainerKvmUsage *ret_usage, GError **error)
{
    CorralContainerKvmUsage usage;
    g_autofree char *dir = NULL;
    struct stat status;
    char text[4096];
    int err = ENOENT;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if (g_str_equal (core->backend, "v2"))
        err = read_file (core, dir, FILE_KVM, text, sizeof text);
    if (err == 0 && !corral_kvm_stat_parse (text, &usage))
        err = EILSEQ;
    if (err == 0 && fstat (files_of (core, dir)->fd[FILE_KVM], &status) < 0)
        err = errno;
    if (err != 0)
        return corral_io_fail (error, err,
                               "cannot read what KVM has counted in the container \"%s\"", path);
    usage.file = status.st_ino;
    *ret_usage = usage;
    return TRUE;
}
