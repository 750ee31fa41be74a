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
#include <pthread.h>
#include <sys/stat.h>

#include "marker.h"
#include "vm.h"

#define MARK_ATTACH 1
#define MARK_THREADS 2
#define MARK_NOTHING 3

#define MAX_VCPUS 256

static pthread_barrier_t barrier;
static int tids[MAX_VCPUS];
static int fds[MAX_VCPUS];

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

int
main (int argc, char **argv)
{
    static const char *const names[] = { "emulator", "a", "b" };
    char top[2048], paths[3][2100], text[64], one[MAX_VCPUS][16];
    int nr, rounds, vm, attach[2], threads[2];

    if (argc != 4) {
        fprintf (stderr, "usage: attach CGROUP N ROUNDS\n");
        return 2;
    }
    nr = atoi (argv[2]);
    rounds = atoi (argv[3]);
    check (nr > 0 && nr <= MAX_VCPUS, "number of vCPUs");

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

    vm = create_halting_vm (nr, fds);
    pthread_barrier_init (&barrier, NULL, nr + 1);
    for (int i = 0; i < nr; i++) {
        pthread_t thread;

        check (!pthread_create (&thread, NULL, run, (void *) (long) i), "pthread_create");
    }
    pthread_barrier_wait (&barrier);
    /* not moved to other CPUs between two marks */
    run_on_cpu (1);

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
