// SPDX-License-Identifier: GPL-2.0
/*
 * Reads kvm.stat of a cgroup whose N vCPUs have all run on each CPU since the last time, and once
 * more right after that, with a marker.h mark around either.
 *
 *   stat CGROUP N ROUNDS one|each
 *
 * In a new child of CGROUP: with "one", all threads are in it; with "each", every vCPU's thread is
 * in a threaded cgroup of its own below it. The reader is another process, and stays where it is.
 * The marks: MARK_RAN and MARK_AGAIN.
 */

#define _GNU_SOURCE
#include <pthread.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "marker.h"
#include "vm.h"

#define MARK_RAN 20
#define MARK_AGAIN 21

#define MAX_VCPUS 256

static pthread_barrier_t barrier;
static int tids[MAX_VCPUS];
static int fds[MAX_VCPUS];
static int nr_cpus;

static void *
run (void *arg)
{
    int i = (int) (long) arg;

    tids[i] = gettid ();
    pthread_barrier_wait (&barrier);
    while (true) {
        pthread_barrier_wait (&barrier);
        for (int cpu = 0; cpu < nr_cpus; cpu++) {
            run_on_cpu (cpu);
            check (!ioctl (fds[i], KVM_RUN, 0), "KVM_RUN");
        }
        pthread_barrier_wait (&barrier);
    }
    return NULL;
}

static void
enter_own_child (const char *cgroup, int tid)
{
    char child[3000], text[16];

    snprintf (child, sizeof (child), "%s/%d", cgroup, tid);
    check (!mkdir (child, 0755), child);
    write_file (child, "cgroup.type", "threaded");
    snprintf (text, sizeof (text), "%d", tid);
    write_file (child, "cgroup.threads", text);
}

/* The VM's process: one round for each byte that it reads, and one byte in return. */
static void
run_vm (const char *cgroup, int nr, bool each, int orders, int answers)
{
    char byte = 0;

    write_file (cgroup, "cgroup.procs", "0");
    create_halting_vm (nr, fds);
    pthread_barrier_init (&barrier, NULL, nr + 1);
    for (long i = 0; i < nr; i++) {
        pthread_t thread;

        check (!pthread_create (&thread, NULL, run, (void *) i), "pthread_create");
    }
    pthread_barrier_wait (&barrier);
    for (int i = 0; each && i < nr; i++) {
        enter_own_child (cgroup, tids[i]);
        if (!i)
            write_file (cgroup, "cgroup.subtree_control", "+kvm");
    }
    while (read (orders, &byte, 1) == 1) {
        pthread_barrier_wait (&barrier);
        pthread_barrier_wait (&barrier);
        check (write (answers, &byte, 1) == 1, "an answer");
    }
    exit (EXIT_SUCCESS);
}

static long
exits_of (const char *text)
{
    const char *found = strstr (text, "exits ");

    check (found != NULL, "kvm.stat");
    return atol (found + strlen ("exits "));
}

int
main (int argc, char **argv)
{
    char cgroup[2048], path[3000], text[1024] = "", byte = 0;
    int nr, rounds, orders[2], answers[2], stat;
    long exits = 0;
    bool each;
    pid_t vm;

    if (argc != 5) {
        fprintf (stderr, "usage: stat CGROUP N ROUNDS one|each\n");
        return 2;
    }
    nr = atoi (argv[2]);
    rounds = atoi (argv[3]);
    each = !strcmp (argv[4], "each");
    check (nr > 0 && nr <= MAX_VCPUS, "number of vCPUs");
    nr_cpus = sysconf (_SC_NPROCESSORS_ONLN);

    write_file (argv[1], "cgroup.subtree_control", "+kvm");
    snprintf (cgroup, sizeof (cgroup), "%s/stat-%d", argv[1], getpid ());
    check (!mkdir (cgroup, 0755), cgroup);
    check (!pipe (orders) && !pipe (answers), "pipe");
    vm = fork ();
    check (vm >= 0, "fork");
    if (!vm) {
        close (orders[1]);
        run_vm (cgroup, nr, each, orders[0], answers[1]);
    }
    close (answers[1]);
    run_on_cpu (0);
    snprintf (path, sizeof (path), "%s/kvm.stat", cgroup);
    stat = open (path, O_RDONLY);
    check (stat >= 0, path);

    for (int round = 0; round < rounds; round++) {
        bool failed;
        long now;

        check (write (orders[1], &byte, 1) == 1 && read (answers[0], &byte, 1) == 1, "a round");
        /* the threads sleep again by then */
        usleep (20000);
        MARKER_BEGIN (MARK_RAN);
        failed = pread (stat, text, sizeof (text) - 1, 0) <= 0;
        MARKER_END (MARK_RAN);
        check (!failed, "kvm.stat");
        now = exits_of (text);
        check (now - exits >= (long) nr * nr_cpus, "exits of all vCPUs on all CPUs");
        exits = now;

        MARKER_BEGIN (MARK_AGAIN);
        failed = pread (stat, text, sizeof (text) - 1, 0) <= 0;
        MARKER_END (MARK_AGAIN);
        check (!failed && exits_of (text) == exits, "no exit since");
    }
    close (orders[1]);
    check (waitpid (vm, NULL, 0) == vm, "the VM's process");
    return EXIT_SUCCESS;
}
