/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/client/corral-client-error.h"

#include "common/corral-error.h"

static CorralError
code_of (int libvirt_code)
{
    switch (libvirt_code) {
    case VIR_ERR_NO_DOMAIN:
    case VIR_ERR_NO_DOMAIN_METADATA:
        return CORRAL_ERROR_NOT_FOUND;
    case VIR_ERR_DOM_EXIST:
        return CORRAL_ERROR_EXISTS;
    case VIR_ERR_OPERATION_INVALID:
        return CORRAL_ERROR_STATE;
    case VIR_ERR_RESOURCE_BUSY:
        return CORRAL_ERROR_BUSY;
    case VIR_ERR_NO_SUPPORT:
    case VIR_ERR_OPERATION_UNSUPPORTED:
    case VIR_ERR_ARGUMENT_UNSUPPORTED:
    case VIR_ERR_CONFIG_UNSUPPORTED:
        return CORRAL_ERROR_UNSUPPORTED;
    case VIR_ERR_XML_ERROR:
    case VIR_ERR_XML_DETAIL:
    case VIR_ERR_XML_INVALID_SCHEMA:
        return CORRAL_ERROR_XML;
    case VIR_ERR_OPERATION_DENIED:
    case VIR_ERR_ACCESS_DENIED:
        return CORRAL_ERROR_DENIED;
    default:
        return CORRAL_ERROR_FAILED;
    }
}

void
corral_client_set_error_from (GError **error, virErrorPtr last, const char *format, ...)
{
    g_autofree char *what = NULL;
    va_list args;

    va_start (args, format);
    what = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, CORRAL_ERROR, code_of (last != NULL ? last->code : VIR_ERR_INTERNAL_ERROR),
                 "%s: %s", what,
                 last != NULL && last->message != NULL ? last->message : "libvirt gave no reason");
}

static void
ignore_error (void *data, virErrorPtr error)
{
}

void
corral_client_silence_errors (void)
{
    virSetErrorFunc (NULL, ignore_error);
}
