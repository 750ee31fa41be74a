// SPDX-License-Identifier: GPL-2.0
/*
 * Moves the threads of N vCPUs to and fro between two threaded cgroups, by one write to kvm.attach
 * and by one write to cgroup.threads for each, with a marker.h mark around either.
 *
 *   attach CGROUP N ROUNDS
 *
 * CGROUP: where to make the cgroups. The marks: MARK_ATTACH, MARK_THREADS, and MARK_NOTHING around
 * nothing.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "marker.h"

#define MARK_ATTACH 1
#define MARK_THREADS 2
#define MARK_NOTHING 3

#define MAX_VCPUS 256

static pthread_barrier_t barrier;
static int tids[MAX_VCPUS];
static int fds[MAX_VCPUS];

static void
check (int ok, const char *what)
{
    if (ok)
        return;
    fprintf (stderr, "error: %s: %s\n", what, strerror (errno));
    exit (EXIT_FAILURE);
}

static void *
run (void *arg)
{
    int i = (int) (long) arg;

    tids[i] = gettid ();
    /* one hlt, which returns */
    check (!ioctl (fds[i], KVM_RUN, 0), "KVM_RUN");
    pthread_barrier_wait (&barrier);
    while (1)
        pause ();
    return NULL;
}

static void
write_file (const char *cgroup, const char *file, const char *text)
{
    char path[4096];
    int fd;

    snprintf (path, sizeof (path), "%s/%s", cgroup, file);
    fd = open (path, O_WRONLY);
    check (fd >= 0, path);
    check (write (fd, text, strlen (text)) == (ssize_t) strlen (text), path);
    close (fd);
}

static int
create_vm (int nr)
{
    struct kvm_userspace_memory_region memory = { .memory_size = 4096 };
    struct kvm_regs regs = { .rflags = 2 };
    int kvm = open ("/dev/kvm", O_RDWR);
    int vm = ioctl (kvm, KVM_CREATE_VM, 0);
    unsigned char *guest;

    check (vm >= 0, "KVM_CREATE_VM");
    guest = mmap (NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check (guest != MAP_FAILED, "mmap");
    guest[0] = 0xf4;
    memory.userspace_addr = (unsigned long) guest;
    check (!ioctl (vm, KVM_SET_USER_MEMORY_REGION, &memory), "memory");
    for (int i = 0; i < nr; i++) {
        struct kvm_sregs sregs;

        fds[i] = ioctl (vm, KVM_CREATE_VCPU, i);
        check (fds[i] >= 0 && !ioctl (fds[i], KVM_GET_SREGS, &sregs), "KVM_CREATE_VCPU");
        sregs.cs.base = sregs.cs.selector = 0;
        check (!ioctl (fds[i], KVM_SET_SREGS, &sregs) && !ioctl (fds[i], KVM_SET_REGS, &regs),
               "registers");
    }
    return vm;
}

int
main (int argc, char **argv)
{
    static const char *const names[] = { "emulator", "a", "b" };
    char top[2048], paths[3][2100], text[64], one[MAX_VCPUS][16];
    int nr, rounds, vm, attach[2], threads[2];
    cpu_set_t cpu;

    if (argc != 4) {
        fprintf (stderr, "usage: attach CGROUP N ROUNDS\n");
        return 2;
    }
    nr = atoi (argv[2]);
    rounds = atoi (argv[3]);
    check (nr > 0 && nr <= MAX_VCPUS, "number of vCPUs");

    /* not moved to other CPUs between two marks */
    CPU_ZERO (&cpu);
    CPU_SET (1, &cpu);

    snprintf (top, sizeof (top), "%s/attach-%d", argv[1], getpid ());
    write_file (argv[1], "cgroup.subtree_control", "+kvm");
    check (!mkdir (top, 0755), top);
    for (int i = 0; i < 3; i++) {
        snprintf (paths[i], sizeof (paths[i]), "%s/%s", top, names[i]);
        check (!mkdir (paths[i], 0755), paths[i]);
        write_file (paths[i], "cgroup.type", "threaded");
    }
    write_file (top, "cgroup.subtree_control", "+kvm");
    /* a member's cpuset and cpu, as it's with VMs; not there is fine, too */
    if (getenv ("ATTACH_CONTROLLERS"))
        write_file (top, "cgroup.subtree_control", getenv ("ATTACH_CONTROLLERS"));
    write_file (paths[0], "cgroup.procs", "0");

    vm = create_vm (nr);
    pthread_barrier_init (&barrier, NULL, nr + 1);
    for (int i = 0; i < nr; i++) {
        pthread_t thread;

        check (!pthread_create (&thread, NULL, run, (void *) (long) i), "pthread_create");
    }
    pthread_barrier_wait (&barrier);
    check (!sched_setaffinity (0, sizeof (cpu), &cpu), "sched_setaffinity");

    for (int i = 0; i < 2; i++) {
        char path[4096];

        snprintf (path, sizeof (path), "%s/kvm.attach", paths[i + 1]);
        attach[i] = open (path, O_WRONLY);
        snprintf (path, sizeof (path), "%s/cgroup.threads", paths[i + 1]);
        threads[i] = open (path, O_WRONLY);
        check (attach[i] >= 0 && threads[i] >= 0, path);
    }
    snprintf (text, sizeof (text), "%d-%d vcpus", getpid (), vm);
    for (int i = 0; i < nr; i++)
        snprintf (one[i], sizeof (one[i]), "%d", tids[i]);

    for (int round = 0; round < rounds; round++) {
        int failed = 0;

        /* cgroup_threadgroup_rwsem has left the state in which writers are cheap */
        usleep (100000);
        MARKER_BEGIN (MARK_ATTACH);
        failed |= write (attach[1], text, strlen (text)) < 0;
        MARKER_END (MARK_ATTACH);
        check (!failed, "kvm.attach");

        usleep (100000);
        MARKER_BEGIN (MARK_THREADS);
        for (int i = 0; i < nr; i++)
            failed |= write (threads[0], one[i], strlen (one[i])) < 0;
        MARKER_END (MARK_THREADS);
        check (!failed, "cgroup.threads");

        MARKER_BEGIN (MARK_NOTHING);
        MARKER_END (MARK_NOTHING);
    }
    return EXIT_SUCCESS;
}
