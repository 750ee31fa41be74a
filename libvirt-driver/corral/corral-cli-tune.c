/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-tune.h"

#include "common/corral-error.h"
#include "libvirt-driver/client/corral-client-error.h"

#include <math.h>
#include <string.h>

/* Far more than libvirt has; bounds what the other side may ask for. */
#define PARAMS_MAX 64
/* The largest quota that libvirt takes (VIR_DOMAIN_CPU_QUOTA_MAX of its sources: 2^44 / 1000). */
#define QUOTA_MAX_USEC G_GINT64_CONSTANT (17592186044)

static gint64
number_of (const virTypedParameter *param)
{
    switch (param->type) {
    case VIR_TYPED_PARAM_ULLONG:
        return (gint64) MIN (param->value.ul, (guint64) G_MAXINT64);
    case VIR_TYPED_PARAM_LLONG:
        return param->value.l;
    case VIR_TYPED_PARAM_UINT:
        return param->value.ui;
    case VIR_TYPED_PARAM_INT:
        return param->value.i;
    default:
        return -1;
    }
}

gboolean
corral_cli_tune_read (virDomain *domain, guint affect, CorralCliTune *ret_tune, GError **error)
{
    g_auto (CorralClientParams) params = { NULL };
    CorralCliTune tune = CORRAL_CLI_TUNE_INIT;
    char *type = virDomainGetSchedulerType (domain, &params.capacity);
    gboolean known = type != NULL && params.capacity > 0 && params.capacity <= PARAMS_MAX;

    free (type);
    if (known) {
        params.params = calloc ((gsize) params.capacity, sizeof *params.params);
        params.length = params.capacity;
        known = virDomainGetSchedulerParametersFlags (domain, params.params, &params.length,
                                                      affect) == 0;
    }
    if (!known) {
        params.length = 0;
        corral_client_set_error (error, "cannot read the weight and cap of container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    for (int i = 0; i < params.length; i++) {
        const virTypedParameter *param = &params.params[i];

        if (g_str_equal (param->field, VIR_DOMAIN_SCHEDULER_CPU_SHARES)) {
            tune.shares = number_of (param);
        } else if (g_str_equal (param->field, VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD)) {
            tune.period_usec = number_of (param);
        } else if (g_str_equal (param->field, VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA)) {
            tune.quota_usec = number_of (param);
            tune.has_quota = TRUE;
        } else if (g_str_equal (param->field, CORRAL_CLI_TUNE_BURST)) {
            tune.burst_usec = number_of (param);
        }
    }
    *ret_tune = tune;
    return TRUE;
}

static gboolean
add_number (CorralClientParams *params, const char *name, gint64 value)
{
    return value < 0 || virTypedParamsAddULLong (&params->params, &params->length,
                                                 &params->capacity, name, (guint64) value) == 0;
}

gboolean
corral_cli_tune_write (virDomain *domain, guint affect, const CorralCliTune *tune, GError **error)
{
    g_auto (CorralClientParams) params = { NULL };

    if (!add_number (&params, VIR_DOMAIN_SCHEDULER_CPU_SHARES, tune->shares) ||
        !add_number (&params, VIR_DOMAIN_SCHEDULER_GLOBAL_PERIOD, tune->period_usec) ||
        !add_number (&params, CORRAL_CLI_TUNE_BURST, tune->burst_usec) ||
        (tune->has_quota &&
         virTypedParamsAddLLong (&params.params, &params.length, &params.capacity,
                                 VIR_DOMAIN_SCHEDULER_GLOBAL_QUOTA, tune->quota_usec) < 0) ||
        virDomainSetSchedulerParametersFlags (domain, params.params, params.length, affect) < 0) {
        corral_client_set_error (error, "cannot change the weight and cap of container \"%s\"",
                                 virDomainGetName (domain));
        return FALSE;
    }
    return TRUE;
}

gboolean
corral_cli_tune_parse_quota (const char *text, gint64 period_usec, gint64 *ret_quota,
                             GError **error)
{
    gsize length = strlen (text);
    double percent;
    char *end;

    if (g_str_equal (text, "none") || g_str_equal (text, "-1")) {
        *ret_quota = -1;
        return TRUE;
    }
    if (length > 1 && text[length - 1] == '%' && (g_ascii_isdigit (text[0]) || text[0] == '.')) {
        percent = g_ascii_strtod (text, &end);
        if (end == text + length - 1 && isfinite (percent) && percent > 0 &&
            percent * (double) period_usec / 100 <= (double) QUOTA_MAX_USEC) {
            *ret_quota = (gint64) llround (percent * (double) period_usec / 100);
            return TRUE;
        }
    } else if (g_ascii_string_to_signed (text, 10, 1, QUOTA_MAX_USEC, ret_quota, NULL)) {
        return TRUE;
    }
    g_set_error (
        error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
        "cannot take \"%s\" as a cap: it must be microseconds such as 50000, percent of one "
        "pCPU such as 150%%, or none",
        text);
    return FALSE;
}
