/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading XML from outside with libxml2: bounded, without DTD, network or noise. For policy/. */
#pragma once

#include "common/corral-cpuset.h"

#include <glib.h>
#include <libxml/tree.h>

/* A definition's elements may lie this deep. */
#define CORRAL_XML_DEPTH 64

/* policy/schema/container.rng and host.rng */
extern const char corral_xml_container_schema[];
extern const gsize corral_xml_container_schema_length;
extern const char corral_xml_host_schema[];
extern const gsize corral_xml_host_schema_length;

typedef enum {
    CORRAL_XML_CONTAINER, /* <domain type='corral'>, <member/>, and a VM's <corral:placement/> */
    CORRAL_XML_HOST,
} CorralXmlSchema;

/* One document being read. Its first error is kept; those that come later are its consequences. */
typedef struct {
    const char *what; /* "the container definition"; for messages */
    xmlDoc *doc;
    GError *error;
} CorralXmlReader;

/**
 * corral_xml_reader_init:
 * @max: the most bytes that are read
 * @depth: the most levels of elements; 0: as deep as libxml2 itself allows
 *
 * Parses @xml, which has to be UTF-8: libxml2 would hand any other encoding that a document names
 * to iconv, which loads code for it. After a failure, too, corral_xml_reader_clear() is called.
 */
gboolean corral_xml_reader_init (CorralXmlReader *reader, const char *what, const char *xml,
                                 gsize length, gsize max, guint depth) G_GNUC_WARN_UNUSED_RESULT;
void corral_xml_reader_clear (CorralXmlReader *reader);

/* Keeps the error "cannot read WHAT: line N: ...", unless there is one already. Returns: %FALSE */
gboolean corral_xml_fail (CorralXmlReader *reader, const xmlNode *node, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* Checks the document against the schema; the error is the first that libxml2 has. */
gboolean corral_xml_validate (CorralXmlReader *reader, CorralXmlSchema schema)
    G_GNUC_WARN_UNUSED_RESULT;

/* "<name>", or "<corral:name>" in Corral's namespace when that is not the root's; %NULL-safe, at
 * most 80 characters. */
char *corral_xml_tag (const xmlNode *node);

/* @text cut to 80 characters, made valid UTF-8: for messages */
char *corral_xml_shown (const char *text);

/* Whether @node is an element @name without a namespace, or in Corral's. */
gboolean corral_xml_is (const xmlNode *node, const char *name);
gboolean corral_xml_is_own (const xmlNode *node, const char *name);

/* The first such child of @node. Returns: (nullable) */
const xmlNode *corral_xml_find (const xmlNode *node, const char *name);
const xmlNode *corral_xml_find_own (const xmlNode *node, const char *name);

/* An element's text, which is (transfer full); an error if it has child elements. */
gboolean corral_xml_text (CorralXmlReader *reader, const xmlNode *node, char **ret_text)
    G_GNUC_WARN_UNUSED_RESULT;

/* The attribute @name without a namespace. Returns: (transfer full) (nullable) */
char *corral_xml_attribute (const xmlNode *node, const char *name);

/* The attribute @name as a number. @expected: for the message: "a whole number from 1 to 9" */
gboolean corral_xml_number_attribute (CorralXmlReader *reader, const xmlNode *node,
                                      const char *name, guint min, guint max, const char *expected,
                                      guint *ret_number) G_GNUC_WARN_UNUSED_RESULT;

/* The attribute @name as a list of numbers as libvirt writes it: "0-7,^3" is 0-7 without 3. Never
 * the empty set. @of: for the message: "pCPUs" */
gboolean corral_xml_list_attribute (CorralXmlReader *reader, const xmlNode *node, const char *name,
                                    const char *of, CorralCpuset **ret_set)
    G_GNUC_WARN_UNUSED_RESULT;

/* Neither text nor elements are in @node. */
gboolean corral_xml_check_empty (CorralXmlReader *reader, const xmlNode *node)
    G_GNUC_WARN_UNUSED_RESULT;

/* @allowed: %NULL-terminated. Any other attribute is an error. */
gboolean corral_xml_check_attributes (CorralXmlReader *reader, const xmlNode *node,
                                      const char *const *allowed) G_GNUC_WARN_UNUSED_RESULT;

/* Takes @node out of its document. What may be anything need not be seen by the schema, where the
 * time that libxml2 takes grows with the square of the number of elements. */
void corral_xml_drop (xmlNode *node);

/* One kind of child element. */
typedef struct {
    const char *name;
    /* NULL: the element is dropped, from the document as well */
    gboolean (*read) (CorralXmlReader *reader, xmlNode *node, gpointer data);
    const char *uri; /* (nullable): its namespace */
    gboolean many;   /* may come more than once */
} CorralXmlElement;

/* Reads the children of @node in whatever order they come; text between them, an element that is in
 * no row of @elements, and a second one of a kind are errors. */
gboolean corral_xml_read_children (CorralXmlReader *reader, xmlNode *node,
                                   const CorralXmlElement *elements, gsize n_elements,
                                   gpointer data) G_GNUC_WARN_UNUSED_RESULT;

/* @node and what is beneath it as text, word for word. Returns: (transfer full) */
char *corral_xml_serialise (xmlNode *node);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CorralXmlReader, corral_xml_reader_clear)
