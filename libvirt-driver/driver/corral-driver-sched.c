/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/*
 * Weight and cap by libvirt's names. libvirt has one cap for each vCPU (vcpu_*) and one for the
 * whole domain (global_*). A container has one, of the whole, that can be read and set by either
 * name.
 */

#define AFFECT_FLAGS (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)
#define N_PARAMS 6
/* The bounds that libvirt documents for <cputune>. */
#define PERIOD_MIN 1000
#define PERIOD_MAX 1000000
#define QUOTA_MIN 1000
#define QUOTA_MAX G_GINT64_CONSTANT (17592186044415)
#define SHARES_MIN 2
#define SHARES_MAX 262144

static gboolean
domain_get_scheduler_type (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                           gpointer ret, GError **error)
{
    CorralWireSchedulerTypeRet *type = ret;

    if (corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error) == NULL)
        return FALSE;
    type->type = g_strdup ("posix");
    type->nparams = N_PARAMS;
    return TRUE;
}

/* --- reading --- */

/* As many of them as the caller has room for. */
static void
fill_params (const CorralCpuTune *tune, guint room, CorralWireSchedulerRet *ret)
{
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();
    gint64 quota = tune->quota_usec == CORRAL_QUOTA_NONE ? -1 : tune->quota_usec;

    if (room > 0)
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_SCHEDULER_CPU_SHARES,
                                      (guint64) tune->shares);
    if (room > 1)
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD,
                                      (guint64) tune->period_usec);
    if (room > 2)
        corral_rpc_params_add_llong (params, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA, quota);
    if (room > 3)
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD,
                                      (guint64) tune->period_usec);
    if (room > 4)
        corral_rpc_params_add_llong (params, VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA, quota);
    if (room > 5)
        corral_rpc_params_add_ullong (params, CORRAL_DRIVER_SCHED_BURST,
                                      (guint64) tune->burst_usec);
    ret->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &ret->params.params_len);
}

static gboolean
get_params (CorralDriver *driver, const CorralWireDomain *dom, int room, guint flags,
            CorralWireSchedulerRet *ret, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    const CorralDefinition *definition;
    CorralCpuTune tune;
    guint affect;

    if (container == NULL)
        return FALSE;
    if (room < 0 || room > CORRAL_WIRE_SCHEDULER_PARAMS_MAX) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "room for %d parameters is not from 0 to %d", room,
                             CORRAL_WIRE_SCHEDULER_PARAMS_MAX);
        return FALSE;
    }
    if (!corral_driver_affect_one (container, flags, &affect, &definition, error) ||
        !corral_agent_get_tune (driver->agent, definition->name, affect, &tune, error))
        return FALSE;
    fill_params (&tune, (guint) room, ret);
    return TRUE;
}

static gboolean
domain_get_scheduler_parameters (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                                 gpointer ret, GError **error)
{
    const CorralWireSchedulerArgs *which = args;

    return get_params (driver, &which->dom, which->nparams, 0, ret, error);
}

static gboolean
domain_get_scheduler_parameters_flags (CorralDriver *driver, CorralRpcClient *client,
                                       gconstpointer args, gpointer ret, GError **error)
{
    const CorralWireSchedulerFlagsArgs *which = args;

    return corral_driver_check_flags (which->flags, AFFECT_FLAGS | VIR_TYPED_PARAM_STRING_OKAY,
                                      "virDomainGetSchedulerParametersFlags", error) &&
           get_params (driver, &which->dom, which->nparams, which->flags, ret, error);
}

/* --- setting --- */

/* Puts @value, checked, where @name belongs; one thing under two names must have one value. */
static gboolean
take_value (const char *name, gint64 value, gint64 min, gint64 max, gint64 *field, GError **error)
{
    if (value != CORRAL_QUOTA_NONE && (value < min || value > max)) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "value of '%s' is out of range [%" G_GINT64_FORMAT
                             ", %" G_GINT64_FORMAT "]",
                             name, min, max);
        return FALSE;
    }
    if (*field != -1 && *field != value) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "'%s' is given two values: a container has one cap, of the whole",
                             name);
        return FALSE;
    }
    *field = value;
    return TRUE;
}

static gboolean
take_param (const CorralWireParam *param, CorralCpuTune *tune, GError **error)
{
    const char *name = param->field;
    gint64 value;

    if (strcmp (name, VIR_DOMAIN_SCHEDULER_CPU_SHARES) != 0 &&
        strcmp (name, VIR_DOMAIN_SCHEDULER_VCPU_PERIOD) != 0 &&
        strcmp (name, VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD) != 0 &&
        strcmp (name, VIR_DOMAIN_SCHEDULER_VCPU_QUOTA) != 0 &&
        strcmp (name, VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA) != 0 &&
        strcmp (name, CORRAL_DRIVER_SCHED_BURST) != 0) {
        g_autofree char *shown = g_utf8_make_valid (name, (gssize) MIN (strlen (name), 80));

        corral_driver_error (error, VIR_ERR_INVALID_ARG, "parameter '%s' not supported", shown);
        return FALSE;
    }
    if (!corral_rpc_param_get_int64 (param, &value, error))
        return FALSE;
    if (strcmp (name, VIR_DOMAIN_SCHEDULER_CPU_SHARES) == 0)
        return take_value (name, value, SHARES_MIN, SHARES_MAX, &tune->shares, error);
    if (strcmp (name, CORRAL_DRIVER_SCHED_BURST) == 0)
        return take_value (name, value, 0, QUOTA_MAX, &tune->burst_usec, error);
    if (g_str_has_suffix (name, "_period"))
        return take_value (name, value, PERIOD_MIN, PERIOD_MAX, &tune->period_usec, error);
    /* Anything negative is no cap, as libvirt has it; so is 0, which no kernel takes for one. */
    return take_value (name, value <= 0 ? CORRAL_QUOTA_NONE : value, QUOTA_MIN, QUOTA_MAX,
                       &tune->quota_usec, error);
}

static gboolean
set_params (CorralDriver *driver, const CorralWireDomain *dom, const CorralWireParam *params,
            guint n_params, guint flags, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    CorralCpuTune tune = CORRAL_CPU_TUNE_INIT;
    g_autofree char *name = NULL;
    guint affect;

    if (container == NULL || !corral_driver_affect (container, flags, &affect, error))
        return FALSE;
    for (guint i = 0; i < n_params; i++) {
        if (!take_param (&params[i], &tune, error))
            return FALSE;
    }
    name = g_strdup (corral_driver_name (container));
    return corral_agent_set_tune (driver->agent, name, &tune, affect, error);
}

static gboolean
domain_set_scheduler_parameters (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                                 gpointer ret, GError **error)
{
    const CorralWireSetSchedulerArgs *wanted = args;

    return set_params (driver, &wanted->dom, wanted->params.params_val, wanted->params.params_len,
                       0, error);
}

static gboolean
domain_set_scheduler_parameters_flags (CorralDriver *driver, CorralRpcClient *client,
                                       gconstpointer args, gpointer ret, GError **error)
{
    const CorralWireSetSchedulerFlagsArgs *wanted = args;

    return corral_driver_check_flags (wanted->flags, AFFECT_FLAGS,
                                      "virDomainSetSchedulerParametersFlags", error) &&
           set_params (driver, &wanted->dom, wanted->params.params_val, wanted->params.params_len,
                       wanted->flags, error);
}

const CorralDriverEntry corral_driver_sched_calls[] = {
    { CORRAL_PROC_DOMAIN_GET_SCHEDULER_TYPE, domain_get_scheduler_type },
    { CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS, domain_get_scheduler_parameters },
    { CORRAL_PROC_DOMAIN_GET_SCHEDULER_PARAMETERS_FLAGS, domain_get_scheduler_parameters_flags },
    { CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS, domain_set_scheduler_parameters },
    { CORRAL_PROC_DOMAIN_SET_SCHEDULER_PARAMETERS_FLAGS, domain_set_scheduler_parameters_flags },
    { 0 },
};
