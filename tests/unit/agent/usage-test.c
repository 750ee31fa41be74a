/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "vmm-agent/agent/corral-usage-file.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS 1000000ull
#define TICK (10 * MS)

static void
assert_told (const CorralUsageAccount *a, guint64 guest, guint64 host, guint64 emulator)
{
    g_assert_cmpuint (a->told_guest_ns, ==, guest);
    g_assert_cmpuint (a->told_host_ns, ==, host);
    g_assert_cmpuint (a->told_emulator_ns, ==, emulator);
}

static CorralUsageDelta
sample (CorralUsageThread *thread, guint64 run, guint64 wait, guint64 guest)
{
    CorralUsageCounters now = { run, wait, guest };

    return corral_usage_thread_sample (thread, &now);
}

static void
begin (CorralUsageThread *thread, guint64 run, guint64 wait, guint64 guest)
{
    CorralUsageCounters base = { run, wait, guest };

    corral_usage_thread_begin (thread, &base);
}

static void
test_split (void)
{
    CorralUsageThread thread;
    CorralUsageAccount account = { 0 };
    CorralUsageDelta delta;

    begin (&thread, 0, 0, 0);
    delta = sample (&thread, 100 * MS, 7 * MS, 80 * MS);
    g_assert_cmpuint (delta.guest_ns, ==, 80 * MS);
    g_assert_cmpuint (delta.host_ns, ==, 20 * MS);
    g_assert_cmpuint (delta.wait_ns, ==, 7 * MS);
    corral_usage_account_add (&account, &delta);
    corral_usage_account_tell (&account, 130 * MS);
    assert_told (&account, 80 * MS, 20 * MS, 30 * MS);
    g_assert_cmpuint (account.wait_ns, ==, 7 * MS);
}

/* Guest time comes in ticks that may run ahead of the run time. */
static void
test_ticks (void)
{
    CorralUsageThread thread;
    guint64 guest = 0, host = 0;

    begin (&thread, 0, 0, 0);
    for (guint64 run = 1; run <= 1000; run++) {
        CorralUsageDelta delta = sample (&thread, run * MS, 0, (run / 10 + 1) * TICK);

        guest += delta.guest_ns;
        host += delta.host_ns;
        g_assert_cmpuint (guest + host, ==, run * MS);
    }
    g_assert_cmpuint (guest, >=, 990 * MS);
}

/* What was used before it came is not counted; what it used here stays when it goes. */
static void
test_move (void)
{
    CorralUsageAccount from = { 0 }, to = { 0 };
    CorralUsageThread thread;
    CorralUsageDelta delta;

    begin (&thread, 50 * MS, 5 * MS, 40 * MS);
    delta = sample (&thread, 60 * MS, 6 * MS, 40 * MS);
    corral_usage_account_add (&from, &delta);
    delta = sample (&thread, 90 * MS, 8 * MS, 60 * MS);
    corral_usage_account_add (&to, &delta);
    corral_usage_account_tell (&from, 10 * MS);
    corral_usage_account_tell (&to, 30 * MS);
    assert_told (&from, 0, 10 * MS, 0);
    assert_told (&to, 20 * MS, 10 * MS, 0);
    /* It has ended: nothing comes any more, nothing goes. */
    corral_usage_account_tell (&to, 30 * MS);
    assert_told (&to, 20 * MS, 10 * MS, 0);
    g_assert_cmpuint (from.wait_ns + to.wait_ns, ==, 3 * MS);
}

static void
test_wait_sum (void)
{
    static const struct {
        const char *line;
        guint64 ns;
    } good[] = {
        { "wait_sum                                     :        1234.567890", 1234567890 },
        { "se.statistics.wait_sum                       :             0.000001", 1 },
        { "se.wait_sum:7.5", 7500000 },
        { "wait_sum : 3", 3000000 },
    };
    static const char *const bad[] = {
        "",           "wait_summary : 1.0", "wait_sum",
        "wait_sum :", "wait_sum : none",    "wait_sum : 99999999999999999999.0",
    };
    guint64 ns;

    for (gsize i = 0; i < G_N_ELEMENTS (good); i++) {
        g_autofree char *text =
            g_strdup_printf ("qemu (1, #threads: 3)\n---\nwait_max  : 9.9\n%s\nwait_count : 4\n",
                             good[i].line);

        g_assert_true (corral_usage_parse_wait_sum (text, &ns));
        g_assert_cmpuint (ns, ==, good[i].ns);
    }
    for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
        g_assert_false (corral_usage_parse_wait_sum (bad[i], &ns));
}

static void
test_counters_going_back (void)
{
    CorralUsageThread thread;
    CorralUsageDelta delta;

    begin (&thread, 10 * MS, 10 * MS, 10 * MS);
    delta = sample (&thread, 9 * MS, 9 * MS, 9 * MS);
    g_assert_cmpuint (delta.guest_ns + delta.host_ns + delta.wait_ns, ==, 0);
    delta = sample (&thread, 11 * MS, 10 * MS, 10 * MS);
    g_assert_cmpuint (delta.host_ns, ==, 1 * MS);
}

static CorralUsageDelta
sample_kernel (CorralUsageKernel *kernel, guint64 file, guint64 guest, guint64 host, guint64 wait,
               guint64 exits)
{
    const CorralUsageKernel now = { file, guest, host, wait, exits, 0 };

    return corral_usage_kernel_sample (kernel, &now);
}

static void
assert_delta (CorralUsageDelta delta, guint64 guest, guint64 host, guint64 wait)
{
    g_assert_cmpuint (delta.guest_ns, ==, guest);
    g_assert_cmpuint (delta.host_ns, ==, host);
    g_assert_cmpuint (delta.wait_ns, ==, wait);
}

/* Counters that begin anew, as often as they like, take nothing away. */
static void
test_kernel (void)
{
    const CorralUsageKernel counted = { 9, 100, 10, 1, 7, 99 };
    CorralUsageKernel kernel = { 0 };

    assert_delta (sample_kernel (&kernel, 5, 80, 20, 7, 3), 80, 20, 7);
    assert_delta (sample_kernel (&kernel, 5, 81, 22, 7, 4), 1, 2, 0);
    assert_delta (sample_kernel (&kernel, 5, 81, 22, 7, 4), 0, 0, 0);
    g_assert_cmpuint (kernel.all_exits, ==, 4);
    /* Another file, with smaller numbers, and with larger ones. */
    assert_delta (sample_kernel (&kernel, 6, 2, 1, 0, 1), 2, 1, 0);
    assert_delta (sample_kernel (&kernel, 7, 500, 40, 30, 20), 500, 40, 30);
    g_assert_cmpuint (kernel.all_exits, ==, 25);
    /* One that went back, which it should not. */
    assert_delta (sample_kernel (&kernel, 7, 400, 50, 30, 10), 0, 10, 0);
    assert_delta (sample_kernel (&kernel, 7, 501, 50, 30, 21), 1, 0, 0);
    g_assert_cmpuint (kernel.all_exits, ==, 26);
    /* What others have counted is not counted again. */
    kernel.file = 0;
    corral_usage_kernel_begin (&kernel, &counted);
    assert_delta (sample_kernel (&kernel, 9, 101, 12, 4, 8), 1, 2, 3);
    g_assert_cmpuint (kernel.all_exits, ==, 27);
}

/* Whatever the order and the skew of reads: no number goes back, and the sum is the total. */
static void
test_invariants (void)
{
    CorralUsageThread threads[4];
    CorralUsageAccount account = { 0 };
    CorralUsageCounters counters[4] = { { 0 } };
    guint64 total = 0;
    GRand *rand = g_rand_new_with_seed (42);

    memset (threads, 0, sizeof threads);
    for (int step = 0; step < 20000; step++) {
        CorralUsageAccount before = account;
        guint at = (guint) g_rand_int_range (rand, 0, 4);
        guint64 ran = (guint64) g_rand_int_range (rand, 0, 3000000);

        counters[at].run_ns += ran;
        counters[at].wait_ns += ran / 3;
        counters[at].guest_ns = counters[at].run_ns / TICK * TICK + TICK * (step % 2);
        total += ran + (guint64) g_rand_int_range (rand, 0, 1000);
        /* The threads are read at another time than the total, and sometimes not at all. */
        if (g_rand_int_range (rand, 0, 3) != 0) {
            CorralUsageDelta delta = corral_usage_thread_sample (&threads[at], &counters[at]);

            corral_usage_account_add (&account, &delta);
        }
        corral_usage_account_tell (&account,
                                   total - (guint64) g_rand_int_range (rand, 0,
                                                                       (gint32) MIN (total + 1,
                                                                                     500000)));
        g_assert_cmpuint (account.told_guest_ns, >=, before.told_guest_ns);
        g_assert_cmpuint (account.told_host_ns, >=, before.told_host_ns);
        g_assert_cmpuint (account.told_emulator_ns, >=, before.told_emulator_ns);
        g_assert_cmpuint (account.wait_ns, >=, before.wait_ns);
    }
    corral_usage_account_tell (&account, total);
    g_assert_cmpuint (account.told_guest_ns + account.told_host_ns + account.told_emulator_ns, ==,
                      total);
    g_rand_free (rand);
}

/* --- the file --- */

typedef struct {
    char *folder;
    char *path;
} Fixture;

static void
set_up (Fixture *f, gconstpointer unused)
{
    f->folder = g_dir_make_tmp ("corral-usage-XXXXXX", NULL);
    f->path = g_build_filename (f->folder, "usage", NULL);
}

static void
tear_down (Fixture *f, gconstpointer unused)
{
    g_unlink (f->path);
    g_assert_cmpint (g_rmdir (f->folder), ==, 0);
    g_free (f->folder);
    g_free (f->path);
}

static CorralUsageFile *
open_file (Fixture *f)
{
    g_autoptr (GError) error = NULL;
    CorralUsageFile *file = corral_usage_file_open (f->path, &error);

    g_assert_no_error (error);
    return file;
}

static void
test_restart (Fixture *f, gconstpointer unused)
{
    CorralUsageFile *file = open_file (f);
    CorralUsageCounters base = { 3, 2, 1 };
    CorralUsageSlot container, thread;
    gboolean found;

    container = corral_usage_file_container (file, 77, &found, NULL);
    g_assert_false (found);
    thread = corral_usage_file_thread (file, 77, 1234, &base, &found, NULL);
    g_assert_false (found);
    g_assert_cmpuint (corral_usage_file_sample (file, thread)->run_ns, ==, 3);
    corral_usage_file_account (file, container)->told_guest_ns = 5;
    corral_usage_file_sample (file, thread)->run_ns = 6;
    corral_usage_file_close (file);

    file = open_file (f);
    g_assert_true (corral_usage_file_has_thread (file, 77, 1234));
    g_assert_false (corral_usage_file_has_thread (file, 77, 1235));
    container = corral_usage_file_container (file, 77, &found, NULL);
    g_assert_true (found);
    g_assert_cmpuint (corral_usage_file_account (file, container)->told_guest_ns, ==, 5);
    thread = corral_usage_file_thread (file, 77, 1234, &base, &found, NULL);
    g_assert_true (found);
    g_assert_cmpuint (corral_usage_file_sample (file, thread)->run_ns, ==, 6);
    /* a process with two names: its threads are there as long as one of these */
    g_assert_cmpuint (corral_usage_file_thread (file, 77, 1234, &base, &found, NULL), ==, thread);
    g_assert_true (found);
    corral_usage_file_drop (file, thread);
    g_assert_cmpuint (corral_usage_file_sample (file, thread)->run_ns, ==, 6);
    corral_usage_file_drop (file, thread);
    thread = corral_usage_file_thread (file, 77, 1234, &base, &found, NULL);
    g_assert_false (found);
    corral_usage_file_close (file);

    /* Of those found in the file, only what is asked for again is kept. */
    file = open_file (f);
    corral_usage_file_sweep (file, TRUE);
    g_assert_false (corral_usage_file_has_thread (file, 77, 1234));
    corral_usage_file_container (file, 77, &found, NULL);
    corral_usage_file_sweep (file, FALSE);
    corral_usage_file_container (file, 77, &found, NULL);
    g_assert_true (found);
    corral_usage_file_close (file);
}

static void
test_kernel_record (Fixture *f, gconstpointer unused)
{
    CorralUsageFile *file = open_file (f);
    CorralUsageSlot container, kernel;
    gboolean found;

    container = corral_usage_file_container (file, 77, &found, NULL);
    g_assert_cmpuint (corral_usage_file_kernel_of (file, 77, FALSE, NULL), ==,
                      CORRAL_USAGE_NO_SLOT);
    kernel = corral_usage_file_kernel_of (file, 77, TRUE, NULL);
    g_assert_cmpuint (kernel, !=, container);
    g_assert_cmpuint (corral_usage_file_kernel_of (file, 77, FALSE, NULL), ==, kernel);
    sample_kernel (corral_usage_file_kernel (file, kernel), 5, 80, 20, 7, 3);
    corral_usage_file_close (file);

    file = open_file (f);
    corral_usage_file_container (file, 77, &found, NULL);
    g_assert_true (found);
    kernel = corral_usage_file_kernel_of (file, 77, FALSE, NULL);
    g_assert_cmpuint (kernel, !=, CORRAL_USAGE_NO_SLOT);
    g_assert_cmpuint (corral_usage_file_kernel (file, kernel)->all_exits, ==, 3);
    assert_delta (sample_kernel (corral_usage_file_kernel (file, kernel), 5, 81, 20, 7, 3), 1, 0,
                  0);
    corral_usage_file_sweep (file, FALSE);
    g_assert_cmpuint (corral_usage_file_kernel_of (file, 77, FALSE, NULL), ==, kernel);
    corral_usage_file_close (file);

    /* It goes with its container. */
    file = open_file (f);
    corral_usage_file_sweep (file, TRUE);
    corral_usage_file_sweep (file, FALSE);
    g_assert_cmpuint (corral_usage_file_kernel_of (file, 77, FALSE, NULL), ==,
                      CORRAL_USAGE_NO_SLOT);
    corral_usage_file_close (file);
}

/* kill -9 right after an answer: the answer is on record. */
static void
test_kill (Fixture *f, gconstpointer unused)
{
    CorralUsageFile *file;
    gboolean found;
    pid_t child = fork ();
    int status;

    if (child == 0) {
        CorralUsageSlot slot;

        file = open_file (f);
        slot = corral_usage_file_container (file, 1, &found, NULL);
        corral_usage_account_tell (corral_usage_file_account (file, slot), 42 * MS);
        kill (getpid (), SIGKILL);
    }
    g_assert_cmpint (waitpid (child, &status, 0), ==, child);
    g_assert_true (WIFSIGNALED (status));
    file = open_file (f);
    assert_told (corral_usage_file_account (file,
                                            corral_usage_file_container (file, 1, &found, NULL)),
                 0, 0, 42 * MS);
    g_assert_true (found);
    corral_usage_file_close (file);
}

static void
test_growth (Fixture *f, gconstpointer unused)
{
    CorralUsageFile *file = open_file (f);
    CorralUsageCounters base = { 0 };
    gboolean found;

    for (int i = 1; i <= 5000; i++) {
        CorralUsageSlot slot = corral_usage_file_thread (file, i, 9, &base, &found, NULL);

        g_assert_cmpuint (slot, !=, CORRAL_USAGE_NO_SLOT);
        corral_usage_file_sample (file, slot)->run_ns = (guint64) i;
    }
    corral_usage_file_close (file);
    file = open_file (f);
    for (int i = 1; i <= 5000; i++) {
        CorralUsageSlot slot = corral_usage_file_thread (file, i, 9, &base, &found, NULL);

        g_assert_true (found);
        g_assert_cmpuint (corral_usage_file_sample (file, slot)->run_ns, ==, i);
    }
    corral_usage_file_close (file);
}

static void
test_damage (Fixture *f, gconstpointer unused)
{
    g_autofree char *rubbish = g_strnfill (10000, '\xa5');
    static const gsize sizes[] = { 0, 1, 16, 23, 24, 25, 100, 9999, 10000 };

    for (gsize i = 0; i < G_N_ELEMENTS (sizes); i++) {
        CorralUsageFile *file;
        gboolean found;

        g_assert_true (g_file_set_contents (f->path, rubbish, (gssize) sizes[i], NULL));
        file = open_file (f);
        corral_usage_file_container (file, 1, &found, NULL);
        g_assert_false (found);
        corral_usage_file_close (file);
        file = open_file (f);
        corral_usage_file_container (file, 1, &found, NULL);
        g_assert_true (found);
        corral_usage_file_close (file);
    }
}

/* An error, and not a SIGBUS at the next store */
static void
test_full_disk (Fixture *f, gconstpointer unused)
{
    CorralUsageCounters base = { 0 };
    CorralUsageFile *file;
    CorralUsageSlot slot = 0;
    g_autoptr (GError) error = NULL;
    gboolean found;

    if (unshare (CLONE_NEWNS) != 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        g_test_skip ("needs root and mount namespaces");
        return;
    }
    g_assert_cmpint (mount ("corral-test", f->folder, "tmpfs", 0, "size=64k"), ==, 0);
    file = open_file (f);
    for (int i = 1; slot != CORRAL_USAGE_NO_SLOT; i++) {
        g_assert_cmpint (i, <, 10000);
        slot = corral_usage_file_thread (file, i, 9, &base, &found, &error);
    }
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_assert_true (corral_usage_file_has_thread (file, 1, 9));
    corral_usage_file_close (file);
    g_assert_cmpint (umount2 (f->folder, MNT_DETACH), ==, 0);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/usage/split", test_split);
    g_test_add_func ("/usage/ticks", test_ticks);
    g_test_add_func ("/usage/move", test_move);
    g_test_add_func ("/usage/wait-sum", test_wait_sum);
    g_test_add_func ("/usage/counters-going-back", test_counters_going_back);
    g_test_add_func ("/usage/kernel", test_kernel);
    g_test_add_func ("/usage/invariants", test_invariants);
#define ADD(path, function) g_test_add (path, Fixture, NULL, set_up, function, tear_down)
    ADD ("/usage/file/restart", test_restart);
    ADD ("/usage/file/kernel", test_kernel_record);
    ADD ("/usage/file/kill", test_kill);
    ADD ("/usage/file/growth", test_growth);
    ADD ("/usage/file/damage", test_damage);
    ADD ("/usage/file/full-disk", test_full_disk);
    return g_test_run ();
}
