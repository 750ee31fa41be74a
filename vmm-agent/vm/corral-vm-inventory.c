/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inventory proper: checks what the sources say against the kernel, and tells what changed.
 *
 * The kernel is believed over everybody. A VM is there while its process is, whatever libvirtd says
 * or does not say: the end of a process comes from a pidfd. Threads are told apart by the vcpuN and
 * iothreadN directories they sit in (libvirt puts a vCPU there before it says that there is one);
 * only if those name no vCPU (libvirt without cgroups, a VM outside libvirt, or one moved as a
 * whole) is the source's own list used: libvirt's status, or what QEMU says over QMP. For a VM of
 * QMP it is the other way round, since nobody but we sorts its threads into directories. Either way
 * a thread counts only while /proc/PID/task has it alive, and libvirt is known to list vCPUs that
 * have ended.
 *
 * Which threads those are that run vCPUs KVM knows best: where the kernel says so (kvm.vms), no
 * other is taken for one, such as a thread of KVM's own that was born in a vcpuN directory, and
 * none is missed while QEMU does not answer. Its numbers are the sources' all the same. */
#include "vmm-agent/container/container-path.h"
#include "vmm-agent/vm/corral-vm-source.h"

#include <string.h>

typedef struct {
    CorralVm vm; /* the first member: a CorralVm of ours is its Entry */
    GArray *claims;
    guint end_watch;
    GHashTable *thread_watches; /* tid -> id of the watch, or 0 */
} Entry;

struct _CorralVmInventory {
    GObject parent_instance;

    CorralContainerCore *core;
    char *libvirt_uri;
    char *libvirt_state_dir;
    GHashTable *qmp_sockets;

    GHashTable *entries; /* name -> Entry */
    CorralVmEnds *ends;
    CorralVmNotify *notify;
    CorralVmLibvirt *libvirt;
    GHashTable *qmps; /* name -> CorralVmQmp */
    guint unread;     /* sources that have not been read yet */
    gboolean settled;
};

G_DEFINE_FINAL_TYPE (CorralVmInventory, corral_vm_inventory, G_TYPE_OBJECT)

enum { ADDED, CHANGED, TOUCHED, REMOVED, SETTLED, METADATA, N_SIGNALS };
static guint signals[N_SIGNALS];

static void
entry_free (gpointer data)
{
    Entry *entry = data;

    g_free (entry->vm.name);
    g_free (entry->vm.partition);
    g_free (entry->vm.home_group);
    g_clear_pointer (&entry->vm.threads, g_array_unref);
    g_clear_pointer (&entry->vm.pins, g_ptr_array_unref);
    g_clear_pointer (&entry->vm.emulator_pin, hwloc_bitmap_free);
    g_clear_pointer (&entry->vm.iothread_pins, g_ptr_array_unref);
    g_clear_pointer (&entry->vm.any_pin, hwloc_bitmap_free);
    g_clear_pointer (&entry->claims, g_array_unref);
    g_clear_pointer (&entry->thread_watches, g_hash_table_unref);
    g_free (entry);
}

/* --- threads --- */

static gint
compare_threads (gconstpointer a, gconstpointer b)
{
    const CorralThread *first = a, *second = b;

    if (first->role != second->role)
        return first->role < second->role ? -1 : 1;
    return first->index < second->index ? -1 : first->index > second->index;
}

static gboolean
threads_equal (const GArray *a, const GArray *b)
{
    if (a->len != b->len)
        return FALSE;
    for (guint i = 0; i < a->len; i++) {
        const CorralThread *first = &g_array_index (a, CorralThread, i);
        const CorralThread *second = &g_array_index (b, CorralThread, i);

        if (first->tid != second->tid || first->role != second->role ||
            first->index != second->index)
            return FALSE;
    }
    return TRUE;
}

/* The threads of one VM as they are read */
typedef struct {
    GArray *threads; /* of CorralThread: those found */
    pid_t pid;
    GArray *kvm; /* (nullable): of CorralKvmVcpu */
    gboolean kvm_complete;
} Reading;

static gboolean
is_run_by_kvm (const Reading *reading, pid_t tid)
{
    for (guint i = 0; i < reading->kvm->len; i++)
        if (g_array_index (reading->kvm, CorralKvmVcpu, i).tid == tid)
            return TRUE;
    return FALSE;
}

static gboolean
cannot_be (const Reading *reading, const CorralThread *thread)
{
    return thread->role == CORRAL_THREAD_EMULATOR ||
           (thread->role == CORRAL_THREAD_VCPU && reading->kvm != NULL && reading->kvm_complete &&
            !is_run_by_kvm (reading, thread->tid));
}

/* Adds those of @more that are alive and not there yet, by thread or by role and index. */
static void
add_threads (const Reading *reading, const GArray *more)
{
    GArray *threads = reading->threads;

    for (guint i = 0; more != NULL && i < more->len; i++) {
        const CorralThread *thread = &g_array_index (more, CorralThread, i);
        gboolean known = cannot_be (reading, thread);

        for (guint j = 0; j < threads->len && !known; j++) {
            const CorralThread *other = &g_array_index (threads, CorralThread, j);

            known = other->tid == thread->tid || compare_threads (other, thread) == 0;
        }
        if (!known && corral_vm_process_has_thread (reading->pid, thread->tid))
            g_array_append_val (threads, *thread);
    }
}

static void
add_group_threads (CorralVmInventory *inventory, const Reading *reading, const char *group)
{
    g_autoptr (GArray) found = NULL;

    if (group != NULL && corral_container_group_threads (inventory->core, group, &found, NULL))
        add_threads (reading, found);
}

static gboolean
has_number (const GArray *threads, int index)
{
    for (guint i = 0; i < threads->len; i++) {
        const CorralThread *thread = &g_array_index (threads, CorralThread, i);

        if (thread->role == CORRAL_THREAD_VCPU && thread->index == index)
            return TRUE;
    }
    return FALSE;
}

/* vCPUs that nobody but KVM has told of. Until somebody does, KVM's id stands for the number, which
 * it mostly is, or if another has that, the first that is free. */
static void
add_kvm_threads (const Reading *reading)
{
    for (guint i = 0; reading->kvm != NULL && i < reading->kvm->len; i++) {
        const CorralKvmVcpu *vcpu = &g_array_index (reading->kvm, CorralKvmVcpu, i);
        CorralThread thread = { vcpu->tid, CORRAL_THREAD_VCPU, vcpu->id };
        gboolean known = FALSE;

        for (guint j = 0; j < reading->threads->len && !known; j++)
            known = g_array_index (reading->threads, CorralThread, j).tid == vcpu->tid;
        if (known || !corral_vm_process_has_thread (reading->pid, vcpu->tid))
            continue;
        if (has_number (reading->threads, thread.index))
            for (thread.index = 0; has_number (reading->threads, thread.index); thread.index++)
                ;
        g_array_append_val (reading->threads, thread);
    }
}

static gboolean
has_vcpu (const GArray *threads)
{
    for (guint i = 0; i < threads->len; i++)
        if (g_array_index (threads, CorralThread, i).role == CORRAL_THREAD_VCPU)
            return TRUE;
    return FALSE;
}

char *
corral_vm_inventory_group_of (CorralVmInventory *inventory, pid_t pid)
{
    g_autofree char *path = NULL;
    char *group = NULL;

    if (!corral_container_of_process (inventory->core, pid, &path, &group, NULL, NULL))
        return NULL;
    return group;
}

/* The group that the VM is in comes first. libvirt plugs a new vCPU into the group that it made,
 * even if the VM has been moved away from there; on v2 the kernel refuses that, and only libvirt's
 * own list tells which thread it is. */
static GArray *
read_threads (CorralVmInventory *inventory, const Entry *entry)
{
    GArray *threads = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    g_autofree char *group = NULL;
    g_autoptr (GArray) kvm = NULL;
    CorralVmProcess process = { entry->vm.pid, entry->vm.start_time };
    Reading reading = { threads, process.pid, NULL, FALSE };

    if (!corral_vm_process_is_alive (&process))
        return threads;
    if (corral_container_get_kvm_vcpus (inventory->core, process.pid, &kvm, &reading.kvm_complete))
        reading.kvm = kvm;
    if (entry->vm.source == CORRAL_VM_QMP)
        add_threads (&reading, entry->claims);
    if (!has_vcpu (threads)) {
        group = corral_vm_inventory_group_of (inventory, process.pid);
        add_group_threads (inventory, &reading, group);
        if (g_strcmp0 (group, entry->vm.home_group) != 0)
            add_group_threads (inventory, &reading, entry->vm.home_group);
    }
    add_threads (&reading, entry->claims);
    add_kvm_threads (&reading);
    g_array_sort (threads, compare_threads);
    return threads;
}

/* A vCPU that is unplugged ends with no word from anybody, so each is watched. Where the kernel
 * cannot do that, its end shows when the threads are next read. */
static void
watch_threads (CorralVmInventory *inventory, Entry *entry)
{
    g_autoptr (GHashTable) watches = g_hash_table_new (NULL, NULL);
    GHashTableIter iter;
    gpointer tid, id;

    for (guint i = 0; i < entry->vm.threads->len; i++) {
        const CorralThread *thread = &g_array_index (entry->vm.threads, CorralThread, i);

        tid = GINT_TO_POINTER (thread->tid);
        if (!g_hash_table_steal_extended (entry->thread_watches, tid, NULL, &id) || id == NULL)
            id = GUINT_TO_POINTER (corral_vm_ends_watch (inventory->ends, entry->vm.pid,
                                                         thread->tid));
        g_hash_table_insert (watches, tid, id);
    }
    g_hash_table_iter_init (&iter, entry->thread_watches);
    while (g_hash_table_iter_next (&iter, NULL, &id))
        corral_vm_ends_unwatch (inventory->ends, GPOINTER_TO_UINT (id));
    g_hash_table_unref (entry->thread_watches);
    entry->thread_watches = g_steal_pointer (&watches);
}

static gboolean
update_threads (CorralVmInventory *inventory, Entry *entry)
{
    g_autoptr (GArray) threads = read_threads (inventory, entry);

    if (entry->vm.threads != NULL && threads_equal (threads, entry->vm.threads))
        return FALSE;
    g_clear_pointer (&entry->vm.threads, g_array_unref);
    entry->vm.threads = g_steal_pointer (&threads);
    watch_threads (inventory, entry);
    return TRUE;
}

/* --- VMs --- */

gboolean
corral_vm_inventory_is_group_of_ours (const char *group)
{
    g_autofree char *name = g_path_get_basename (group);

    return corral_container_is_own_group (name);
}

/* The group that the VM is in when it is first seen is its home, unless that is one of ours: then
 * corrald was restarted with the VM moved, and its home is where the source would have put it. */
static char *
find_home (CorralVmInventory *inventory, const CorralVmFacts *facts)
{
    g_autofree char *group = corral_vm_inventory_group_of (inventory, facts->process.pid);

    if (group != NULL && !corral_vm_inventory_is_group_of_ours (group))
        return g_steal_pointer (&group);
    if (group != NULL && facts->home_group != NULL &&
        corral_container_group_exists (inventory->core, facts->home_group))
        return g_strdup (facts->home_group);
    return NULL;
}

static void
offer_again (CorralVmInventory *inventory, const char *name)
{
    CorralVmQmp *qmp = g_hash_table_lookup (inventory->qmps, name);

    if (inventory->libvirt != NULL)
        corral_vm_libvirt_offer (inventory->libvirt, name);
    if (qmp != NULL)
        corral_vm_qmp_offer (qmp);
}

static void
remove_entry (CorralVmInventory *inventory, Entry *entry)
{
    GHashTableIter iter;
    gpointer id;

    g_hash_table_steal (inventory->entries, entry->vm.name);
    corral_vm_ends_unwatch (inventory->ends, entry->end_watch);
    g_hash_table_iter_init (&iter, entry->thread_watches);
    while (g_hash_table_iter_next (&iter, NULL, &id))
        corral_vm_ends_unwatch (inventory->ends, GPOINTER_TO_UINT (id));
    g_signal_emit (inventory, signals[REMOVED], 0, &entry->vm);
    entry_free (entry);
}

/* Who has it planned needs them when it is not planned any more: they are no change now. */
static void
take_pins (Entry *entry, const CorralVmFacts *facts)
{
    g_clear_pointer (&entry->vm.pins, g_ptr_array_unref);
    g_clear_pointer (&entry->vm.emulator_pin, hwloc_bitmap_free);
    entry->vm.pins = facts->pins != NULL ? g_ptr_array_ref (facts->pins) : NULL;
    entry->vm.emulator_pin =
        facts->emulator_pin != NULL ? hwloc_bitmap_dup (facts->emulator_pin) : NULL;
    g_clear_pointer (&entry->vm.iothread_pins, g_ptr_array_unref);
    g_clear_pointer (&entry->vm.any_pin, hwloc_bitmap_free);
    entry->vm.iothread_pins =
        facts->iothread_pins != NULL ? g_ptr_array_ref (facts->iothread_pins) : NULL;
    entry->vm.any_pin = facts->any_pin != NULL ? hwloc_bitmap_dup (facts->any_pin) : NULL;
}

static void
add_entry (CorralVmInventory *inventory, const CorralVmFacts *facts)
{
    Entry *entry = g_new0 (Entry, 1);

    entry->vm.name = g_strdup (facts->name);
    memcpy (entry->vm.uuid, facts->uuid, sizeof entry->vm.uuid);
    entry->vm.source = facts->source;
    entry->vm.state = facts->state;
    entry->vm.pid = facts->process.pid;
    entry->vm.start_time = facts->process.start_time;
    entry->vm.partition = g_strdup (facts->partition);
    entry->vm.wishes = facts->wishes;
    entry->vm.wish = facts->wish;
    take_pins (entry, facts);
    entry->claims = facts->threads != NULL ? g_array_copy ((GArray *) facts->threads) : NULL;
    entry->thread_watches = g_hash_table_new (NULL, NULL);
    entry->end_watch = corral_vm_ends_watch (inventory->ends, entry->vm.pid, 0);
    /* The number is looked at once more now that the watch holds on to whatever has it. */
    if (!corral_vm_process_is_alive (&facts->process)) {
        corral_vm_ends_unwatch (inventory->ends, entry->end_watch);
        entry_free (entry);
        return;
    }
    entry->vm.home_group = find_home (inventory, facts);
    g_hash_table_insert (inventory->entries, entry->vm.name, entry);
    update_threads (inventory, entry);
    g_signal_emit (inventory, signals[ADDED], 0, &entry->vm);
}

static gboolean
update_entry (CorralVmInventory *inventory, Entry *entry, const CorralVmFacts *facts)
{
    gboolean changed = FALSE;

    take_pins (entry, facts);
    g_clear_pointer (&entry->claims, g_array_unref);
    entry->claims = facts->threads != NULL ? g_array_copy ((GArray *) facts->threads) : NULL;
    if (memcmp (entry->vm.uuid, facts->uuid, sizeof entry->vm.uuid) != 0) {
        memcpy (entry->vm.uuid, facts->uuid, sizeof entry->vm.uuid);
        changed = TRUE;
    }
    if (entry->vm.state != facts->state) {
        entry->vm.state = facts->state;
        changed = TRUE;
    }
    if (facts->partition != NULL && g_strcmp0 (entry->vm.partition, facts->partition) != 0) {
        g_free (entry->vm.partition);
        entry->vm.partition = g_strdup (facts->partition);
        changed = TRUE;
    }
    if (entry->vm.wishes != facts->wishes || entry->vm.wish.smt != facts->wish.smt ||
        entry->vm.wish.numa != facts->wish.numa ||
        entry->vm.wish.emulator != facts->wish.emulator) {
        entry->vm.wishes = facts->wishes;
        entry->vm.wish = facts->wish;
        changed = TRUE;
    }
    /* The VM may have been in no group yet when it was added. */
    if (entry->vm.home_group == NULL) {
        entry->vm.home_group = find_home (inventory, facts);
        changed |= entry->vm.home_group != NULL;
    }
    return update_threads (inventory, entry) || changed;
}

void
corral_vm_inventory_put (CorralVmInventory *inventory, const CorralVmFacts *facts)
{
    Entry *entry = g_hash_table_lookup (inventory->entries, facts->name);

    if (entry != NULL && entry->vm.source == facts->source && entry->vm.pid == facts->process.pid &&
        entry->vm.start_time == facts->process.start_time) {
        g_signal_emit (inventory,
                       signals[update_entry (inventory, entry, facts) ? CHANGED : TOUCHED], 0,
                       &entry->vm);
        return;
    }
    if (entry != NULL) {
        CorralVmProcess process = { entry->vm.pid, entry->vm.start_time };

        if (entry->vm.source != facts->source && !corral_vm_process_has_ended (&process))
            return;
        remove_entry (inventory, entry);
    }
    add_entry (inventory, facts);
}

void
corral_vm_inventory_check (CorralVmInventory *inventory, const char *name)
{
    Entry *entry = g_hash_table_lookup (inventory->entries, name);
    CorralVmProcess process;

    if (entry == NULL)
        return;
    process.pid = entry->vm.pid;
    process.start_time = entry->vm.start_time;
    if (!corral_vm_process_has_ended (&process))
        return;
    remove_entry (inventory, entry);
    offer_again (inventory, name);
}

/* One process may have two names: where the settings give the socket of one of libvirt's VMs
 * another. (transfer full): of names */
static GPtrArray *
names_of (CorralVmInventory *inventory, pid_t pid)
{
    GPtrArray *names = g_ptr_array_new_with_free_func (g_free);
    GHashTableIter iter;
    gpointer entry;

    g_hash_table_iter_init (&iter, inventory->entries);
    while (g_hash_table_iter_next (&iter, NULL, &entry))
        if (((Entry *) entry)->vm.pid == pid)
            g_ptr_array_add (names, g_strdup (((Entry *) entry)->vm.name));
    return names;
}

/* When a process ends, its threads may be reported before it is: then it stays until its own end is
 * reported. Whoever is told of that finds its groups empty. */
static void
end_entry (CorralVmInventory *inventory, const char *name, pid_t pid, pid_t tid)
{
    Entry *entry = g_hash_table_lookup (inventory->entries, name);
    CorralVmProcess process;

    if (entry == NULL || entry->vm.pid != pid)
        return;
    process.pid = pid;
    process.start_time = entry->vm.start_time;
    if (tid != 0 && corral_vm_process_is_alive (&process)) {
        g_hash_table_remove (entry->thread_watches, GINT_TO_POINTER (tid));
        if (update_threads (inventory, entry))
            g_signal_emit (inventory, signals[CHANGED], 0, &entry->vm);
        return;
    }
    if (tid != 0 && entry->end_watch != 0 && !corral_vm_process_has_ended (&process))
        return;
    remove_entry (inventory, entry);
    offer_again (inventory, name);
}

static void
on_end (pid_t pid, pid_t tid, gpointer data)
{
    CorralVmInventory *inventory = CORRAL_VM_INVENTORY (data);
    g_autoptr (GPtrArray) names = names_of (inventory, pid);

    for (guint i = 0; i < names->len; i++)
        end_entry (inventory, g_ptr_array_index (names, i), pid, tid);
}

void
corral_vm_inventory_metadata (CorralVmInventory *inventory, const char *name, const char *uri)
{
    g_signal_emit (inventory, signals[METADATA], 0, name, uri);
}

void
corral_vm_inventory_source_read (CorralVmInventory *inventory)
{
    g_return_if_fail (inventory->unread > 0);
    if (--inventory->unread == 0) {
        inventory->settled = TRUE;
        g_signal_emit (inventory, signals[SETTLED], 0);
    }
}

/* --- the object --- */

static void
corral_vm_inventory_dispose (GObject *object)
{
    CorralVmInventory *inventory = CORRAL_VM_INVENTORY (object);

    g_clear_pointer (&inventory->libvirt, corral_vm_libvirt_free);
    g_clear_pointer (&inventory->qmps, g_hash_table_unref);
    g_clear_pointer (&inventory->notify, corral_vm_notify_free);
    g_clear_pointer (&inventory->ends, corral_vm_ends_free);
    g_clear_pointer (&inventory->entries, g_hash_table_unref);
    g_clear_object (&inventory->core);
    G_OBJECT_CLASS (corral_vm_inventory_parent_class)->dispose (object);
}

static void
corral_vm_inventory_finalize (GObject *object)
{
    CorralVmInventory *inventory = CORRAL_VM_INVENTORY (object);

    g_free (inventory->libvirt_uri);
    g_free (inventory->libvirt_state_dir);
    g_clear_pointer (&inventory->qmp_sockets, g_hash_table_unref);
    G_OBJECT_CLASS (corral_vm_inventory_parent_class)->finalize (object);
}

static guint
add_signal (const char *name, guint n_params, GType first, GType second)
{
    return g_signal_new (name, CORRAL_TYPE_VM_INVENTORY, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                         G_TYPE_NONE, n_params, first, second);
}

static void
corral_vm_inventory_class_init (CorralVmInventoryClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS (klass);

    object_class->dispose = corral_vm_inventory_dispose;
    object_class->finalize = corral_vm_inventory_finalize;
    signals[ADDED] = add_signal ("vm-added", 1, G_TYPE_POINTER, 0);
    signals[CHANGED] = add_signal ("vm-changed", 1, G_TYPE_POINTER, 0);
    signals[TOUCHED] = add_signal ("vm-touched", 1, G_TYPE_POINTER, 0);
    signals[REMOVED] = add_signal ("vm-removed", 1, G_TYPE_POINTER, 0);
    signals[SETTLED] = add_signal ("settled", 0, 0, 0);
    signals[METADATA] = add_signal ("vm-metadata", 2, G_TYPE_STRING, G_TYPE_STRING);
}

static void
corral_vm_inventory_init (CorralVmInventory *inventory)
{
    inventory->entries = g_hash_table_new_full (g_str_hash, g_str_equal, NULL, entry_free);
    inventory->qmps = g_hash_table_new_full (g_str_hash, g_str_equal, g_free,
                                             (GDestroyNotify) corral_vm_qmp_free);
    inventory->qmp_sockets = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
}

CorralVmInventory *
corral_vm_inventory_new (CorralContainerCore *core, const CorralVmSettings *settings)
{
    CorralVmInventory *inventory = g_object_new (CORRAL_TYPE_VM_INVENTORY, NULL);
    GHashTableIter iter;
    gpointer name, path;

    inventory->core = g_object_ref (core);
    inventory->libvirt_uri = g_strdup (settings->libvirt_uri);
    inventory->libvirt_state_dir = g_strdup (settings->libvirt_state_dir);
    if (settings->qmp_sockets != NULL) {
        g_hash_table_iter_init (&iter, settings->qmp_sockets);
        while (g_hash_table_iter_next (&iter, &name, &path))
            g_hash_table_insert (inventory->qmp_sockets, g_strdup (name), g_strdup (path));
    }
    return inventory;
}

static gboolean
no_source (gpointer data)
{
    corral_vm_inventory_source_read (CORRAL_VM_INVENTORY (data));
    return G_SOURCE_REMOVE;
}

void
corral_vm_inventory_start (CorralVmInventory *inventory)
{
    GHashTableIter iter;
    gpointer name, path;

    g_return_if_fail (inventory->ends == NULL);
    inventory->ends = corral_vm_ends_new (on_end, inventory);
    inventory->notify = corral_vm_notify_new ();
    inventory->unread = g_hash_table_size (inventory->qmp_sockets);
    if (inventory->libvirt_uri != NULL) {
        inventory->unread++;
        inventory->libvirt =
            corral_vm_libvirt_new (inventory, inventory->notify, inventory->libvirt_uri,
                                   inventory->libvirt_state_dir);
    }
    g_hash_table_iter_init (&iter, inventory->qmp_sockets);
    while (g_hash_table_iter_next (&iter, &name, &path))
        g_hash_table_insert (inventory->qmps, g_strdup (name),
                             corral_vm_qmp_new (inventory, inventory->notify, name, path));
    if (inventory->unread == 0) {
        g_autoptr (GSource) idle = g_idle_source_new ();

        inventory->unread = 1;
        g_source_set_callback (idle, no_source, g_object_ref (inventory), g_object_unref);
        g_source_attach (idle, g_main_context_get_thread_default ());
    }
}

gboolean
corral_vm_inventory_is_settled (CorralVmInventory *inventory)
{
    return inventory->settled;
}

gboolean
corral_vm_inventory_is_connected (CorralVmInventory *inventory, char **ret_reason)
{
    if (inventory->libvirt != NULL)
        return corral_vm_libvirt_is_connected (inventory->libvirt, ret_reason);
    *ret_reason = g_strdup (inventory->libvirt_uri == NULL ? "the settings name no libvirt"
                                                           : "not started yet");
    return FALSE;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
    const CorralVm *const *first = a, *const *second = b;

    return strcmp ((*first)->name, (*second)->name);
}

GPtrArray *
corral_vm_inventory_list (CorralVmInventory *inventory)
{
    GPtrArray *list = g_ptr_array_new ();
    GHashTableIter iter;
    gpointer entry;

    g_hash_table_iter_init (&iter, inventory->entries);
    while (g_hash_table_iter_next (&iter, NULL, &entry))
        g_ptr_array_add (list, &((Entry *) entry)->vm);
    g_ptr_array_sort (list, compare_names);
    return list;
}

const CorralVm *
corral_vm_inventory_lookup (CorralVmInventory *inventory, const char *name)
{
    Entry *entry = g_hash_table_lookup (inventory->entries, name);

    return entry != NULL ? &entry->vm : NULL;
}

void
corral_vm_inventory_refresh_threads (CorralVmInventory *inventory, const char *name)
{
    Entry *entry = g_hash_table_lookup (inventory->entries, name);
    CorralVmQmp *qmp = g_hash_table_lookup (inventory->qmps, name);

    if (entry == NULL)
        return;
    if (entry->vm.source == CORRAL_VM_QMP && qmp != NULL)
        corral_vm_qmp_refresh (qmp);
    if (update_threads (inventory, entry))
        g_signal_emit (inventory, signals[CHANGED], 0, &entry->vm);
}
