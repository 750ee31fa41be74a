/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/vm/vm-fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static gboolean
time_is_up (gpointer data)
{
    return G_SOURCE_REMOVE;
}

GSource *
vm_spin_start (void)
{
    GSource *timer = g_timeout_source_new_seconds (20);

    g_source_set_callback (timer, time_is_up, NULL, NULL);
    g_source_attach (timer, NULL);
    return timer;
}

char *
vm_fixture_path (VmFixture *f, const char *name)
{
    return g_strconcat (f->folder, "/", name, NULL);
}

static void
write_file (VmFixture *f, const char *name, const char *text)
{
    g_autofree char *path = vm_fixture_path (f, name);
    g_autofree char *directory = g_path_get_dirname (path);

    g_assert_cmpint (g_mkdir_with_parents (directory, 0700), ==, 0);
    g_assert_true (g_file_set_contents (path, text, -1, NULL));
}

static void
on_added (CorralVmInventory *inventory, const CorralVm *vm, GString *log)
{
    g_assert_true (corral_vm_inventory_lookup (inventory, vm->name) == vm);
    g_string_append_c (log, '+');
}

static void
on_changed (CorralVmInventory *inventory, const CorralVm *vm, GString *log)
{
    g_string_append_c (log, '~');
}

static void
on_removed (CorralVmInventory *inventory, const CorralVm *vm, GString *log)
{
    g_assert_null (corral_vm_inventory_lookup (inventory, vm->name));
    g_string_append_c (log, '-');
}

static void
on_settled (CorralVmInventory *inventory, GString *log)
{
    g_assert_true (corral_vm_inventory_is_settled (inventory));
    g_string_append_c (log, 's');
}

void
vm_fixture_set_up (VmFixture *f, gconstpointer data)
{
    g_autoptr (GError) error = NULL;
    int root;

    f->folder = g_dir_make_tmp ("corral-vm-XXXXXX", &error);
    g_assert_no_error (error);
    f->state_dir = vm_fixture_path (f, "state");
    g_assert_cmpint (g_mkdir (f->state_dir, 0700), ==, 0);
    write_file (f, "proc/self/mountinfo",
                data == NULL ? "30 20 0:26 / /cg rw - cgroup cgroup rw,cpuset,cpu,cpuacct\n"
                             : "30 20 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    write_file (f, "cg/cgroup.procs", "");
    write_file (f, "cg/tasks", "");
    write_file (f, "cg/cgroup.controllers", "cpuset cpu kvm\n");
    if (data != NULL)
        vm_fixture_kvm_vms (f, "");
    root = open (f->folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    f->core = corral_container_core_open (root, &error);
    g_assert_no_error (error);
    close (root);
    f->qmp_sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
    f->log = g_string_new (NULL);
    f->children = g_array_new (FALSE, FALSE, sizeof (pid_t));
}

/* The URI is of a socket that is not there. */
void
vm_fixture_start (VmFixture *f, gboolean with_libvirt)
{
    g_autofree char *uri =
        g_strdup_printf ("qemu+unix:///system?socket=%s/libvirt-sock", f->folder);
    CorralVmSettings settings = { with_libvirt ? uri : NULL, f->state_dir, f->qmp_sockets };

    g_string_truncate (f->log, 0);
    f->inventory = corral_vm_inventory_new (f->core, &settings);
    g_signal_connect (f->inventory, "vm-added", G_CALLBACK (on_added), f->log);
    g_signal_connect (f->inventory, "vm-changed", G_CALLBACK (on_changed), f->log);
    g_signal_connect (f->inventory, "vm-removed", G_CALLBACK (on_removed), f->log);
    g_signal_connect (f->inventory, "settled", G_CALLBACK (on_settled), f->log);
    corral_vm_inventory_start (f->inventory);
}

void
vm_fixture_stop (VmFixture *f)
{
    g_assert_finalize_object (g_steal_pointer (&f->inventory));
}

static void
remove_tree (const char *path)
{
    g_autoptr (GDir) directory = NULL;
    const char *name;

    if (!g_file_test (path, G_FILE_TEST_IS_SYMLINK))
        directory = g_dir_open (path, 0, NULL);
    while (directory != NULL && (name = g_dir_read_name (directory)) != NULL) {
        g_autofree char *inner = g_build_filename (path, name, NULL);

        remove_tree (inner);
    }
    g_remove (path);
}

void
vm_fixture_tear_down (VmFixture *f, gconstpointer unused)
{
    if (f->inventory != NULL)
        vm_fixture_stop (f);
    while (g_main_context_iteration (NULL, FALSE))
        ;
    while (f->children->len > 0)
        vm_fixture_kill (f, g_array_index (f->children, pid_t, 0));
    g_assert_finalize_object (f->core);
    remove_tree (f->folder);
    g_hash_table_unref (f->qmp_sockets);
    g_string_free (f->log, TRUE);
    g_array_unref (f->children);
    g_free (f->state_dir);
    g_free (f->folder);
}

static void *
sleep_on (void *unused)
{
    for (;;)
        pause ();
    return NULL;
}

static void
end_thread (int signal_number)
{
    syscall (SYS_exit, 0);
}

static void
be_a_vm (const char *pid_file, int ready)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[32];
    int fd, length;
    pthread_t second;

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    signal (SIGUSR1, end_thread);
    if (pid_file != NULL) {
        fd = open (pid_file, O_RDWR | O_CREAT | O_TRUNC, 0600);
        length = g_snprintf (text, sizeof text, "%d\n", (int) getpid ());
        if (fd < 0 || fcntl (fd, F_SETLK, &lock) < 0 || write (fd, text, (gsize) length) != length)
            _exit (1);
    }
    if (pthread_create (&second, NULL, sleep_on, NULL) != 0 || write (ready, "", 1) != 1)
        _exit (1);
    (void) sleep_on (NULL);
}

pid_t
vm_fixture_spawn (VmFixture *f, const char *pid_file)
{
    g_autofree char *path =
        pid_file != NULL ? g_build_filename (f->state_dir, pid_file, NULL) : NULL;
    int ready[2];
    char byte;
    pid_t pid;

    g_assert_cmpint (pipe (ready), ==, 0);
    pid = fork ();
    g_assert_cmpint (pid, >=, 0);
    if (pid == 0)
        be_a_vm (path, ready[1]);
    close (ready[1]);
    g_assert_cmpint (read (ready[0], &byte, 1), ==, 1);
    close (ready[0]);
    g_array_append_val (f->children, pid);
    return pid;
}

pid_t
vm_fixture_second_thread (pid_t pid)
{
    g_autofree char *path = g_strdup_printf ("/proc/%d/task", (int) pid);
    g_autoptr (GDir) dir = g_dir_open (path, 0, NULL);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
        if (g_ascii_strtoll (name, NULL, 10) != pid)
            return (pid_t) g_ascii_strtoll (name, NULL, 10);
    g_assert_not_reached ();
}

void
vm_fixture_end_main_thread (pid_t pid)
{
    g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) pid);
    g_autofree char *text = NULL;

    g_assert_cmpint (syscall (SYS_tgkill, pid, pid, SIGUSR1), ==, 0);
    do {
        g_clear_pointer (&text, g_free);
        g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    } while (strstr (text, ") Z ") == NULL);
}

void
vm_fixture_kill (VmFixture *f, pid_t pid)
{
    kill (pid, SIGKILL);
    waitpid (pid, NULL, 0);
    for (guint i = 0; i < f->children->len; i++)
        if (g_array_index (f->children, pid_t, i) == pid)
            g_array_remove_index (f->children, i--);
}

void
vm_fixture_place (VmFixture *f, pid_t pid, const char *group)
{
    g_autofree char *name = g_strdup_printf ("proc/%d/cgroup", (int) pid);
    g_autofree char *directory = g_strdup_printf ("cg/%s/tasks", group != NULL ? group : ".");
    g_autofree char *place = group != NULL ? g_strconcat (group, "/emulator", NULL) : g_strdup ("");
    g_autofree char *text = g_strdup_printf ("4:cpuset,cpu,cpuacct:/%s\n0::/%s\n", place, place);

    write_file (f, directory, "");
    write_file (f, name, text);
}

void
vm_fixture_sort (VmFixture *f, const char *group, const char *part, pid_t tid)
{
    g_autofree char *v1 = g_strdup_printf ("cg/%s/%s/tasks", group, part);
    g_autofree char *v2 = g_strdup_printf ("cg/%s/%s/cgroup.threads", group, part);
    g_autofree char *text = g_strdup_printf ("%d\n", (int) tid);

    write_file (f, v1, text);
    write_file (f, v2, text);
}

void
vm_fixture_kvm_vms (VmFixture *f, const char *text)
{
    g_autofree char *stat = vm_fixture_path (f, "cg/kvm.stat");

    if (text == NULL) {
        g_assert_cmpint (g_unlink (stat), ==, 0);
        return;
    }
    write_file (f, "cg/kvm.stat", "");
    write_file (f, "cg/kvm.vms", text);
}

void
vm_fixture_status (VmFixture *f, const char *name, const char *text)
{
    g_autofree char *path = g_strdup_printf ("%s/%s.xml", f->state_dir, name);
    g_autofree char *new_path = g_strconcat (path, ".new", NULL);

    g_assert_true (g_file_set_contents (new_path, text, -1, NULL));
    g_assert_cmpint (g_rename (new_path, path), ==, 0);
}
