/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/corral/corral-cli-output.h"

#include "common/corral-error.h"

#include <string.h>

gboolean
corral_cli_format_parse (const char *text, CorralCliFormat *ret_format, GError **error)
{
    static const char *const names[] = { "table", "json", "csv" };

    for (guint i = 0; i < G_N_ELEMENTS (names); i++) {
        if (g_str_equal (text, names[i])) {
            *ret_format = (CorralCliFormat) i;
            return TRUE;
        }
    }
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot write in the format \"%s\": it must be table, json or csv", text);
    return FALSE;
}

/* --- one value --- */

static JsonNode *
member_of (JsonObject *object, const char *key)
{
    JsonNode *node = json_object_get_member (object, key);

    return node == NULL || JSON_NODE_HOLDS_NULL (node) ? NULL : node;
}

static char *
join_list (JsonNode *node, const char *separator)
{
    g_autoptr (GString) text = g_string_new (NULL);
    JsonArray *array;

    if (!JSON_NODE_HOLDS_ARRAY (node))
        return g_strdup ("");
    array = json_node_get_array (node);
    for (guint i = 0; i < json_array_get_length (array); i++)
        g_string_append_printf (text, "%s%s", i > 0 ? separator : "",
                                json_array_get_string_element (array, i));
    return g_string_free (g_steal_pointer (&text), FALSE);
}

/* Independent of the locale, as programs read it. */
static char *
plain_value (JsonNode *node)
{
    char buffer[G_ASCII_DTOSTR_BUF_SIZE];

    if (node == NULL || JSON_NODE_HOLDS_NULL (node))
        return g_strdup ("");
    if (JSON_NODE_HOLDS_ARRAY (node))
        return join_list (node, " ");
    switch (json_node_get_value_type (node)) {
    case G_TYPE_BOOLEAN:
        return g_strdup (json_node_get_boolean (node) ? "true" : "false");
    case G_TYPE_INT64:
        return g_strdup_printf ("%" G_GINT64_FORMAT, json_node_get_int (node));
    case G_TYPE_DOUBLE:
        return g_strdup (g_ascii_dtostr (buffer, sizeof buffer, json_node_get_double (node)));
    default:
        return json_node_dup_string (node);
    }
}

/* A name comes from a document that someone else wrote: it must not move the cursor. */
char *
corral_cli_printable (const char *text)
{
    g_autofree char *valid = g_utf8_make_valid (text, -1);
    g_autoptr (GString) safe = g_string_new (NULL);

    for (const char *at = valid; *at != '\0'; at = g_utf8_next_char (at)) {
        gunichar c = g_utf8_get_char (at);

        if (g_unichar_isprint (c))
            g_string_append_unichar (safe, c);
        else
            g_string_append_printf (safe, "\\x%02x", c);
    }
    return g_string_free (g_steal_pointer (&safe), FALSE);
}

static char *
shown_value (JsonObject *object, const CorralCliColumn *column)
{
    JsonNode *node = member_of (object, column->key);
    g_autofree char *text = NULL;

    if (node == NULL)
        return g_strdup ("-");
    switch (column->kind) {
    case CORRAL_CLI_KIND_BOOLEAN:
        return g_strdup (json_node_get_boolean (node) ? "yes" : "no");
    case CORRAL_CLI_KIND_SECONDS:
        return g_strdup_printf ("%.3f", (double) json_node_get_int (node) / 1e9);
    case CORRAL_CLI_KIND_RATE:
        return g_strdup_printf ("%.2f", json_node_get_double (node));
    case CORRAL_CLI_KIND_KIB:
        return g_strdup_printf ("%" G_GINT64_FORMAT " KiB", json_node_get_int (node));
    case CORRAL_CLI_KIND_LIST:
        text = join_list (node, ", ");
        break;
    case CORRAL_CLI_KIND_TEXT:
    case CORRAL_CLI_KIND_COUNT:
        text = plain_value (node);
        break;
    }
    return *text == '\0' ? g_strdup ("-") : corral_cli_printable (text);
}

/* --- tables --- */

static guint
width_of (const char *text)
{
    guint width = 0;

    for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at)) {
        gunichar c = g_utf8_get_char (at);

        if (!g_unichar_iszerowidth (c))
            width += g_unichar_iswide (c) ? 2 : 1;
    }
    return width;
}

static void
append_spaces (GString *out, guint count)
{
    for (guint i = 0; i < count; i++)
        g_string_append_c (out, ' ');
}

static gboolean
is_number (CorralCliKind kind)
{
    return kind == CORRAL_CLI_KIND_COUNT || kind == CORRAL_CLI_KIND_SECONDS ||
           kind == CORRAL_CLI_KIND_RATE || kind == CORRAL_CLI_KIND_KIB;
}

/* One line of cells; the last one is not padded, so that no line ends in spaces. */
static void
append_cells (GString *out, char **cells, const CorralCliColumn *const *columns,
              const guint *widths, guint n)
{
    for (guint i = 0; i < n; i++) {
        guint padding = widths[i] - width_of (cells[i]);

        append_spaces (out, i == 0 ? 1 : 3);
        if (is_number (columns[i]->kind))
            append_spaces (out, padding);
        g_string_append (out, cells[i]);
        if (!is_number (columns[i]->kind) && i + 1 < n)
            append_spaces (out, padding);
    }
    g_string_append_c (out, '\n');
}

static GPtrArray *
visible_columns (const CorralCliColumn *columns)
{
    GPtrArray *visible = g_ptr_array_new ();

    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        if (column->title != NULL)
            g_ptr_array_add (visible, (gpointer) column);
    }
    return visible;
}

static void
append_table (GString *out, const CorralCliTable *table, JsonArray *rows)
{
    g_autoptr (GPtrArray) visible = visible_columns (table->columns);
    const CorralCliColumn *const *columns = (const CorralCliColumn *const *) visible->pdata;
    g_autoptr (GPtrArray) lines = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
    g_autofree guint *widths = g_new0 (guint, visible->len);
    guint total = 0;

    for (guint line = 0; line < json_array_get_length (rows) + 1; line++) {
        char **cells = g_new0 (char *, visible->len + 1);

        for (guint i = 0; i < visible->len; i++) {
            cells[i] = line == 0 ? g_strdup (columns[i]->title)
                                 : shown_value (json_array_get_object_element (rows, line - 1),
                                                columns[i]);
            widths[i] = MAX (widths[i], width_of (cells[i]));
        }
        g_ptr_array_add (lines, cells);
    }
    for (guint i = 0; i < visible->len; i++)
        total += widths[i] + (i == 0 ? 1 : 3);

    if (table->title != NULL)
        g_string_append_printf (out, "%s:\n", table->title);
    for (guint line = 0; line < lines->len; line++) {
        append_cells (out, lines->pdata[line], columns, widths, visible->len);
        if (line == 0) {
            for (guint i = 0; i < total + 1; i++)
                g_string_append_c (out, '-');
            g_string_append_c (out, '\n');
        }
    }
    g_string_append_c (out, '\n');
}

static void
append_fields (GString *out, const CorralCliColumn *fields, JsonObject *document)
{
    guint width = 0;

    for (const CorralCliColumn *field = fields; field->key != NULL; field++)
        width = MAX (width, field->title != NULL ? width_of (field->title) : 0);
    for (const CorralCliColumn *field = fields; field->key != NULL; field++) {
        g_autofree char *value = NULL;

        if (field->title == NULL)
            continue;
        value = shown_value (document, field);
        g_string_append_printf (out, "%s:", field->title);
        append_spaces (out, width - width_of (field->title) + 2);
        g_string_append_printf (out, "%s\n", value);
    }
    g_string_append_c (out, '\n');
}

static char *
format_as_table (const CorralCliLayout *layout, JsonObject *document)
{
    g_autoptr (GString) out = g_string_new (NULL);

    if (layout->fields != NULL)
        append_fields (out, layout->fields, document);
    for (const CorralCliTable *table = layout->tables; table != NULL && table->key != NULL; table++)
        append_table (out, table, json_object_get_array_member (document, table->key));
    return g_string_free (g_steal_pointer (&out), FALSE);
}

/* --- CSV, RFC 4180: CRLF at the end of a record, quotes around and doubled within --- */

static void
append_csv_field (GString *out, const char *value)
{
    if (strpbrk (value, ",\"\r\n") == NULL) {
        g_string_append (out, value);
        return;
    }
    g_string_append_c (out, '"');
    for (const char *at = value; *at != '\0'; at++) {
        if (*at == '"')
            g_string_append_c (out, '"');
        g_string_append_c (out, *at);
    }
    g_string_append_c (out, '"');
}

static void
append_csv_headings (GString *out, const CorralCliColumn *columns)
{
    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        if (column != columns)
            g_string_append_c (out, ',');
        append_csv_field (out, column->key);
    }
    g_string_append (out, "\r\n");
}

static void
append_csv_record (GString *out, const CorralCliColumn *columns, JsonObject *row)
{
    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        g_autofree char *value = plain_value (member_of (row, column->key));

        if (column != columns)
            g_string_append_c (out, ',');
        append_csv_field (out, value);
    }
    g_string_append (out, "\r\n");
}

static void
append_csv_pairs (GString *out, const char *prefix, const CorralCliColumn *columns,
                  JsonObject *object)
{
    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        g_autofree char *key = g_strconcat (prefix, column->key, NULL);
        g_autofree char *value = plain_value (member_of (object, column->key));

        append_csv_field (out, key);
        g_string_append_c (out, ',');
        append_csv_field (out, value);
        g_string_append (out, "\r\n");
    }
}

static char *
format_as_csv (const CorralCliLayout *layout, JsonObject *document)
{
    g_autoptr (GString) out = g_string_new (NULL);
    const CorralCliTable *tables = layout->tables;

    if (layout->fields == NULL && tables != NULL && tables[1].key == NULL) {
        JsonArray *rows = json_object_get_array_member (document, tables[0].key);

        append_csv_headings (out, tables[0].columns);
        for (guint i = 0; i < json_array_get_length (rows); i++)
            append_csv_record (out, tables[0].columns, json_array_get_object_element (rows, i));
        return g_string_free (g_steal_pointer (&out), FALSE);
    }

    g_string_append (out, "key,value\r\n");
    if (layout->fields != NULL)
        append_csv_pairs (out, "", layout->fields, document);
    for (const CorralCliTable *table = tables; table != NULL && table->key != NULL; table++) {
        JsonArray *rows = json_object_get_array_member (document, table->key);

        for (guint i = 0; i < json_array_get_length (rows); i++) {
            g_autofree char *prefix = g_strdup_printf ("%s.%u.", table->key, i);

            append_csv_pairs (out, prefix, table->columns, json_array_get_object_element (rows, i));
        }
    }
    return g_string_free (g_steal_pointer (&out), FALSE);
}

/* --- JSON --- */

static void
copy_columns (JsonObject *to, const CorralCliColumn *columns, JsonObject *from)
{
    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        JsonNode *node = member_of (from, column->key);

        json_object_set_member (to, column->key,
                                node != NULL ? json_node_copy (node)
                                             : json_node_new (JSON_NODE_NULL));
    }
}

static char *
json_text (JsonObject *object, gboolean pretty)
{
    g_autoptr (JsonNode) root = json_node_init_object (json_node_alloc (), object);
    g_autofree char *text = json_to_string (root, pretty);

    return g_strconcat (text, "\n", NULL);
}

static char *
format_as_json (const CorralCliLayout *layout, JsonObject *document)
{
    g_autoptr (JsonObject) result = json_object_new ();

    json_object_set_int_member (result, "version", CORRAL_CLI_OUTPUT_VERSION);
    if (layout->fields != NULL)
        copy_columns (result, layout->fields, document);
    for (const CorralCliTable *table = layout->tables; table != NULL && table->key != NULL;
         table++) {
        JsonArray *rows = json_object_get_array_member (document, table->key);
        JsonArray *copies = json_array_new ();

        for (guint i = 0; i < json_array_get_length (rows); i++) {
            JsonObject *copy = json_object_new ();

            copy_columns (copy, table->columns, json_array_get_object_element (rows, i));
            json_array_add_object_element (copies, copy);
        }
        json_object_set_array_member (result, table->key, copies);
    }
    return json_text (result, TRUE);
}

/* --- what the verbs call --- */

char *
corral_cli_output_format (const CorralCliLayout *layout, JsonObject *document,
                          CorralCliFormat format)
{
    switch (format) {
    case CORRAL_CLI_FORMAT_JSON:
        return format_as_json (layout, document);
    case CORRAL_CLI_FORMAT_CSV:
        return format_as_csv (layout, document);
    case CORRAL_CLI_FORMAT_TABLE:
        break;
    }
    return format_as_table (layout, document);
}

char *
corral_cli_output_format_json_line (JsonObject *document)
{
    g_autoptr (JsonObject) result = json_object_new ();
    g_autoptr (GList) keys = json_object_get_members (document);

    json_object_set_int_member (result, "version", CORRAL_CLI_OUTPUT_VERSION);
    for (GList *key = keys; key != NULL; key = key->next)
        json_object_set_member (result, key->data,
                                json_node_copy (json_object_get_member (document, key->data)));
    return json_text (result, FALSE);
}

char *
corral_cli_output_format_row (const CorralCliColumn *columns, JsonObject *row,
                              CorralCliFormat format, gboolean first)
{
    g_autoptr (GString) out = g_string_new (NULL);

    if (format == CORRAL_CLI_FORMAT_JSON) {
        g_autoptr (JsonObject) result = json_object_new ();

        json_object_set_int_member (result, "version", CORRAL_CLI_OUTPUT_VERSION);
        copy_columns (result, columns, row);
        return json_text (result, FALSE);
    }
    if (format == CORRAL_CLI_FORMAT_CSV) {
        if (first)
            append_csv_headings (out, columns);
        append_csv_record (out, columns, row);
        return g_string_free (g_steal_pointer (&out), FALSE);
    }
    for (const CorralCliColumn *column = columns; column->key != NULL; column++) {
        if (column->title != NULL) {
            g_autofree char *value = shown_value (row, column);

            g_string_append_printf (out, "%s%s", out->len > 0 ? "  " : "", value);
        }
    }
    g_string_append_c (out, '\n');
    return g_string_free (g_steal_pointer (&out), FALSE);
}
