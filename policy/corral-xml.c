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
/* An element has a handful. libxml2 compares each of them with all others. */
#define ATTRIBUTES_MAX 1000

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

static gboolean
is_own (const xmlNode *node)
{
    return node->ns != NULL && g_strcmp0 ((const char *) node->ns->href, CORRAL_XML_NAMESPACE) == 0;
}

/* What stands before the names of Corral's own elements in messages about @node's document: nothing
 * where the whole document is Corral's. */
static const char *
own_prefix (const xmlNode *node)
{
    const xmlNode *root = node->doc != NULL ? xmlDocGetRootElement (node->doc) : NULL;

    return root != NULL && is_own (root) ? "" : "corral:";
}

char *
corral_xml_tag (const xmlNode *node)
{
    g_autofree char *name = corral_xml_shown (node != NULL ? (const char *) node->name : "");
    const xmlNs *ns = node != NULL ? node->ns : NULL;

    if (ns != NULL && is_own (node))
        return g_strdup_printf ("<%s%s>", own_prefix (node), name);
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

static long
line_of (const char *xml, const char *at)
{
    long line = 1;

    for (; xml < at; xml++)
        line += *xml == '\n';
    return line;
}

/* The encoding that an XML declaration names; %NULL: it names none, or there is no declaration.
 * What is broken in it is left to libxml2. Returns: (transfer full) (nullable) */
static char *
declared_encoding (const char *xml, gsize length)
{
    static const char mark[] = "\xef\xbb\xbf", start[] = "<?xml", name[] = "encoding";
    g_autofree char *declaration = NULL;
    const char *at, *end;

    if (length >= strlen (mark) && memcmp (xml, mark, strlen (mark)) == 0) {
        xml += strlen (mark);
        length -= strlen (mark);
    }
    if (length <= strlen (start) || memcmp (xml, start, strlen (start)) != 0 ||
        !g_ascii_isspace (xml[strlen (start)]))
        return NULL;
    end = g_strstr_len (xml, (gssize) length, "?>");
    declaration = g_strndup (xml, end != NULL ? (gsize) (end - xml) : length);
    at = strstr (declaration, name);
    if (at == NULL)
        return NULL;
    at += strlen (name);
    at += strspn (at, " \t\r\n");
    if (*at != '=')
        return NULL;
    at++;
    at += strspn (at, " \t\r\n");
    end = *at == '"' || *at == '\'' ? strchr (at + 1, *at) : NULL;
    return end != NULL ? g_strndup (at + 1, (gsize) (end - at - 1)) : NULL;
}

/* Bytes that are UTF-8 and hold no NUL begin like no other encoding that libxml2 knows by its first
 * bytes; with a declaration that is passed over (XML_PARSE_IGNORE_ENC) it never looks for a
 * converter. */
static gboolean
check_encoding (CorralXmlReader *reader, const char *xml, gsize length)
{
    g_autofree char *encoding = NULL;
    g_autofree char *shown = NULL;
    const char *end;

    if (!g_utf8_validate_len (xml, length, &end)) {
        g_autofree char *message =
            g_strdup_printf ("expected UTF-8, not the byte 0x%02X", (guint8) *end);

        return fail_at (reader, line_of (xml, end), message);
    }
    encoding = declared_encoding (xml, length);
    if (encoding == NULL || g_ascii_strcasecmp (encoding, "UTF-8") == 0 ||
        g_ascii_strcasecmp (encoding, "US-ASCII") == 0)
        return TRUE;
    shown = corral_xml_shown (encoding);
    return corral_xml_fail (reader, NULL, "<?xml?>: expected encoding='UTF-8', not \"%s\"", shown);
}

/* The last byte of the comment, CDATA section or processing instruction at @at; @at: it is none;
 * %NULL: it has no end. */
static const char *
skip_markup (const char *at, const char *end)
{
    static const char *const pairs[][2] = { { "<!--", "-->" },
                                            { "<![CDATA[", "]]>" },
                                            { "<?", "?>" } };

    for (gsize i = 0; i < G_N_ELEMENTS (pairs); i++) {
        const gsize length = strlen (pairs[i][0]);
        const char *last;

        if ((gsize) (end - at) < length || memcmp (at, pairs[i][0], length) != 0)
            continue;
        last = memmem (at + length, (gsize) (end - at) - length, pairs[i][1], strlen (pairs[i][1]));
        return last != NULL ? last + strlen (pairs[i][1]) - 1 : NULL;
    }
    return at;
}

static gboolean
check_attributes_count (CorralXmlReader *reader, const char *xml, gsize length)
{
    const char *end = xml + length, *tag = NULL;
    guint count = 0;

    for (const char *at = xml; at < end; at++)
        if (*at == '<') {
            const char *last = skip_markup (at, end);

            tag = last == at ? at : NULL;
            count = 0;
            at = last;
            /* No document at all is left to libxml2. */
            if (at == NULL)
                return TRUE;
        } else if (*at == '>')
            tag = NULL;
        else if (tag != NULL && (*at == '"' || *at == '\'')) {
            at = memchr (at + 1, *at, (gsize) (end - at - 1));
            if (at == NULL)
                return TRUE;
            if (++count > ATTRIBUTES_MAX)
                return fail_at (
                    reader, line_of (xml, tag),
                    "expected at most " G_STRINGIFY (ATTRIBUTES_MAX) " attributes in an element");
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

    if (!check_encoding (reader, xml, length) || !check_attributes_count (reader, xml, length))
        return FALSE;

    parser = xmlNewParserCtxt ();
    if (parser == NULL)
        g_error ("out of memory");
    parser->_private = reader;
    parser->sax->serror = on_parser_error;
    parser->sax->internalSubset = on_doctype;
    reader->doc = xmlCtxtReadMemory (parser, xml, (int) length, NULL, NULL,
                                     XML_PARSE_NONET | XML_PARSE_BIG_LINES | XML_PARSE_IGNORE_ENC);
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
get_schema (CorralXmlSchema which)
{
    static gsize schemas[2];
    gsize *schema = &schemas[which];

    if (g_once_init_enter (schema)) {
        CorralXmlReader reader = { .what = "the built-in schema" };
        xmlRelaxNGParserCtxt *parser =
            which == CORRAL_XML_HOST
                ? xmlRelaxNGNewMemParserCtxt (corral_xml_host_schema,
                                              (int) corral_xml_host_schema_length)
                : xmlRelaxNGNewMemParserCtxt (corral_xml_container_schema,
                                              (int) corral_xml_container_schema_length);
        xmlRelaxNG *compiled;

        xmlRelaxNGSetParserStructuredErrors (parser, on_schema_error, &reader);
        compiled = xmlRelaxNGParse (parser);
        xmlRelaxNGFreeParserCtxt (parser);
        /* Input has no part in this: only a build with a broken schema gets here. */
        if (compiled == NULL)
            g_error ("%s", reader.error != NULL ? reader.error->message : "no schema");
        g_once_init_leave (schema, (gsize) compiled);
    }
    return (xmlRelaxNG *) *schema;
}

gboolean
corral_xml_validate (CorralXmlReader *reader, CorralXmlSchema schema)
{
    xmlRelaxNGValidCtxt *validator = xmlRelaxNGNewValidCtxt (get_schema (schema));
    int result;

    xmlRelaxNGSetValidStructuredErrors (validator, on_schema_error, reader);
    result = xmlRelaxNGValidateDoc (validator, reader->doc);
    xmlRelaxNGFreeValidCtxt (validator);
    if (result == 0)
        return TRUE;
    return corral_xml_fail (reader, NULL, "it does not fit the schema %s",
                            schema == CORRAL_XML_HOST ? "host.rng" : "container.rng");
}

/* --- elements --- */

gboolean
corral_xml_is (const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && node->ns == NULL &&
           strcmp ((const char *) node->name, name) == 0;
}

gboolean
corral_xml_is_own (const xmlNode *node, const char *name)
{
    return node->type == XML_ELEMENT_NODE && is_own (node) &&
           strcmp ((const char *) node->name, name) == 0;
}

const xmlNode *
corral_xml_find (const xmlNode *node, const char *name)
{
    const xmlNode *child = node->children;

    while (child != NULL && !corral_xml_is (child, name))
        child = child->next;
    return child;
}

const xmlNode *
corral_xml_find_own (const xmlNode *node, const char *name)
{
    const xmlNode *child = node->children;

    while (child != NULL && !corral_xml_is_own (child, name))
        child = child->next;
    return child;
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
corral_xml_number_attribute (CorralXmlReader *reader, const xmlNode *node, const char *name,
                             guint min, guint max, const char *expected, guint *ret_number)
{
    g_autofree char *text = corral_xml_attribute (node, name);
    guint64 number = 0;

    if (text == NULL ||
        !g_ascii_string_to_unsigned (g_strstrip (text), 10, min, max, &number, NULL)) {
        g_autofree char *tag = corral_xml_tag (node);
        g_autofree char *shown = corral_xml_shown (text != NULL ? text : "");

        return corral_xml_fail (reader, node, "%s: expected in \"%s\" %s, not \"%s\"", tag, name,
                                expected, shown);
    }
    *ret_number = (guint) number;
    return TRUE;
}

gboolean
corral_xml_list_attribute (CorralXmlReader *reader, const xmlNode *node, const char *name,
                           const char *of, CorralCpuset **ret_set)
{
    g_autofree char *value = corral_xml_attribute (node, name);
    const char *text = value != NULL ? g_strstrip (value) : "";
    g_auto (GStrv) parts = g_strsplit (text, ",", -1);
    g_autoptr (CorralCpuset) set = hwloc_bitmap_alloc ();
    gboolean valid = TRUE;

    for (gsize i = 0; parts[i] != NULL && valid; i++) {
        g_autoptr (CorralCpuset) part = NULL;
        gboolean without = parts[i][0] == '^';

        valid = parts[i][0] != '\0' && corral_cpuset_parse (parts[i] + without, &part, NULL);
        if (valid && without)
            hwloc_bitmap_andnot (set, set, part);
        else if (valid)
            hwloc_bitmap_or (set, set, part);
    }
    if (!valid || hwloc_bitmap_iszero (set)) {
        g_autofree char *tag = corral_xml_tag (node);
        g_autofree char *shown = corral_xml_shown (text);

        return corral_xml_fail (reader, node,
                                "%s: expected in \"%s\" a list of %s such as 0-3,8 (up to %d), "
                                "not \"%s\"",
                                tag, name, of, CORRAL_CPUSET_MAX, shown);
    }
    *ret_set = g_steal_pointer (&set);
    return TRUE;
}

gboolean
corral_xml_check_empty (CorralXmlReader *reader, const xmlNode *node)
{
    g_autofree char *text = NULL;
    g_autofree char *tag = corral_xml_tag (node);

    for (const xmlNode *child = node->children; child != NULL; child = child->next)
        if (child->type == XML_ELEMENT_NODE) {
            g_autofree char *inner = corral_xml_tag (child);

            return corral_xml_fail (reader, child, "%s: expected attributes only, not %s", tag,
                                    inner);
        }
    if (!corral_xml_text (reader, node, &text))
        return FALSE;
    return *g_strstrip (text) == '\0' ||
           corral_xml_fail (reader, node, "%s: expected attributes only, not text", tag);
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
                                    elements[i].uri != NULL ? own_prefix (node) : "",
                                    elements[i].name);
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
