/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/* A container's vCPUs are those of its VMs, flattened. They exist while it is active; its
 * definition names VMs, not vCPUs, so that there are none in the configuration. */

#define AFFECT_FLAGS (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

/* Room for @maps cpumaps of @maplen bytes each, as libvirt bounds it. */
static gboolean
check_maps (int maps, int maplen, GError **error)
{
    if (maps >= 0 && maps <= CORRAL_WIRE_VCPUS_MAX && maplen >= 0 &&
        (gint64) maps * maplen <= CORRAL_WIRE_CPUMAPS_MAX)
        return TRUE;
    corral_driver_error (error, VIR_ERR_INVALID_ARG,
                         "%d cpumaps of %d bytes are not 0 to %d with at most %d bytes together",
                         maps, maplen, CORRAL_WIRE_VCPUS_MAX, CORRAL_WIRE_CPUMAPS_MAX);
    return FALSE;
}

static gboolean
domain_get_vcpus (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    const CorralWireVcpusArgs *which = args;
    CorralWireVcpusRet *wire = ret;
    g_autoptr (GArray) vcpus = NULL;
    const CorralContainer *container;
    gsize maplen;
    guint count;

    if (!check_maps (which->maxinfo, which->maplen, error))
        return FALSE;
    maplen = (gsize) which->maplen;
    container = corral_driver_find_active (driver, &which->dom, error);
    if (container == NULL ||
        !corral_agent_list_vcpus (driver->agent, corral_driver_name (container), maplen > 0, &vcpus,
                                  error))
        return FALSE;

    count = MIN (vcpus->len, (guint) which->maxinfo);
    wire->info.info_len = count;
    wire->info.info_val = g_new0 (CorralWireVcpuInfo, count);
    wire->cpumaps.cpumaps_len = (guint) (count * maplen);
    wire->cpumaps.cpumaps_val = g_malloc0 (count * maplen);
    for (guint i = 0; i < count; i++) {
        const CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);
        CorralWireVcpuInfo *info = &wire->info.info_val[i];

        info->number = i;
        info->state = vcpu->running ? VIR_VCPU_RUNNING : VIR_VCPU_BLOCKED;
        info->cpu_time = vcpu->time_ns;
        info->cpu = vcpu->last_cpu;
        if (maplen > 0 && vcpu->affinity != NULL)
            corral_driver_cpumap_fill (vcpu->affinity,
                                       (guint8 *) wire->cpumaps.cpumaps_val + i * maplen, maplen);
    }
    return TRUE;
}

static gboolean
domain_get_vcpu_pin_info (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                          gpointer ret, GError **error)
{
    const CorralWireVcpuPinInfoArgs *which = args;
    CorralWireVcpuPinInfoRet *wire = ret;
    const CorralDefinition *definition;
    g_autoptr (GArray) vcpus = NULL;
    const CorralContainer *container;
    gsize maplen;
    guint affect;

    if (!corral_driver_check_flags (which->flags, AFFECT_FLAGS, "virDomainGetVcpuPinInfo", error) ||
        !check_maps (which->ncpumaps, which->maplen, error))
        return FALSE;
    maplen = (gsize) which->maplen;
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL ||
        !corral_driver_affect_one (container, which->flags, &affect, &definition, error))
        return FALSE;
    if (affect == CORRAL_AFFECT_CONFIG)
        return TRUE;
    if (!corral_agent_list_vcpus (driver->agent, definition->name, TRUE, &vcpus, error))
        return FALSE;

    wire->num = (int) MIN (vcpus->len, (guint) which->ncpumaps);
    wire->cpumaps.cpumaps_len = (guint) ((gsize) wire->num * maplen);
    wire->cpumaps.cpumaps_val = g_malloc0 (wire->cpumaps.cpumaps_len);
    for (int i = 0; i < wire->num; i++) {
        const CorralAgentVcpu *vcpu = &g_array_index (vcpus, CorralAgentVcpu, i);

        if (vcpu->affinity != NULL)
            corral_driver_cpumap_fill (vcpu->affinity,
                                       (guint8 *) wire->cpumaps.cpumaps_val + (gsize) i * maplen,
                                       maplen);
    }
    return TRUE;
}

/* --- how many --- */

static gboolean
domain_get_vcpus_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                        gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;
    const guint known = AFFECT_FLAGS | VIR_DOMAIN_VCPU_MAXIMUM | VIR_DOMAIN_VCPU_GUEST;
    const CorralDefinition *definition;
    const CorralContainer *container;
    guint affect;

    if (!corral_driver_check_flags (which->flags, known, "virDomainGetVcpusFlags", error))
        return FALSE;
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL ||
        !corral_driver_affect_one (container, which->flags, &affect, &definition, error))
        return FALSE;
    if ((which->flags & VIR_DOMAIN_VCPU_GUEST) != 0) {
        corral_driver_error (error, VIR_ERR_OPERATION_UNSUPPORTED,
                             "a container has no guest agent to ask");
        return FALSE;
    }
    if (affect == CORRAL_AFFECT_LIVE)
        ((CorralWireInt *) ret)->value =
            (int) corral_agent_count_vcpus (driver->agent, definition->name);
    return TRUE;
}

static gboolean
domain_get_max_vcpus (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralContainer *container =
        corral_driver_find_active (driver, &((const CorralWireDom *) args)->dom, error);

    if (container == NULL)
        return FALSE;
    ((CorralWireInt *) ret)->value =
        (int) corral_agent_count_vcpus (driver->agent, corral_driver_name (container));
    return TRUE;
}

/* --- pins --- */

static gboolean
read_cpus (const void *map, guint size, CorralCpuset **ret_cpus, GError **error)
{
    g_autoptr (CorralCpuset) cpus = corral_driver_cpumap_read (map, size);

    if (hwloc_bitmap_iszero (cpus)) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "Empty cpu list for pinning");
        return FALSE;
    }
    *ret_cpus = g_steal_pointer (&cpus);
    return TRUE;
}

static gboolean
pin_vcpu (CorralDriver *driver, const CorralWireDomain *dom, guint index, const void *map,
          guint size, guint flags, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autofree char *name = NULL;
    guint affect, count;

    if (container == NULL || !corral_driver_affect (container, flags, &affect, error) ||
        !read_cpus (map, size, &cpus, error))
        return FALSE;
    if ((affect & CORRAL_AFFECT_CONFIG) != 0) {
        corral_driver_error (error, VIR_ERR_OPERATION_UNSUPPORTED,
                             "the pins of a container's vCPUs are those of its running VMs, and "
                             "are not kept in its configuration");
        return FALSE;
    }
    name = g_strdup (corral_driver_name (container));
    count = corral_agent_count_vcpus (driver->agent, name);
    if (index >= count) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "vcpu %u is out of range of live cpu count %u", index, count);
        return FALSE;
    }
    return corral_agent_pin_vcpu (driver->agent, name, index, cpus, error);
}

static gboolean
domain_pin_vcpu (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                 GError **error)
{
    const CorralWirePinVcpuArgs *pin = args;

    return pin_vcpu (driver, &pin->dom, pin->vcpu, pin->cpumap.cpumap_val, pin->cpumap.cpumap_len,
                     VIR_DOMAIN_AFFECT_LIVE, error);
}

static gboolean
domain_pin_vcpu_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    const CorralWirePinVcpuFlagsArgs *pin = args;

    return corral_driver_check_flags (pin->flags, AFFECT_FLAGS, "virDomainPinVcpuFlags", error) &&
           pin_vcpu (driver, &pin->dom, pin->vcpu, pin->cpumap.cpumap_val, pin->cpumap.cpumap_len,
                     pin->flags, error);
}

/* The pCPUs of the container itself, which hold for everything in it that has no pin of its own. */
static gboolean
domain_pin_emulator (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWirePinEmulatorArgs *pin = args;
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autofree char *name = NULL;
    const CorralContainer *container;
    guint affect;

    if (!corral_driver_check_flags (pin->flags, AFFECT_FLAGS, "virDomainPinEmulator", error))
        return FALSE;
    container = corral_driver_find (driver, &pin->dom, error);
    if (container == NULL || !corral_driver_affect (container, pin->flags, &affect, error) ||
        !read_cpus (pin->cpumap.cpumap_val, pin->cpumap.cpumap_len, &cpus, error))
        return FALSE;
    name = g_strdup (corral_driver_name (container));
    return corral_agent_set_cpuset (driver->agent, name, cpus, affect, error);
}

static gboolean
domain_get_emulator_pin_info (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                              gpointer ret, GError **error)
{
    const CorralWireEmulatorPinInfoArgs *which = args;
    CorralWireVcpuPinInfoRet *wire = ret;
    g_autoptr (CorralCpuset) cpus = NULL;
    const CorralDefinition *definition;
    const CorralContainer *container;
    guint affect;

    if (!corral_driver_check_flags (which->flags, AFFECT_FLAGS, "virDomainGetEmulatorPinInfo",
                                    error) ||
        !check_maps (1, which->maplen, error))
        return FALSE;
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL ||
        !corral_driver_affect_one (container, which->flags, &affect, &definition, error) ||
        !corral_agent_get_cpuset (driver->agent, definition->name, affect, &cpus, error))
        return FALSE;
    wire->num = 1;
    wire->cpumaps.cpumaps_len = (guint) which->maplen;
    wire->cpumaps.cpumaps_val = g_malloc0 ((gsize) which->maplen);
    corral_driver_cpumap_fill (cpus, (guint8 *) wire->cpumaps.cpumaps_val, (gsize) which->maplen);
    return TRUE;
}

const CorralDriverEntry corral_driver_vcpu_calls[] = {
    { CORRAL_PROC_DOMAIN_GET_VCPUS, domain_get_vcpus },
    { CORRAL_PROC_DOMAIN_GET_VCPU_PIN_INFO, domain_get_vcpu_pin_info },
    { CORRAL_PROC_DOMAIN_GET_VCPUS_FLAGS, domain_get_vcpus_flags },
    { CORRAL_PROC_DOMAIN_GET_MAX_VCPUS, domain_get_max_vcpus },
    { CORRAL_PROC_DOMAIN_PIN_VCPU, domain_pin_vcpu },
    { CORRAL_PROC_DOMAIN_PIN_VCPU_FLAGS, domain_pin_vcpu_flags },
    { CORRAL_PROC_DOMAIN_PIN_EMULATOR, domain_pin_emulator },
    { CORRAL_PROC_DOMAIN_GET_EMULATOR_PIN_INFO, domain_get_emulator_pin_info },
    { 0 },
};
