/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

#define AFFECT_FLAGS (VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG)

/* Which text a virDomainMetadataType means; @uri is asked for where it is needed. */
static gboolean
text_of_type (int type, const char *uri, CorralText *ret_text, GError **error)
{
    switch (type) {
    case VIR_DOMAIN_METADATA_DESCRIPTION:
        *ret_text = CORRAL_TEXT_DESCRIPTION;
        return TRUE;
    case VIR_DOMAIN_METADATA_TITLE:
        *ret_text = CORRAL_TEXT_TITLE;
        return TRUE;
    case VIR_DOMAIN_METADATA_ELEMENT:
        if (uri != NULL && *uri != '\0') {
            *ret_text = CORRAL_TEXT_METADATA;
            return TRUE;
        }
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "metadata of a container is named by its URI, and none was given");
        return FALSE;
    default:
        corral_driver_error (error, VIR_ERR_INVALID_ARG, "unknown metadata type %d", type);
        return FALSE;
    }
}

static gboolean
domain_get_metadata (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireGetMetadataArgs *which = args;
    const char *uri = corral_rpc_opt_string (which->uri);
    const CorralContainer *container;
    const CorralDefinition *definition;
    const char *value = NULL;
    CorralText text;
    guint affect;

    if (!corral_driver_check_flags (which->flags, AFFECT_FLAGS, "virDomainGetMetadata", error) ||
        !text_of_type (which->type, uri, &text, error))
        return FALSE;
    container = corral_driver_find (driver, &which->dom, error);
    if (container != NULL && text == CORRAL_TEXT_METADATA && corral_driver_is_plan_uri (uri)) {
        ((CorralWireText *) ret)->text = corral_driver_get_plan (driver, container, uri, error);
        return ((CorralWireText *) ret)->text != NULL;
    }
    if (container == NULL ||
        !corral_driver_affect_one (container, which->flags, &affect, &definition, error))
        return FALSE;
    if (text == CORRAL_TEXT_TITLE)
        value = definition->title;
    else if (text == CORRAL_TEXT_DESCRIPTION)
        value = definition->description;
    else
        value = corral_definition_get_metadata (definition, uri);
    if (value == NULL) {
        corral_driver_error (error, VIR_ERR_NO_DOMAIN_METADATA,
                             "Requested metadata element is not present");
        return FALSE;
    }
    ((CorralWireText *) ret)->text = g_strdup (value);
    return TRUE;
}

static gboolean
domain_set_metadata (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                     gpointer ret, GError **error)
{
    const CorralWireSetMetadataArgs *wanted = args;
    const char *uri = corral_rpc_opt_string (wanted->uri);
    const char *prefix = corral_rpc_opt_string (wanted->key);
    const char *value = corral_rpc_opt_string (wanted->metadata);
    const CorralContainer *container;
    g_autofree char *name = NULL;
    CorralText text;
    guint affect;

    if (!corral_driver_check_flags (wanted->flags, AFFECT_FLAGS, "virDomainSetMetadata", error) ||
        !text_of_type (wanted->type, uri, &text, error))
        return FALSE;
    if (text == CORRAL_TEXT_METADATA && value != NULL && (prefix == NULL || *prefix == '\0')) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "metadata needs a key, under which its namespace is kept");
        return FALSE;
    }
    container = corral_driver_find (driver, &wanted->dom, error);
    if (container != NULL && text == CORRAL_TEXT_METADATA && corral_driver_is_plan_uri (uri))
        return corral_driver_set_plan (driver, uri, value, wanted->flags, error);
    if (container == NULL || !corral_driver_affect (container, wanted->flags, &affect, error))
        return FALSE;
    name = g_strdup (corral_driver_name (container));
    return corral_agent_set_text (driver->agent, name, text, uri, prefix, value, affect, error);
}

const CorralDriverEntry corral_driver_text_calls[] = {
    { CORRAL_PROC_DOMAIN_GET_METADATA, domain_get_metadata },
    { CORRAL_PROC_DOMAIN_SET_METADATA, domain_set_metadata },
    { 0 },
};
