// SPDX-License-Identifier: GPL-2.0
/*
 * Lets each memory allocation of an operation fail in turn, on a kernel with config/debug.config:
 * loading and unloading KVM's module for the processor, i.e. registering and deregistering the
 * controller, enabling and disabling it, and making a cgroup, with a vCPU's process in the cgroup.
 *
 *   faults CGROUP MODULE.ko
 *
 * CGROUP: the root of cgroup2. The file is that of a loaded kvm_amd or kvm_intel.
 * An operation either works, or fails and leaves all as it was: then it works at last, without a
 * fault. Prints how many allocations were made to fail in each. What the kernel says of it is in
 * dmesg.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *root, *module_file;
static char module_name[64], top[512], child[600];

static void
check (int ok, const char *what)
{
    if (ok)
        return;
    fprintf (stderr, "error: %s: %s\n", what, strerror (errno));
    exit (EXIT_FAILURE);
}

static int
write_file (const char *cgroup, const char *file, const char *text)
{
    char path[700];
    int fd, ret;

    snprintf (path, sizeof (path), "%s/%s", cgroup, file);
    fd = open (path, O_WRONLY);
    if (fd < 0)
        return -1;
    ret = write (fd, text, strlen (text)) == (ssize_t) strlen (text) ? 0 : -1;
    close (fd);
    return ret;
}

static int
has_kvm (const char *cgroup)
{
    char path[700];

    snprintf (path, sizeof (path), "%s/kvm.stat", cgroup);
    return !access (path, F_OK);
}

static int
load (void)
{
    int fd = open (module_file, O_RDONLY);
    int ret = syscall (SYS_finit_module, fd, "", 0);

    close (fd);
    return ret;
}

static int
unload (void)
{
    return syscall (SYS_delete_module, module_name, O_NONBLOCK);
}

static int
enable_root (void)
{
    return write_file (root, "cgroup.subtree_control", "+kvm");
}

static int
enable_top (void)
{
    return write_file (top, "cgroup.subtree_control", "+kvm");
}

static int
disable_top (void)
{
    return write_file (top, "cgroup.subtree_control", "-kvm");
}

static int
make (void)
{
    return mkdir (child, 0755);
}

static int
move (void)
{
    return write_file (child, "cgroup.procs", "0");
}

/* Opened once: opening it would allocate memory, too. */
static int nth_fd;

static void
set_nth (int nth)
{
    char text[16];

    snprintf (text, sizeof (text), "%d", nth);
    check (pwrite (nth_fd, text, strlen (text), 0) > 0, "fail-nth");
}

/* Whether the fault did not happen, as there are fewer allocations */
static int
nth_is_left (void)
{
    char text[16] = "";

    check (pread (nth_fd, text, sizeof (text) - 1, 0) > 0, "fail-nth");
    return atoi (text) > 0;
}

/* @undo puts back what a success has done; it's not called at the end. @may_fail: whether it fails
 * at all; that of a module's exit may not. */
static void
faults (const char *what, int (*operation) (void), int (*undo) (void), int may_fail)
{
    int failed = 0, nth, ret, error, left;

    for (nth = 1;; nth++) {
        set_nth (nth);
        ret = operation ();
        error = errno;
        left = nth_is_left ();
        set_nth (0);
        errno = error;
        check (!ret || !left, what);
        if (left)
            break;
        if (ret)
            failed++;
        else
            check (!undo (), "undo");
    }
    printf ("%s: %d allocations, it failed with %d of them\n", what, nth - 1, failed);
    if (nth == 1 || !failed != !may_fail) {
        fprintf (stderr, "error: %s: that is not what faults do to it\n", what);
        exit (EXIT_FAILURE);
    }
}

static int
remove_child (void)
{
    return rmdir (child);
}

static int
back (void)
{
    return write_file (top, "cgroup.procs", "0");
}

int
main (int argc, char **argv)
{
    const char *name;
    int kvm, vm;

    if (argc != 3) {
        fprintf (stderr, "usage: faults CGROUP MODULE.ko\n");
        return 2;
    }
    root = argv[1];
    module_file = argv[2];
    name = strrchr (module_file, '/');
    snprintf (module_name, sizeof (module_name), "%s", name ? name + 1 : module_file);
    module_name[strcspn (module_name, ".")] = 0;
    if (strchr (module_name, '-'))
        *strchr (module_name, '-') = '_';
    snprintf (top, sizeof (top), "%s/faults-%d", root, getpid ());
    snprintf (child, sizeof (child), "%s/child", top);

    /* also those which may sleep, as nearly all do */
    check (!write_file ("/sys/kernel/debug/failslab", "ignore-gfp-wait", "N"), "failslab");
    nth_fd = open ("/proc/thread-self/fail-nth", O_RDWR);
    check (nth_fd >= 0, "fail-nth");
    check (!mkdir (top, 0755), top);
    check (!enable_root () && has_kvm (top), "enabling the controller");

    faults ("unload", unload, load, 0);
    check (!has_kvm (root) && !has_kvm (top), "files after unloading");
    faults ("load", load, unload, 1);
    check (has_kvm (root) && !has_kvm (top) && !enable_root () && has_kvm (top),
           "files after loading");

    /* threaded, so that there can be processes in the cgroup and its child */
    check (!make () && !write_file (child, "cgroup.type", "threaded") && !back (), child);
    kvm = open ("/dev/kvm", O_RDWR);
    vm = ioctl (kvm, KVM_CREATE_VM, 0);
    check (ioctl (vm, KVM_CREATE_VCPU, 0) >= 0, "KVM_CREATE_VCPU");
    faults ("enable", enable_top, disable_top, 1);
    check (has_kvm (child), "files after enabling");
    faults ("migrate", move, back, 1);
    faults ("disable", disable_top, enable_top, 1);
    check (!has_kvm (child), "files after disabling");
    check (!enable_top () && !back () && !remove_child (), "the child's end");
    faults ("mkdir", make, remove_child, 1);
    check (has_kvm (child), "files in a new cgroup");
    check (!remove_child () && !write_file (root, "cgroup.procs", "0") && !rmdir (top), "end");
    check (!write_file ("/sys/kernel/debug/failslab", "ignore-gfp-wait", "Y"), "failslab");
    return 0;
}
