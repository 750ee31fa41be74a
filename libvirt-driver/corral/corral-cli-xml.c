/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-xml.h"

#include "common/corral-error.h"

#include <libxml/parser.h>
#include <libxml/tree.h>
#include <string.h>

/* The other side is trusted to be libvirt, not to be right. */
#define XML_LENGTH_MAX (4 * 1024 * 1024)

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

static void
member_free (CorralCliMember *member)
{
    g_free (member->name);
    g_free (member);
}

static xmlDoc *
parse_document (const char *text, GError **error)
{
    gsize length = strlen (text);
    g_autoptr (xmlDoc) document = NULL;
    xmlNode *root;

    if (length <= XML_LENGTH_MAX)
        document = xmlReadMemory (text, (int) length, NULL, NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    root = document != NULL ? xmlDocGetRootElement (document) : NULL;
    if (root == NULL || !xmlStrEqual (root->name, BAD_CAST "domain")) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_XML,
                     "cannot read the container's XML: it is no <domain> document");
        return NULL;
    }
    return g_steal_pointer (&document);
}

/* The first child element @name, or NULL; @parent may be NULL. */
static xmlNode *
child (xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent != NULL ? parent->children : NULL; node != NULL;
         node = node->next) {
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual (node->name, BAD_CAST name))
            return node;
    }
    return NULL;
}

static char *
take_text (xmlChar *text)
{
    g_autofree char *copy = NULL;

    if (text == NULL)
        return NULL;
    copy = g_strstrip (g_strdup ((const char *) text));
    xmlFree (text);
    return *copy != '\0' ? g_steal_pointer (&copy) : NULL;
}

static char *
text_of (xmlNode *node)
{
    return node != NULL ? take_text (xmlNodeGetContent (node)) : NULL;
}

static char *
attribute_of (xmlNode *node, const char *name)
{
    return node != NULL ? take_text (xmlGetNoNsProp (node, BAD_CAST name)) : NULL;
}

static void
read_members (xmlNode *devices, GPtrArray *members)
{
    for (xmlNode *node = devices != NULL ? devices->children : NULL; node != NULL;
         node = node->next) {
        g_autofree char *name = NULL, *vcpu = NULL;
        CorralCliMember *member;
        guint64 number = 0;

        if (node->type != XML_ELEMENT_NODE || !xmlStrEqual (node->name, BAD_CAST "member"))
            continue;
        name = attribute_of (node, "name");
        vcpu = attribute_of (node, "vcpu");
        if (name == NULL ||
            (vcpu != NULL && !g_ascii_string_to_unsigned (vcpu, 10, 0, G_MAXINT, &number, NULL)))
            continue;
        member = g_new0 (CorralCliMember, 1);
        member->name = g_steal_pointer (&name);
        member->vcpu = vcpu != NULL ? (int) number : -1;
        g_ptr_array_add (members, member);
    }
}

CorralCliXml *
corral_cli_xml_parse (const char *text, GError **error)
{
    g_autoptr (xmlDoc) document = parse_document (text, error);
    g_autoptr (CorralCliXml) xml = NULL;
    xmlNode *root;

    if (document == NULL)
        return NULL;
    root = xmlDocGetRootElement (document);
    xml = g_new0 (CorralCliXml, 1);
    xml->title = text_of (child (root, "title"));
    xml->description = text_of (child (root, "description"));
    xml->partition = text_of (child (child (root, "resource"), "partition"));
    xml->cpus = attribute_of (child (root, "vcpu"), "cpuset");
    xml->mems = attribute_of (child (child (root, "numatune"), "memory"), "nodeset");
    xml->members = g_ptr_array_new_with_free_func ((GDestroyNotify) member_free);
    read_members (child (root, "devices"), xml->members);
    return g_steal_pointer (&xml);
}

void
corral_cli_xml_free (CorralCliXml *xml)
{
    if (xml == NULL)
        return;
    g_free (xml->title);
    g_free (xml->description);
    g_free (xml->partition);
    g_free (xml->cpus);
    g_free (xml->mems);
    g_clear_pointer (&xml->members, g_ptr_array_unref);
    g_free (xml);
}

/* --- changing a definition --- */

static xmlNode *
child_made (xmlNode *parent, const char *name)
{
    xmlNode *node = child (parent, name);

    return node != NULL ? node : xmlNewChild (parent, NULL, BAD_CAST name, NULL);
}

static void
change_mems (xmlNode *root, const char *mems)
{
    xmlNode *numatune = child_made (root, "numatune");

    if (*mems == '\0') {
        xmlUnlinkNode (numatune);
        xmlFreeNode (numatune);
    } else {
        xmlSetProp (child_made (numatune, "memory"), BAD_CAST "nodeset", BAD_CAST mems);
    }
}

char *
corral_cli_xml_set_mems (const char *text, const char *mems, GError **error)
{
    g_autoptr (xmlDoc) document = parse_document (text, error);
    g_autofree char *copy = NULL;
    xmlChar *result = NULL;
    int length = 0;

    if (document == NULL)
        return NULL;
    change_mems (xmlDocGetRootElement (document), mems);
    xmlDocDumpMemory (document, &result, &length);
    copy = g_strndup ((const char *) result, (gsize) length);
    xmlFree (result);
    return g_steal_pointer (&copy);
}
