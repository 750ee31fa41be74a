/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* kill -9 at every step. A child makes one change under ptrace and is killed right before its nth
 * system call that writes anything, for n = 1, 2, ... until the change runs through. After each
 * kill an agent is started on what is left: it must complete the change or drop it, and nothing may
 * be in between. */
#include "tests/unit/agent/agent-fixture.h"
#include "vmm-agent/agent/corral-store.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* Far more than any change needs */
#define STEPS_MAX 2000

typedef gboolean (*Change) (Fixture *f, GError **error);

/* --- the tracer --- */

static gboolean
writes (const struct __ptrace_syscall_info *info)
{
    static const long numbers[] = {
        SYS_write,     SYS_pwrite64,  SYS_writev,    SYS_mkdirat, SYS_unlinkat,
        SYS_renameat,  SYS_renameat2, SYS_symlinkat, SYS_fsync,   SYS_sched_setaffinity,
        SYS_ftruncate, SYS_fallocate,
#ifdef SYS_mkdir
        SYS_mkdir,     SYS_unlink,    SYS_rename,    SYS_symlink, SYS_rmdir,
#endif
    };

    if (info->entry.nr == SYS_openat)
        return (info->entry.args[2] & (O_CREAT | O_TRUNC)) != 0;
    for (gsize i = 0; i < G_N_ELEMENTS (numbers); i++)
        if (info->entry.nr == (guint64) numbers[i])
            return TRUE;
    return FALSE;
}

/* Returns: whether @child was killed; else it has ended by itself, with *ret_status */
static gboolean
run_until (pid_t child, guint step, int *ret_status)
{
    guint steps = 0;
    int status;

    g_assert_cmpint (waitpid (child, &status, 0), ==, child);
    g_assert_true (WIFSTOPPED (status));
    g_assert_cmpint (ptrace (PTRACE_SETOPTIONS, child, NULL,
                             PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL),
                     ==, 0);
    for (int signal = 0;;) {
        struct __ptrace_syscall_info info;

        g_assert_cmpint (ptrace (PTRACE_SYSCALL, child, NULL, signal), ==, 0);
        g_assert_cmpint (waitpid (child, &status, 0), ==, child);
        signal = 0;
        if (!WIFSTOPPED (status)) {
            *ret_status = status;
            return FALSE;
        }
        if (WSTOPSIG (status) != (SIGTRAP | 0x80)) {
            signal = WSTOPSIG (status);
            continue;
        }
        g_assert_cmpint (ptrace (PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info), >, 0);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY && writes (&info) && ++steps == step) {
            kill (child, SIGKILL);
            g_assert_cmpint (waitpid (child, &status, 0), ==, child);
            g_assert_true (WIFSIGNALED (status));
            return TRUE;
        }
    }
}

/* Tells the inventory of the VM that @f has. @home: (nullable): the group libvirt made for it, in
 * "/home" */
static void
report (Fixture *f, const char *home)
{
    g_autofree char *partition = fixture_path (f, "/home");
    FakeVm *vm = g_ptr_array_index (f->vms, 0);

    fake_inventory_add (corral_agent_inventory (f->agent), "web", vm,
                        home != NULL ? CORRAL_VM_LIBVIRT : CORRAL_VM_QMP,
                        home != NULL ? partition : NULL, home);
}

static void
child_main (Fixture *f, Change change, gboolean with_vm, const char *home)
{
    g_autoptr (GError) error = NULL;
    gboolean ok;

    if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit (77);
    g_clear_object (&f->core);
    f->core = corral_container_core_open (-1, &error);
    fixture_start (f);
    if (with_vm)
        report (f, home);
    raise (SIGSTOP);
    ok = change (f, &error);
    if (!ok)
        fprintf (stderr, "# the change failed: %s\n", error->message);
    _exit (ok ? 0 : 1);
}

/* --- what must hold afterwards --- */

static guint
count_files (const char *folder)
{
    g_autoptr (CorralStore) store = corral_store_new (folder);
    g_autoptr (GPtrArray) definitions = NULL, broken = NULL;

    g_assert_true (corral_store_list (store, &definitions, &broken, NULL));
    g_assert_cmpuint (broken->len, ==, 0);
    return definitions->len;
}

static void
check_whole (Fixture *f)
{
    g_autoptr (GPtrArray) containers = corral_agent_list (f->agent);
    g_autofree char *lives = g_build_filename (f->state, "containers", NULL);
    guint live = 0, config = 0;

    for (guint i = 0; i < containers->len; i++) {
        const CorralContainer *container = g_ptr_array_index (containers, i);
        CorralContainerState state =
            corral_container_get_state (f->core,
                                        corral_container_definition (container)->partition);

        g_assert_cmpint (state, ==,
                         container->live != NULL ? CORRAL_CONTAINER_WHOLE
                                                 : CORRAL_CONTAINER_ABSENT);
        live += container->live != NULL ? 1 : 0;
        config += container->config != NULL ? 1 : 0;
    }
    g_assert_cmpuint (count_files (lives), ==, live);
    g_assert_cmpuint (count_files (f->definitions), ==, config);
    fixture_expect_problems (f, 0);
}

/* In each hierarchy in which it is below our containers, the thread has the directory that is its
 * own. */
static void
check_role (Fixture *f, FakeVm *vm, pid_t tid, const char *role)
{
    g_autofree char *path = g_strdup_printf ("/proc/%d/task/%d/cgroup", (int) vm->pid, (int) tid);
    g_autofree char *ours = g_strconcat (":", f->top, ".partition/", NULL);
    g_autofree char *text = NULL;
    g_auto (GStrv) lines = NULL;

    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    lines = g_strsplit (text, "\n", -1);
    for (gsize i = 0; lines[i] != NULL; i++)
        if (strstr (lines[i], ours) != NULL && !g_str_has_suffix (lines[i], role))
            g_error ("thread %d is in \"%s\" and not in its \"%s\"", (int) tid, lines[i], role);
}

/* All threads of the VM are in one container, or in none, by all hierarchies, and each in its own
 * directory there. @apart: vCPU 1 may be in "/fast" instead, and then is so by all of them. */
static void
check_together (Fixture *f, FakeVm *vm, gboolean apart)
{
    const pid_t tids[] = { vm->pid, fake_vm_tid (vm, 0), fake_vm_tid (vm, 1) };
    static const char *const roles[] = { "/emulator", "/vcpu0", "/vcpu1" };
    g_autofree char *wanted = NULL;

    for (gsize i = 0; i < G_N_ELEMENTS (tids); i++) {
        g_autofree char *path = NULL, *group = NULL;
        gboolean everywhere;

        g_assert_true (corral_container_of_process (f->core, tids[i], &path, &group, &everywhere,
                                                    NULL));
        g_assert_true (everywhere);
        if (apart && i == 2 && path != NULL && g_str_has_suffix (path, "/fast"))
            return;
        if (i == 0)
            wanted = g_steal_pointer (&group);
        else
            g_assert_cmpstr (group, ==, wanted);
        check_role (f, vm, tids[i], roles[i]);
    }
}

typedef enum {
    VM_NONE,
    VM_KNOWN, /* before the change */
    VM_NEW,   /* that it comes is the change */
    VM_HOME,  /* known; of libvirt, with its group in "/home" */
    VM_APART, /* known; its vCPU 1 may be in "/fast" */
} WithVm;

typedef struct {
    const char *name;
    void (*prepare) (Fixture *f);
    Change change;
    WithVm with_vm;
} Case;

/* Returns: whether the change was killed */
static gboolean
kill_at (const Case *at, Fixture *f, guint step)
{
    g_autofree char *home = NULL;
    FakeVm *vm = NULL;
    gboolean killed;
    int status = 0;
    pid_t child;

    at->prepare (f);
    fixture_stop (f);
    if (at->with_vm != VM_NONE)
        vm = fixture_vm (f, 2);
    if (at->with_vm == VM_HOME)
        home = fixture_libvirt_group (f, "/home", vm);
    child = fork ();
    g_assert_cmpint (child, >=, 0);
    if (child == 0)
        child_main (f, at->change, at->with_vm != VM_NONE && at->with_vm != VM_NEW, home);
    killed = run_until (child, step, &status);
    if (!killed)
        g_assert_cmpint (status, ==, 0);
    fixture_start (f);
    if (vm != NULL)
        report (f, home);
    check_whole (f);
    if (vm != NULL)
        check_together (f, vm, at->with_vm == VM_APART);
    return killed;
}

static void
test_kill (gconstpointer data)
{
    gboolean killed = TRUE;
    guint step;

    for (step = 1; killed; step++) {
        Fixture f = { NULL };
        gboolean usable;

        g_assert_cmpuint (step, <, STEPS_MAX);
        fixture_set_up (&f, NULL);
        usable = f.core != NULL;
        if (usable && ((const Case *) data)->with_vm == VM_APART &&
            (corral_container_core_features (f.core) & CORRAL_FEATURE_THREAD_ANYWHERE) == 0) {
            g_test_skip ("cgroup v2 lets no vCPU go there");
            usable = FALSE;
        }
        if (usable)
            killed = kill_at (data, &f, step);
        fixture_tear_down (&f, NULL);
        if (!usable)
            return;
    }
    g_test_message ("%u steps", step - 2);
    g_assert_cmpuint (step, >, 3);
}

/* --- the changes --- */

static void
prepare_nothing (Fixture *f)
{
}

static void
prepare_defined (Fixture *f)
{
    fixture_define (f, "outer", "/outer", "<cputune><shares>512</shares></cputune>");
    fixture_define (f, "a", "/outer/a",
                    "<cputune><shares>256</shares><period>100000</period><quota>50000</quota>"
                    "</cputune>");
}

static void
prepare_active (Fixture *f)
{
    prepare_defined (f);
    fixture_start_container (f, "a");
}

static gboolean
change_define (Fixture *f, GError **error)
{
    g_autoptr (CorralDefinition) definition = fixture_definition (f, "a", "/a", "");
    const CorralContainer *container;

    return corral_agent_define (f->agent, definition, &container, error) &&
           corral_agent_set_autostart (f->agent, "a", TRUE, error);
}

static gboolean
change_start (Fixture *f, GError **error)
{
    return corral_agent_start_container (f->agent, "a", error);
}

static gboolean
change_create (Fixture *f, GError **error)
{
    g_autoptr (CorralDefinition) definition =
        fixture_definition (f, "t", "/t", "<cputune><shares>256</shares></cputune>");
    const CorralContainer *container;

    return corral_agent_create (f->agent, definition, &container, error);
}

static gboolean
change_destroy (Fixture *f, GError **error)
{
    return corral_agent_destroy (f->agent, "a", error);
}

static gboolean
change_undefine (Fixture *f, GError **error)
{
    return corral_agent_undefine (f->agent, "a", error);
}

static gboolean
change_tune (Fixture *f, GError **error)
{
    CorralCpuTune tune = { 300, 50000, 20000, -1 };

    return corral_agent_set_tune (f->agent, "a", &tune, CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG,
                                  error);
}

static gboolean
change_attach (Fixture *f, GError **error)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "web", -1 };

    return corral_agent_attach (f->agent, "a", &member, CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG,
                                error);
}

static gboolean
change_detach (Fixture *f, GError **error)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "web", -1 };

    return corral_agent_detach (f->agent, "a", &member, CORRAL_AFFECT_LIVE, error);
}

static void
prepare_claimed (Fixture *f)
{
    fixture_define_and_start (f, "outer", "/outer", "");
    fixture_define_and_start (f, "a", "/outer/a",
                              "<devices><member type='vm' name='web'/></devices>");
}

static gboolean
change_add (Fixture *f, GError **error)
{
    report (f, NULL);
    return TRUE;
}

static void
prepare_home (Fixture *f)
{
    fixture_define_and_start (f, "home", "/home", "");
    prepare_active (f);
}

static gboolean
change_there_and_back (Fixture *f, GError **error)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "web", -1 };

    return change_attach (f, error) &&
           corral_agent_detach (f->agent, "a", &member, CORRAL_AFFECT_LIVE, error);
}

static void
prepare_fast (Fixture *f)
{
    fixture_define_and_start (f, "fast", "/fast", "");
    prepare_claimed (f);
}

static gboolean
change_vcpu (Fixture *f, GError **error)
{
    CorralMemberDef member = { CORRAL_MEMBER_VCPU, (char *) "web", 1 };

    return corral_agent_attach (f->agent, "fast", &member, CORRAL_AFFECT_LIVE, error) &&
           corral_agent_detach (f->agent, "fast", &member, CORRAL_AFFECT_LIVE, error);
}

static const Case cases[] = {
    { "define", prepare_nothing, change_define, VM_NONE },
    { "start", prepare_defined, change_start, VM_NONE },
    { "create", prepare_nothing, change_create, VM_NONE },
    { "destroy", prepare_active, change_destroy, VM_NONE },
    { "undefine", prepare_active, change_undefine, VM_NONE },
    { "tune", prepare_active, change_tune, VM_NONE },
    { "attach", prepare_active, change_attach, VM_KNOWN },
    { "detach", prepare_claimed, change_detach, VM_KNOWN },
    { "claim", prepare_claimed, change_add, VM_NEW },
    { "there-and-back", prepare_home, change_there_and_back, VM_HOME },
    { "vcpu", prepare_fast, change_vcpu, VM_APART },
};

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *path = g_strconcat ("/kill/", cases[i].name, NULL);

        g_test_add_data_func (path, &cases[i], test_kill);
    }
    return g_test_run ();
}
