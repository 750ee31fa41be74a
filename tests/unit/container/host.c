/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/container/host.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

const char *const host_names[N_HOSTS] = { "kernel", "fixture-v2", "fixture-v1", "fixture-hybrid",
                                          "fixture-v2-kvm" };

/* --- the child of a real host: it may only use what is safe after fork() --- */

static pthread_mutex_t child_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t child_wake = PTHREAD_COND_INITIALIZER;
static int child_burner = -1;
static guint child_msec;
static gboolean child_storm;

static void
burn (guint msec)
{
    struct timespec start, now;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime (CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 <
           (long) msec);
}

typedef struct {
    int index, out;
} ChildThread;

static void *
child_thread (void *data)
{
    const ChildThread self = *(ChildThread *) data;
    const pid_t tid = (pid_t) syscall (SYS_gettid);
    gint32 message[2] = { self.index, tid };

    if (write (self.out, message, sizeof message) != sizeof message)
        _exit (2);
    pthread_mutex_lock (&child_lock);
    for (;;) {
        while (child_burner != self.index)
            pthread_cond_wait (&child_wake, &child_lock);
        child_burner = -1;
        pthread_mutex_unlock (&child_lock);
        burn (child_msec);
        if (write (self.out, message, sizeof message) != sizeof message)
            _exit (2);
        pthread_mutex_lock (&child_lock);
    }
    return NULL;
}

static void *
short_life (void *data)
{
    return NULL;
}

static void *
storm_thread (void *data)
{
    while (g_atomic_int_get (&child_storm)) {
        pthread_t thread;

        if (pthread_create (&thread, NULL, short_life, NULL) == 0)
            pthread_join (thread, NULL);
        sched_yield ();
    }
    return NULL;
}

static void
child_main (int n, int in, int out)
{
    static ChildThread threads[8];
    gint32 command[2];
    pthread_t storm = 0;

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 1; i < n; i++) {
        pthread_t thread;

        threads[i] = (ChildThread){ i, out };
        if (pthread_create (&thread, NULL, child_thread, &threads[i]) != 0)
            _exit (2);
    }
    while (read (in, command, sizeof command) == sizeof command) {
        gint32 answer[2] = { 0, getpid () };

        if (command[0] > 0) {
            pthread_mutex_lock (&child_lock);
            child_burner = command[0];
            child_msec = (guint) command[1];
            pthread_cond_broadcast (&child_wake);
            pthread_mutex_unlock (&child_lock);
            continue;
        }
        if (command[0] == 0)
            burn ((guint) command[1]);
        else if (command[0] == -2) {
            int fd = open ("/dev/null", O_RDONLY | O_CLOEXEC);

            answer[0] = fd < 0 ? errno : 0;
            if (fd >= 0)
                close (fd);
        } else if (command[1] != 0) {
            g_atomic_int_set (&child_storm, TRUE);
            pthread_create (&storm, NULL, storm_thread, NULL);
        } else {
            g_atomic_int_set (&child_storm, FALSE);
            pthread_join (storm, NULL);
        }
        if (write (out, answer, sizeof answer) != sizeof answer)
            _exit (2);
    }
    _exit (0);
}

static void
child_answer (Vm *vm, gint32 answer[2])
{
    g_assert_cmpint (read (vm->from, answer, 2 * sizeof *answer), ==, 2 * sizeof *answer);
}

static void
child_command (Vm *vm, gint32 what, gint32 value)
{
    gint32 message[2] = { what, value };

    g_assert_cmpint (write (vm->to, message, sizeof message), ==, sizeof message);
}

static void
spawn_real (Vm *vm)
{
    int to[2], from[2];
    gint32 answer[2];

    g_assert_cmpint (pipe2 (to, O_CLOEXEC), ==, 0);
    g_assert_cmpint (pipe2 (from, O_CLOEXEC), ==, 0);
    vm->pid = fork ();
    g_assert_cmpint (vm->pid, >=, 0);
    if (vm->pid == 0) {
        close (to[1]);
        close (from[0]);
        child_main (vm->n, to[0], from[1]);
    }
    close (to[0]);
    close (from[1]);
    vm->to = to[1];
    vm->from = from[0];
    vm->tids[0] = vm->pid;
    for (int i = 1; i < vm->n; i++) {
        child_answer (vm, answer);
        vm->tids[answer[0]] = answer[1];
    }
}

/* --- the host --- */

static int
on_step (const CorralIoCall *call, gpointer data)
{
    Host *host = data;

    host->steps++;
    if (call->op == CORRAL_IO_WRITE && g_str_has_suffix (call->path, "/kvm.attach")) {
        g_free (host->attached);
        host->attached = g_strdup (call->text);
    }
    if (call->op == CORRAL_IO_WRITE && g_str_has_suffix (call->path, "/cgroup.procs"))
        host->process_moves++;
    if (host->fail_at != 0 && host->steps >= host->fail_at &&
        host->steps < host->fail_at + host->fail_count)
        return host->fail_errno;
    if (host->fake != NULL && host->clones > 0) {
        host->clones--;
        fake_kernel_clone (host->fake, host->clone_from);
    }
    return host->fake != NULL ? fake_kernel_hook (call, host->fake) : 0;
}

void
host_fail_at (Host *host, guint n, int err)
{
    host->steps = 0;
    host->fail_at = n;
    host->fail_count = 1;
    host->fail_errno = err;
}

static gboolean
remove_below (Host *host, CorralHierarchy *h, const char *dir)
{
    g_autoptr (GPtrArray) names = NULL;
    int err;

    if (corral_io_list (h->tree.fd, dir, &names) == 0)
        for (guint i = 0; i < names->len; i++) {
            g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (names, i));

            remove_below (host, h, child);
        }
    err = corral_io_rmdir (&host->core->io, &h->tree, dir);
    return err == 0 || err == ENOENT;
}

/* Threads that were just killed may take a moment to leave. */
static void
clean_up (Host *host)
{
    g_autofree char *dir = host_dir (host, NULL);
    const gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    for (guint i = 0; i < host->core->hierarchies->len; i++)
        while (!remove_below (host, g_ptr_array_index (host->core->hierarchies, i), dir)) {
            if (g_get_monotonic_time () > deadline)
                g_error ("%s cannot be removed", dir);
            g_usleep (1000);
        }
}

/* A failed assertion ends the process without a chance to clean up the kernel's cgroups. */
static void
start_guardian (Host *host)
{
    int ends[2];
    char byte;

    if (host->fake != NULL)
        return;
    g_assert_cmpint (pipe2 (ends, O_CLOEXEC), ==, 0);
    host->guardian = fork ();
    g_assert_cmpint (host->guardian, >=, 0);
    if (host->guardian == 0) {
        close (ends[1]);
        (void) !read (ends[0], &byte, 1);
        host->core->io.hook = NULL;
        clean_up (host);
        _exit (0);
    }
    close (ends[0]);
    host->guard_fd = ends[1];
}

Host *
host_new (HostKind kind)
{
    static const FakeKind fakes[N_HOSTS] = { 0, FAKE_V2, FAKE_V1, FAKE_HYBRID, FAKE_V2_KVM };
    g_autoptr (Host) host = g_new0 (Host, 1);
    g_autoptr (GError) error = NULL;

    host->kind = kind;
    host->guard_fd = -1;
    host->vms = g_ptr_array_new ();
    if (kind == HOST_REAL && geteuid () != 0) {
        g_test_skip ("not root");
        return NULL;
    }
    if (kind != HOST_REAL)
        host->fake = fake_kernel_new (fakes[kind], "0-3");
    host->core =
        corral_container_core_open (host->fake != NULL ? fake_kernel_root (host->fake) : -1,
                                    &error);
    if (host->core == NULL && host->fake == NULL) {
        g_test_skip (error->message);
        return NULL;
    }
    g_assert_no_error (error);
    host->core->io.hook = on_step;
    host->core->io.hook_data = host;
    host->top = host->fake != NULL ? g_strdup ("/corral-test")
                                   : g_strdup_printf ("/corral-test-%d", (int) getpid ());
    if (!corral_container_core_host_cpus (host->core, &host->cpus, &host->mems, &error)) {
        g_test_skip (error->message);
        return NULL;
    }
    if (hwloc_bitmap_weight (host->cpus) < 2) {
        g_test_skip ("this host has one CPU only");
        return NULL;
    }
    host->cpu[0] = (guint) hwloc_bitmap_first (host->cpus);
    host->cpu[1] = (guint) hwloc_bitmap_next (host->cpus, (int) host->cpu[0]);
    start_guardian (host);
    if (!corral_container_create (host->core, host->top, NULL, NULL, &error)) {
        if (host->fake != NULL)
            g_error ("%s", error->message);
        g_test_skip (error->message);
        return NULL;
    }
    return g_steal_pointer (&host);
}

void
host_free (Host *host)
{
    if (host == NULL)
        return;
    while (host->vms->len > 0)
        host_kill (host, g_ptr_array_index (host->vms, 0));
    if (host->core != NULL) {
        host_fail_at (host, 0, 0);
        if (host->top != NULL)
            clean_up (host);
        g_object_unref (host->core);
    }
    if (host->guard_fd >= 0) {
        close (host->guard_fd);
        g_assert_cmpint (waitpid (host->guardian, NULL, 0), ==, host->guardian);
    }
    fake_kernel_free (host->fake);
    g_ptr_array_unref (host->vms);
    hwloc_bitmap_free (host->cpus);
    hwloc_bitmap_free (host->mems);
    g_free (host->top);
    g_free (host->attached);
    g_free (host);
}

char *
host_path (Host *host, const char *name)
{
    return name != NULL ? g_strconcat (host->top, "/", name, NULL) : g_strdup (host->top);
}

char *
host_dir (Host *host, const char *name)
{
    g_autofree char *path = host_path (host, name);
    char *dir = NULL;

    g_assert_true (corral_container_path_to_dir (path, &dir, NULL));
    return dir;
}

/* --- VMs --- */

Vm *
host_spawn (Host *host, int n)
{
    Vm *vm = g_new0 (Vm, 1);

    g_assert_cmpint (n, <=, 8);
    vm->n = n;
    vm->to = vm->from = -1;
    if (host->fake != NULL) {
        vm->pid = fake_kernel_spawn (host->fake, n);
        for (int i = 0; i < n; i++)
            vm->tids[i] = vm->pid + i;
        if (host->kind == HOST_FAKE_V2_KVM)
            fake_kernel_create_kvm (host->fake, vm->pid, 11, vm->tids + 1, (guint) MAX (n - 2, 0));
    } else
        spawn_real (vm);
    g_ptr_array_add (host->vms, vm);
    return vm;
}

void
host_kill (Host *host, Vm *vm)
{
    g_assert_true (g_ptr_array_remove (host->vms, vm));
    if (host->fake != NULL)
        fake_kernel_exit (host->fake, vm->pid);
    else {
        kill (vm->pid, SIGKILL);
        g_assert_cmpint (waitpid (vm->pid, NULL, 0), ==, vm->pid);
        close (vm->to);
        close (vm->from);
    }
    g_free (vm);
}

void
host_burn (Host *host, Vm *vm, int index, guint msec)
{
    gint32 answer[2];

    if (host->fake != NULL) {
        fake_kernel_burn (host->fake, vm->tids[index], msec * 1000);
        return;
    }
    child_command (vm, index, (gint32) msec);
    child_answer (vm, answer);
}

void
host_storm (Host *host, Vm *vm, gboolean on)
{
    gint32 answer[2];

    if (host->fake != NULL) {
        host->clone_from = vm->pid;
        host->clones = on ? 12 : 0;
        return;
    }
    child_command (vm, -1, on);
    child_answer (vm, answer);
}

int
host_open_device (Host *host, Vm *vm)
{
    gint32 answer[2];

    child_command (vm, -2, 0);
    child_answer (vm, answer);
    return answer[0];
}

CorralContainerVm
host_vm (Vm *vm, CorralThread threads[8])
{
    for (int i = 1; i < vm->n; i++)
        threads[i - 1] = i == vm->n - 1 ? (CorralThread){ vm->tids[i], CORRAL_THREAD_IOTHREAD, 1 }
                                        : (CorralThread){ vm->tids[i], CORRAL_THREAD_VCPU, i - 1 };
    return (CorralContainerVm){ "web 1", vm->pid, threads, (gsize) vm->n - 1 };
}

void
host_set_affinity (Host *host, pid_t tid, const CorralCpuset *cpus)
{
    if (host->fake != NULL) {
        g_autofree char *list = corral_cpuset_format (cpus);

        fake_kernel_set_affinity (host->fake, tid, list);
    } else
        g_assert_cmpint (corral_io_set_affinity (&host->core->io, tid, cpus), ==, 0);
}

char *
host_affinity (Host *host, pid_t tid)
{
    g_autoptr (CorralCpuset) cpus = NULL;

    g_assert_cmpint (corral_io_get_affinity (&host->core->io, tid, &cpus), ==, 0);
    return corral_cpuset_format (cpus);
}

char *
host_place (Host *host, Vm *vm, pid_t tid)
{
    g_autofree char *affinity = host_affinity (host, tid);
    g_autofree char *text = NULL;

    g_assert_cmpint (corral_proc_cgroups (host->core, vm->pid, tid, &text), ==, 0);
    return g_strconcat (text, affinity, "\n", NULL);
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
    return strcmp (*(char *const *) a, *(char *const *) b);
}

static void
snapshot_dir (CorralHierarchy *h, const char *dir, GString *out)
{
    static const char *const names[] = {
        "cpuset.cpus",         "cpuset.mems",
        "cpu.shares",          "cpu.cfs_quota_us",
        "cpu.cfs_period_us",   "cpu.cfs_burst_us",
        "cpu.weight",          "cpu.max",
        "cpu.max.burst",       "cgroup.subtree_control",
        "cgroup.controllers",  "cgroup.type",
        CORRAL_IO_NOTE "cpus", CORRAL_IO_NOTE "mems",
    };
    g_autoptr (GPtrArray) below = NULL;

    g_string_append_printf (out, "%s/%s\n", h->tree.mount, dir);
    for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
        g_autofree char *path = corral_dir_file (dir, names[i]);
        g_autofree char *text = NULL;

        if (corral_io_read (h->tree.fd, path, &text) == 0)
            g_string_append_printf (out, "  %s %s\n", names[i], text);
    }
    if (corral_io_list (h->tree.fd, dir, &below) != 0)
        return;
    g_ptr_array_sort (below, compare_names);
    for (guint i = 0; i < below->len; i++) {
        g_autofree char *child = corral_dir_file (dir, g_ptr_array_index (below, i));

        snapshot_dir (h, child, out);
    }
}

char *
host_snapshot (Host *host)
{
    GString *out = g_string_new (NULL);
    g_autofree char *dir = host_dir (host, NULL);

    for (guint i = 0; i < host->core->hierarchies->len; i++)
        snapshot_dir (g_ptr_array_index (host->core->hierarchies, i), dir, out);
    for (guint i = 0; i < host->vms->len; i++) {
        Vm *vm = g_ptr_array_index (host->vms, i);

        for (int t = 0; t < vm->n; t++) {
            g_autofree char *place = host_place (host, vm, vm->tids[t]);

            g_string_append_printf (out, "thread %d: %s", t, place);
        }
    }
    return g_string_free (out, FALSE);
}

/* libvirt on a hybrid host leaves v1's cpuacct out. */
static gboolean
libvirt_uses (Host *host, const CorralHierarchy *h)
{
    return h->members && (g_strcmp0 (corral_container_core_backend (host->core), "hybrid") != 0 ||
                          h->controllers != CORRAL_CONTROLLER_CPUACCT);
}

static void
write_tid (Host *host, CorralHierarchy *h, const char *dir, const char *file, pid_t tid)
{
    g_autofree char *path = corral_dir_file (dir, file);
    g_autofree char *text = g_strdup_printf ("%d", (int) tid);

    g_assert_cmpint (corral_io_write (&host->core->io, &h->tree, path, text), ==, 0);
}

char *
host_libvirt_group (Host *host, const char *container, const char *domain, Vm *vm)
{
    g_autofree char *dir = host_dir (host, container);
    g_autofree char *name = g_strconcat (domain, ".libvirt-qemu", NULL);
    g_autofree char *emulator = NULL;
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GError) error = NULL;
    CorralThread threads[8];
    const CorralContainerVm view = host_vm (vm, threads);
    char *group = corral_dir_file (dir, name);

    emulator = corral_dir_file (group, "emulator");
    for (guint i = 0; i < host->core->hierarchies->len; i++) {
        CorralHierarchy *h = g_ptr_array_index (host->core->hierarchies, i);
        const CorralBackend *backend = corral_backend_of (h);

        if (!libvirt_uses (host, h))
            continue;
        g_assert_true (corral_step_mkdir (host->core, h, group, NULL, undo, &error) &&
                       backend->prepare (host->core, h, group, undo, &error) &&
                       corral_step_mkdir (host->core, h, emulator, NULL, undo, &error) &&
                       backend->prepare (host->core, h, emulator, undo, &error));
        write_tid (host, h, emulator, "cgroup.procs", vm->pid);
        for (gsize t = 0; t < view.n_threads; t++) {
            g_autofree char *role = corral_container_role_dir (threads[t].role, threads[t].index);
            g_autofree char *role_dir = corral_dir_file (group, role);

            g_assert_true (corral_step_mkdir (host->core, h, role_dir, NULL, undo, &error) &&
                           backend->prepare (host->core, h, role_dir, undo, &error));
            write_tid (host, h, role_dir, backend->threads_file, threads[t].tid);
        }
    }
    g_assert_no_error (error);
    return group;
}

CorralCpuset *
host_set (const char *list)
{
    CorralCpuset *set = NULL;

    g_assert_true (corral_cpuset_parse (list, &set, NULL));
    return set;
}

char *
host_one (guint cpu)
{
    return g_strdup_printf ("%u", cpu);
}
