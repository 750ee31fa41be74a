/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs in a made-up state directory of libvirt, with no libvirtd. */
#include "tests/unit/vm/vm-fixture.h"
#include "vmm-agent/vm/corral-vm-source.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#define HOME "machine/prod.partition/qemu-3-web1.libvirt-qemu"

/* A status of web1, id 3, in /machine/prod. */
static void
write_status (VmFixture *f, pid_t pid, const char *state, const char *reason, const char *vcpus)
{
    g_autofree char *text = g_strdup_printf (
        "<domstatus state='%s' reason='%s' pid='%d'><vcpus>%s</vcpus><domain id='3'>"
        "<name>web1</name><uuid>00112233-4455-6677-8899-aabbccddeeff</uuid>"
        "<resource><partition>/machine/prod</partition></resource></domain></domstatus>",
        state, reason, (int) pid, vcpus);

    vm_fixture_status (f, "web1", text);
}

static char *
one_vcpu (int index, pid_t tid)
{
    return g_strdup_printf ("<vcpu id='%d' pid='%d'/>", index, (int) tid);
}

static const CorralVm *
web1 (VmFixture *f)
{
    return corral_vm_inventory_lookup (f->inventory, "web1");
}

static void
check_thread (const CorralVm *vm, guint at, pid_t tid, int index)
{
    const CorralThread *thread = &g_array_index (vm->threads, CorralThread, at);

    g_assert_cmpuint (vm->threads->len, >, at);
    g_assert_cmpint (thread->tid, ==, tid);
    g_assert_cmpint (thread->role, ==, CORRAL_THREAD_VCPU);
    g_assert_cmpint (thread->index, ==, index);
}

/* So many of what has been asked for by now has been done. */
static void
drain (void)
{
    for (int i = 0; i < 50; i++)
        g_main_context_iteration (NULL, FALSE);
}

static void
test_found_without_libvirtd (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, "web1.pid");
    g_autofree char *vcpu = one_vcpu (0, pid);
    g_autofree char *vcpus =
        g_strdup_printf ("%s<vcpu id='1' pid='%d'/><vcpu id='2' pid='0'/>", vcpu, (int) getpid ());
    g_autofree char *reason = NULL;
    g_autoptr (GPtrArray) list = NULL;

    write_status (f, pid, "running", "booted", vcpus);
    vm_fixture_status (f, "other", "<broken");
    vm_fixture_start (f, TRUE);
    g_assert_false (corral_vm_inventory_is_settled (f->inventory));
    vm_spin_until (corral_vm_inventory_is_settled (f->inventory));
    g_assert_cmpstr (f->log->str, ==, "+s");
    list = corral_vm_inventory_list (f->inventory);
    g_assert_cmpuint (list->len, ==, 1);
    g_assert_true (g_ptr_array_index (list, 0) == web1 (f));
    g_assert_cmpint (web1 (f)->pid, ==, pid);
    g_assert_cmpint (web1 (f)->state, ==, CORRAL_VM_RUNNING);
    g_assert_cmpstr (web1 (f)->partition, ==, "/machine/prod");
    g_assert_cmpuint (web1 (f)->uuid[1], ==, 0x11);
    g_assert_null (web1 (f)->home_group);
    /* the thread of another process, and number 0, are not believed */
    g_assert_cmpuint (web1 (f)->threads->len, ==, 1);
    check_thread (web1 (f), 0, pid, 0);
    g_assert_false (corral_vm_inventory_is_connected (f->inventory, &reason));
    g_assert_nonnull (reason);
}

static void
test_life (VmFixture *f, gconstpointer unused)
{
    pid_t pid;

    vm_fixture_start (f, TRUE);
    vm_spin_until (f->log->len == 1);
    pid = vm_fixture_spawn (f, "web1.pid");
    write_status (f, pid, "paused", "starting up", "");
    write_status (f, pid, "paused", "starting up", "");
    drain ();
    g_assert_null (web1 (f));
    write_status (f, pid, "running", "booted", "");
    vm_spin_until (web1 (f) != NULL);
    write_status (f, pid, "paused", "user", "");
    vm_spin_until (web1 (f)->state == CORRAL_VM_PAUSED);
    /* nothing new, and nothing that can be read */
    write_status (f, pid, "paused", "user", "");
    drain ();
    vm_fixture_status (f, "web1", "<broken");
    drain ();
    g_assert_cmpstr (f->log->str, ==, "s+~");
    g_assert_cmpint (web1 (f)->state, ==, CORRAL_VM_PAUSED);
    vm_fixture_kill (f, pid);
    vm_spin_until (web1 (f) == NULL);
    /* It starts again; the old status names the old process. */
    write_status (f, pid, "running", "booted", "");
    pid = vm_fixture_spawn (f, "web1.pid");
    drain ();
    g_assert_null (web1 (f));
    write_status (f, pid, "running", "booted", "");
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpint (web1 (f)->pid, ==, pid);
    g_assert_cmpstr (f->log->str, ==, "s+~-+");
}

/* A VM that ends and starts again faster than we look is another VM. */
static void
test_replaced (VmFixture *f, gconstpointer unused)
{
    pid_t first = vm_fixture_spawn (f, "web1.pid"), second;

    write_status (f, first, "running", "booted", "");
    vm_fixture_start (f, TRUE);
    vm_spin_until (f->log->len == 2);
    vm_fixture_kill (f, first);
    second = vm_fixture_spawn (f, "web1.pid");
    write_status (f, second, "running", "booted", "");
    vm_spin_until (web1 (f) != NULL && web1 (f)->pid == second);
    drain ();
    g_assert_cmpstr (f->log->str, ==, "+s-+");
}

/* A pid file that is left over may hold the number of a process that has nothing to do with it. */
static void
test_stale_pid_file (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, NULL);
    g_autofree char *text = g_strdup_printf ("%d\n", (int) pid);
    g_autofree char *path = g_build_filename (f->state_dir, "web1.pid", NULL);

    g_assert_true (g_file_set_contents (path, text, -1, NULL));
    write_status (f, pid, "running", "booted", "");
    vm_fixture_place (f, pid, "machine/prod.partition/qemu-4-web2.libvirt-qemu");
    vm_fixture_start (f, TRUE);
    vm_spin_until (f->log->len == 1);
    g_assert_cmpstr (f->log->str, ==, "s");
    /* A libvirt that does not keep the file locked: its cgroup tells. */
    vm_fixture_place (f, pid, HOME);
    write_status (f, pid, "running", "booted", "");
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpstr (web1 (f)->home_group, ==, HOME);
}

static void
test_directories_tell_threads (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, "web1.pid");
    g_autofree char *vcpu = one_vcpu (0, pid);

    vm_fixture_place (f, pid, HOME);
    vm_fixture_sort (f, HOME, "vcpu5", pid);
    vm_fixture_sort (f, HOME, "vcpu6", getpid ());
    write_status (f, pid, "running", "booted", vcpu);
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpstr (web1 (f)->home_group, ==, HOME);
    g_assert_cmpuint (web1 (f)->threads->len, ==, 1);
    check_thread (web1 (f), 0, pid, 5);
    /* Where they name no vCPU, libvirt's list does. */
    vm_fixture_sort (f, HOME, "vcpu5", 999999999);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
    check_thread (web1 (f), 0, pid, 0);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
    corral_vm_inventory_refresh_threads (f->inventory, "unknown");
    drain ();
    g_assert_cmpstr (f->log->str, ==, "+s~");
}

/* On cgroup v2 libvirt cannot put a plugged vCPU into the directory it made for it once the VM was
 * moved away, so that its list alone tells which thread it is. What a directory says goes first. */
static void
test_list_tells_the_rest (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, "web1.pid"), second = vm_fixture_second_thread (pid);
    g_autofree char *vcpus =
        g_strdup_printf ("<vcpu id='0' pid='%d'/><vcpu id='5' pid='%d'/><vcpu id='1' pid='%d'/>",
                         (int) pid, (int) second, (int) second);

    vm_fixture_place (f, pid, HOME);
    vm_fixture_sort (f, HOME, "vcpu5", pid);
    write_status (f, pid, "running", "booted", vcpus);
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpuint (web1 (f)->threads->len, ==, 2);
    check_thread (web1 (f), 0, second, 1);
    check_thread (web1 (f), 1, pid, 5);
}

static void
say_kvm (VmFixture *f, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    vm_fixture_kvm_vms (f, text);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
}

/* What KVM runs is a vCPU, and nothing else; its number is what the directories or libvirt say. */
static void
test_kvm_tells_threads (VmFixture *f, gconstpointer unused)
{
    const int pid = vm_fixture_spawn (f, "web1.pid"), second = vm_fixture_second_thread (pid);
    g_autofree char *vcpu = one_vcpu (2, second);

    vm_fixture_place (f, pid, HOME);
    write_status (f, pid, "running", "booted", "");
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpuint (web1 (f)->threads->len, ==, 0);
    /* Nobody else knows it. */
    say_kvm (f, "7-11 vcpus=1 vcpu.0=%d\n%d-11 vcpus=1 vcpu.4=%d\n", pid, pid, second);
    g_assert_cmpuint (web1 (f)->threads->len, ==, 1);
    check_thread (web1 (f), 0, second, 4);
    /* A thread of another kind was born in a vCPU's directory. */
    vm_fixture_sort (f, HOME, "vcpu0", pid);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
    g_assert_cmpuint (web1 (f)->threads->len, ==, 1);
    check_thread (web1 (f), 0, second, 4);
    /* One vCPU has not run yet, so that thread may be its. */
    say_kvm (f, "%d-11 vcpus=2 vcpu.4=%d\n", pid, second);
    g_assert_cmpuint (web1 (f)->threads->len, ==, 2);
    check_thread (web1 (f), 0, pid, 0);
    check_thread (web1 (f), 1, second, 4);
    /* Not two with one number. */
    say_kvm (f, "%d-11 vcpus=2 vcpu.0=%d\n", pid, second);
    check_thread (web1 (f), 0, pid, 0);
    check_thread (web1 (f), 1, second, 1);
    /* Its source has the last word on that. */
    write_status (f, pid, "running", "booted", vcpu);
    vm_spin_until (g_array_index (web1 (f)->threads, CorralThread, 1).index == 2);
    check_thread (web1 (f), 0, pid, 0);
    check_thread (web1 (f), 1, second, 2);
    /* Threads of others, and such as are gone, are not believed; nor what cannot be read. */
    say_kvm (f, "%d-11 vcpus=1 vcpu.0=%d\n", pid, (int) getpid ());
    g_assert_cmpuint (web1 (f)->threads->len, ==, 0);
    say_kvm (f, "%d-11 vcpus=1 vcpu.0=-\n", pid);
    check_thread (web1 (f), 0, pid, 0);
    check_thread (web1 (f), 1, second, 2);
    vm_fixture_kvm_vms (f, NULL);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
    check_thread (web1 (f), 0, pid, 0);
    check_thread (web1 (f), 1, second, 2);
}

static void
test_home_is_found_again (VmFixture *f, gconstpointer unused)
{
    const char *moved = "corral.partition/web1.corral";
    pid_t pid = vm_fixture_spawn (f, "web1.pid");

    vm_fixture_place (f, pid, HOME);
    write_status (f, pid, "running", "booted", "");
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    /* moved by us: its home stays what it was */
    vm_fixture_place (f, pid, moved);
    vm_fixture_sort (f, moved, "vcpu0", pid);
    corral_vm_inventory_refresh_threads (f->inventory, "web1");
    g_assert_cmpstr (web1 (f)->home_group, ==, HOME);
    check_thread (web1 (f), 0, pid, 0);
    vm_fixture_stop (f);
    /* after a restart of ours too */
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpstr (web1 (f)->home_group, ==, HOME);
    vm_fixture_stop (f);
    /* but not one that is not there */
    g_autofree char *home = vm_fixture_path (f, "cg/" HOME);
    g_autofree char *gone = vm_fixture_path (f, "cg/gone");
    g_assert_cmpint (g_rename (home, gone), ==, 0);
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    g_assert_null (web1 (f)->home_group);
}

/* One more name for a process, as the settings may give it. */
static void
add_second_name (VmFixture *f, const char *name, pid_t pid)
{
    g_autofree char *pid_file = g_strdup_printf ("%s/%s.pid", f->state_dir, name);
    g_autofree char *number = g_strdup_printf ("%d\n", (int) pid);
    g_autofree char *text = g_strdup_printf (
        "<domstatus state='running' reason='booted' pid='%d'><vcpus/><domain id='4'>"
        "<name>%s</name><uuid>00112233-4455-6677-8899-aabbccddeeff</uuid></domain></domstatus>",
        (int) pid, name);

    g_assert_true (g_file_set_contents (pid_file, number, -1, NULL));
    vm_fixture_status (f, name, text);
    vm_spin_until (corral_vm_inventory_lookup (f->inventory, name) != NULL);
}

/* Whichever of the two comes first, and whichever of their ends is reported first. */
static void
test_two_names (VmFixture *f, gconstpointer unused)
{
    static const char *const orders[][2] = { { "web1", "web2" }, { "web2", "web1" } };

    vm_fixture_start (f, TRUE);
    for (gsize i = 0; i < G_N_ELEMENTS (orders); i++) {
        pid_t pid = vm_fixture_spawn (f, NULL);

        vm_fixture_place (f, pid, "corral.partition/web.corral");
        add_second_name (f, orders[i][0], pid);
        add_second_name (f, orders[i][1], pid);
        vm_fixture_kill (f, pid);
        /* At once, and not when the state directory is next read. */
        drain ();
        g_assert_null (corral_vm_inventory_lookup (f->inventory, "web1"));
        g_assert_null (corral_vm_inventory_lookup (f->inventory, "web2"));
    }
}

/* While its threads run, a VM is in its groups, whatever has become of its main thread. */
static void
test_dies_slowly (VmFixture *f, gconstpointer unused)
{
    pid_t pid = vm_fixture_spawn (f, "web1.pid");

    write_status (f, pid, "running", "booted", "");
    vm_fixture_start (f, TRUE);
    vm_spin_until (web1 (f) != NULL);
    vm_fixture_end_main_thread (pid);
    write_status (f, pid, "paused", "user", "");
    drain ();
    g_assert_null (strchr (f->log->str, '-'));
    vm_fixture_kill (f, pid);
    vm_spin_until (web1 (f) == NULL);
}

/* A VM of libvirt's whose name another source's VM has is there when that one has ended, also if it
 * is the source that hears of the end first. */
static void
test_one_name (VmFixture *f, gconstpointer unused)
{
    CorralVmFacts facts = { .name = "web1", .source = CORRAL_VM_QMP };
    pid_t other = vm_fixture_spawn (f, NULL), pid;

    vm_fixture_start (f, TRUE);
    vm_spin_until (corral_vm_inventory_is_settled (f->inventory));
    g_assert_true (corral_vm_process_read (other, &facts.process));
    corral_vm_inventory_put (f->inventory, &facts);
    pid = vm_fixture_spawn (f, "web1.pid");
    write_status (f, pid, "running", "booted", "");
    drain ();
    g_assert_cmpint (web1 (f)->pid, ==, other);
    vm_fixture_kill (f, other);
    corral_vm_inventory_check (f->inventory, "web1");
    /* At once, and not when the state directory is next read. */
    drain ();
    g_assert_nonnull (web1 (f));
    g_assert_cmpint (web1 (f)->pid, ==, pid);
}

static void
test_state_dir_appears_later (VmFixture *f, gconstpointer unused)
{
    pid_t pid;

    g_assert_cmpint (g_rmdir (f->state_dir), ==, 0);
    vm_fixture_start (f, TRUE);
    vm_spin_until (corral_vm_inventory_is_settled (f->inventory));
    g_assert_cmpint (g_mkdir (f->state_dir, 0700), ==, 0);
    pid = vm_fixture_spawn (f, "web1.pid");
    write_status (f, pid, "running", "booted", "");
    vm_spin_until (web1 (f) != NULL);
    g_assert_cmpstr (f->log->str, ==, "s+");
}

static void
test_no_source (VmFixture *f, gconstpointer unused)
{
    g_autofree char *reason = NULL;

    vm_fixture_start (f, FALSE);
    vm_spin_until (corral_vm_inventory_is_settled (f->inventory));
    g_assert_cmpstr (f->log->str, ==, "s");
    g_assert_false (corral_vm_inventory_is_connected (f->inventory, &reason));
    g_assert_nonnull (reason);
}

static void
add (const char *name, void (*test) (VmFixture *, gconstpointer))
{
    g_test_add (name, VmFixture, NULL, vm_fixture_set_up, test, vm_fixture_tear_down);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    add ("/vm/inventory/found-without-libvirtd", test_found_without_libvirtd);
    add ("/vm/inventory/life", test_life);
    add ("/vm/inventory/replaced", test_replaced);
    add ("/vm/inventory/stale-pid-file", test_stale_pid_file);
    add ("/vm/inventory/directories-tell-threads", test_directories_tell_threads);
    add ("/vm/inventory/list-tells-the-rest", test_list_tells_the_rest);
    g_test_add ("/vm/inventory/kvm-tells-threads", VmFixture, "v2", vm_fixture_set_up,
                test_kvm_tells_threads, vm_fixture_tear_down);
    add ("/vm/inventory/home-is-found-again", test_home_is_found_again);
    add ("/vm/inventory/two-names", test_two_names);
    add ("/vm/inventory/dies-slowly", test_dies_slowly);
    add ("/vm/inventory/one-name", test_one_name);
    add ("/vm/inventory/state-dir-appears-later", test_state_dir_appears_later);
    add ("/vm/inventory/no-source", test_no_source);
    return g_test_run ();
}
