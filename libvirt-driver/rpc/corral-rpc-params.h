/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Typed parameters, domains and strings, as the wire's types hold them. */
#pragma once

#include "corral-rpc.h"

/*----- Building lists of typed parameters -----*/

typedef struct _CorralRpcParams CorralRpcParams;

CorralRpcParams *corral_rpc_params_new (void);
void corral_rpc_params_free (CorralRpcParams *params);
guint corral_rpc_params_get_length (CorralRpcParams *params);

/* A name is at most 79 bytes long (VIR_TYPED_PARAM_FIELD_LENGTH with its zero); names are ours, so
 * a longer one is a bug. */
void corral_rpc_params_add_int (CorralRpcParams *params, const char *name, gint32 value);
void corral_rpc_params_add_uint (CorralRpcParams *params, const char *name, guint32 value);
void corral_rpc_params_add_llong (CorralRpcParams *params, const char *name, gint64 value);
void corral_rpc_params_add_ullong (CorralRpcParams *params, const char *name, guint64 value);
void corral_rpc_params_add_double (CorralRpcParams *params, const char *name, double value);
void corral_rpc_params_add_boolean (CorralRpcParams *params, const char *name, gboolean value);
void corral_rpc_params_add_string (CorralRpcParams *params, const char *name, const char *value);

/**
 * corral_rpc_params_steal:
 * @params: (transfer full): consumed
 * @ret_length: (out): goes with the array, as in .params_len
 *
 * Returns: (transfer full): an array for a result's .params_val, freed with it by xdr_free()
 */
CorralWireParam *corral_rpc_params_steal (CorralRpcParams *params, guint *ret_length);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralRpcParams, corral_rpc_params_free)

/*----- Reading them -----*/

/* Returns: (nullable): the parameter called @name */
const CorralWireParam *corral_rpc_params_find (const CorralWireParam *params, guint length,
                                               const char *name);

/* %FALSE with %CORRAL_ERROR_INVALID when @param is of another type. An integer of any width is
 * taken when its value fits. */
gboolean corral_rpc_param_get_int64 (const CorralWireParam *param, gint64 *ret_value,
                                     GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_rpc_param_get_uint64 (const CorralWireParam *param, guint64 *ret_value,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_rpc_param_get_string (const CorralWireParam *param, const char **ret_value,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;

/*----- Domains and strings -----*/

/* Fills a domain in a result or an event; xdr_free() frees it there. @id is -1 when inactive. */
void corral_rpc_domain_set (CorralWireDomain *domain, const char *name, const guint8 uuid[16],
                            gint32 id);

/* For an optional string in a result: %NULL is absent. Returns: (transfer full) (nullable) */
CorralWireOptString corral_rpc_opt_string_new (const char *text);

/* Returns: (transfer none) (nullable): the string, or %NULL when it is absent */
const char *corral_rpc_opt_string (CorralWireOptString string);
