/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans over libvirt's calls: as metadata that are served and never stored, and as formats into
 * which a domain's document can be converted. */
#include "libvirt-driver/driver/corral-driver-private.h"

#include "libvirt-driver/rpc/corral-admission.h"
#include "vmm-agent/agent/corral-agent-plan.h"

#include <libxml/parser.h>

#define FORMAT_PLAN "corral-plan"

gboolean
corral_driver_is_plan_uri (const char *uri)
{
    return g_strcmp0 (uri, CORRAL_DRIVER_PLAN_URI) == 0 ||
           g_strcmp0 (uri, CORRAL_DRIVER_EXPLAIN_URI) == 0 ||
           g_strcmp0 (uri, CORRAL_DRIVER_DRIFT_URI) == 0;
}

char *
corral_driver_get_plan (CorralDriver *driver, const CorralContainer *container, const char *uri,
                        GError **error)
{
    g_autofree char *path = g_strdup (corral_container_definition (container)->partition);

    if (g_str_equal (uri, CORRAL_DRIVER_PLAN_URI))
        return corral_agent_plan_xml (driver->agent, NULL, NULL, error);
    if (g_str_equal (uri, CORRAL_DRIVER_EXPLAIN_URI))
        return corral_agent_explain_xml (driver->agent, path, error);
    return corral_agent_drift_xml (driver->agent, NULL, error);
}

/* The generation of a <plan>, which may be the whole document as it was given. */
static gboolean
read_generation (const char *xml, guint64 *ret_generation)
{
    xmlDoc *doc = xmlReadMemory (xml, (int) strlen (xml), "", NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlNode *root = doc != NULL && doc->intSubset == NULL ? xmlDocGetRootElement (doc) : NULL;
    xmlChar *text = NULL;
    gboolean ok;

    if (root != NULL && xmlStrEqual (root->name, BAD_CAST "plan"))
        text = xmlGetNoNsProp (root, BAD_CAST "generation");
    ok = text != NULL &&
         g_ascii_string_to_unsigned ((const char *) text, 10, 1, G_MAXUINT64, ret_generation, NULL);
    xmlFree (text);
    xmlFreeDoc (doc);
    return ok;
}

gboolean
corral_driver_set_plan (CorralDriver *driver, const char *uri, const char *value, guint flags,
                        GError **error)
{
    guint64 generation;

    if (!g_str_equal (uri, CORRAL_DRIVER_PLAN_URI)) {
        corral_driver_error (error, VIR_ERR_OPERATION_UNSUPPORTED,
                             "'%s' is served by corrald and cannot be set", uri);
        return FALSE;
    }
    if ((flags & VIR_DOMAIN_AFFECT_CONFIG) != 0) {
        corral_driver_error (error, VIR_ERR_ARGUMENT_UNSUPPORTED,
                             "a plan is applied to the live host, and to nothing else");
        return FALSE;
    }
    if (value == NULL || !read_generation (value, &generation)) {
        corral_driver_error (
            error, VIR_ERR_INVALID_ARG,
            "<plan generation='N'/> was expected, with the number of the plan that "
            "is to be applied");
        return FALSE;
    }
    return corral_agent_apply (driver->agent, generation, error);
}

/* --- XMLToNative --- */

static char *
plan_if_defined (CorralDriver *driver, const char *xml, GError **error)
{
    g_autoptr (CorralDefinition) definition = NULL;

    if (!corral_definition_parse (xml, strlen (xml), &definition, error))
        return NULL;
    return corral_agent_plan_xml (driver->agent, definition, NULL, error);
}

static char *
release (CorralDriver *driver, const char *xml, GError **error)
{
    g_autofree char *name = NULL, *partition = NULL;

    if (!corral_vm_partition_parse (xml, strlen (xml), &name, &partition, error))
        return NULL;
    corral_agent_release (driver->agent, name);
    return g_strdup ("<released/>\n");
}

static char *
admit (CorralDriver *driver, const char *xml, GError **error)
{
    gboolean ready;

    if (!corral_agent_admit (driver->agent, xml, strlen (xml), &ready, error))
        return NULL;
    return g_strdup (ready ? CORRAL_ADMITTED_AND_READY : CORRAL_ADMITTED);
}

static gboolean
connect_domain_xml_to_native (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                              gpointer ret, GError **error)
{
    const CorralWireXmlToNativeArgs *wanted = args;
    char *text = NULL;

    if (!corral_driver_check_flags (wanted->flags, 0, "virConnectDomainXMLToNative", error))
        return FALSE;
    if (strcmp (wanted->format, FORMAT_PLAN) == 0)
        text = plan_if_defined (driver, wanted->xml, error);
    else if (strcmp (wanted->format, CORRAL_FORMAT_RELEASE) == 0)
        text = release (driver, wanted->xml, error);
    else if (strcmp (wanted->format, CORRAL_FORMAT_ADMIT) != 0)
        corral_driver_error (error, VIR_ERR_INVALID_ARG,
                             "unknown format: '" FORMAT_PLAN "', '" CORRAL_FORMAT_ADMIT
                             "' and '" CORRAL_FORMAT_RELEASE "' are served");
    else
        text = admit (driver, wanted->xml, error);
    ((CorralWireText *) ret)->text = text;
    return text != NULL;
}

const CorralDriverEntry corral_driver_plan_calls[] = {
    { CORRAL_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, connect_domain_xml_to_native },
    { 0 },
};
