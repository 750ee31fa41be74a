/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* vCPU threads: what the kernel counts for each, and the containers that it counts for. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
open_file (CorralAgent *agent, pid_t pid, pid_t tid, const char *file)
{
    char path[80];

    g_snprintf (path, sizeof path, "%d/task/%d/%s", (int) pid, (int) tid, file);
    return openat (agent->proc_fd, path, O_RDONLY | O_CLOEXEC);
}

/* Off unless somebody wants it (sysctl kernel.sched_schedstats), and then every sum of waits is 0.
 */
static gboolean
kernel_sums_waits (CorralAgent *agent)
{
    int fd = openat (agent->proc_fd, "sys/kernel/sched_schedstats", O_RDONLY | O_CLOEXEC);
    char on = '0';

    if (fd >= 0) {
        if (TEMP_FAILURE_RETRY (read (fd, &on, 1)) != 1)
            on = '0';
        close (fd);
    }
    return on == '1';
}

static void
open_files (CorralAgent *agent, pid_t pid, CorralAgentThread *thread)
{
    thread->stat_fd = open_file (agent, pid, thread->tid, "stat");
    thread->schedstat_fd = open_file (agent, pid, thread->tid, "schedstat");
    thread->sched_fd =
        kernel_sums_waits (agent) ? open_file (agent, pid, thread->tid, "sched") : -1;
}

static void
close_files (const CorralAgentThread *thread)
{
    if (thread->stat_fd >= 0)
        close (thread->stat_fd);
    if (thread->schedstat_fd >= 0)
        close (thread->schedstat_fd);
    if (thread->sched_fd >= 0)
        close (thread->sched_fd);
}

static gboolean
read_again (int fd, char *text, gsize size)
{
    ssize_t got = fd >= 0 ? TEMP_FAILURE_RETRY (pread (fd, text, size - 1, 0)) : -1;

    if (got <= 0)
        return FALSE;
    text[got] = '\0';
    return TRUE;
}

static guint64
ticks_to_ns (guint64 ticks)
{
    static long hertz;

    if (hertz == 0)
        hertz = sysconf (_SC_CLK_TCK);
    return ticks * (G_USEC_PER_SEC * 1000 / (guint64) hertz);
}

/* proc(5), stat: the name in field 2 may hold anything, so fields are counted after its last ')'.
 */
static gboolean
parse_stat (const char *text, CorralAgentThreadState *state, guint64 *ret_run_ticks)
{
    const char *at = strrchr (text, ')');
    guint64 utime = 0, stime = 0;

    if (at == NULL || at[1] != ' ')
        return FALSE;
    at += 2;
    state->running = *at == 'R';
    for (int field = 3; *at != '\0' && field <= 43; field++) {
        if (field == 14)
            utime = g_ascii_strtoull (at, NULL, 10);
        else if (field == 15)
            stime = g_ascii_strtoull (at, NULL, 10);
        else if (field == 22)
            state->start_time = g_ascii_strtoull (at, NULL, 10);
        else if (field == 39)
            state->last_cpu = (int) g_ascii_strtoll (at, NULL, 10);
        else if (field == 43)
            state->counters.guest_ns = ticks_to_ns (g_ascii_strtoull (at, NULL, 10));
        at += strcspn (at, " ");
        at += *at == ' ' ? 1 : 0;
    }
    *ret_run_ticks = utime + stime;
    return TRUE;
}

/* libvirt tells of two numbers for a vCPU that waits: its "wait" is the scheduler's own sum of
 * waits, its "delay" the same time as schedstat has it. */
static guint64
read_wait_sum (const CorralAgentThread *thread, guint64 delay_ns)
{
    char text[8192];
    guint64 sum_ns;

    return thread->sched_fd >= 0 && read_again (thread->sched_fd, text, sizeof text) &&
                   corral_usage_parse_wait_sum (text, &sum_ns)
               ? sum_ns
               : delay_ns;
}

/* A thread whose schedstat has not changed has not run, so its stat has not changed either: that is
 * by far the more costly file, and most vCPUs sleep. schedstat comes first; a change between the
 * two shows the next time. Kernels without CONFIG_SCHED_INFO have no schedstat; then run time is as
 * coarse as stat's. */
static gboolean
read_state (CorralAgentThread *thread, CorralAgentThreadState *ret_state)
{
    CorralAgentThreadState state = { { 0 } };
    char schedstat[sizeof thread->seen_schedstat] = "";
    char text[1024];
    guint64 run_ticks;
    char *end;

    if (thread->schedstat_fd >= 0 &&
        !read_again (thread->schedstat_fd, schedstat, sizeof schedstat))
        return FALSE;
    if (thread->seen_schedstat[0] != '\0' && strcmp (schedstat, thread->seen_schedstat) == 0) {
        *ret_state = thread->seen;
        return TRUE;
    }
    if (!read_again (thread->stat_fd, text, sizeof text) || !parse_stat (text, &state, &run_ticks))
        return FALSE;
    if (thread->schedstat_fd < 0) {
        state.counters.run_ns = ticks_to_ns (run_ticks);
    } else {
        state.counters.run_ns = g_ascii_strtoull (schedstat, &end, 10);
        state.counters.wait_ns = g_ascii_strtoull (end, NULL, 10);
    }
    state.wait_sum_ns = read_wait_sum (thread, state.counters.wait_ns);
    memcpy (thread->seen_schedstat, schedstat, sizeof schedstat);
    thread->seen = state;
    *ret_state = state;
    return TRUE;
}

static CorralUsageThread *
sample_of (CorralAgent *agent, CorralAgentThread *thread)
{
    return thread->slot != CORRAL_USAGE_NO_SLOT
               ? corral_usage_file_sample (agent->usage, thread->slot)
               : &thread->spare;
}

CorralUsageAccount *
corral_agent_account (CorralAgent *agent, CorralAgentEntry *entry)
{
    return entry->slot != CORRAL_USAGE_NO_SLOT
               ? corral_usage_file_account (agent->usage, entry->slot)
               : &entry->spare;
}

guint64
corral_agent_process_run_ns (CorralAgent *agent, pid_t pid)
{
    g_autofree char *path = g_strdup_printf ("%d/task", (int) pid);
    int fd = openat (agent->proc_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *tasks = fd >= 0 ? fdopendir (fd) : NULL;
    const struct dirent *entry;
    guint64 run_ns = 0;

    while (tasks != NULL && (entry = readdir (tasks)) != NULL) {
        CorralAgentThread thread = { .tid = (pid_t) atoi (entry->d_name) };
        CorralAgentThreadState state;

        if (thread.tid <= 0)
            continue;
        open_files (agent, pid, &thread);
        if (read_state (&thread, &state))
            run_ns += state.counters.run_ns;
        close_files (&thread);
    }
    if (tasks != NULL)
        closedir (tasks);
    return run_ns;
}

void
corral_agent_account_early (CorralAgent *agent, CorralAgentEntry *inner, guint64 early_ns)
{
    for (CorralAgentEntry *entry = inner; entry != NULL; entry = entry->parent)
        corral_agent_account (agent, entry)->early_ns += early_ns;
}

CorralAgentThread *
corral_agent_thread_new (CorralAgent *agent, pid_t pid, const CorralThread *known,
                         gboolean born_here)
{
    CorralAgentThread *thread = g_new0 (CorralAgentThread, 1);
    CorralAgentThreadState state = { { 0 } };
    GError *problem = NULL;
    gboolean found;

    thread->vcpu = known->index;
    thread->tid = known->tid;
    thread->slot = CORRAL_USAGE_NO_SLOT;
    open_files (agent, pid, thread);
    if (!read_state (thread, &state))
        return thread;
    if (born_here)
        memset (&state.counters, 0, sizeof state.counters);
    corral_usage_thread_begin (&thread->spare, &state.counters);
    thread->slot = corral_usage_file_thread (agent->usage, known->tid, state.start_time,
                                             &state.counters, &found, &problem);
    if (problem != NULL)
        corral_agent_problem (agent, problem, NULL);
    return thread;
}

guint64
corral_agent_thread_start_time (CorralAgent *agent, pid_t pid, pid_t tid)
{
    int fd = open_file (agent, pid, tid, "stat");
    CorralAgentThreadState state = { { 0 } };
    char text[1024];
    guint64 run_ticks;
    gboolean ok = read_again (fd, text, sizeof text) && parse_stat (text, &state, &run_ticks);

    if (fd >= 0)
        close (fd);
    return ok ? state.start_time : 0;
}

gboolean
corral_agent_thread_is_on_record (CorralAgent *agent, pid_t pid, pid_t tid)
{
    const guint64 start_time = corral_agent_thread_start_time (agent, pid, tid);

    return start_time != 0 && corral_usage_file_has_thread (agent->usage, tid, start_time);
}

void
corral_agent_thread_free (CorralAgentThread *thread)
{
    close_files (thread);
    g_clear_pointer (&thread->applied, hwloc_bitmap_free);
    g_free (thread->path);
    g_free (thread);
}

void
corral_agent_thread_forget (CorralAgent *agent, CorralAgentThread *thread)
{
    corral_usage_file_drop (agent->usage, thread->slot);
    thread->slot = CORRAL_USAGE_NO_SLOT;
}

static void
account_for (CorralAgent *agent, CorralAgentThread *thread, const CorralAgentThreadState *state)
{
    CorralUsageDelta delta =
        corral_usage_thread_sample (sample_of (agent, thread), &state->counters);

    for (CorralAgentEntry *entry = thread->inner; entry != NULL; entry = entry->parent)
        if (!thread->kvm || !entry->by_kernel)
            corral_usage_account_add (corral_agent_account (agent, entry), &delta);
}

void
corral_agent_thread_sample (CorralAgent *agent, CorralAgentThread *thread)
{
    CorralAgentThreadState state;

    if (read_state (thread, &state))
        account_for (agent, thread, &state);
}

void
corral_agent_thread_move (CorralAgent *agent, CorralAgentThread *thread, CorralAgentEntry *inner)
{
    corral_agent_thread_sample (agent, thread);
    thread->inner = inner;
}

/* --- for the driver --- */

static gboolean
is_within (const CorralAgentThread *thread, const CorralAgentEntry *entry)
{
    for (const CorralAgentEntry *at = thread->inner; at != NULL; at = at->parent)
        if (at == entry)
            return TRUE;
    return FALSE;
}

static int
compare_vms (gconstpointer a, gconstpointer b)
{
    const CorralAgentVm *const *first = a, *const *second = b;

    return strcmp ((*first)->name, (*second)->name);
}

typedef struct {
    CorralAgentVm *vm;
    CorralAgentThread *thread;
} Vcpu;

/* (transfer full): of Vcpu, in the flattened order. A vCPU that sits in a container apart from its
 * VM counts where it sits. */
static GArray *
vcpus_within (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (GPtrArray) vms = corral_agent_values (agent->vms);
    GArray *vcpus = g_array_new (FALSE, FALSE, sizeof (Vcpu));

    g_ptr_array_sort (vms, compare_vms);
    for (guint i = 0; i < vms->len; i++) {
        CorralAgentVm *vm = g_ptr_array_index (vms, i);

        for (guint j = 0; j < vm->threads->len; j++) {
            Vcpu vcpu = { vm, g_ptr_array_index (vm->threads, j) };

            if (is_within (vcpu.thread, entry))
                g_array_append_val (vcpus, vcpu);
        }
    }
    return vcpus;
}

static void
clear_vcpu (gpointer data)
{
    CorralAgentVcpu *vcpu = data;

    g_clear_pointer (&vcpu->affinity, hwloc_bitmap_free);
}

/* sched_getaffinity(2); (nullable): the thread has ended */
static CorralCpuset *
read_affinity (pid_t tid)
{
    gulong mask[(CORRAL_CPUSET_MAX + 1) / (8 * sizeof (gulong))] = { 0 };
    CorralCpuset *set;

    if (sched_getaffinity (tid, sizeof mask, (cpu_set_t *) mask) < 0)
        return NULL;
    set = hwloc_bitmap_alloc ();
    hwloc_bitmap_from_ulongs (set, G_N_ELEMENTS (mask), mask);
    return set;
}

CorralAgentEntry *
corral_agent_find_active (CorralAgent *agent, const char *name, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find (agent, name, error);

    if (entry != NULL && !corral_agent_entry_is_active (entry)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE, "the container \"%s\" is not active",
                     name);
        return NULL;
    }
    return entry;
}

/* A number from before the last change of members is stale at once. */
gboolean
corral_agent_is_fresh (CorralAgent *agent, CorralAgentEntry *entry, const gint64 *time)
{
    if (entry->told_generation != agent->generation)
        entry->usage_time = entry->vcpus_time = 0;
    entry->told_generation = agent->generation;
    return *time != 0 && g_get_monotonic_time () - *time < CORRAL_AGENT_FRESH_USEC;
}

static void
read_vcpu (CorralAgent *agent, const Vcpu *at, CorralAgentVcpu *vcpu)
{
    CorralAgentThreadState state;

    *vcpu = (CorralAgentVcpu){ .vm_name = at->vm->name,
                               .vcpu = at->thread->vcpu,
                               .tid = at->thread->tid };
    if (read_state (at->thread, &state)) {
        account_for (agent, at->thread, &state);
        vcpu->running = state.running;
        vcpu->last_cpu = state.last_cpu;
        vcpu->time_ns = state.counters.run_ns;
        vcpu->wait_ns = state.wait_sum_ns;
        vcpu->delay_ns = state.counters.wait_ns;
    } else {
        /* It has just ended; its numbers do not go back before it leaves the list. */
        vcpu->time_ns = sample_of (agent, at->thread)->run_ns;
        vcpu->wait_ns = at->thread->seen.wait_sum_ns;
        vcpu->delay_ns = sample_of (agent, at->thread)->wait_ns;
    }
}

void
corral_agent_read_vcpus (CorralAgent *agent, CorralAgentEntry *entry)
{
    g_autoptr (GArray) within = NULL;

    corral_agent_notice_threads (agent, entry);
    within = vcpus_within (agent, entry);
    g_clear_pointer (&entry->vcpus, g_array_unref);
    entry->vcpus = g_array_sized_new (FALSE, TRUE, sizeof (CorralAgentVcpu), within->len);
    g_array_set_clear_func (entry->vcpus, clear_vcpu);
    g_array_set_size (entry->vcpus, within->len);
    for (guint i = 0; i < within->len; i++)
        read_vcpu (agent, &g_array_index (within, Vcpu, i),
                   &g_array_index (entry->vcpus, CorralAgentVcpu, i));
    entry->vcpus_time = g_get_monotonic_time ();
}

gboolean
corral_agent_list_vcpus (CorralAgent *agent, const char *name, gboolean with_affinity,
                         GArray **ret_vcpus, GError **error)
{
    CorralAgentEntry *entry = corral_agent_find_active (agent, name, error);
    GArray *vcpus;

    if (entry == NULL)
        return FALSE;
    corral_agent_drift_on_read (agent, entry);
    if (!corral_agent_is_fresh (agent, entry, &entry->vcpus_time))
        corral_agent_read_vcpus (agent, entry);
    vcpus = g_array_copy (entry->vcpus);
    g_array_set_clear_func (vcpus, clear_vcpu);
    for (guint i = 0; with_affinity && i < vcpus->len; i++) {
        CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);

        vcpu->affinity = read_affinity (vcpu->tid);
        if (vcpu->affinity == NULL)
            vcpu->affinity = hwloc_bitmap_alloc ();
    }
    *ret_vcpus = vcpus;
    return TRUE;
}

GPtrArray *
corral_agent_list_vms (CorralAgent *agent, const char *name)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, name);
    GPtrArray *listed = g_ptr_array_new ();
    g_autoptr (GPtrArray) vms = NULL;

    if (entry == NULL || !corral_agent_entry_is_active (entry))
        return listed;
    vms = corral_agent_vms_within (agent, entry);
    for (guint i = 0; i < vms->len; i++) {
        const CorralAgentVm *vm = g_ptr_array_index (vms, i);
        const CorralVm *known = corral_vm_inventory_lookup (agent->inventory, vm->name);

        if (known != NULL)
            g_ptr_array_add (listed, (gpointer) known);
    }
    return listed;
}

guint
corral_agent_count_vcpus (CorralAgent *agent, const char *name)
{
    CorralAgentEntry *entry = g_hash_table_lookup (agent->entries, name);
    g_autoptr (GArray) within = NULL;

    if (entry == NULL || !corral_agent_entry_is_active (entry))
        return 0;
    corral_agent_notice_threads (agent, entry);
    within = vcpus_within (agent, entry);
    return within->len;
}

gboolean
corral_agent_pin_vcpu (CorralAgent *agent, const char *name, guint index, const CorralCpuset *cpus,
                       GError **error)
{
    CorralAgentEntry *entry = corral_agent_find_active (agent, name, error);
    CorralEvent event = { .type = CORRAL_EVENT_PINNED,
                          .index = index,
                          .tune = CORRAL_CPU_TUNE_INIT };
    g_autoptr (GArray) within = NULL;
    g_autofree char *list = NULL;
    Vcpu vcpu;

    if (entry == NULL)
        return FALSE;
    within = vcpus_within (agent, entry);
    if (index >= within->len) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot pin vCPU %u of the container \"%s\": it has %u vCPUs", index, name,
                     within->len);
        return FALSE;
    }
    vcpu = g_array_index (within, Vcpu, index);
    if (vcpu.thread->applied != NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_STATE,
                     "cannot pin vCPU %u of the container \"%s\": it is where the plan has it, "
                     "which follows from the container's <placement>",
                     index, name);
        return FALSE;
    }
    if (!corral_container_pin_thread (agent->core, vcpu.vm->pid, vcpu.thread->tid, cpus, error))
        return FALSE;
    list = corral_cpuset_format (cpus);
    event.name = entry->shown.live->name;
    event.uuid = entry->shown.live->uuid;
    event.id = entry->shown.id;
    event.detail = list;
    corral_agent_emit (agent, &event);
    return TRUE;
}
