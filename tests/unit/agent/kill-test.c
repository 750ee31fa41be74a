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

typedef gboolean (*Change) (Fixture *f, FakeVm *vm, GError **error);

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

static void
child_main (Fixture *f, FakeVm *vm, Change change)
{
    g_autoptr (GError) error = NULL;
    gboolean ok;

    if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit (77);
    g_clear_object (&f->core);
    f->core = corral_container_core_open (-1, &error);
    fixture_start (f);
    if (vm != NULL)
        fake_inventory_add (corral_agent_inventory (f->agent), "web", vm, CORRAL_VM_QMP, NULL,
                            NULL);
    raise (SIGSTOP);
    ok = change (f, vm, &error);
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

/* All threads of the VM are in one container, which is one of those that it may be in. */
static void
check_together (Fixture *f, FakeVm *vm)
{
    g_autofree char *main_place = fixture_place (f, vm->pid, vm->pid);

    for (guint i = 0; i < 2; i++) {
        g_autofree char *place = fixture_place (f, vm->pid, fake_vm_tid (vm, i));

        g_assert_cmpstr (place, ==, main_place);
    }
}

typedef struct {
    void (*prepare) (Fixture *f);
    Change change;
    gboolean with_vm;
} Case;

static void
test_kill (gconstpointer data)
{
    const Case *at = data;
    gboolean killed = TRUE;
    guint step;

    for (step = 1; killed; step++) {
        Fixture f = { NULL };
        FakeVm *vm = NULL;
        int status = 0;
        pid_t child;

        g_assert_cmpuint (step, <, STEPS_MAX);
        fixture_set_up (&f, NULL);
        if (f.core == NULL) {
            fixture_tear_down (&f, NULL);
            return;
        }
        at->prepare (&f);
        fixture_stop (&f);
        if (at->with_vm)
            vm = fixture_vm (&f, 2);
        child = fork ();
        g_assert_cmpint (child, >=, 0);
        if (child == 0)
            child_main (&f, vm, at->change);
        killed = run_until (child, step, &status);
        if (!killed)
            g_assert_cmpint (status, ==, 0);
        fixture_start (&f);
        if (vm != NULL)
            fake_inventory_add (corral_agent_inventory (f.agent), "web", vm, CORRAL_VM_QMP, NULL,
                                NULL);
        check_whole (&f);
        if (vm != NULL)
            check_together (&f, vm);
        fixture_tear_down (&f, NULL);
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
change_define (Fixture *f, FakeVm *vm, GError **error)
{
    g_autoptr (CorralDefinition) definition = fixture_definition (f, "a", "/a", "");
    const CorralContainer *container;

    return corral_agent_define (f->agent, definition, &container, error) &&
           corral_agent_set_autostart (f->agent, "a", TRUE, error);
}

static gboolean
change_start (Fixture *f, FakeVm *vm, GError **error)
{
    return corral_agent_start_container (f->agent, "a", error);
}

static gboolean
change_create (Fixture *f, FakeVm *vm, GError **error)
{
    g_autoptr (CorralDefinition) definition =
        fixture_definition (f, "t", "/t", "<cputune><shares>256</shares></cputune>");
    const CorralContainer *container;

    return corral_agent_create (f->agent, definition, &container, error);
}

static gboolean
change_destroy (Fixture *f, FakeVm *vm, GError **error)
{
    return corral_agent_destroy (f->agent, "a", error);
}

static gboolean
change_undefine (Fixture *f, FakeVm *vm, GError **error)
{
    return corral_agent_undefine (f->agent, "a", error);
}

static gboolean
change_tune (Fixture *f, FakeVm *vm, GError **error)
{
    CorralCpuTune tune = { 300, 50000, 20000, -1 };

    return corral_agent_set_tune (f->agent, "a", &tune, CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG,
                                  error);
}

static gboolean
change_attach (Fixture *f, FakeVm *vm, GError **error)
{
    CorralMemberDef member = { CORRAL_MEMBER_VM, (char *) "web", -1 };

    return corral_agent_attach (f->agent, "a", &member, CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG,
                                error);
}

static gboolean
change_detach (Fixture *f, FakeVm *vm, GError **error)
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

static const Case cases[] = {
    { prepare_nothing, change_define, FALSE },  { prepare_defined, change_start, FALSE },
    { prepare_nothing, change_create, FALSE },  { prepare_active, change_destroy, FALSE },
    { prepare_active, change_undefine, FALSE }, { prepare_active, change_tune, FALSE },
    { prepare_active, change_attach, TRUE },    { prepare_claimed, change_detach, TRUE },
};

static const char *const names[] = { "define",   "start", "create", "destroy",
                                     "undefine", "tune",  "attach", "detach" };

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS (cases); i++) {
        g_autofree char *path = g_strconcat ("/kill/", names[i], NULL);

        g_test_add_data_func (path, &cases[i], test_kill);
    }
    return g_test_run ();
}
