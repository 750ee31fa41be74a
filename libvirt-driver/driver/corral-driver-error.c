/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/*
 * Corral's codes as libvirt's, chosen by what libvirt's own drivers report in the same case, so
 * that a program written for them takes the right turn:
 * - an existing name or UUID is OPERATION_FAILED there, not DOM_EXIST;
 * - RESOURCE_BUSY is what it says of a thing that others still use.
 */
static const struct {
    int code;
    int domain; /* 0: the procedure's own */
} mapping[] = {
    [CORRAL_ERROR_FAILED] = { VIR_ERR_OPERATION_FAILED, 0 },
    [CORRAL_ERROR_INVALID] = { VIR_ERR_INVALID_ARG, 0 },
    [CORRAL_ERROR_NOT_FOUND] = { VIR_ERR_NO_DOMAIN, 0 },
    [CORRAL_ERROR_EXISTS] = { VIR_ERR_OPERATION_FAILED, 0 },
    [CORRAL_ERROR_STATE] = { VIR_ERR_OPERATION_INVALID, 0 },
    [CORRAL_ERROR_BUSY] = { VIR_ERR_RESOURCE_BUSY, 0 },
    [CORRAL_ERROR_UNSUPPORTED] = { VIR_ERR_OPERATION_UNSUPPORTED, 0 },
    [CORRAL_ERROR_XML] = { VIR_ERR_XML_ERROR, VIR_FROM_XML },
    [CORRAL_ERROR_PARTIAL] = { VIR_ERR_OPERATION_FAILED, VIR_FROM_CGROUP },
    [CORRAL_ERROR_IO] = { VIR_ERR_SYSTEM_ERROR, 0 },
    [CORRAL_ERROR_DENIED] = { VIR_ERR_OPERATION_DENIED, 0 },
    [CORRAL_ERROR_REFUSED] = { VIR_ERR_RESOURCE_BUSY, VIR_FROM_CPU },
};

/* What libvirt says before the detail. A code that is not here has nothing in front. */
static const struct {
    int code;
    const char *words;
} prefixes[] = {
    { VIR_ERR_INTERNAL_ERROR, "internal error" },
    { VIR_ERR_NO_SUPPORT, "this function is not supported by the connection driver" },
    { VIR_ERR_INVALID_ARG, "invalid argument" },
    { VIR_ERR_OPERATION_FAILED, "operation failed" },
    { VIR_ERR_XML_ERROR, "XML error" },
    { VIR_ERR_OPERATION_DENIED, "operation forbidden" },
    { VIR_ERR_NO_DOMAIN, "Domain not found" },
    { VIR_ERR_OPERATION_INVALID, "Requested operation is not valid" },
    { VIR_ERR_CONFIG_UNSUPPORTED, "unsupported configuration" },
    { VIR_ERR_ARGUMENT_UNSUPPORTED, "argument unsupported" },
    { VIR_ERR_NO_DOMAIN_METADATA, "metadata not found" },
    { VIR_ERR_OPERATION_UNSUPPORTED, "Operation not supported" },
    { VIR_ERR_RESOURCE_BUSY, "resource busy" },
    { VIR_ERR_DEVICE_MISSING, "device not found" },
};

void
corral_driver_map_error (const GError *error, int *ret_code, int *ret_domain, gpointer user_data)
{
    if (error->domain == CORRAL_RPC_ERROR) {
        *ret_code = error->code;
    } else if (error->domain == CORRAL_ERROR && error->code >= 0 &&
               error->code < (int) G_N_ELEMENTS (mapping)) {
        *ret_code = mapping[error->code].code;
        if (mapping[error->code].domain != 0)
            *ret_domain = mapping[error->code].domain;
    } else {
        *ret_code = VIR_ERR_INTERNAL_ERROR;
    }
}

void
corral_driver_dress_error (GError *error)
{
    int code, domain = 0;
    char *dressed;

    corral_driver_map_error (error, &code, &domain, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS (prefixes); i++) {
        if (prefixes[i].code == code) {
            dressed = g_strdup_printf ("%s: %s", prefixes[i].words, error->message);
            g_free (error->message);
            error->message = dressed;
            return;
        }
    }
}

void
corral_driver_error (GError **error, int code, const char *format, ...)
{
    va_list args;

    va_start (args, format);
    g_propagate_error (error, g_error_new_valist (CORRAL_RPC_ERROR, code, format, args));
    va_end (args);
}

const CorralRpcHooks corral_driver_rpc_hooks = { .map_error = corral_driver_map_error };
