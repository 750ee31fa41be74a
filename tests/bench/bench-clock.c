/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/bench/bench-clock.h"

#include <stdlib.h>
#include <time.h>

#define ROUNDS 15

static gint64
cpu_time_us (void)
{
    struct timespec now;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
    return (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

static int
compare_times (gconstpointer a, gconstpointer b)
{
    const gint64 x = *(const gint64 *) a, y = *(const gint64 *) b;

    return (x > y) - (x < y);
}

double
bench_median_ms (void (*call) (gpointer data), gpointer data)
{
    gint64 times[ROUNDS];

    for (guint i = 0; i < ROUNDS; i++) {
        const gint64 start = cpu_time_us ();

        call (data);
        times[i] = cpu_time_us () - start;
    }
    qsort (times, ROUNDS, sizeof *times, compare_times);
    return (double) times[ROUNDS / 2] / 1000;
}

static void
loop (gpointer unused)
{
    volatile guint64 x = 88172645463325252u;

    for (guint i = 0; i < 4000000; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
}

double
bench_loop_ms (void)
{
    return bench_median_ms (loop, NULL);
}
