/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a container has used. The kernel's kvm.stat is believed for the threads that KVM runs, where
 * it is there for the container; all others, and all threads where it is not, are looked at one by
 * one. It can come and go at any time, so each time is a look at what there is now: from when on
 * the one counts, and the other no more, is one moment, and no time is counted by both. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

static CorralUsageKernel *
kernel_of (CorralAgent *agent, CorralAgentEntry *entry)
{
    return entry->kernel_slot != CORRAL_USAGE_NO_SLOT
               ? corral_usage_file_kernel (agent->usage, entry->kernel_slot)
               : &entry->kernel_spare;
}

static void
take_slot (CorralAgent *agent, CorralAgentEntry *entry)
{
    GError *problem = NULL;

    if (entry->kernel_slot != CORRAL_USAGE_NO_SLOT)
        return;
    entry->kernel_slot =
        corral_usage_file_kernel_of (agent->usage, entry->shown.id, TRUE, &problem);
    if (problem != NULL)
        corral_agent_problem (agent, problem, NULL);
    else
        *kernel_of (agent, entry) = entry->kernel_spare;
}

static gboolean
read_kernel (CorralAgent *agent, CorralAgentEntry *entry, CorralUsageKernel *now)
{
    CorralContainerKvmUsage usage;

    if (!corral_container_get_kvm_usage (agent->core, corral_agent_entry_path (entry), &usage,
                                         NULL))
        return FALSE;
    *now = (CorralUsageKernel){ .file = usage.file,
                                .guest_ns = usage.guest_ns,
                                .host_ns = usage.host_ns,
                                .wait_ns = usage.run_delay_ns,
                                .exits = usage.exits };
    return TRUE;
}

/* The subsystem is there, and not for this container: KVM's module was loaded after it was made. */
static gboolean
enable (CorralAgent *agent, CorralAgentEntry *entry)
{
    GError *problem = NULL;

    if (!corral_container_has_kvm (agent->core)) {
        entry->kernel_refused = FALSE;
        return FALSE;
    }
    if (entry->kernel_refused)
        return FALSE;
    if (corral_container_enable_kvm (agent->core, corral_agent_entry_path (entry), &problem))
        return TRUE;
    entry->kernel_refused = TRUE;
    corral_agent_problem (agent, problem, NULL);
    return FALSE;
}

static void
sample_all (CorralAgent *agent)
{
    CorralAgentVm *vm;
    GHashTableIter iter;

    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        for (guint i = 0; i < vm->threads->len; i++)
            corral_agent_thread_sample (agent, g_ptr_array_index (vm->threads, i));
}

/* @from_birth: nobody has counted anything of it before */
static void
look (CorralAgent *agent, CorralAgentEntry *entry, gboolean from_birth)
{
    CorralUsageKernel now;
    CorralUsageDelta delta;

    if (!read_kernel (agent, entry, &now) &&
        !(enable (agent, entry) && read_kernel (agent, entry, &now))) {
        entry->by_kernel = FALSE;
        kernel_of (agent, entry)->file = 0;
        return;
    }
    if (!entry->by_kernel)
        take_slot (agent, entry);
    if (!entry->by_kernel && !from_birth) {
        /* Up to here its threads have been counted by themselves. */
        sample_all (agent);
        if (!read_kernel (agent, entry, &now))
            return;
        corral_usage_kernel_begin (kernel_of (agent, entry), &now);
    }
    entry->by_kernel = TRUE;
    delta = corral_usage_kernel_sample (kernel_of (agent, entry), &now);
    corral_usage_account_add (corral_agent_account (agent, entry), &delta);
}

void
corral_agent_usage_enter (CorralAgent *agent, CorralAgentEntry *entry, gboolean known)
{
    entry->kernel_spare = (CorralUsageKernel){ 0 };
    entry->kernel_refused = FALSE;
    entry->kernel_slot = corral_usage_file_kernel_of (agent->usage, entry->shown.id, FALSE, NULL);
    entry->by_kernel = kernel_of (agent, entry)->file != 0;
    look (agent, entry, !known);
}

void
corral_agent_usage_leave (CorralAgent *agent, CorralAgentEntry *entry)
{
    corral_usage_file_drop (agent->usage, entry->kernel_slot);
    entry->kernel_slot = CORRAL_USAGE_NO_SLOT;
    entry->by_kernel = FALSE;
}

void
corral_agent_usage_look (CorralAgent *agent, CorralAgentEntry *inner)
{
    for (CorralAgentEntry *entry = inner; entry != NULL; entry = entry->parent)
        look (agent, entry, FALSE);
}

gboolean
corral_agent_usage_is_kvm (CorralAgent *agent, pid_t pid)
{
    g_autoptr (GArray) vcpus = NULL;
    gboolean complete;

    return corral_container_get_kvm_vcpus (agent->core, pid, &vcpus, &complete);
}

/* For whose threads the numbers stand */
static const char *
source_of (CorralAgent *agent, CorralAgentEntry *entry)
{
    GHashTableIter iter;
    CorralAgentVm *vm;

    if (!entry->by_kernel)
        return "threads";
    g_hash_table_iter_init (&iter, agent->vms);
    while (g_hash_table_iter_next (&iter, NULL, (gpointer *) &vm))
        for (guint i = 0; i < vm->threads->len; i++) {
            const CorralAgentThread *thread = g_ptr_array_index (vm->threads, i);

            for (const CorralAgentEntry *at = thread->inner; at != NULL && !thread->kvm;
                 at = at->parent)
                if (at == entry)
                    return "kernel+threads";
        }
    return "kernel";
}

gboolean
corral_agent_get_usage (CorralAgent *agent, const char *name, CorralAgentUsage *ret_usage,
                        GError **error)
{
    CorralAgentEntry *entry = corral_agent_find_active (agent, name, error);
    g_autoptr (GPtrArray) vms = NULL;
    CorralContainerUsage kernel;
    CorralUsageAccount *account;

    if (entry == NULL)
        return FALSE;
    if (corral_agent_is_fresh (agent, entry, &entry->usage_time)) {
        *ret_usage = entry->usage;
        return TRUE;
    }
    /* Threads and total are read together, whatever the age of the list. */
    corral_agent_read_vcpus (agent, entry);
    look (agent, entry, FALSE);
    if (!corral_container_get_usage (agent->core, entry->stored->partition, &kernel, error))
        return FALSE;
    account = corral_agent_account (agent, entry);
    kernel.total_ns += account->early_ns;
    kernel.user_ns += account->early_ns;
    corral_usage_account_tell (account, kernel.total_ns);
    vms = corral_agent_vms_within (agent, entry);
    entry->usage = (CorralAgentUsage){
        .total_ns = kernel.total_ns,
        .user_ns = kernel.user_ns,
        .system_ns = kernel.system_ns,
        .guest_ns = account->told_guest_ns,
        .host_ns = account->told_host_ns,
        .emulator_ns = account->told_emulator_ns,
        .wait_ns = account->wait_ns,
        .throttled_ns = kernel.throttled_ns,
        .nr_periods = kernel.nr_periods,
        .nr_throttled = kernel.nr_throttled,
        .have_exits = entry->by_kernel || kernel_of (agent, entry)->all_exits > 0,
        .exits = kernel_of (agent, entry)->all_exits,
        .vms = vms->len,
        .vcpus = entry->vcpus->len,
        .source = source_of (agent, entry),
    };
    entry->usage_time = g_get_monotonic_time ();
    *ret_usage = entry->usage;
    return TRUE;
}
