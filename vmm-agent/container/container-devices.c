/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* On cgroup v2 libvirt keeps a VM from devices that are not its own by a BPF program on the VM's
 * group. A VM that leaves the group must not leave its bounds, so the program goes along; what it
 * looks up is shared then, and what libvirt allows later holds in both places. Source: bpf(2). */
#include "vmm-agent/container/container-private.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The kernel allows no more on one directory. */
#define PROGRAMS_MAX 64

typedef struct {
    guint32 ids[PROGRAMS_MAX];
    guint n;
} Programs;

static int
call_bpf (enum bpf_cmd command, union bpf_attr *attr, int *ret_fd)
{
    long answer = syscall (SYS_bpf, command, attr, sizeof *attr);

    if (answer < 0)
        return errno;
    if (ret_fd != NULL)
        *ret_fd = (int) answer;
    return 0;
}

static int
query (int dir_fd, Programs *ret_programs)
{
    union bpf_attr attr;
    int err;

    memset (&attr, 0, sizeof attr);
    attr.query.target_fd = (guint32) dir_fd;
    attr.query.attach_type = BPF_CGROUP_DEVICE;
    attr.query.prog_ids = (guint64) (guintptr) ret_programs->ids;
    attr.query.prog_cnt = PROGRAMS_MAX;
    err = call_bpf (BPF_PROG_QUERY, &attr, NULL);
    ret_programs->n = err == 0 ? attr.query.prog_cnt : 0;
    /* A kernel without such programs has none to carry. */
    return err == EINVAL || err == ENOSYS ? 0 : err;
}

static int
attach (int dir_fd, guint32 id)
{
    union bpf_attr attr;
    int program = -1, err;

    memset (&attr, 0, sizeof attr);
    attr.prog_id = id;
    err = call_bpf (BPF_PROG_GET_FD_BY_ID, &attr, &program);
    if (err != 0)
        return err == ENOENT ? 0 : err; /* replaced meanwhile */
    memset (&attr, 0, sizeof attr);
    attr.target_fd = (guint32) dir_fd;
    attr.attach_bpf_fd = (guint32) program;
    attr.attach_type = BPF_CGROUP_DEVICE;
    attr.attach_flags = BPF_F_ALLOW_MULTI;
    err = call_bpf (BPF_PROG_ATTACH, &attr, NULL);
    close (program);
    return err;
}

static gboolean
contains (const Programs *programs, guint32 id)
{
    for (guint i = 0; i < programs->n; i++)
        if (programs->ids[i] == id)
            return TRUE;
    return FALSE;
}

static int
carry_from (CorralHierarchy *h, const char *dir, int to_fd)
{
    Programs here, there;
    int fd, err;

    err = corral_io_open (h->tree.fd, dir, O_RDONLY | O_DIRECTORY, &fd);
    if (err != 0)
        return err == ENOENT ? 0 : err;
    err = query (fd, &here);
    close (fd);
    if (err == 0 && here.n > 0)
        err = query (to_fd, &there);
    for (guint i = 0; err == 0 && i < here.n; i++)
        if (!contains (&there, here.ids[i]))
            err = attach (to_fd, here.ids[i]);
    return err;
}

gboolean
corral_devices_carry (CorralContainerCore *core, CorralHierarchy *h, const char *from,
                      const char *to, GError **error)
{
    g_autofree char *dir = g_strdup (from);
    int fd, err;

    if (h->version != 2 || !core->io.is_host)
        return TRUE;
    err = corral_io_open (h->tree.fd, to, O_RDONLY | O_DIRECTORY, &fd);
    if (err != 0)
        return corral_io_fail (error, err, "cannot open \"%s/%s\"", h->tree.mount, to);
    /* What is above both holds in any case. */
    while (err == 0 && *dir != '\0' && !corral_container_dir_within (to, dir)) {
        char *parent = corral_container_dir_parent (dir);

        err = carry_from (h, dir, fd);
        g_free (dir);
        dir = parent;
    }
    close (fd);
    return err == 0 ||
           corral_io_fail (error, err,
                           "cannot take the filter of devices along from \"%s\" to \"%s\"", from,
                           to);
}
