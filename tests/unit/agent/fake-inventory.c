/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/fake-inventory.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_USEC (20 * G_USEC_PER_SEC)

/* --- a process that stands for a VM --- */

struct FakeVmShared {
    int wanted;
    int tids[FAKE_VM_THREADS_MAX];
    int work_ms[FAKE_VM_THREADS_MAX];
};

static void
nap (void)
{
    struct timespec time = { 0, 1000000 };

    nanosleep (&time, NULL);
}

static gint64
thread_usec (void)
{
    struct timespec time;

    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &time);
    return time.tv_sec * G_USEC_PER_SEC + time.tv_nsec / 1000;
}

typedef struct {
    struct FakeVmShared *shared;
    int index;
} Vcpu;

static void *
vcpu_main (void *data)
{
    Vcpu vcpu = *(Vcpu *) data;

    __atomic_store_n (&vcpu.shared->tids[vcpu.index], (int) syscall (SYS_gettid), __ATOMIC_SEQ_CST);
    for (;;) {
        int ms = __atomic_load_n (&vcpu.shared->work_ms[vcpu.index], __ATOMIC_SEQ_CST);
        gint64 end = thread_usec () + ms * 1000;

        while (ms > 0 && thread_usec () < end)
            ;
        if (ms > 0)
            __atomic_store_n (&vcpu.shared->work_ms[vcpu.index], 0, __ATOMIC_SEQ_CST);
        nap ();
    }
    return NULL;
}

static void
child_main (struct FakeVmShared *shared)
{
    static Vcpu vcpus[FAKE_VM_THREADS_MAX];
    int n = 0;

    prctl (PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        while (n < __atomic_load_n (&shared->wanted, __ATOMIC_SEQ_CST)) {
            pthread_t thread;

            vcpus[n] = (Vcpu){ shared, n };
            if (pthread_create (&thread, NULL, vcpu_main, &vcpus[n]) != 0)
                _exit (1);
            n++;
        }
        nap ();
    }
}

static void
wait_for (int *value, gboolean zero)
{
    gint64 deadline = g_get_monotonic_time () + DEADLINE_USEC;

    while ((__atomic_load_n (value, __ATOMIC_SEQ_CST) == 0) != zero) {
        g_assert_cmpint (g_get_monotonic_time (), <, deadline);
        nap ();
    }
}

FakeVm *
fake_vm_start (guint n_vcpus)
{
    FakeVm *vm = g_new0 (FakeVm, 1);

    vm->shared =
        mmap (NULL, sizeof *vm->shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true (vm->shared != MAP_FAILED);
    vm->pid = fork ();
    g_assert_cmpint (vm->pid, >=, 0);
    if (vm->pid == 0)
        child_main (vm->shared);
    for (guint i = 0; i < n_vcpus; i++)
        fake_vm_plug (vm);
    return vm;
}

void
fake_vm_plug (FakeVm *vm)
{
    int n = vm->shared->wanted;

    g_assert_cmpint (n, <, FAKE_VM_THREADS_MAX);
    __atomic_store_n (&vm->shared->wanted, n + 1, __ATOMIC_SEQ_CST);
    wait_for (&vm->shared->tids[n], FALSE);
}

pid_t
fake_vm_tid (FakeVm *vm, guint vcpu)
{
    return vm->shared->tids[vcpu];
}

void
fake_vm_work (FakeVm *vm, guint vcpu, guint ms)
{
    __atomic_store_n (&vm->shared->work_ms[vcpu], (int) ms, __ATOMIC_SEQ_CST);
    wait_for (&vm->shared->work_ms[vcpu], TRUE);
}

void
fake_vm_end (FakeVm *vm)
{
    if (vm == NULL)
        return;
    kill (vm->pid, SIGKILL);
    waitpid (vm->pid, NULL, 0);
    munmap (vm->shared, sizeof *vm->shared);
    g_free (vm);
}

/* --- the inventory --- */

struct _CorralVmInventory {
    GObject parent_instance;
    GPtrArray *vms; /* of CorralVm, sorted by name */
    gboolean settled;
};

G_DEFINE_FINAL_TYPE (CorralVmInventory, corral_vm_inventory, G_TYPE_OBJECT)

enum { ADDED, CHANGED, REMOVED, SETTLED, N_SIGNALS };
static guint signals[N_SIGNALS];

static void
vm_free (gpointer data)
{
    CorralVm *vm = data;

    g_free (vm->name);
    g_free (vm->partition);
    g_free (vm->home_group);
    g_array_unref (vm->threads);
    g_free (vm);
}

static void
corral_vm_inventory_init (CorralVmInventory *inventory)
{
    inventory->vms = g_ptr_array_new_with_free_func (vm_free);
}

static void
corral_vm_inventory_finalize (GObject *object)
{
    g_ptr_array_unref (CORRAL_VM_INVENTORY (object)->vms);
    G_OBJECT_CLASS (corral_vm_inventory_parent_class)->finalize (object);
}

static void
corral_vm_inventory_class_init (CorralVmInventoryClass *class)
{
    static const char *const names[] = { "vm-added", "vm-changed", "vm-removed" };

    G_OBJECT_CLASS (class)->finalize = corral_vm_inventory_finalize;
    for (guint i = 0; i < G_N_ELEMENTS (names); i++)
        signals[i] = g_signal_new (names[i], CORRAL_TYPE_VM_INVENTORY, G_SIGNAL_RUN_LAST, 0, NULL,
                                   NULL, NULL, G_TYPE_NONE, 1, G_TYPE_POINTER);
    g_signal_new ("vm-touched", CORRAL_TYPE_VM_INVENTORY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                  G_TYPE_NONE, 1, G_TYPE_POINTER);
    signals[SETTLED] = g_signal_new ("settled", CORRAL_TYPE_VM_INVENTORY, G_SIGNAL_RUN_LAST, 0,
                                     NULL, NULL, NULL, G_TYPE_NONE, 0);
}

CorralVmInventory *
corral_vm_inventory_new (CorralContainerCore *core, const CorralVmSettings *settings)
{
    return g_object_new (CORRAL_TYPE_VM_INVENTORY, NULL);
}

void
corral_vm_inventory_start (CorralVmInventory *inventory)
{
}

gboolean
corral_vm_inventory_is_settled (CorralVmInventory *inventory)
{
    return inventory->settled;
}

gboolean
corral_vm_inventory_is_connected (CorralVmInventory *inventory, char **ret_reason)
{
    *ret_reason = NULL;
    return TRUE;
}

GPtrArray *
corral_vm_inventory_list (CorralVmInventory *inventory)
{
    return g_ptr_array_copy (inventory->vms, NULL, NULL);
}

const CorralVm *
corral_vm_inventory_lookup (CorralVmInventory *inventory, const char *name)
{
    for (guint i = 0; i < inventory->vms->len; i++) {
        const CorralVm *vm = g_ptr_array_index (inventory->vms, i);

        if (g_str_equal (vm->name, name))
            return vm;
    }
    return NULL;
}

void
corral_vm_inventory_refresh_threads (CorralVmInventory *inventory, const char *name)
{
}

static void
read_threads (CorralVm *known, FakeVm *vm)
{
    g_array_set_size (known->threads, 0);
    for (int i = 0; i < vm->shared->wanted; i++) {
        CorralThread thread = { vm->shared->tids[i], CORRAL_THREAD_VCPU, i };

        g_array_append_val (known->threads, thread);
    }
}

void
fake_inventory_add (CorralVmInventory *inventory, const char *name, FakeVm *vm,
                    CorralVmSource source, const char *partition, const char *home_group)
{
    CorralVm *known = g_new0 (CorralVm, 1);

    known->name = g_strdup (name);
    known->source = source;
    known->state = CORRAL_VM_RUNNING;
    known->pid = vm->pid;
    known->partition = g_strdup (partition);
    known->home_group = g_strdup (home_group);
    known->threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    read_threads (known, vm);
    g_ptr_array_add (inventory->vms, known);
    g_signal_emit (inventory, signals[ADDED], 0, known);
}

void
fake_inventory_put (CorralVmInventory *inventory, const char *name, pid_t pid, const pid_t *tids,
                    guint n_tids)
{
    CorralVm *known = (CorralVm *) corral_vm_inventory_lookup (inventory, name);
    gboolean fresh = known == NULL;

    if (fresh) {
        known = g_new0 (CorralVm, 1);
        known->name = g_strdup (name);
        known->source = CORRAL_VM_QMP;
        known->state = CORRAL_VM_RUNNING;
        known->pid = pid;
        known->threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
        g_ptr_array_add (inventory->vms, known);
    }
    g_array_set_size (known->threads, 0);
    for (guint i = 0; i < n_tids; i++) {
        CorralThread thread = { tids[i], CORRAL_THREAD_VCPU, (int) i };

        g_array_append_val (known->threads, thread);
    }
    g_signal_emit (inventory, signals[fresh ? ADDED : CHANGED], 0, known);
}

void
fake_inventory_touch (CorralVmInventory *inventory, const char *name)
{
    g_signal_emit_by_name (inventory, "vm-touched", corral_vm_inventory_lookup (inventory, name));
}

void
fake_inventory_change (CorralVmInventory *inventory, const char *name, FakeVm *vm)
{
    CorralVm *known = (CorralVm *) corral_vm_inventory_lookup (inventory, name);

    read_threads (known, vm);
    g_signal_emit (inventory, signals[CHANGED], 0, known);
}

void
fake_inventory_remove (CorralVmInventory *inventory, const char *name)
{
    CorralVm *known = (CorralVm *) corral_vm_inventory_lookup (inventory, name);
    guint index;

    g_assert_true (g_ptr_array_find (inventory->vms, known, &index));
    g_ptr_array_steal_index (inventory->vms, index);
    g_signal_emit (inventory, signals[REMOVED], 0, known);
    vm_free (known);
}

void
fake_inventory_settle (CorralVmInventory *inventory)
{
    inventory->settled = TRUE;
    g_signal_emit (inventory, signals[SETTLED], 0);
}
