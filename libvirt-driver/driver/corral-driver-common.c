/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

#define UUID_STRING_SIZE 37

static void
format_uuid (const guint8 *uuid, char text[UUID_STRING_SIZE])
{
    g_snprintf (text, UUID_STRING_SIZE,
                "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", uuid[0],
                uuid[1], uuid[2], uuid[3], uuid[4], uuid[5], uuid[6], uuid[7], uuid[8], uuid[9],
                uuid[10], uuid[11], uuid[12], uuid[13], uuid[14], uuid[15]);
}

const CorralContainer *
corral_driver_find (CorralDriver *driver, const CorralWireDomain *dom, GError **error)
{
    const guint8 *uuid = (const guint8 *) dom->uuid;
    const CorralContainer *container = corral_agent_lookup_uuid (driver->agent, uuid);
    char text[UUID_STRING_SIZE];

    if (container == NULL) {
        format_uuid (uuid, text);
        if (*dom->name == '\0') /* looked up by UUID alone */
            corral_driver_error (error, VIR_ERR_NO_DOMAIN, "no domain with matching uuid '%s'",
                                 text);
        else
            corral_driver_error (error, VIR_ERR_NO_DOMAIN,
                                 "no domain with matching uuid '%s' (%.*s)", text, CORRAL_NAME_MAX,
                                 dom->name);
    }
    return container;
}

const CorralContainer *
corral_driver_find_active (CorralDriver *driver, const CorralWireDomain *dom, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);

    if (container != NULL && !corral_driver_is_active (container)) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID, "domain is not running");
        return NULL;
    }
    return container;
}

const char *
corral_driver_name (const CorralContainer *container)
{
    return corral_container_definition (container)->name;
}

gboolean
corral_driver_is_active (const CorralContainer *container)
{
    return container->live != NULL;
}

void
corral_driver_fill_domain (const CorralContainer *container, CorralWireDomain *ret_domain)
{
    const CorralDefinition *definition = corral_container_definition (container);

    corral_rpc_domain_set (ret_domain, definition->name, definition->uuid,
                           corral_driver_is_active (container) ? container->id : -1);
}

gboolean
corral_driver_check_flags (guint flags, guint known, const char *api, GError **error)
{
    if ((flags & ~known) == 0)
        return TRUE;
    corral_driver_error (error, VIR_ERR_INVALID_ARG, "unsupported flags (0x%x) in function %s",
                         flags & ~known, api);
    return FALSE;
}

gboolean
corral_driver_affect (const CorralContainer *container, guint flags, guint *ret_affect,
                      GError **error)
{
    gboolean active = corral_driver_is_active (container);
    guint affect = 0;

    if ((flags & VIR_DOMAIN_AFFECT_LIVE) != 0)
        affect |= CORRAL_AFFECT_LIVE;
    if ((flags & VIR_DOMAIN_AFFECT_CONFIG) != 0)
        affect |= CORRAL_AFFECT_CONFIG;
    if (affect == 0)
        affect = active ? CORRAL_AFFECT_LIVE : CORRAL_AFFECT_CONFIG;

    if (!active && (affect & CORRAL_AFFECT_LIVE) != 0) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID, "domain is not running");
        return FALSE;
    }
    if (container->config == NULL && (affect & CORRAL_AFFECT_CONFIG) != 0) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID,
                             "transient domains do not have any persistent config");
        return FALSE;
    }
    *ret_affect = affect;
    return TRUE;
}

gboolean
corral_driver_affect_one (const CorralContainer *container, guint flags, guint *ret_affect,
                          const CorralDefinition **ret_definition, GError **error)
{
    if (!corral_driver_affect (container, flags, ret_affect, error))
        return FALSE;
    if (*ret_affect == (CORRAL_AFFECT_LIVE | CORRAL_AFFECT_CONFIG)) {
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "flags 'VIR_DOMAIN_AFFECT_LIVE' and 'VIR_DOMAIN_AFFECT_CONFIG' are "
                             "mutually exclusive");
        return FALSE;
    }
    *ret_definition = *ret_affect == CORRAL_AFFECT_LIVE ? container->live : container->config;
    return TRUE;
}
