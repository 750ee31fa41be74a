/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-xml.h"

#include "common/corral-error.h"
#include "policy/corral-definition.h"

#include <libxml/SAX2.h>
#include <libxml/parser.h>
#include <libxml/parserInternals.h>
#include <libxml/relaxng.h>
#include <string.h>

#define SHOWN_MAX 80

char *
corral_xml_shown (const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, (gssize) strnlen (text, SHOWN_MAX * 4));

    if (g_utf8_strlen (valid, -1) <= SHOWN_MAX)
        return g_steal_pointer (&valid);
    else {
        g_autofree char *cut = g_utf8_substring (valid, 0, SHOWN_MAX);

        return g_strconcat (cut, "...", NULL);
    }
}

char *
corral_xml_tag (const xmlNode *node)
{
    g_autofree char *name = corral_xml_shown (node != NULL ? (const char *) node->name : "");
    const xmlNs *ns = node != NULL ? node->ns : NULL;

    if (ns != NULL && g_strcmp0 ((const char *) ns->href, CORRAL_XML_NAMESPACE) == 0)
        return g_strdup_printf ("<corral:%s>", name);
    if (ns != NULL && ns->prefix != NULL) {
        g_autofree char *prefix = corral_xml_shown ((const char *) ns->prefix);

        return g_strdup_printf ("<%s:%s>", prefix, name);
    }
    return g_strdup_printf ("<%s>", name);
}

static gboolean
fail_at (CorralXmlReader *reader, long line, const char *message)
{
    if (reader->error != NULL)
        return FALSE;
    if (line > 0)
        g_set_error (&reader->error, CORRAL_ERROR, CORRAL_ERROR_XML, "cannot read %s: line %ld: %s",
                     reader->what, line, message);
    else
        g_set_error (&reader->error, CORRAL_ERROR, CORRAL_ERROR_XML, "cannot read %s: %s",
                     reader->what, message);
    return FALSE;
}

gboolean
corral_xml_fail (CorralXmlReader *reader, const xmlNode *node, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start (args, format);
    message = g_strdup_vprintf (format, args);
    va_end (args);
    return fail_at (reader, node != NULL ? xmlGetLineNo (node) : 0, message);
}

/* --- parsing --- */

static void
on_libxml_error (CorralXmlReader *reader, const xmlError *details, long line)
{
    g_autofree char *message = NULL;

    if (details->level < XML_ERR_ERROR)
        return;
    message = g_utf8_make_valid (details->message != NULL ? details->message : "unknown error", -1);
    fail_at (reader, line, g_strstrip (message));
}

/* libxml2 gives the parser itself as user data here; the reader hangs on it. */
static void
on_parser_error (void *data, xmlErrorPtr details)
{
    xmlParserCtxt *parser = data;

    on_libxml_error (parser->_private, details, details->line);
}

/* Called at "<!DOCTYPE name", before any entity in it is read: no bomb is even looked at. */
static void
on_doctype (void *data, const xmlChar *name, const xmlChar *external, const xmlChar *system)
{
    xmlParserCtxt *parser = data;

    fail_at (parser->_private, parser->input != NULL ? parser->input->line : 0,
             "<!DOCTYPE>: expected a document without a document type");
    xmlStopParser (parser);
}

static gboolean
check_depth (CorralXmlReader *reader, guint max)
{
    const xmlNode *node = xmlDocGetRootElement (reader->doc);
    const xmlNode *root = node;
    guint depth = 1;

    while (node != NULL) {
        if (depth > max && node->type == XML_ELEMENT_NODE) {
            g_autofree char *tag = corral_xml_tag (node);

            return corral_xml_fail (reader, node, "%s: expected at most %u levels of elements", tag,
                                    max);
        }
        if (node->type == XML_ELEMENT_NODE && node->children != NULL) {
            node = node->children;
            depth++;
            continue;
        }
        while (node != root && node->next == NULL) {
            node = node->parent;
            depth--;
        }
        node = node != root ? node->next : NULL;
    }
    return TRUE;
}

gboolean
corral_xml_reader_init (CorralXmlReader *reader, const char *what, const char *xml, gsize length,
                        gsize max, guint depth)
{
    xmlParserCtxt *parser;

    *reader = (CorralXmlReader){ .what = what };
    if (length > max)
        return corral_xml_fail (reader, NULL, "expected at most %" G_GSIZE_FORMAT " bytes", max);
    if (length == 0)
        return corral_xml_fail (reader, NULL, "it is empty");

    parser = xmlNewParserCtxt ();
    if (parser == NULL)
        g_error ("out of memory");
    parser->_private = reader;
    parser->sax->serror = on_parser_error;
    parser->sax->internalSubset = on_doctype;
    reader->doc = xmlCtxtReadMemory (parser, xml, (int) length, NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_BIG_LINES);
    xmlFreeParserCtxt (parser);
    if (reader->error == NULL &&
        (reader->doc == NULL || xmlDocGetRootElement (reader->doc) == NULL))
        corral_xml_fail (reader, NULL, "expected one XML element");
    return reader->error == NULL && (depth == 0 || check_depth (reader, depth));
}

void
corral_xml_reader_clear (CorralXmlReader *reader)
{
    g_clear_pointer (&reader->doc, xmlFreeDoc);
    g_clear_error (&reader->error);
}

/* --- schema --- */

static void
on_schema_error (void *data, xmlErrorPtr details)
{
    const xmlNode *node = details->node;

    on_libxml_error (data, details, node != NULL ? xmlGetLineNo (node) : details->line);
}

/* Compiled once, kept for the life of the process. */
static xmlRelaxNG *
get_schema (void)
{
    static gsize schema;

    if (g_once_init_enter (&schema)) {
        CorralXmlReader reader = { .what = "the built-in schema" };
        xmlRelaxNGParserCtxt *parser =
            xmlRelaxNGNewMemParserCtxt (corral_xml_schema, (int) corral_xml_schema_length);
        xmlRelaxNG *compiled;

        xmlRelaxNGSetParserStructuredErrors (parser, on_schema_error, &reader);
        compiled = xmlRelaxNGParse (parser);
        xmlRelaxNGFreeParserCtxt (parser);
        /* Input has no part in this: only a build with a broken schema gets here. */
        if (compiled == NULL)
            g_error ("%s", reader.error != NULL ? reader.error->message : "no schema");
        g_once_init_leave (&schema, (gsize) compiled);
    }
    return (xmlRelaxNG *) schema;
}

gboolean
corral_xml_validate (CorralXmlReader *reader)
{
    xmlRelaxNGValidCtxt *validator = xmlRelaxNGNewValidCtxt (get_schema ());
    int result;

    xmlRelaxNGSetValidStructuredErrors (validator, on_schema_error, reader);
    result = xmlRelaxNGValidateDoc (validator, reader->doc);
    xmlRelaxNGFreeValidCtxt (validator);
    if (result == 0)
        return TRUE;
    return corral_xml_fail (reader, NULL, "it does not fit the schema container.rng");
}

/* --- elements --- */

gboolean
corral_xml_is (const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns == NULL &&
           strcmp ((const char *) node->name, name) == 0;
}

gboolean
corral_xml_text (CorralXmlReader *reader, const xmlNode *node, char **ret_text)
{
    g_autoptr (GString) text = g_string_new (NULL);

    for (const xmlNode *child = node->children; child != NULL; child = child->next)
        switch ((int) child->type) {
        case XML_TEXT_NODE:
        case XML_CDATA_SECTION_NODE:
            g_string_append (text, (const char *) child->content);
            break;
        case XML_COMMENT_NODE:
        case XML_PI_NODE:
            break;
        default: {
            g_autofree char *tag = corral_xml_tag (node);
            g_autofree char *inner = corral_xml_tag (child);

            return corral_xml_fail (reader, child, "%s: expected text only, not %s", tag, inner);
        }
        }
    *ret_text = g_string_free (g_steal_pointer (&text), FALSE);
    return TRUE;
}

char *
corral_xml_attribute (const xmlNode *node, const char *name)
{
    xmlChar *value = xmlGetNoNsProp (node, (const xmlChar *) name);
    char *copy = g_strdup ((const char *) value);

    xmlFree (value);
    return copy;
}

gboolean
corral_xml_check_attributes (CorralXmlReader *reader, const xmlNode *node,
                             const char *const *allowed)
{
    for (const xmlAttr *attribute = node->properties; attribute != NULL;
         attribute = attribute->next)
        if (attribute->ns != NULL || !g_strv_contains (allowed, (const char *) attribute->name)) {
            g_autofree char *tag = corral_xml_tag (node);
            g_autofree char *name = corral_xml_shown ((const char *) attribute->name);
            g_autofree char *list = g_strjoinv (", ", (char **) allowed);

            if (allowed[0] == NULL)
                return corral_xml_fail (reader, node, "%s: expected no attributes, not \"%s\"", tag,
                                        name);
            return corral_xml_fail (reader, node, "%s: attribute \"%s\" is unknown; expected %s",
                                    tag, name, list);
        }
    return TRUE;
}

static gboolean
is_blank (const xmlNode *node)
{
    for (const xmlChar *at = node->content; at != NULL && *at != '\0'; at++)
        if (!g_ascii_isspace (*at))
            return FALSE;
    return TRUE;
}

static gsize
find_element (const xmlNode *node, const CorralXmlElement *elements, gsize n_elements)
{
    const char *uri = node->ns != NULL ? (const char *) node->ns->href : NULL;
    gsize i;

    for (i = 0; i < n_elements; i++)
        if (g_strcmp0 ((const char *) node->name, elements[i].name) == 0 &&
            g_strcmp0 (uri, elements[i].uri) == 0)
            break;
    return i;
}

static gboolean
fail_unknown (CorralXmlReader *reader, const xmlNode *node, const CorralXmlElement *elements,
              gsize n_elements)
{
    g_autoptr (GString) known = g_string_new (NULL);
    g_autofree char *tag = corral_xml_tag (node);
    g_autofree char *parent = corral_xml_tag (node->parent);

    for (gsize i = 0; i < n_elements; i++)
        if (elements[i].read != NULL)
            g_string_append_printf (known, "%s%s%s", known->len > 0 ? ", " : "",
                                    elements[i].uri != NULL ? "corral:" : "", elements[i].name);
    return corral_xml_fail (reader, node, "%s is unknown in %s; expected one of: %s", tag, parent,
                            known->str);
}

void
corral_xml_drop (xmlNode *node)
{
    xmlUnlinkNode (node);
    xmlFreeNode (node);
}

gboolean
corral_xml_read_children (CorralXmlReader *reader, xmlNode *node, const CorralXmlElement *elements,
                          gsize n_elements, gpointer data)
{
    guint64 seen = 0;

    g_assert (n_elements < 64);
    for (xmlNode *child = node->children, *next; child != NULL; child = next) {
        gsize i;

        next = child->next;

        if (child->type == XML_COMMENT_NODE || child->type == XML_PI_NODE)
            continue;
        if (child->type != XML_ELEMENT_NODE) {
            g_autofree char *tag = NULL;

            if (child->type == XML_TEXT_NODE && is_blank (child))
                continue;
            tag = corral_xml_tag (node);
            return corral_xml_fail (reader, node, "%s: expected elements only, not text", tag);
        }

        i = find_element (child, elements, n_elements);
        if (i == n_elements)
            return fail_unknown (reader, child, elements, n_elements);
        if ((seen & G_GUINT64_CONSTANT (1) << i) != 0 && !elements[i].many) {
            g_autofree char *tag = corral_xml_tag (child);

            return corral_xml_fail (reader, child, "%s: expected only one, this is the second",
                                    tag);
        }
        seen |= G_GUINT64_CONSTANT (1) << i;
        if (elements[i].read == NULL)
            corral_xml_drop (child);
        else if (!elements[i].read (reader, child, data))
            return FALSE;
    }
    return TRUE;
}

char *
corral_xml_serialise (xmlNode *node)
{
    xmlBuffer *buffer = xmlBufferCreate ();
    char *text;

    if (buffer == NULL || xmlNodeDump (buffer, node->doc, node, 0, 0) < 0)
        g_error ("out of memory");
    text = g_strndup ((const char *) xmlBufferContent (buffer), (gsize) xmlBufferLength (buffer));
    xmlBufferFree (buffer);
    return text;
}
