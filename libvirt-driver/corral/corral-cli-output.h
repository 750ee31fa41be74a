/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writes what a verb found as a table, as JSON or as CSV. A verb builds one JsonObject and says in
 * a layout how a person should see it, so that the three formats cannot tell different stories. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

/* The "version" field of every JSON document. It grows when a key changes its meaning or goes; a
 * new key alone does not change it. */
#define CORRAL_CLI_OUTPUT_VERSION 1

typedef enum {
    CORRAL_CLI_FORMAT_TABLE,
    CORRAL_CLI_FORMAT_JSON,
    CORRAL_CLI_FORMAT_CSV,
} CorralCliFormat;

gboolean corral_cli_format_parse (const char *text, CorralCliFormat *ret_format, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* How a value looks in a table. JSON and CSV carry it as it is: nanoseconds, not seconds. */
typedef enum {
    CORRAL_CLI_KIND_TEXT,
    CORRAL_CLI_KIND_COUNT,   /* an integer */
    CORRAL_CLI_KIND_BOOLEAN, /* "yes" or "no" */
    CORRAL_CLI_KIND_SECONDS, /* an integer of nanoseconds, shown as seconds */
    CORRAL_CLI_KIND_RATE,    /* a number, shown with two decimals */
    CORRAL_CLI_KIND_KIB,     /* an integer of KiB */
    CORRAL_CLI_KIND_LIST,    /* an array of strings, shown with commas; in CSV with spaces */
} CorralCliKind;

/* A column of a table, or a line of a list of fields; an array of them ends with a NULL key. */
typedef struct {
    const char *key;   /* the member of the JSON object */
    const char *title; /* NULL: for programs only, left out where people read */
    CorralCliKind kind;
} CorralCliColumn;

typedef struct {
    const char *key;   /* the member of the document; an array of objects */
    const char *title; /* (nullable): a line above the table */
    const CorralCliColumn *columns;
} CorralCliTable;

typedef struct {
    const CorralCliColumn *fields; /* (nullable) */
    const CorralCliTable *tables;  /* (nullable): ends with a NULL key */
} CorralCliLayout;

/**
 * corral_cli_output_format:
 * @document: has the members that @layout names; one that is missing or null reads as unknown ("-",
 *   null, or an empty CSV field)
 *
 * A table has virsh's looks: one space of left margin, dashes below the headings, an empty line
 * after.
 * CSV follows RFC 4180. A document that is one table becomes that table, with its heading line;
 * any other becomes the two columns "key,value", where key is a path such as "vcpus.0.cpu".
 *
 * Returns: (transfer full): the text, to print as it is
 */
char *corral_cli_output_format (const CorralCliLayout *layout, JsonObject *document,
                                CorralCliFormat format);

/**
 * corral_cli_output_format_row:
 * @first: whether it is the stream's first row, before which CSV has its headings
 *
 * One row of a stream without end: one line of JSON, one record of CSV, or values with two spaces
 * between them.
 */
char *corral_cli_output_format_row (const CorralCliColumn *columns, JsonObject *row,
                                    CorralCliFormat format, gboolean first);

/* One document on one line of JSON, for streams of documents. */
char *corral_cli_output_format_json_line (JsonObject *document);

/* @text with what would move a terminal's cursor written out. (transfer full) */
char *corral_cli_printable (const char *text);
