/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "corral-rpc-params.h"

/* VIR_TYPED_PARAM_FIELD_LENGTH, which counts the final zero. */
#define FIELD_LENGTH_MAX 80

struct _CorralRpcParams {
    GArray *array; /* CorralWireParam */
};

static void
clear_param (gpointer data)
{
    xdr_free ((xdrproc_t) xdr_CorralWireParam, data);
}

CorralRpcParams *
corral_rpc_params_new (void)
{
    CorralRpcParams *params = g_new0 (CorralRpcParams, 1);

    params->array = g_array_new (FALSE, FALSE, sizeof (CorralWireParam));
    g_array_set_clear_func (params->array, clear_param);
    return params;
}

void
corral_rpc_params_free (CorralRpcParams *params)
{
    if (params == NULL)
        return;
    g_array_unref (params->array);
    g_free (params);
}

guint
corral_rpc_params_get_length (CorralRpcParams *params)
{
    return params->array->len;
}

static CorralWireValue *
add (CorralRpcParams *params, const char *name, int type)
{
    CorralWireParam param = { .field = NULL, .value = { .type = type } };

    g_assert (strlen (name) < FIELD_LENGTH_MAX);
    param.field = g_strdup (name);
    g_array_append_val (params->array, param);
    return &g_array_index (params->array, CorralWireParam, params->array->len - 1).value;
}

void
corral_rpc_params_add_int (CorralRpcParams *params, const char *name, gint32 value)
{
    add (params, name, CORRAL_WIRE_PARAM_INT)->CorralWireValue_u.i = value;
}

void
corral_rpc_params_add_uint (CorralRpcParams *params, const char *name, guint32 value)
{
    add (params, name, CORRAL_WIRE_PARAM_UINT)->CorralWireValue_u.ui = value;
}

void
corral_rpc_params_add_llong (CorralRpcParams *params, const char *name, gint64 value)
{
    add (params, name, CORRAL_WIRE_PARAM_LLONG)->CorralWireValue_u.l = value;
}

void
corral_rpc_params_add_ullong (CorralRpcParams *params, const char *name, guint64 value)
{
    add (params, name, CORRAL_WIRE_PARAM_ULLONG)->CorralWireValue_u.ul = value;
}

void
corral_rpc_params_add_double (CorralRpcParams *params, const char *name, double value)
{
    add (params, name, CORRAL_WIRE_PARAM_DOUBLE)->CorralWireValue_u.d = value;
}

void
corral_rpc_params_add_boolean (CorralRpcParams *params, const char *name, gboolean value)
{
    add (params, name, CORRAL_WIRE_PARAM_BOOLEAN)->CorralWireValue_u.b = value != FALSE;
}

void
corral_rpc_params_add_string (CorralRpcParams *params, const char *name, const char *value)
{
    add (params, name, CORRAL_WIRE_PARAM_STRING)->CorralWireValue_u.s = g_strdup (value);
}

CorralWireParam *
corral_rpc_params_steal (CorralRpcParams *params, guint *ret_length)
{
    gsize length;
    CorralWireParam *array = (CorralWireParam *) (gpointer) g_array_steal (params->array, &length);

    *ret_length = (guint) length;
    corral_rpc_params_free (params);
    return array;
}

/*----- Reading --------------------------------------------------------------------------------*/

const CorralWireParam *
corral_rpc_params_find (const CorralWireParam *params, guint length, const char *name)
{
    for (guint i = 0; i < length; i++) {
        if (strcmp (params[i].field, name) == 0)
            return &params[i];
    }
    return NULL;
}

static gboolean
wrong_type (const CorralWireParam *param, const char *wanted, GError **error)
{
    g_autofree char *shown = g_utf8_make_valid (param->field, -1);

    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot use the parameter \"%.80s\": its value must be %s", shown, wanted);
    return FALSE;
}

gboolean
corral_rpc_param_get_int64 (const CorralWireParam *param, gint64 *ret_value, GError **error)
{
    const CorralWireValue *value = &param->value;

    switch (value->type) {
    case CORRAL_WIRE_PARAM_INT:
        *ret_value = value->CorralWireValue_u.i;
        return TRUE;
    case CORRAL_WIRE_PARAM_UINT:
        *ret_value = value->CorralWireValue_u.ui;
        return TRUE;
    case CORRAL_WIRE_PARAM_LLONG:
        *ret_value = value->CorralWireValue_u.l;
        return TRUE;
    case CORRAL_WIRE_PARAM_ULLONG:
        if (value->CorralWireValue_u.ul > G_MAXINT64)
            return wrong_type (param, "smaller", error);
        *ret_value = (gint64) value->CorralWireValue_u.ul;
        return TRUE;
    default:
        return wrong_type (param, "an integer", error);
    }
}

gboolean
corral_rpc_param_get_uint64 (const CorralWireParam *param, guint64 *ret_value, GError **error)
{
    gint64 value;

    if (param->value.type == CORRAL_WIRE_PARAM_ULLONG) {
        *ret_value = param->value.CorralWireValue_u.ul;
        return TRUE;
    }
    if (!corral_rpc_param_get_int64 (param, &value, error))
        return FALSE;
    if (value < 0)
        return wrong_type (param, "zero or more", error);
    *ret_value = (guint64) value;
    return TRUE;
}

gboolean
corral_rpc_param_get_string (const CorralWireParam *param, const char **ret_value, GError **error)
{
    if (param->value.type != CORRAL_WIRE_PARAM_STRING)
        return wrong_type (param, "a string", error);
    *ret_value = param->value.CorralWireValue_u.s;
    return TRUE;
}

/*----- Domains and strings --------------------------------------------------------------------*/

void
corral_rpc_domain_set (CorralWireDomain *domain, const char *name, const guint8 uuid[16], gint32 id)
{
    domain->name = g_strdup (name);
    memcpy (domain->uuid, uuid, sizeof domain->uuid);
    domain->id = id;
}

CorralWireOptString
corral_rpc_opt_string_new (const char *text)
{
    CorralWireOptString string;

    if (text == NULL)
        return NULL;
    string = g_new (CorralWireString, 1);
    *string = g_strdup (text);
    return string;
}

const char *
corral_rpc_opt_string (CorralWireOptString string)
{
    return string == NULL ? NULL : *string;
}
