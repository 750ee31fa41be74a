/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which VM is in which container. The kernel says; what is kept here is a copy of its answer, taken
 * when the inventory or the container core reports a change. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

/* Groups come and go in bursts when VMs start; one look serves them all. */
#define LOOK_DELAY_MS 20

/* --- tables --- */

void
corral_agent_vm_free (CorralAgentVm *vm)
{
    g_free (vm->name);
    g_free (vm->path);
    g_free (vm->group);
    g_free (vm->watched_group);
    g_clear_pointer (&vm->helpers, hwloc_bitmap_free);
    g_ptr_array_unref (vm->threads);
    g_free (vm);
}

static int
compare_vms (gconstpointer a, gconstpointer b)
{
    const CorralAgentVm *const *first = a, *const *second = b;

    return strcmp ((*first)->name, (*second)->name);
}

static GPtrArray *
sorted_vms (CorralAgent *agent)
{
    GPtrArray *vms = corral_agent_values (agent->vms);

    g_ptr_array_sort (vms, compare_vms);
    return vms;
}

GPtrArray *
corral_agent_vms_within (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (GPtrArray) vms = sorted_vms (agent);
    GPtrArray *within = g_ptr_array_new ();

    for (guint i = 0; i < vms->len; i++) {
        CorralAgentVm *vm = g_ptr_array_index (vms, i);

        for (CorralAgentEntry *at = vm->inner; at != NULL; at = at->parent)
            if (at == entry)
                g_ptr_array_add (within, vm);
    }
    return within;
}

static void
add_member (GPtrArray *members, CorralMemberType type, const char *name, int vcpu)
{
    CorralMemberDef *member = g_new0 (CorralMemberDef, 1);

    member->type = type;
    member->name = g_strdup (name);
    member->vcpu = vcpu;
    g_ptr_array_add (members, member);
}

static gboolean
is_pattern (const CorralMemberDef *member)
{
    return member->type == CORRAL_MEMBER_VM && strpbrk (member->name, "*?") != NULL;
}

/* Patterns stay as they are wished; a VM or vCPU is listed while it is there. All containers at
 * once: a VM that comes here leaves there. */
void
corral_agent_show_members (CorralAgent *agent)
{
    g_autoptr (GPtrArray) vms = sorted_vms (agent);
    CorralAgentEntry *entry;
    GHashTableIter iter;

    agent->generation++;
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        if (!corral_agent_entry_is_active (entry))
            continue;
        g_ptr_array_set_size (entry->shown.live->members, 0);
        for (guint i = 0; i < entry->stored->members->len; i++) {
            const CorralMemberDef *wish = g_ptr_array_index (entry->stored->members, i);

            if (is_pattern (wish))
                g_ptr_array_add (entry->shown.live->members, corral_member_def_copy (wish));
        }
    }
    for (guint i = 0; i < vms->len; i++) {
        const CorralAgentVm *vm = g_ptr_array_index (vms, i);

        if (vm->inner != NULL)
            add_member (vm->inner->shown.live->members, CORRAL_MEMBER_VM, vm->name, -1);
        for (guint j = 0; j < vm->threads->len; j++) {
            const CorralAgentThread *thread = g_ptr_array_index (vm->threads, j);

            if (thread->apart && thread->inner != NULL)
                add_member (thread->inner->shown.live->members, CORRAL_MEMBER_VCPU, vm->name,
                            thread->vcpu);
        }
    }
}

void
corral_agent_relink (CorralAgent *agent)
{
    GHashTableIter iter;
    CorralAgentEntry *entry;
    CorralAgentVm *vm;

    /* Samples go to the chains as they were, so they come first. */
    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm)) {
        vm->inner = corral_agent_inner (agent, vm->path);
        for (guint i = 0; i < vm->threads->len; i++) {
            CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

            corral_agent_thread_move (agent, thread, corral_agent_inner (agent, thread->path));
        }
    }
    g_hash_table_iter_init (&iter, agent->entries);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &entry)) {
        g_autofree char *above = NULL;

        entry->parent = NULL;
        if (!corral_agent_entry_is_active (entry))
            continue;
        above = g_path_get_dirname (corral_agent_entry_path (entry));
        entry->parent = corral_agent_inner (agent, above);
    }
    corral_agent_show_members (agent);
}

/* --- what the kernel says --- */

static void
describe (const CorralVm *vm, CorralContainerVm *ret_vm)
{
    *ret_vm = (CorralContainerVm){
        .name = vm->name,
        .pid = vm->pid,
        .threads = (const CorralThread *) (gpointer) vm->threads->data,
        .n_threads = vm->threads->len,
    };
}

/* vCPUs that are plugged appear in the group that the VM's source made, also while the VM is
 * elsewhere: that is how we learn of them, at once. */
static void
watch_home (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known)
{
    const char *home = known != NULL ? known->home_group : NULL;
    GError *problem = NULL;

    if (g_strcmp0 (home, vm->watched_group) == 0)
        return;
    if (vm->watched_group != NULL)
        corral_container_unwatch_group (agent->core, vm->watched_group);
    g_clear_pointer (&vm->watched_group, g_free);
    if (home == NULL)
        return;
    if (corral_container_watch_group (agent->core, home, &problem))
        vm->watched_group = g_strdup (home);
    else
        corral_agent_problem (agent, problem, NULL);
}

/* Reads where its main thread is; FALSE when it has ended. */
static gboolean
read_place (CorralAgent *agent, CorralAgentVm *vm, gboolean *ret_everywhere)
{
    g_autofree char *path = NULL, *group = NULL;

    if (!corral_container_of_process (agent->core, vm->pid, &path, &group, ret_everywhere, NULL))
        return FALSE;
    g_free (vm->path);
    g_free (vm->group);
    vm->path = g_steal_pointer (&path);
    vm->group = g_steal_pointer (&group);
    return TRUE;
}

/* A fresh thread's time up to now counts where it is, and not nowhere. */
static void
place_thread (CorralAgent *agent, CorralAgentVm *vm, CorralAgentThread *thread, gboolean fresh)
{
    g_autofree char *path = NULL;
    CorralAgentEntry *inner;

    if (!corral_container_of_thread (agent->core, vm->pid, thread->tid, &path, NULL))
        path = g_strdup (vm->path);
    thread->apart = g_strcmp0 (path, vm->path) != 0;
    g_free (thread->path);
    thread->path = g_steal_pointer (&path);
    inner = corral_agent_inner (agent, thread->path);
    if (fresh)
        thread->inner = inner;
    else
        corral_agent_thread_move (agent, thread, inner);
}

/* Reads where the VM and its vCPUs are, and unless @silent tells who has to know. */
static void
update_place_silently (CorralAgent *agent, CorralAgentVm *vm, gboolean silent)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);
    CorralAgentEntry *before = vm->inner;
    gboolean everywhere;

    if (!read_place (agent, vm, &everywhere))
        return;
    vm->inner = corral_agent_inner (agent, vm->path);
    if (vm->inner != before)
        corral_agent_note_left (agent, vm, before);
    for (guint i = 0; i < vm->threads->len; i++)
        place_thread (agent, vm, g_ptr_array_index (vm->threads, i), FALSE);
    watch_home (agent, vm, known);
    corral_agent_show_members (agent);
    if (vm->inner == before || silent)
        return;
    if (before != NULL)
        corral_agent_emit_simple (agent, before, CORRAL_EVENT_MEMBER_REMOVED, vm->name);
    if (vm->inner != NULL)
        corral_agent_emit_simple (agent, vm->inner, CORRAL_EVENT_MEMBER_ADDED, vm->name);
}

static void
update_place (CorralAgent *agent, CorralAgentVm *vm)
{
    update_place_silently (agent, vm, FALSE);
}

static CorralAgentThread *
find_thread (GPtrArray *threads, int vcpu)
{
    for (guint i = 0; i < threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (threads, i);

        if (thread->vcpu == vcpu)
            return thread;
    }
    return NULL;
}

/* (nullable): taken out of @threads. Its number may be known better by now. */
static CorralAgentThread *
take_thread (GPtrArray *threads, const CorralThread *wanted)
{
    for (guint i = 0; i < threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (threads, i);

        if (thread->tid != wanted->tid)
            continue;
        thread->vcpu = wanted->index;
        return g_ptr_array_steal_index (threads, i);
    }
    return NULL;
}

/* Brings the table of vCPU threads in line with the inventory's.
 * Returns: whether there are new ones */
static gboolean
update_threads (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known, gboolean born_here)
{
    g_autoptr (GPtrArray) old = g_steal_pointer (&vm->threads);
    const gboolean kvm = corral_agent_usage_is_kvm (agent, vm->pid);
    gboolean fresh = FALSE;

    vm->threads = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_agent_thread_free);
    for (guint i = 0; i < known->threads->len; i++) {
        const CorralThread *at = &g_array_index (known->threads, CorralThread, i);
        CorralAgentThread *thread;

        if (at->role != CORRAL_THREAD_VCPU)
            continue;
        thread = take_thread (old, at);
        if (thread == NULL) {
            thread = corral_agent_thread_new (agent, vm->pid, at, born_here);
            place_thread (agent, vm, thread, TRUE);
            fresh = TRUE;
        }
        thread->kvm = kvm;
        g_ptr_array_add (vm->threads, thread);
    }
    for (guint i = 0; i < old->len; i++)
        corral_agent_thread_forget (agent, g_ptr_array_index (old, i));
    return fresh;
}

static void
sample_all (CorralAgent *agent, CorralAgentVm *vm)
{
    for (guint i = 0; i < vm->threads->len; i++)
        corral_agent_thread_sample (agent, g_ptr_array_index (vm->threads, i));
}

/* --- moves --- */

/* Puts vCPUs that are apart from their VM back where they were, after the VM was moved as a whole.
 */
static void
part_again (CorralAgent *agent, CorralAgentVm *vm, const CorralAgentThread *but)
{
    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        GError *problem = NULL;

        if (thread != but && thread->apart && thread->path != NULL &&
            !corral_container_add_thread (agent->core, thread->path, vm->pid, thread->tid,
                                          &problem))
            corral_agent_problem (agent, problem, NULL);
    }
}

/* Moves the whole VM to @path, or brings in what is missing there. */
static gboolean
move_vm (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known, const char *path,
         GError **error)
{
    CorralContainerVm described;

    describe (known, &described);
    sample_all (agent, vm);
    return corral_container_attach (agent->core, path, &described, error);
}

/* The same for a VM that has not asked, which may not fit. Its threads may not be known yet. */
static gboolean
bring_in (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known, const char *path,
          GError **error)
{
    CorralAgentPending newcomer = { vm->name, (char *) path, 0, known->wishes, known->wish, 0 };
    CorralAgentChange change = { .vm = &newcomer };

    for (guint i = 0; i < known->threads->len; i++)
        if (g_array_index (known->threads, CorralThread, i).role == CORRAL_THREAD_VCPU)
            newcomer.n_vcpus++;
    if (vm->threads->len > 0)
        change = (CorralAgentChange){ .moved = vm, .path = path };
    return (newcomer.n_vcpus == 0 || corral_agent_check_change (agent, &change, error)) &&
           move_vm (agent, vm, known, path, error);
}

/* Whose members name the VM best; by container name where two do it equally well. */
static CorralAgentEntry *
best_claim (CorralAgent *agent, const char *name)
{
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);
    CorralAgentEntry *best = NULL;
    guint best_claim = 0;

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);
        guint claim = corral_agent_entry_is_active (entry)
                          ? corral_definition_claims (entry->stored, name)
                          : 0;

        if (claim > best_claim) {
            best = entry;
            best_claim = claim;
        }
    }
    return best;
}

static CorralAgentEntry *
wished_place (CorralAgent *agent, const char *name, int vcpu)
{
    CorralMemberDef wanted = { CORRAL_MEMBER_VCPU, (char *) name, vcpu };
    g_autoptr (GPtrArray) entries = corral_agent_entries (agent);

    for (guint i = 0; i < entries->len; i++) {
        CorralAgentEntry *entry = g_ptr_array_index (entries, i);

        for (guint j = 0; corral_agent_entry_is_active (entry) && j < entry->stored->members->len;
             j++)
            if (corral_member_def_equal (&wanted, g_ptr_array_index (entry->stored->members, j)))
                return entry;
    }
    return NULL;
}

/* vCPUs that a container names one by one */
static void
place_wished_vcpus (CorralAgent *agent, CorralAgentVm *vm)
{
    for (guint i = 0; i < vm->threads->len; i++) {
        const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);
        CorralAgentEntry *entry = wished_place (agent, vm->name, thread->vcpu);
        GError *problem = NULL;

        if (entry == NULL || thread->apart ||
            g_strcmp0 (thread->path, entry->stored->partition) == 0)
            continue;
        if (!corral_container_add_thread (agent->core, entry->stored->partition, vm->pid,
                                          thread->tid, &problem))
            corral_agent_problem (agent, problem, NULL);
    }
}

/* A VM that has just come goes to who claims it. One that is in a container by its partition is
 * brought into those hierarchies of it that its source does not use (v1 cpuacct on a hybrid host).
 * Returns: whether it has been in its container, in every hierarchy, since it was born */
static gboolean
settle_in (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known, gboolean everywhere,
           gboolean on_record)
{
    CorralAgentEntry *claimer = on_record ? NULL : best_claim (agent, vm->name);
    gboolean is_at_home =
        g_strcmp0 (vm->path, known->partition) == 0 && known->source == CORRAL_VM_LIBVIRT;
    GError *problem = NULL;
    guint64 early_ns = 0;

    if (claimer != NULL &&
        (vm->path == NULL || !corral_agent_path_is_within (vm->path, claimer->stored->partition))) {
        if (!bring_in (agent, vm, known, claimer->stored->partition, &problem))
            corral_agent_problem (agent, problem, "a VM does not get where it belongs");
        return FALSE;
    }
    if (everywhere || vm->path == NULL || corral_agent_inner (agent, vm->path) == NULL)
        return is_at_home;
    if (!on_record && !corral_container_counts (agent->core, vm->path, vm->pid))
        early_ns = corral_agent_process_run_ns (agent, vm->pid);
    if (!move_vm (agent, vm, known, vm->path, &problem)) {
        corral_agent_problem (agent, problem, NULL);
        return FALSE;
    }
    if (on_record || !is_at_home)
        return FALSE;
    /* It was born here, if not in the one hierarchy that counts. */
    corral_agent_account_early (agent, corral_agent_inner (agent, vm->path), early_ns);
    return TRUE;
}

void
corral_agent_take_claimed (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (GPtrArray) vms = sorted_vms (agent);

    for (guint i = 0; i < vms->len; i++) {
        CorralAgentVm *vm = g_ptr_array_index (vms, i);
        const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);
        GError *problem = NULL;

        if (known == NULL)
            continue;
        if (best_claim (agent, vm->name) == entry && vm->inner != entry &&
            !(vm->path != NULL &&
              corral_agent_path_is_within (vm->path, entry->stored->partition)) &&
            !bring_in (agent, vm, known, entry->stored->partition, &problem))
            corral_agent_problem (agent, problem, "a VM does not get where it belongs");
        place_wished_vcpus (agent, vm);
        update_place (agent, vm);
    }
}

/* Brings together what belongs together: a vCPU that was plugged is where the VM's source makes it,
 * which need not be where the VM is. What is apart by somebody's wish stays so. @always: even if
 * all vCPUs are there, for the other threads */
static void
gather (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known, gboolean always)
{
    gboolean strays = always;
    GError *problem = NULL;

    for (guint i = 0; i < vm->threads->len; i++) {
        CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

        if (thread->apart && wished_place (agent, vm->name, thread->vcpu) == NULL) {
            thread->apart = FALSE;
            strays = TRUE;
        }
    }
    if (!strays || vm->path == NULL)
        return;
    if (!move_vm (agent, vm, known, vm->path, &problem))
        corral_agent_problem (agent, problem, NULL);
    part_again (agent, vm, NULL);
}

/* A kill of ours in the middle of a move leaves a VM in two places, or its threads in each other's
 * directories. It is completed where cpuset's hierarchy has it, else where another one has. */
static void
mend (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known)
{
    g_autofree char *other = NULL;
    CorralContainerVm described;
    GError *problem = NULL;
    gboolean mended = TRUE;

    describe (known, &described);
    if (!corral_container_is_torn (agent->core, &described, &other))
        return;
    if (corral_agent_inner (agent, vm->path) == NULL && corral_agent_inner (agent, other) != NULL)
        mended = move_vm (agent, vm, known, other, &problem);
    else if (vm->group != NULL && g_strcmp0 (vm->group, known->home_group) == 0)
        mended = corral_container_restore (agent->core, vm->group, &described, &problem);
    else if (vm->path != NULL)
        mended = move_vm (agent, vm, known, vm->path, &problem);
    if (!mended)
        corral_agent_problem (agent, problem, NULL);
    part_again (agent, vm, NULL);
}

static gboolean
is_on_record (CorralAgent *agent, const CorralVm *known)
{
    for (guint i = 0; i < known->threads->len; i++) {
        const CorralThread *at = &g_array_index (known->threads, CorralThread, i);

        if (at->role == CORRAL_THREAD_VCPU &&
            corral_agent_thread_is_on_record (agent, known->pid, at->tid))
            return TRUE;
    }
    return FALSE;
}

/* --- the inventory's signals --- */

static void
on_vm_removed (CorralVmInventory *inventory, const CorralVm *known, CorralAgent *agent)
{
    CorralAgentVm *vm = g_hash_table_lookup (agent->vms, known->name);
    g_autofree char *path = NULL;
    CorralAgentEntry *inner;
    GError *problem = NULL;

    if (vm == NULL)
        return;
    inner = vm->inner;
    for (guint i = 0; i < vm->threads->len; i++)
        corral_agent_thread_forget (agent, g_ptr_array_index (vm->threads, i));
    if (vm->watched_group != NULL)
        corral_container_unwatch_group (agent->core, vm->watched_group);
    path = g_steal_pointer (&vm->path);
    g_hash_table_remove (agent->vms, known->name);
    /* A group of ours goes with its VM; what the VM's source made, its source removes. */
    if (inner != NULL && !corral_container_prune (agent->core, path, &problem))
        corral_agent_problem (agent, problem, NULL);
    corral_agent_show_members (agent);
    corral_agent_replan_soon (agent);
    if (inner != NULL)
        corral_agent_emit_simple (agent, inner, CORRAL_EVENT_MEMBER_REMOVED, known->name);
}

static void
on_vm_added (CorralVmInventory *inventory, const CorralVm *known, CorralAgent *agent)
{
    gboolean on_record = is_on_record (agent, known);
    gboolean everywhere, born_here;
    CorralAgentVm *vm;

    if (g_hash_table_contains (agent->vms, known->name))
        on_vm_removed (inventory, known, agent);
    vm = g_new0 (CorralAgentVm, 1);
    vm->name = g_strdup (known->name);
    vm->pid = known->pid;
    vm->threads = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_agent_thread_free);
    g_hash_table_replace (agent->vms, vm->name, vm);
    if (!read_place (agent, vm, &everywhere))
        return;
    born_here = settle_in (agent, vm, known, everywhere, on_record);
    if (!read_place (agent, vm, &everywhere))
        return;
    /* Only now its threads go on record: after a kill before this, the next start claims it again.
     */
    update_threads (agent, vm, known, born_here);
    mend (agent, vm, known);
    if (on_record)
        gather (agent, vm, known, FALSE);
    place_wished_vcpus (agent, vm);
    /* One on record has joined already, before our restart. */
    update_place_silently (agent, vm, on_record);
    corral_agent_pins_recall (agent, vm);
    corral_agent_usage_look (agent, vm->inner);
    if (vm->threads->len > 0)
        corral_agent_pending_done (agent, vm->name);
    corral_agent_replan_soon (agent);
}

static void
on_vm_changed (CorralVmInventory *inventory, const CorralVm *known, CorralAgent *agent)
{
    CorralAgentVm *vm = g_hash_table_lookup (agent->vms, known->name);
    guint before;

    if (vm == NULL) {
        on_vm_added (inventory, known, agent);
        return;
    }
    before = vm->threads->len;
    if (update_threads (agent, vm, known, TRUE)) {
        /* In a group of ours nobody else gives a new vCPU a directory of its own. */
        gather (agent, vm, known, g_strcmp0 (vm->group, known->home_group) != 0);
        place_wished_vcpus (agent, vm);
    }
    update_place (agent, vm);
    if (before == 0 && vm->threads->len > 0)
        corral_agent_pending_done (agent, vm->name);
    corral_agent_replan_soon (agent);
}

/* Its source has written or said something about it that changed nothing here: a pin, for example.
 */
static void
on_vm_touched (CorralVmInventory *inventory, const CorralVm *known, CorralAgent *agent)
{
    const CorralAgentVm *vm = g_hash_table_lookup (agent->vms, known->name);

    if (vm != NULL && vm->inner != NULL && vm->inner->stored->planned)
        corral_agent_drift_check (agent, vm->inner);
}

static void
on_settled (CorralVmInventory *inventory, CorralAgent *agent)
{
    corral_usage_file_sweep (agent->usage, TRUE);
    corral_agent_replan_soon (agent);
}

void
corral_agent_connect_inventory (CorralAgent *agent)
{
    g_signal_connect (agent->inventory, "vm-added", G_CALLBACK (on_vm_added), agent);
    g_signal_connect (agent->inventory, "vm-changed", G_CALLBACK (on_vm_changed), agent);
    g_signal_connect (agent->inventory, "vm-touched", G_CALLBACK (on_vm_touched), agent);
    g_signal_connect (agent->inventory, "vm-removed", G_CALLBACK (on_vm_removed), agent);
    g_signal_connect (agent->inventory, "settled", G_CALLBACK (on_settled), agent);
    corral_vm_inventory_start (agent->inventory);
}

static gboolean
has_new_threads (CorralAgent *agent, CorralAgentVm *vm)
{
    char path[40];
    struct stat st;
    nlink_t before = vm->n_tasks;

    g_snprintf (path, sizeof path, "%d/task", (int) vm->pid);
    if (fstatat (agent->proc_fd, path, &st, 0) != 0)
        return FALSE;
    vm->n_tasks = st.st_nlink;
    return vm->n_tasks != before;
}

void
corral_agent_notice_threads (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (GPtrArray) vms = corral_agent_vms_within (agent, entry);
    g_autoptr (GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

    for (guint i = 0; i < vms->len; i++) {
        CorralAgentVm *vm = g_ptr_array_index (vms, i);

        if (vm->watched_group == NULL && has_new_threads (agent, vm))
            g_ptr_array_add (names, g_strdup (vm->name));
    }
    for (guint i = 0; i < names->len; i++)
        corral_vm_inventory_refresh_threads (agent->inventory, g_ptr_array_index (names, i));
}

/* --- the container core's signals --- */

void
corral_agent_group_changed (CorralAgent *agent, const char *group)
{
    g_autoptr (GPtrArray) vms = sorted_vms (agent);

    for (guint i = 0; i < vms->len; i++) {
        const CorralAgentVm *vm = g_ptr_array_index (vms, i);

        if (g_strcmp0 (vm->watched_group, group) == 0) {
            corral_vm_inventory_refresh_threads (agent->inventory, vm->name);
            return;
        }
    }
}

/* Whether somebody else has moved it */
static gboolean
has_moved (CorralAgent *agent, const CorralAgentVm *vm)
{
    g_autofree char *path = NULL, *group = NULL;

    return corral_container_of_process (agent->core, vm->pid, &path, &group, NULL, NULL) &&
           (g_strcmp0 (path, vm->path) != 0 || g_strcmp0 (group, vm->group) != 0);
}

static gboolean
on_look (gpointer data)
{
    CorralAgent *agent = data;
    g_autoptr (GPtrArray) vms = sorted_vms (agent);

    agent->look = 0;
    for (guint i = 0; i < vms->len; i++)
        if (has_moved (agent, g_ptr_array_index (vms, i))) {
            update_place (agent, g_ptr_array_index (vms, i));
            corral_agent_replan_soon (agent);
        }
    return G_SOURCE_REMOVE;
}

void
corral_agent_look_soon (CorralAgent *agent)
{
    if (agent->look == 0)
        agent->look = g_timeout_add (LOOK_DELAY_MS, on_look, agent);
}

/* --- for corral-agent-attach.c --- */

const CorralVm *
corral_agent_find_vm (CorralAgent *agent, const char *name, CorralAgentVm **ret_vm, GError **error)
{
    const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, name);

    *ret_vm = g_hash_table_lookup (agent->vms, name);
    if (known != NULL && *ret_vm != NULL)
        return known;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no VM \"%s\" is running", name);
    return NULL;
}

CorralAgentThread *
corral_agent_find_vcpu (CorralAgentVm *vm, int vcpu, GError **error)
{
    CorralAgentThread *thread = find_thread (vm->threads, vcpu);

    if (thread == NULL)
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "the VM \"%s\" has no vCPU %d",
                     vm->name, vcpu);
    return thread;
}

gboolean
corral_agent_move_vm (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                      const char *path, GError **error)
{
    if (!move_vm (agent, vm, known, path, error))
        return FALSE;
    for (guint i = 0; i < vm->threads->len; i++)
        ((CorralAgentThread *) g_ptr_array_index (vm->threads, i))->apart = FALSE;
    update_place (agent, vm);
    return TRUE;
}

gboolean
corral_agent_restore_vm (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                         GError **error)
{
    CorralContainerVm described;

    describe (known, &described);
    sample_all (agent, vm);
    if (!corral_container_restore (agent->core, known->home_group, &described, error))
        return FALSE;
    update_place (agent, vm);
    return TRUE;
}

gboolean
corral_agent_move_vcpu (CorralAgent *agent, CorralAgentVm *vm, CorralAgentThread *thread,
                        const char *path, GError **error)
{
    corral_agent_thread_sample (agent, thread);
    if (!corral_container_add_thread (agent->core, path, vm->pid, thread->tid, error))
        return FALSE;
    update_place (agent, vm);
    return TRUE;
}

gboolean
corral_agent_rejoin_vcpu (CorralAgent *agent, CorralAgentVm *vm, const CorralVm *known,
                          CorralAgentThread *thread, GError **error)
{
    CorralContainerVm described;
    gboolean at_home = g_strcmp0 (vm->group, known->home_group) == 0;

    describe (known, &described);
    sample_all (agent, vm);
    if (at_home && known->home_group != NULL
            ? !corral_container_restore (agent->core, known->home_group, &described, error)
            : !corral_container_attach (agent->core, vm->path, &described, error))
        return FALSE;
    part_again (agent, vm, thread);
    update_place (agent, vm);
    return TRUE;
}
