/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/* --- one container: virDomainGetCPUStats() --- */

static void
fill_total (const CorralAgentUsage *usage, guint room, CorralWireCpuStatsRet *ret)
{
    const struct {
        const char *name;
        guint64 value;
    } stats[] = {
        { VIR_DOMAIN_CPU_STATS_CPUTIME, usage->total_ns },
        { VIR_DOMAIN_CPU_STATS_USERTIME, usage->user_ns },
        { VIR_DOMAIN_CPU_STATS_SYSTEMTIME, usage->system_ns },
    };
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();

    ret->nparams = G_N_ELEMENTS (stats);
    if (room == 0)
        return;
    ret->nparams = (int) MIN (G_N_ELEMENTS (stats), room);
    for (int i = 0; i < ret->nparams; i++)
        corral_rpc_params_add_ullong (params, stats[i].name, stats[i].value);
    ret->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &ret->params.params_len);
}

static gboolean
get_total (CorralDriver *driver, const CorralContainer *container,
           const CorralWireCpuStatsArgs *which, CorralWireCpuStatsRet *ret, GError **error)
{
    CorralAgentUsage usage;

    if (which->ncpus != 1) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "ncpus in virDomainGetCPUStats must be 1 for the total, not %u",
                             which->ncpus);
        return FALSE;
    }
    if (!corral_agent_get_usage (driver->agent, corral_driver_name (container), &usage, error))
        return FALSE;
    fill_total (&usage, which->nparams, ret);
    return TRUE;
}

/* The time of each pCPU that the host has; the kernel's list goes on to those it might get. */
static gboolean
read_percpu (CorralDriver *driver, const CorralContainer *container, GArray **ret_times,
             GError **error)
{
    g_autoptr (CorralCpuset) present = NULL;
    g_autoptr (GArray) times = NULL;
    guint count;

    if (!corral_driver_host_present (driver->host, &present, error) ||
        !corral_container_get_usage_percpu (corral_agent_core (driver->agent),
                                            container->live->partition, &times, error))
        return FALSE;
    count = (guint) (hwloc_bitmap_last (present) + 1);
    if (times->len > count)
        g_array_set_size (times, count);
    *ret_times = g_steal_pointer (&times);
    return TRUE;
}

static gboolean
get_percpu (CorralDriver *driver, const CorralContainer *container,
            const CorralWireCpuStatsArgs *which, CorralWireCpuStatsRet *ret, GError **error)
{
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();
    gboolean counts = which->ncpus == 0 || which->nparams == 0;
    g_autoptr (GArray) times = NULL;
    guint64 last;

    if (!read_percpu (driver, container, &times, error))
        return FALSE;
    /* Who only asks how many there are starts nowhere, as libvirt has it. */
    if (which->start_cpu < 0 || (!counts && (guint) which->start_cpu >= times->len)) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "start_cpu %d larger than maximum of %d",
                             which->start_cpu, (int) times->len - 1);
        return FALSE;
    }
    ret->nparams = which->ncpus == 0 ? (int) times->len : 1;
    if (counts)
        return TRUE;
    last = MIN ((guint64) which->start_cpu + which->ncpus, times->len);
    for (guint64 cpu = (guint64) which->start_cpu; cpu < last; cpu++)
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_CPU_STATS_CPUTIME,
                                      g_array_index (times, guint64, cpu));
    ret->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &ret->params.params_len);
    return TRUE;
}

static gboolean
domain_get_cpu_stats (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireCpuStatsArgs *which = args;
    const CorralContainer *container;

    if (!corral_driver_check_flags (which->flags, VIR_TYPED_PARAM_STRING_OKAY,
                                    "virDomainGetCPUStats", error))
        return FALSE;
    if (which->ncpus > CORRAL_WIRE_CPU_STATS_CPUS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "ncpus %u is more than %d", which->ncpus,
                             CORRAL_WIRE_CPU_STATS_CPUS_MAX);
        return FALSE;
    }
    container = corral_driver_find_active (driver, &which->dom, error);
    if (container == NULL)
        return FALSE;
    return which->start_cpu == -1 ? get_total (driver, container, which, ret, error)
                                  : get_percpu (driver, container, which, ret, error);
}

/* --- many containers: virConnectGetAllDomainStats() --- */

#define STATS_SERVED (VIR_DOMAIN_STATS_STATE | VIR_DOMAIN_STATS_CPU_TOTAL | VIR_DOMAIN_STATS_VCPU)
#define STATS_FILTERS                                                                              \
    (VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE | VIR_CONNECT_GET_ALL_DOMAINS_STATS_INACTIVE |       \
     VIR_CONNECT_GET_ALL_DOMAINS_STATS_PERSISTENT | VIR_CONNECT_GET_ALL_DOMAINS_STATS_TRANSIENT |  \
     VIR_CONNECT_GET_ALL_DOMAINS_STATS_RUNNING | VIR_CONNECT_GET_ALL_DOMAINS_STATS_PAUSED |        \
     VIR_CONNECT_GET_ALL_DOMAINS_STATS_SHUTOFF | VIR_CONNECT_GET_ALL_DOMAINS_STATS_OTHER)
#define STATS_FLAGS                                                                                \
    (STATS_FILTERS | (guint) VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS |                     \
     VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT | VIR_CONNECT_GET_ALL_DOMAINS_STATS_BACKING)

static void
add_state (const CorralContainer *container, CorralRpcParams *params)
{
    int state, reason;

    corral_driver_state (container, &state, &reason);
    corral_rpc_params_add_int (params, "state.state", state);
    corral_rpc_params_add_int (params, "state.reason", reason);
}

/* libvirt's three numbers, and what only a container can tell. */
static void
add_cpu_total (CorralDriver *driver, const char *name, CorralRpcParams *params)
{
    CorralAgentUsage usage;

    /* It may have ended this moment; then it has no numbers, and the others' are still wanted. */
    if (!corral_agent_get_usage (driver->agent, name, &usage, NULL))
        return;
    corral_rpc_params_add_ullong (params, "cpu.time", usage.total_ns);
    corral_rpc_params_add_ullong (params, "cpu.user", usage.user_ns);
    corral_rpc_params_add_ullong (params, "cpu.system", usage.system_ns);
    corral_rpc_params_add_ullong (params, "corral.guest_ns", usage.guest_ns);
    corral_rpc_params_add_ullong (params, "corral.host_ns", usage.host_ns);
    corral_rpc_params_add_ullong (params, "corral.emulator_ns", usage.emulator_ns);
    corral_rpc_params_add_ullong (params, "corral.wait_ns", usage.wait_ns);
    corral_rpc_params_add_ullong (params, "corral.throttled_ns", usage.throttled_ns);
    corral_rpc_params_add_ullong (params, "corral.nr_periods", usage.nr_periods);
    corral_rpc_params_add_ullong (params, "corral.nr_throttled", usage.nr_throttled);
    if (usage.have_exits)
        corral_rpc_params_add_ullong (params, "corral.exits", usage.exits);
    corral_rpc_params_add_uint (params, "corral.vms", usage.vms);
    corral_rpc_params_add_uint (params, "corral.vcpus", usage.vcpus);
    if (usage.source != NULL)
        corral_rpc_params_add_string (params, "corral.source", usage.source);
}

/* Whose vCPUs those of the flattened list are: the VMs in its order, each with its own numbers for
 * them. A list and not a count, since a child container may hold a VM's vCPU 3 alone. */
static void
add_vcpu_owners (const GArray *vcpus, CorralRpcParams *params)
{
    guint vms = 0;

    for (guint i = 0; i < vcpus->len; vms++) {
        const char *vm_name = g_array_index (vcpus, CorralAgentVcpu, i).vm_name;
        g_autoptr (CorralCpuset) numbers = hwloc_bitmap_alloc ();
        g_autofree char *list = NULL;
        char key[32];

        for (; i < vcpus->len; i++) {
            const CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);

            if (strcmp (vcpu->vm_name, vm_name) != 0)
                break;
            hwloc_bitmap_set (numbers, (unsigned) vcpu->vcpu);
        }
        list = corral_cpuset_format (numbers);
        g_snprintf (key, sizeof key, "corral.vm.%u.name", vms);
        corral_rpc_params_add_string (params, key, vm_name);
        g_snprintf (key, sizeof key, "corral.vm.%u.vcpus", vms);
        corral_rpc_params_add_string (params, key, list);
    }
    corral_rpc_params_add_uint (params, "corral.vm.count", vms);
}

static void
add_vcpus (CorralDriver *driver, const char *name, CorralRpcParams *params)
{
    g_autoptr (GArray) vcpus = NULL;

    if (!corral_agent_list_vcpus (driver->agent, name, FALSE, &vcpus, NULL))
        return;
    corral_rpc_params_add_uint (params, "vcpu.current", vcpus->len);
    corral_rpc_params_add_uint (params, "vcpu.maximum", vcpus->len);
    for (guint i = 0; i < vcpus->len && i < CORRAL_DRIVER_VCPUS_MAX; i++) {
        const CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);
        char key[32];
        char *what = key + g_snprintf (key, sizeof key, "vcpu.%u.", i);

        strcpy (what, "state");
        corral_rpc_params_add_int (params, key,
                                   vcpu->running ? VIR_VCPU_RUNNING : VIR_VCPU_BLOCKED);
        strcpy (what, "time");
        corral_rpc_params_add_ullong (params, key, vcpu->time_ns);
        strcpy (what, "wait");
        corral_rpc_params_add_ullong (params, key, vcpu->wait_ns);
        strcpy (what, "delay");
        corral_rpc_params_add_ullong (params, key, vcpu->delay_ns);
    }
    add_vcpu_owners (vcpus, params);
}

static void
fill_record (CorralDriver *driver, const CorralContainer *container, guint stats,
             CorralWireStatsRecord *record)
{
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();
    const char *name = corral_driver_name (container);

    corral_driver_fill_domain (container, &record->dom);
    if ((stats & VIR_DOMAIN_STATS_STATE) != 0)
        add_state (container, params);
    if (corral_driver_is_active (container)) {
        if ((stats & VIR_DOMAIN_STATS_CPU_TOTAL) != 0)
            add_cpu_total (driver, name, params);
        if ((stats & VIR_DOMAIN_STATS_VCPU) != 0)
            add_vcpus (driver, name, params);
    }
    record->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &record->params.params_len);
}

/* (transfer container): those named, less those that are gone, as libvirt does it; or all. */
static GPtrArray *
collect_for_stats (CorralDriver *driver, const CorralWireAllStatsArgs *which)
{
    guint filter = which->flags & STATS_FILTERS;
    GPtrArray *found;

    if (which->doms.doms_len == 0)
        return corral_driver_collect (driver, filter);
    found = g_ptr_array_new ();
    for (guint i = 0; i < which->doms.doms_len; i++) {
        const CorralContainer *container =
            corral_driver_find (driver, &which->doms.doms_val[i], NULL);

        if (container != NULL && corral_driver_matches (container, filter))
            g_ptr_array_add (found, (gpointer) container);
    }
    return found;
}

static gboolean
connect_get_all_domain_stats (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                              gpointer ret, GError **error)
{
    const CorralWireAllStatsArgs *which = args;
    CorralWireAllStatsRet *all = ret;
    g_autoptr (GPtrArray) found = NULL;
    guint stats = which->stats != 0 ? which->stats : STATS_SERVED;

    if (!corral_driver_check_flags (which->flags, STATS_FLAGS, "virConnectGetAllDomainStats",
                                    error))
        return FALSE;
    if ((which->flags & (guint) VIR_CONNECT_GET_ALL_DOMAINS_STATS_ENFORCE_STATS) != 0 &&
        (stats & ~STATS_SERVED) != 0) {
        corral_driver_error (error, VIR_ERR_ARGUMENT_UNSUPPORTED,
                             "Stats types bits 0x%x are not supported by this daemon",
                             stats & ~STATS_SERVED);
        return FALSE;
    }
    found = collect_for_stats (driver, which);
    all->records.records_val = g_new0 (CorralWireStatsRecord, found->len);
    all->records.records_len = found->len;
    for (guint i = 0; i < found->len; i++)
        fill_record (driver, g_ptr_array_index (found, i), stats, &all->records.records_val[i]);
    return TRUE;
}

const CorralDriverEntry corral_driver_stats_calls[] = {
    { CORRAL_PROC_DOMAIN_GET_CPU_STATS, domain_get_cpu_stats },
    { CORRAL_PROC_CONNECT_GET_ALL_DOMAIN_STATS, connect_get_all_domain_stats },
    { 0 },
};
