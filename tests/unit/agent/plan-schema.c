/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/agent/plan-schema.h"

#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <string.h>

static void
keep_first (void *data, const char *format, ...)
{
    char **fault = data;
    va_list args;

    if (*fault != NULL)
        return;
    va_start (args, format);
    *fault = g_strdup_vprintf (format, args);
    va_end (args);
}

/* Makes <capacity> the root of its document, where it is within another. */
static void
uncover_capacity (xmlDoc *doc)
{
    xmlNode *root = xmlDocGetRootElement (doc);

    if (root == NULL || !xmlStrEqual (root->name, BAD_CAST "domainCapabilities"))
        return;
    for (xmlNode *child = root->children; child != NULL; child = child->next)
        if (xmlStrEqual (child->name, BAD_CAST "capacity")) {
            xmlUnlinkNode (child);
            xmlFreeNode (xmlDocSetRootElement (doc, child));
            return;
        }
}

char *
plan_schema_fault (const char *xml)
{
    g_autofree char *path = g_test_build_filename (G_TEST_DIST, "policy/schema/plan.rng", NULL);
    xmlRelaxNGParserCtxt *parser = xmlRelaxNGNewParserCtxt (path);
    xmlRelaxNG *schema = xmlRelaxNGParse (parser);
    xmlDoc *doc = xmlReadMemory (xml, (int) strlen (xml), "", NULL,
                                 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    xmlRelaxNGValidCtxt *valid;
    char *fault = NULL;

    g_assert_nonnull (schema);
    valid = xmlRelaxNGNewValidCtxt (schema);
    xmlRelaxNGSetValidErrors (valid, keep_first, keep_first, &fault);
    if (doc == NULL) {
        fault = g_strdup ("it is no XML");
    } else {
        uncover_capacity (doc);
        if (xmlRelaxNGValidateDoc (valid, doc) != 0 && fault == NULL)
            fault = g_strdup ("it is not valid");
    }
    xmlFreeDoc (doc);
    xmlRelaxNGFreeValidCtxt (valid);
    xmlRelaxNGFree (schema);
    xmlRelaxNGFreeParserCtxt (parser);
    return fault;
}

void
plan_schema_assert (const char *xml)
{
    g_autofree char *fault = plan_schema_fault (xml);

    if (fault != NULL)
        g_test_message ("%s", xml);
    g_assert_cmpstr (fault, ==, NULL);
}
