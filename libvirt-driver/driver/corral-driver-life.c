/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

static gboolean
define_xml (CorralDriver *driver, const char *xml, CorralWireDomain *ret_domain, GError **error)
{
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container = NULL;

    if (!corral_definition_parse (xml, strlen (xml), &definition, error) ||
        !corral_agent_define (driver->agent, definition, &container, error))
        return FALSE;
    corral_driver_fill_domain (container, ret_domain);
    return TRUE;
}

static gboolean
domain_define_xml (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                   GError **error)
{
    const CorralWireText *xml = args;

    return define_xml (driver, xml->text, &((CorralWireDom *) ret)->dom, error);
}

/* Documents are always validated, so that asking for it changes nothing. */
static gboolean
domain_define_xml_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                         gpointer ret, GError **error)
{
    const CorralWireTextFlags *xml = args;

    return corral_driver_check_flags (xml->flags, VIR_DOMAIN_DEFINE_VALIDATE,
                                      "virDomainDefineXMLFlags", error) &&
           define_xml (driver, xml->text, &((CorralWireDom *) ret)->dom, error);
}

static gboolean
domain_create_xml (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                   GError **error)
{
    const CorralWireTextFlags *xml = args;
    g_autoptr (CorralDefinition) definition = NULL;
    const CorralContainer *container = NULL;

    if (!corral_driver_check_flags (xml->flags, VIR_DOMAIN_START_VALIDATE, "virDomainCreateXML",
                                    error) ||
        !corral_definition_parse (xml->text, strlen (xml->text), &definition, error) ||
        !corral_agent_create (driver->agent, definition, &container, error))
        return FALSE;
    corral_driver_fill_domain (container, &((CorralWireDom *) ret)->dom);
    return TRUE;
}

static gboolean
start_container (CorralDriver *driver, const CorralWireDomain *dom, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    g_autofree char *name = NULL;

    if (container == NULL)
        return FALSE;
    if (corral_driver_is_active (container)) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID, "domain is already running");
        return FALSE;
    }
    /* The agent's pointers do not outlive a change. */
    name = g_strdup (corral_driver_name (container));
    return corral_agent_start_container (driver->agent, name, error);
}

static gboolean
domain_create (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
               GError **error)
{
    return start_container (driver, &((const CorralWireDom *) args)->dom, error);
}

static gboolean
domain_create_with_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                          gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;
    const CorralContainer *container;

    if (!corral_driver_check_flags (which->flags, 0, "virDomainCreateWithFlags", error) ||
        !start_container (driver, &which->dom, error))
        return FALSE;
    container = corral_driver_find (driver, &which->dom, error);
    if (container == NULL)
        return FALSE;
    corral_driver_fill_domain (container, &((CorralWireDom *) ret)->dom);
    return TRUE;
}

static gboolean
destroy_container (CorralDriver *driver, const CorralWireDomain *dom, GError **error)
{
    const CorralContainer *container = corral_driver_find_active (driver, dom, error);
    g_autofree char *name = NULL;

    if (container == NULL)
        return FALSE;
    name = g_strdup (corral_driver_name (container));
    return corral_agent_destroy (driver->agent, name, error);
}

static gboolean
domain_destroy (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                GError **error)
{
    return destroy_container (driver, &((const CorralWireDom *) args)->dom, error);
}

/* Destroying a container never kills anyone, which is more than graceful. */
static gboolean
domain_destroy_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;

    return corral_driver_check_flags (which->flags, VIR_DOMAIN_DESTROY_GRACEFUL,
                                      "virDomainDestroyFlags", error) &&
           destroy_container (driver, &which->dom, error);
}

static gboolean
undefine_container (CorralDriver *driver, const CorralWireDomain *dom, GError **error)
{
    const CorralContainer *container = corral_driver_find (driver, dom, error);
    g_autofree char *name = NULL;

    if (container == NULL)
        return FALSE;
    if (container->config == NULL) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID, "cannot undefine transient domain");
        return FALSE;
    }
    name = g_strdup (corral_driver_name (container));
    return corral_agent_undefine (driver->agent, name, error);
}

static gboolean
domain_undefine (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                 GError **error)
{
    return undefine_container (driver, &((const CorralWireDom *) args)->dom, error);
}

/* What the flags say shall go along, or may stay, no container has. */
static gboolean
domain_undefine_flags (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                       gpointer ret, GError **error)
{
    const CorralWireDomFlags *which = args;
    const guint known = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
                        VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE_NVRAM |
                        VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_TPM |
                        VIR_DOMAIN_UNDEFINE_KEEP_TPM;

    return corral_driver_check_flags (which->flags, known, "virDomainUndefineFlags", error) &&
           undefine_container (driver, &which->dom, error);
}

static gboolean
domain_get_autostart (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralContainer *container =
        corral_driver_find (driver, &((const CorralWireDom *) args)->dom, error);

    if (container == NULL)
        return FALSE;
    ((CorralWireInt *) ret)->value = container->autostart;
    return TRUE;
}

static gboolean
domain_set_autostart (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    const CorralWireDomInt *wanted = args;
    const CorralContainer *container = corral_driver_find (driver, &wanted->dom, error);
    g_autofree char *name = NULL;

    if (container == NULL)
        return FALSE;
    if (container->config == NULL) {
        corral_driver_error (error, VIR_ERR_OPERATION_INVALID,
                             "cannot set autostart for transient domain");
        return FALSE;
    }
    name = g_strdup (corral_driver_name (container));
    return corral_agent_set_autostart (driver->agent, name, wanted->value != 0, error);
}

const CorralDriverEntry corral_driver_life_calls[] = {
    { CORRAL_PROC_DOMAIN_DEFINE_XML, domain_define_xml },
    { CORRAL_PROC_DOMAIN_DEFINE_XML_FLAGS, domain_define_xml_flags },
    { CORRAL_PROC_DOMAIN_CREATE_XML, domain_create_xml },
    { CORRAL_PROC_DOMAIN_CREATE, domain_create },
    { CORRAL_PROC_DOMAIN_CREATE_WITH_FLAGS, domain_create_with_flags },
    { CORRAL_PROC_DOMAIN_DESTROY, domain_destroy },
    { CORRAL_PROC_DOMAIN_DESTROY_FLAGS, domain_destroy_flags },
    { CORRAL_PROC_DOMAIN_UNDEFINE, domain_undefine },
    { CORRAL_PROC_DOMAIN_UNDEFINE_FLAGS, domain_undefine_flags },
    { CORRAL_PROC_DOMAIN_GET_AUTOSTART, domain_get_autostart },
    { CORRAL_PROC_DOMAIN_SET_AUTOSTART, domain_set_autostart },
    { 0 },
};
