/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/*
 * The NUMA nodes that a container's memory comes from, as virsh numatune has them. They are the
 * cpuset's and hold for everything in it; libvirt's word for that is the mode "strict", and there
 * is no other. For a running domain libvirt refuses to change the nodes in this mode, since QEMU
 * has bound its memory by then; a container's can be changed at any time.
 */

#define AFFECT_FLAGS (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)
#define N_PARAMS 2

static gboolean
domain_get_numa_parameters (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    const CorralWireSchedulerFlagsArgs *which = args;
    CorralWireNumaRet *numa = ret;
    g_autoptr (CorralRpcParams) params = NULL;
    g_autoptr (CorralCpuset) mems = NULL;
    g_autofree char *list = NULL;
    const CorralDefinition *definition;
    const CorralContainer *container;
    guint affect;

    if (!corral_driver_check_flags (which->flags, AFFECT_FLAGS | VIR_TYPED_PARAM_STRING_OKAY,
                                    "virDomainGetNumaParameters", error))
        return FALSE;
    if (which->nparams < 0 || which->nparams > CORRAL_WIRE_NUMA_PARAMS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "room for %d parameters is not from 0 to %d", which->nparams,
                             CORRAL_WIRE_NUMA_PARAMS_MAX);
        return FALSE;
    }
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL ||
        !corral_driver_affect_one (container, which->flags, &affect, &definition, error) ||
        !corral_agent_get_mems (driver->agent, definition->name, affect, &mems, error))
        return FALSE;
    numa->nparams = N_PARAMS;
    if (which->nparams == 0)
        return TRUE;
    numa->nparams = MIN (N_PARAMS, which->nparams);
    params = corral_rpc_params_new ();
    corral_rpc_params_add_int (params, VIR_DOMAIN_NUMA_MODE, VIR_DOMAIN_NUMATUNE_MEM_STRICT);
    list = corral_cpuset_format (mems);
    if (numa->nparams > 1)
        corral_rpc_params_add_string (params, VIR_DOMAIN_NUMA_NODESET, list);
    numa->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &numa->params.params_len);
    return TRUE;
}

static gboolean
take_nodeset (const CorralWireParam *param, CorralCpuset **mems, GError **error)
{
    g_autoptr (CorralCpuset) set = NULL;
    const char *list;

    if (!corral_rpc_param_get_string (param, &list, error) ||
        !corral_cpuset_parse (list, &set, error))
        return FALSE;
    if (hwloc_bitmap_iszero (set)) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "Empty node list for 'numatune'");
        return FALSE;
    }
    g_clear_pointer (mems, hwloc_bitmap_free);
    *mems = g_steal_pointer (&set);
    return TRUE;
}

static gboolean
take_param (const CorralWireParam *param, CorralCpuset **mems, GError **error)
{
    g_autofree char *shown = NULL;
    gint64 mode;

    if (strcmp (param->field, VIR_DOMAIN_NUMA_NODESET) == 0)
        return take_nodeset (param, mems, error);
    if (strcmp (param->field, VIR_DOMAIN_NUMA_MODE) == 0) {
        if (!corral_rpc_param_get_int64 (param, &mode, error))
            return FALSE;
        if (mode == VIR_DOMAIN_NUMATUNE_MEM_STRICT)
            return TRUE;
        corral_driver_error (error, VIR_ERR_CONFIG_UNSUPPORTED,
                             "the memory of a container has the mode 'strict' and no other");
        return FALSE;
    }
    shown = g_utf8_make_valid (param->field, (gssize) MIN (strlen (param->field), 80));
    corral_driver_error (error, VIR_ERR_INVALID_ARG, "parameter '%s' not supported", shown);
    return FALSE;
}

static gboolean
domain_set_numa_parameters (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    const CorralWireSetNumaArgs *wanted = args;
    g_autoptr (CorralCpuset) mems = NULL;
    g_autofree char *name = NULL;
    const CorralContainer *container;
    guint affect;

    if (!corral_driver_check_flags (wanted->flags, AFFECT_FLAGS, "virDomainSetNumaParameters",
                                    error))
        return FALSE;
    container = corral_driver_find (driver, &wanted->dom, error);
    if (container == NULL || !corral_driver_affect (container, wanted->flags, &affect, error))
        return FALSE;
    for (guint i = 0; i < wanted->params.params_len; i++)
        if (!take_param (&wanted->params.params_val[i], &mems, error))
            return FALSE;
    if (mems == NULL)
        return TRUE;
    name = g_strdup (corral_driver_name (container));
    return corral_agent_set_mems (driver->agent, name, mems, affect, error);
}

const CorralDriverEntry corral_driver_numa_calls[] = {
    { CORRAL_PROC_DOMAIN_GET_NUMA_PARAMETERS, domain_get_numa_parameters },
    { CORRAL_PROC_DOMAIN_SET_NUMA_PARAMETERS, domain_set_numa_parameters },
    { 0 },
};
