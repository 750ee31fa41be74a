/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/cgroup-io.h"

#include "common/corral-error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

/* The largest is the mount table: a host of many containers has tens of thousands of mounts. */
#define FILE_LIMIT (64 * 1024 * 1024)
/* The longest that a note can be: XATTR_SIZE_MAX of the kernel's linux/limits.h */
#define NOTE_LIMIT 65536

int
corral_io_open (int dir_fd, const char *path, int flags, int *ret_fd)
{
    struct open_how how = { .flags = (guint64) (flags | O_CLOEXEC),
                            .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS };
    long fd;

    do
        fd = syscall (SYS_openat2, dir_fd, *path != '\0' ? path : ".", &how, sizeof how);
    while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    if (fd < 0)
        return errno;
    *ret_fd = (int) fd;
    return 0;
}

static int
read_all (int fd, GString *text)
{
    char buffer[4096];

    for (;;) {
        ssize_t got = read (fd, buffer, sizeof buffer);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return errno;
        if (got == 0)
            return 0;
        if (text->len + (gsize) got > FILE_LIMIT)
            return EFBIG;
        g_string_append_len (text, buffer, got);
    }
}

/* The name of the note that @path is, or NULL, and its directory. */
static const char *
note_of (const char *path, char **ret_dir)
{
    const char *slash = strrchr (path, '/');
    const char *name = slash != NULL ? slash + 1 : path;

    if (!g_str_has_prefix (name, CORRAL_IO_NOTE))
        return NULL;
    *ret_dir = g_strndup (path, slash != NULL ? (gsize) (slash - path) : 0);
    return name;
}

static int
read_note (int dir_fd, const char *dir, const char *name, char **ret_text)
{
    g_autofree char *text = g_malloc (NOTE_LIMIT);
    ssize_t got;
    int fd, err = corral_io_open (dir_fd, dir, O_RDONLY | O_DIRECTORY, &fd);

    if (err != 0)
        return err;
    got = fgetxattr (fd, name, text, NOTE_LIMIT);
    err = got < 0 && errno != ENODATA && errno != ENOTSUP ? errno : 0;
    close (fd);
    if (err == 0)
        *ret_text = g_strndup (text, got > 0 ? (gsize) got : 0);
    return err;
}

/* An empty one, or a newline, takes the note away. */
static int
write_note (int dir_fd, const char *dir, const char *name, const char *text)
{
    int fd, err = corral_io_open (dir_fd, dir, O_RDONLY | O_DIRECTORY, &fd);

    if (err != 0)
        return err;
    if (*text == '\0' || *text == '\n' ? fremovexattr (fd, name) < 0
                                       : fsetxattr (fd, name, text, strlen (text), 0) < 0)
        err = errno != ENODATA && errno != ENOTSUP && errno != EPERM ? errno : 0;
    close (fd);
    return err;
}

int
corral_io_read (int dir_fd, const char *path, char **ret_text)
{
    g_autofree char *noted = NULL;
    const char *note = note_of (path, &noted);
    GString *text;
    int fd, err;

    if (note != NULL)
        return read_note (dir_fd, noted, note, ret_text);
    err = corral_io_open (dir_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK, &fd);
    if (err != 0)
        return err;
    text = g_string_new (NULL);
    err = read_all (fd, text);
    close (fd);
    if (err == 0 && strlen (text->str) != text->len)
        err = EILSEQ;
    if (err != 0) {
        g_string_free (text, TRUE);
        return err;
    }
    if (text->len > 0 && text->str[text->len - 1] == '\n')
        g_string_truncate (text, text->len - 1);
    *ret_text = g_string_free (text, FALSE);
    return 0;
}

gboolean
corral_io_exists (int dir_fd, const char *path)
{
    int fd;

    if (corral_io_open (dir_fd, path, O_PATH, &fd) != 0)
        return FALSE;
    close (fd);
    return TRUE;
}

int
corral_io_list (int dir_fd, const char *path, GPtrArray **ret_names)
{
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
    struct dirent *entry;
    DIR *dir;
    int fd, err;

    err = corral_io_open (dir_fd, path, O_RDONLY | O_DIRECTORY, &fd);
    if (err != 0)
        return err;
    dir = fdopendir (fd);
    if (dir == NULL) {
        err = errno;
        close (fd);
        return err;
    }
    while ((errno = 0, entry = readdir (dir)) != NULL)
        if (entry->d_type == DT_DIR && !g_str_equal (entry->d_name, ".") &&
            !g_str_equal (entry->d_name, ".."))
            g_ptr_array_add (names, g_strdup (entry->d_name));
    err = errno;
    closedir (dir);
    if (err != 0)
        return err;
    *ret_names = g_steal_pointer (&names);
    return 0;
}

/* Whether the step still has to be taken; if not, *ret_err is its outcome. */
static gboolean
ask_hook (const CorralIo *io, const CorralIoCall *call, int *ret_err)
{
    int answer = io->hook != NULL ? io->hook (call, io->hook_data) : 0;

    *ret_err = answer == CORRAL_IO_DONE ? 0 : answer;
    return answer == 0;
}

int
corral_io_write (const CorralIo *io, const CorralIoTree *tree, const char *path, const char *text)
{
    CorralIoCall call = { CORRAL_IO_WRITE, tree->mount, path, text };
    g_autofree char *noted = NULL;
    const char *note = note_of (path, &noted);
    ssize_t put;
    int fd, err;

    if (!ask_hook (io, &call, &err))
        return err;
    if (note != NULL)
        return write_note (tree->fd, noted, note, text);
    err = corral_io_open (tree->fd, path, O_WRONLY | O_TRUNC | O_NOFOLLOW, &fd);
    if (err != 0)
        return err;
    /* A kernel file takes its value in one write: a second one would be a second value. */
    do
        put = write (fd, text, strlen (text));
    while (put < 0 && errno == EINTR);
    if (put < 0)
        err = errno;
    else if ((gsize) put != strlen (text))
        err = EIO;
    close (fd);
    return err;
}

/* Opens the directory that holds @path, so that mkdirat() and unlinkat() see one plain name. */
static int
open_holder (int dir_fd, const char *path, int *ret_fd, const char **ret_name)
{
    const char *slash = strrchr (path, '/');
    g_autofree char *holder =
        slash != NULL ? g_strndup (path, (gsize) (slash - path)) : g_strdup ("");

    *ret_name = slash != NULL ? slash + 1 : path;
    if (**ret_name == '\0' || g_str_equal (*ret_name, ".") || g_str_equal (*ret_name, ".."))
        return EINVAL;
    return corral_io_open (dir_fd, holder, O_PATH | O_DIRECTORY, ret_fd);
}

int
corral_io_mkdir (const CorralIo *io, const CorralIoTree *tree, const char *path)
{
    CorralIoCall call = { CORRAL_IO_MKDIR, tree->mount, path, NULL };
    const char *name;
    int fd, err;

    if (!ask_hook (io, &call, &err))
        return err;
    err = open_holder (tree->fd, path, &fd, &name);
    if (err != 0)
        return err;
    if (mkdirat (fd, name, 0755) < 0)
        err = errno;
    close (fd);
    return err;
}

int
corral_io_rmdir (const CorralIo *io, const CorralIoTree *tree, const char *path)
{
    CorralIoCall call = { CORRAL_IO_RMDIR, tree->mount, path, NULL };
    const char *name;
    int fd, err;

    if (!ask_hook (io, &call, &err))
        return err;
    err = open_holder (tree->fd, path, &fd, &name);
    if (err != 0)
        return err;
    if (unlinkat (fd, name, AT_REMOVEDIR) < 0)
        err = errno;
    close (fd);
    return err;
}

int
corral_io_get_affinity (const CorralIo *io, pid_t tid, CorralCpuset **ret_cpus)
{
    g_autofree char *path = g_strdup_printf ("proc/%d/status", (int) tid);
    g_autofree char *status = NULL;
    g_autofree char *list = NULL;
    const char *at;
    int err = corral_io_read (io->root_fd, path, &status);

    if (err != 0)
        return err == ENOENT ? ESRCH : err;
    at = strstr (status, "\nCpus_allowed_list:");
    if (at == NULL)
        return EILSEQ;
    at += strlen ("\nCpus_allowed_list:");
    list = g_strndup (at, strcspn (at, "\n"));
    return corral_cpuset_parse (list, ret_cpus, NULL) ? 0 : EILSEQ;
}

static int
set_host_affinity (pid_t tid, const CorralCpuset *cpus)
{
    const guint bits = CORRAL_CPUSET_MAX + 1;
    cpu_set_t *set = CPU_ALLOC (bits);
    const gsize size = CPU_ALLOC_SIZE (bits);
    int err;

    CPU_ZERO_S (size, set);
    for (guint cpu = 0; cpu < bits; cpu++)
        if (cpus == NULL || hwloc_bitmap_isset (cpus, cpu))
            CPU_SET_S (cpu, size, set);
    err = sched_setaffinity (tid, size, set) < 0 ? errno : 0;
    CPU_FREE (set);
    return err;
}

int
corral_io_set_affinity (const CorralIo *io, pid_t tid, const CorralCpuset *cpus)
{
    g_autofree char *number = g_strdup_printf ("%d", (int) tid);
    g_autofree char *list = cpus != NULL ? corral_cpuset_format (cpus) : g_strdup ("all");
    CorralIoCall call = { CORRAL_IO_AFFINITY, "", number, list };
    int err;

    if (tid <= 0)
        return ESRCH;
    if (!ask_hook (io, &call, &err))
        return err;
    /* Below another root the numbers are not this host's threads. */
    return io->is_host ? set_host_affinity (tid, cpus) : EOPNOTSUPP;
}

static CorralError
code_of (int err)
{
    switch (err) {
    case ENOENT:
    case ENODEV:
    case ESRCH:
        return CORRAL_ERROR_NOT_FOUND;
    case EBUSY:
    case ENOTEMPTY:
        return CORRAL_ERROR_BUSY;
    case EOPNOTSUPP:
        return CORRAL_ERROR_UNSUPPORTED;
    default:
        return CORRAL_ERROR_IO;
    }
}

gboolean
corral_io_fail (GError **error, int err, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start (args, format);
    what = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, CORRAL_ERROR, code_of (err), "%s: %s", what, g_strerror (err));
    return FALSE;
}
