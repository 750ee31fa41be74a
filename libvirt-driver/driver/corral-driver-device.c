/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/* A container's devices are its members: <member type='vm' name='web1'/>. */

typedef gboolean (*Change) (CorralAgent *agent, const char *name, const CorralMemberDef *member,
                            guint affect, GError **error);

static gboolean
change_member (CorralDriver *driver, const CorralWireDomain *dom, const char *xml, guint flags,
               Change change, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    g_autoptr (CorralMemberDef) member = NULL;
    g_autofree char *name = NULL;
    guint affect;

    if (container == NULL || !corral_driver_affect (container, flags, &affect, error) ||
        !corral_member_def_parse (xml, strlen (xml), &member, error))
        return FALSE;
    name = g_strdup (corral_driver_name (container));
    return change (driver->agent, name, member, affect, error);
}

/* What is not there cannot be detached, and libvirt has a code for just that. */
static gboolean
detach (CorralAgent *agent, const char *name, const CorralMemberDef *member, guint affect,
        GError **error)
{
    g_autoptr (GError) problem = NULL;

    if (corral_agent_detach (agent, name, member, affect, &problem))
        return TRUE;
    if (g_error_matches (problem, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND))
        corral_driver_error (error, VIR_ERR_DEVICE_MISSING, "%s", problem->message);
    else
        g_propagate_error (error, g_steal_pointer (&problem));
    return FALSE;
}

/* Without flags the call is about the live container, whatever its state. */
static gboolean
domain_attach_device (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireDomText *device = args;

    return change_member (driver, &device->dom, device->text, VIR_DOMAIN_AFFECT_LIVE,
                          corral_agent_attach, error);
}

static gboolean
domain_attach_device_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    const CorralWireDomTextFlags *device = args;

    return corral_driver_check_flags (device->flags,
                                      VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG,
                                      "virDomainAttachDeviceFlags", error) &&
           change_member (driver, &device->dom, device->text, device->flags, corral_agent_attach,
                          error);
}

static gboolean
domain_detach_device (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireDomText *device = args;

    return change_member (driver, &device->dom, device->text, VIR_DOMAIN_AFFECT_LIVE, detach,
                          error);
}

static gboolean
domain_detach_device_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    const CorralWireDomTextFlags *device = args;

    return corral_driver_check_flags (device->flags,
                                      VIR_DOMAIN_AFFECT_LIVE | VIR_DOMAIN_AFFECT_CONFIG,
                                      "virDomainDetachDeviceFlags", error) &&
           change_member (driver, &device->dom, device->text, device->flags, detach, error);
}

const CorralDriverEntry corral_driver_device_calls[] = {
    { CORRAL_PROC_DOMAIN_ATTACH_DEVICE, domain_attach_device },
    { CORRAL_PROC_DOMAIN_ATTACH_DEVICE_FLAGS, domain_attach_device_flags },
    { CORRAL_PROC_DOMAIN_DETACH_DEVICE, domain_detach_device },
    { CORRAL_PROC_DOMAIN_DETACH_DEVICE_FLAGS, domain_detach_device_flags },
    { 0 },
};
