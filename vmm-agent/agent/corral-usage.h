/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The split of a container's CPU time into guest, host and emulator, as arithmetic on what the
 * kernel counted: no kernel, no clock. corral-usage-file keeps these values over a restart. */
#pragma once

#include <glib.h>

/* What the kernel says of one thread, since it was born */
typedef struct {
    guint64 run_ns;   /* on a pCPU: /proc/PID/task/TID/schedstat, field 1 */
    guint64 wait_ns;  /* runnable, waiting for a pCPU: field 2 of the same */
    guint64 guest_ns; /* in the guest: /proc/PID/task/TID/stat, field 43, in clock ticks there */
} CorralUsageCounters;

/* One vCPU thread: its counters when they were last looked at, and how much of its guest time has
 * been given out. All of it is kept in a file, word for word. */
typedef struct {
    guint64 run_ns;
    guint64 wait_ns;
    guint64 guest_ns;
} CorralUsageThread;

/* CPU time that was spent since the last look */
typedef struct {
    guint64 guest_ns;
    guint64 host_ns;
    guint64 wait_ns;
} CorralUsageDelta;

/* One container, everything beneath it included. Kept in a file as well. */
typedef struct {
    guint64 guest_ns; /* sums of the deltas of its vCPU threads */
    guint64 host_ns;
    guint64 wait_ns;
    guint64 told_guest_ns; /* what readers have been told, so that no number goes back */
    guint64 told_host_ns;
    guint64 told_emulator_ns;
    guint64 early_ns; /* what members used before the kernel's counter of the container had them */
} CorralUsageAccount;

/* What the kernel's kvm.stat says of one container, and how much of that has been given out. Kept
 * in a file as well. */
typedef struct {
    guint64 file; /* whose numbers these are: those of another begin at 0. 0: there is none */
    guint64 guest_ns;
    guint64 host_ns;
    guint64 wait_ns;
    guint64 exits;
    guint64 all_exits; /* the sum over all files there ever were: what readers are told */
} CorralUsageKernel;

/**
 * corral_usage_parse_wait_sum:
 * @text: /proc/PID/task/TID/sched
 *
 * The scheduler's own sum of a thread's waits, which it keeps where it was built with
 * CONFIG_SCHEDSTATS and the sysctl kernel.sched_schedstats is on. The line's name has changed over
 * time; its value is milliseconds with six decimals.
 *
 * Returns: %FALSE when there is no such line
 */
gboolean corral_usage_parse_wait_sum (const char *text, guint64 *ret_ns) G_GNUC_WARN_UNUSED_RESULT;

/* Counting starts at @base: all zero for a thread that was born in its container, else its counters
 * on arrival. */
void corral_usage_thread_begin (CorralUsageThread *thread, const CorralUsageCounters *base);

/**
 * corral_usage_thread_sample:
 * @now: its counters; one that went back (two files read at different times) counts as unchanged
 *
 * Guest time comes in ticks, run time in nanoseconds. A tick that claims more than the thread has
 * run is given out later, when the run time for it is there, so that guest and host only ever grow
 * and their sum is always the run time.
 */
CorralUsageDelta corral_usage_thread_sample (CorralUsageThread *thread,
                                             const CorralUsageCounters *now);

/* From here on the time of KVM's threads comes from @now, not from themselves. Its numbers up to
 * now have been counted by others. */
void corral_usage_kernel_begin (CorralUsageKernel *kernel, const CorralUsageKernel *now);

/**
 * corral_usage_kernel_sample:
 * @now: all but its all_exits; its file is not 0
 *
 * Only ever gives out what was gained: all of @now, when that is another file.
 */
CorralUsageDelta corral_usage_kernel_sample (CorralUsageKernel *kernel,
                                             const CorralUsageKernel *now);

void corral_usage_account_add (CorralUsageAccount *account, const CorralUsageDelta *delta);

/**
 * corral_usage_account_tell:
 * @total_ns: the container's own counter in the kernel; it never goes back
 *
 * Brings the told_ values up to @total_ns: their sum is exactly @total_ns, and none of them gets
 * smaller. Threads and container are read at slightly different times; when the threads are ahead,
 * the surplus is told once @total_ns has caught up.
 */
void corral_usage_account_tell (CorralUsageAccount *account, guint64 total_ns);
