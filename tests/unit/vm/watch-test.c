/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories, processes and threads that come and go. */
#include "tests/unit/vm/vm-fixture.h"
#include "vmm-agent/vm/corral-vm-notify.h"
#include "vmm-agent/vm/corral-vm-process.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void
on_name (const char *name, gpointer log)
{
    g_string_append_printf (log, "%s ", name != NULL ? name : "?");
}

static void
touch (VmFixture *f, const char *name)
{
    g_autofree char *path = vm_fixture_path (f, name);

    g_assert_true (g_file_set_contents (path, "", 0, NULL));
}

static void
make (VmFixture *f, const char *name)
{
    g_autofree char *path = vm_fixture_path (f, name);

    g_assert_cmpint (g_mkdir (path, 0700), ==, 0);
}

static gboolean
has (const GString *log, const char *word)
{
    return strstr (log->str, word) != NULL;
}

static void
test_notify (VmFixture *f, gconstpointer unused)
{
    g_autoptr (CorralVmNotify) notify = corral_vm_notify_new ();
    g_autofree char *directory = vm_fixture_path (f, "a/b/c");
    g_autofree char *x = vm_fixture_path (f, "a/b/c/x");
    g_autofree char *y = vm_fixture_path (f, "a/b/c/y");
    g_autoptr (GString) log = g_string_new (NULL);
    g_autoptr (GString) second = g_string_new (NULL);
    guint id, second_id;

    id = corral_vm_notify_add (notify, directory, on_name, log);
    second_id = corral_vm_notify_add (notify, directory, on_name, second);
    make (f, "a");
    make (f, "a/b");
    make (f, "a/b/c");
    vm_spin_until (has (log, "? ") && has (second, "? "));
    touch (f, "a/b/c/x");
    vm_spin_until (has (log, "x ") && has (second, "x "));
    /* Both have one watch of the kernel's; one that goes does not take it along. */
    corral_vm_notify_remove (notify, second_id);
    g_string_truncate (second, 0);
    touch (f, "a/b/c/y");
    vm_spin_until (has (log, "y "));
    g_assert_cmpstr (second->str, ==, "");
    /* The directory is replaced. */
    g_string_truncate (log, 0);
    g_assert_cmpint (g_remove (x), ==, 0);
    g_assert_cmpint (g_remove (y), ==, 0);
    g_assert_cmpint (g_rmdir (directory), ==, 0);
    while (g_main_context_iteration (NULL, FALSE))
        ;
    make (f, "a/b/c");
    vm_spin_until (has (log, "? "));
    touch (f, "a/b/c/z");
    vm_spin_until (has (log, "z "));
    corral_vm_notify_remove (notify, id);
}

static void
on_end (pid_t pid, pid_t tid, gpointer log)
{
    g_string_append_printf (log, "%d/%d ", (int) pid, (int) tid);
}

static gpointer
run_thread (gpointer data)
{
    int *pipes = data;
    pid_t tid = gettid ();
    char byte;

    g_assert_cmpint (write (pipes[1], &tid, sizeof tid), ==, sizeof tid);
    g_assert_cmpint (read (pipes[2], &byte, 1), ==, 0);
    return NULL;
}

static void
test_ends (VmFixture *f, gconstpointer unused)
{
    g_autoptr (GString) log = g_string_new (NULL);
    g_autoptr (CorralVmEnds) ends = corral_vm_ends_new (on_end, log);
    g_autofree char *wanted = NULL;
    pid_t pid = vm_fixture_spawn (f, NULL), other = vm_fixture_spawn (f, NULL);
    CorralVmProcess process;
    guint other_id;

    g_assert_true (corral_vm_process_read (pid, &process));
    g_assert_true (corral_vm_process_is_alive (&process));
    g_assert_false (corral_vm_process_read (0, &process));
    g_assert_true (corral_vm_process_has_thread (pid, pid));
    g_assert_false (corral_vm_process_has_thread (pid, 0));
    g_assert_false (corral_vm_process_has_thread (pid, getpid ()));
    process.start_time++;
    g_assert_false (corral_vm_process_is_alive (&process));

    g_assert_cmpuint (corral_vm_ends_watch (ends, pid, 0), !=, 0);
    other_id = corral_vm_ends_watch (ends, other, 0);
    g_assert_cmpuint (other_id, !=, 0);
    corral_vm_ends_unwatch (ends, other_id);
    vm_fixture_kill (f, other);
    vm_fixture_kill (f, pid);
    wanted = g_strdup_printf ("%d/0 ", (int) pid);
    vm_spin_until (log->len > 0);
    g_assert_cmpstr (log->str, ==, wanted);
    g_assert_cmpuint (corral_vm_ends_watch (ends, pid, 0), ==, 0);
    g_assert_false (corral_vm_process_read (pid, &process));
}

/* A process has ended with its last thread. What cannot be looked at is not known to have. */
static void
test_process_ends (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, NULL);
    struct rlimit before, none;
    CorralVmProcess process;
    gboolean ended;

    g_assert_true (corral_vm_process_read (pid, &process));
    g_assert_cmpint (getrlimit (RLIMIT_NOFILE, &before), ==, 0);
    none = before;
    none.rlim_cur = 0;
    g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &none), ==, 0);
    ended = corral_vm_process_has_ended (&process);
    g_assert_cmpint (setrlimit (RLIMIT_NOFILE, &before), ==, 0);
    g_assert_false (ended);

    g_assert_true (corral_vm_process_is_alive (&process));
    vm_fixture_end_main_thread (pid);
    g_assert_false (corral_vm_process_is_alive (&process));
    g_assert_false (corral_vm_process_has_ended (&process));
    vm_fixture_kill (f, pid);
    g_assert_true (corral_vm_process_has_ended (&process));
    process = (CorralVmProcess){ getpid (), 1 };
    g_assert_true (corral_vm_process_has_ended (&process));
}

static void
test_thread_ends (void)
{
    g_autoptr (GString) log = g_string_new (NULL);
    g_autoptr (CorralVmEnds) ends = corral_vm_ends_new (on_end, log);
    int pipes[4]; /* the thread writes its number to the first, and ends with the second */
    g_autofree char *wanted = NULL;
    gboolean watched;
    GThread *thread;
    pid_t tid;

    g_assert_cmpint (pipe (pipes), ==, 0);
    g_assert_cmpint (pipe (pipes + 2), ==, 0);
    thread = g_thread_new ("ends", run_thread, pipes);
    g_assert_cmpint (read (pipes[0], &tid, sizeof tid), ==, sizeof tid);
    g_assert_true (corral_vm_process_has_thread (getpid (), tid));
    watched = corral_vm_ends_watch (ends, getpid (), tid) != 0;
    close (pipes[3]);
    g_thread_join (thread);
    wanted = g_strdup_printf ("%d/%d ", (int) getpid (), (int) tid);
    if (watched)
        vm_spin_until (g_str_equal (log->str, wanted));
    else
        g_test_skip ("this kernel has no pidfds of threads");
    g_assert_false (corral_vm_process_has_thread (getpid (), tid));
    close (pipes[0]);
    close (pipes[1]);
    close (pipes[2]);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add ("/vm/watch/notify", VmFixture, NULL, vm_fixture_set_up, test_notify,
                vm_fixture_tear_down);
    g_test_add ("/vm/watch/ends", VmFixture, NULL, vm_fixture_set_up, test_ends,
                vm_fixture_tear_down);
    g_test_add ("/vm/watch/process-ends", VmFixture, NULL, vm_fixture_set_up, test_process_ends,
                vm_fixture_tear_down);
    g_test_add_func ("/vm/watch/thread-ends", test_thread_ends);
    return g_test_run ();
}
