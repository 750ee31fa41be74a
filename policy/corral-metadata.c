/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-error.h"
#include "policy/corral-definition-private.h"

#include <string.h>

static gboolean
ns_is (const xmlNs *ns, const char *uri)
{
    return ns != NULL && g_strcmp0 ((const char *) ns->href, uri) == 0;
}

/* The next element after @node in document order, beneath @root. */
static xmlNode *
next_element (xmlNode *root, xmlNode *node)
{
    do {
        if (node->type == XML_ELEMENT_NODE && node->children != NULL)
            node = node->children;
        else {
            while (node != root && node->next == NULL)
                node = node->parent;
            if (node == root)
                return NULL;
            node = node->next;
        }
    } while (node->type != XML_ELEMENT_NODE);
    return node;
}

/* libxml2 writes a namespace's URI as it is, so one with "&" in it would break the document. */
static gboolean
check_namespaces (CorralXmlReader *reader, xmlNode *root)
{
    for (xmlNode *node = root; node != NULL; node = next_element (root, node))
        for (const xmlNs *ns = node->nsDef; ns != NULL; ns = ns->next)
            if (ns->href != NULL && strchr ((const char *) ns->href, '&') != NULL) {
                g_autofree char *tag = corral_xml_tag (node);

                return corral_xml_fail (reader, node, "%s: expected a namespace URI without \"&\"",
                                        tag);
            }
    return TRUE;
}

/* Takes @uri's elements out of that namespace, as virDomainGetMetadata() does. The declaration
 * stays where an attribute still needs it. */
static void
strip_namespace (xmlNode *root, const char *uri)
{
    gboolean needed = FALSE;

    for (xmlNode *node = root; node != NULL; node = next_element (root, node)) {
        if (ns_is (node->ns, uri))
            node->ns = NULL;
        for (const xmlAttr *attribute = node->properties; attribute != NULL;
             attribute = attribute->next)
            needed = needed || ns_is (attribute->ns, uri);
    }
    for (xmlNs **at = &root->nsDef; *at != NULL && !needed;)
        if (ns_is (*at, uri)) {
            xmlNs *gone = *at;

            *at = gone->next;
            xmlFreeNs (gone);
        } else
            at = &(*at)->next;
}

gboolean
corral_definition_metadata_read (CorralXmlReader *reader, xmlNode *node,
                                 CorralMetadata **ret_metadata)
{
    g_autofree char *tag = corral_xml_tag (node);
    CorralMetadata *metadata;
    xmlDoc *own;
    xmlNode *copy;

    if (node->ns == NULL)
        return corral_xml_fail (reader, node,
                                "%s: expected an element with a namespace of its own in <metadata>",
                                tag);
    /* "urn:corral:1" too, but also those that corrald answers for itself: plan, explain, drift. */
    if (node->ns->href != NULL && g_str_has_prefix ((const char *) node->ns->href, "urn:corral:"))
        return corral_xml_fail (reader, node,
                                "%s: expected a namespace other than Corral's own in <metadata>",
                                tag);

    /* A copy into a document of its own brings along the namespaces declared further up. */
    own = xmlNewDoc ((const xmlChar *) "1.0");
    copy = xmlDocCopyNode (node, own, 1);
    if (copy == NULL)
        g_error ("out of memory");
    xmlDocSetRootElement (own, copy);
    if (!check_namespaces (reader, copy)) {
        xmlFreeDoc (own);
        return FALSE;
    }
    metadata = g_new0 (CorralMetadata, 1);
    metadata->uri = g_strdup ((const char *) copy->ns->href);
    metadata->xml = corral_xml_serialise (copy);
    strip_namespace (copy, metadata->uri);
    metadata->bare = corral_xml_serialise (copy);
    xmlFreeDoc (own);
    *ret_metadata = metadata;
    return TRUE;
}

const char *
corral_definition_get_metadata (const CorralDefinition *definition, const char *uri)
{
    for (guint i = 0; i < definition->metadata->len; i++) {
        const CorralMetadata *metadata = g_ptr_array_index (definition->metadata, i);

        if (strcmp (metadata->uri, uri) == 0)
            return metadata->bare;
    }
    return NULL;
}

static void
remove_metadata (CorralDefinition *definition, const char *uri)
{
    for (guint i = definition->metadata->len; i-- > 0;) {
        const CorralMetadata *metadata = g_ptr_array_index (definition->metadata, i);

        if (strcmp (metadata->uri, uri) == 0)
            g_ptr_array_remove_index (definition->metadata, i);
    }
}

/* Puts the elements that have no namespace into @uri, under @prefix. */
static gboolean
inject_namespace (CorralXmlReader *reader, xmlNode *root, const char *uri, const char *prefix)
{
    const xmlChar *xml_prefix = (const xmlChar *) prefix;
    xmlNs *ns = NULL;

    for (xmlNs *at = root->nsDef; at != NULL; at = at->next)
        if (ns_is (at, uri) && g_strcmp0 ((const char *) at->prefix, prefix) == 0)
            ns = at;
    if (ns == NULL && prefix != NULL && xmlValidateNCName (xml_prefix, 0) != 0)
        return corral_xml_fail (reader, root, "the prefix is no XML name");
    if (ns == NULL)
        ns = xmlNewNs (root, (const xmlChar *) uri, xml_prefix);
    if (ns == NULL)
        return corral_xml_fail (reader, root, "the prefix stands for another namespace already");
    for (xmlNode *node = root; node != NULL; node = next_element (root, node))
        if (node->ns == NULL)
            xmlSetNs (node, ns);
    return TRUE;
}

/* Parses @xml, moves it into @uri, and parses that again: what is kept is what will be read. */
static gboolean
make_metadata (CorralXmlReader *first, CorralXmlReader *second, const char *uri, const char *prefix,
               const char *xml, CorralMetadata **ret_metadata)
{
    static const char what[] = "the metadata element";
    g_autofree char *text = NULL;
    xmlNode *root;

    if (!corral_xml_reader_init (first, what, xml, strlen (xml), CORRAL_XML_MAX,
                                 CORRAL_XML_DEPTH - 2))
        return FALSE;
    root = xmlDocGetRootElement (first->doc);
    if (!inject_namespace (first, root, uri, prefix) || !check_namespaces (first, root))
        return FALSE;
    text = corral_xml_serialise (root);
    if (!corral_xml_reader_init (second, what, text, strlen (text), CORRAL_XML_MAX, 0))
        return FALSE;
    root = xmlDocGetRootElement (second->doc);
    if (!ns_is (root->ns, uri))
        return corral_xml_fail (second, root,
                                "expected an element of the namespace that was given");
    return corral_definition_metadata_read (second, root, ret_metadata);
}

gboolean
corral_definition_set_metadata (CorralDefinition *definition, const char *uri, const char *prefix,
                                const char *xml, GError **error)
{
    g_auto (CorralXmlReader) first = { NULL };
    g_auto (CorralXmlReader) second = { NULL };
    g_autoptr (CorralDefinition) changed = NULL;
    CorralMetadata *metadata = NULL;

    if (*uri == '\0' || corral_definition_text_fault (uri, TRUE) != NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot set metadata of container \"%s\": its namespace URI is not usable",
                     definition->name);
        return FALSE;
    }
    if (xml == NULL) {
        remove_metadata (definition, uri);
        return TRUE;
    }
    if (!make_metadata (&first, &second, uri, prefix, xml, &metadata)) {
        CorralXmlReader *failed = first.error != NULL ? &first : &second;

        g_propagate_error (error, g_steal_pointer (&failed->error));
        return FALSE;
    }

    changed = corral_definition_copy (definition);
    remove_metadata (changed, uri);
    g_ptr_array_add (changed->metadata, metadata);
    if (!corral_definition_check_length (changed, error))
        return FALSE;
    g_ptr_array_unref (definition->metadata);
    definition->metadata = g_ptr_array_ref (changed->metadata);
    return TRUE;
}
