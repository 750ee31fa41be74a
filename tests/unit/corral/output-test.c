/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the writer makes of one document, byte for byte. */
#include "libvirt-driver/corral/corral-cli-output.h"

#include "common/corral-error.h"

#include <string.h>

static const CorralCliColumn fields[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT },
    { "auto", "Starts by itself", CORRAL_CLI_KIND_BOOLEAN },
    { "children", "Children", CORRAL_CLI_KIND_LIST },
    { "hidden", NULL, CORRAL_CLI_KIND_COUNT },
    { "memory", "Memory", CORRAL_CLI_KIND_KIB },
    { NULL },
};
static const CorralCliColumn columns[] = {
    { "name", "Name", CORRAL_CLI_KIND_TEXT }, { "time_ns", "Time s", CORRAL_CLI_KIND_SECONDS },
    { "rate", "Rate", CORRAL_CLI_KIND_RATE }, { "secret", NULL, CORRAL_CLI_KIND_TEXT },
    { "note", "Note", CORRAL_CLI_KIND_TEXT }, { NULL },
};
static const CorralCliTable tables[] = { { "rows", NULL, columns }, { NULL } };
static const CorralCliTable titled[] = { { "rows", "Rows", columns }, { NULL } };
static const CorralCliLayout only_table = { NULL, tables };
static const CorralCliLayout both = { fields, titled };

static JsonObject *
document (void)
{
    g_autoptr (JsonParser) parser = json_parser_new ();
    g_autoptr (GError) error = NULL;

    json_parser_load_from_data (
        parser,
        "{ \"name\": \"prod\", \"auto\": true, \"children\": [\"db\", \"a b\"], \"hidden\": 7,"
        "  \"memory\": null, \"rows\": ["
        "  { \"name\": \"web1\", \"time_ns\": 1234567890, \"rate\": 0.5, \"secret\": \"x\" },"
        "  { \"name\": \"a,\\\"b\\\"\\nc\", \"time_ns\": 20000000000, \"rate\": 12.3456,"
        "    \"secret\": \"\", \"note\": \"\\u001b[31m\\u65e5\\u672c\" } ] }",
        -1, &error);
    g_assert_no_error (error);
    return json_object_ref (json_node_get_object (json_parser_get_root (parser)));
}

static void
assert_format (const CorralCliLayout *layout, CorralCliFormat format, const char *expected)
{
    g_autoptr (JsonObject) object = document ();
    g_autofree char *text = corral_cli_output_format (layout, object, format);

    g_assert_cmpstr (text, ==, expected);
}

static void
test_table (void)
{
    /* numbers are aligned at the right; what moves a terminal's cursor is written out; the two wide
     * letters take four columns */
    assert_format (&only_table, CORRAL_CLI_FORMAT_TABLE,
                   " Name         Time s    Rate   Note\n"
                   "--------------------------------------------\n"
                   " web1          1.235    0.50   -\n"
                   " a,\"b\"\\x0ac   20.000   12.35   \\x1b[31m\u65e5\u672c\n"
                   "\n");
}

static void
test_table_empty (void)
{
    g_autoptr (JsonObject) object = json_object_new ();
    g_autofree char *text = NULL;

    json_object_set_array_member (object, "rows", json_array_new ());
    text = corral_cli_output_format (&only_table, object, CORRAL_CLI_FORMAT_TABLE);
    g_assert_cmpstr (text, ==,
                     " Name   Time s   Rate   Note\n"
                     "-----------------------------\n"
                     "\n");
}

static void
test_fields (void)
{
    assert_format (&(CorralCliLayout){ fields, NULL }, CORRAL_CLI_FORMAT_TABLE,
                   "Name:              prod\n"
                   "Starts by itself:  yes\n"
                   "Children:          db, a b\n"
                   "Memory:            -\n"
                   "\n");
}

static void
test_fields_and_table (void)
{
    g_autoptr (JsonObject) object = document ();
    g_autofree char *text = corral_cli_output_format (&both, object, CORRAL_CLI_FORMAT_TABLE);

    g_assert_true (g_str_has_prefix (text, "Name:              prod\n"));
    g_assert_nonnull (strstr (text, "\n\nRows:\n Name "));
}

static void
test_csv_table (void)
{
    assert_format (&only_table, CORRAL_CLI_FORMAT_CSV,
                   "name,time_ns,rate,secret,note\r\n"
                   "web1,1234567890,0.5,x,\r\n"
                   "\"a,\"\"b\"\"\nc\",20000000000,12.345599999999999,,\033[31m\u65e5\u672c\r\n");
}

static void
test_csv_pairs (void)
{
    g_autoptr (JsonObject) object = document ();
    g_autofree char *text = corral_cli_output_format (&both, object, CORRAL_CLI_FORMAT_CSV);

    g_assert_true (g_str_has_prefix (text, "key,value\r\n"
                                           "name,prod\r\n"
                                           "auto,true\r\n"
                                           "children,db a b\r\n"
                                           "hidden,7\r\n"
                                           "memory,\r\n"
                                           "rows.0.name,web1\r\n"
                                           "rows.0.time_ns,1234567890\r\n"));
}

static JsonObject *
parse_object (const char *text)
{
    g_autoptr (GError) error = NULL;
    g_autoptr (JsonNode) node = json_from_string (text, &error);

    g_assert_no_error (error);
    g_assert_true (JSON_NODE_HOLDS_OBJECT (node));
    return json_object_ref (json_node_get_object (node));
}

static void
test_json (void)
{
    g_autoptr (JsonObject) object = document ();
    g_autofree char *text = corral_cli_output_format (&both, object, CORRAL_CLI_FORMAT_JSON);
    g_autoptr (JsonObject) back = parse_object (text);
    JsonObject *row;

    g_assert_cmpint (json_object_get_int_member (back, "version"), ==, CORRAL_CLI_OUTPUT_VERSION);
    g_assert_cmpint (json_object_get_int_member (back, "hidden"), ==, 7);
    g_assert_true (json_object_get_boolean_member (back, "auto"));
    g_assert_true (json_object_get_null_member (back, "memory"));
    row = json_array_get_object_element (json_object_get_array_member (back, "rows"), 1);
    g_assert_cmpstr (json_object_get_string_member (row, "name"), ==, "a,\"b\"\nc");
    g_assert_cmpint (json_object_get_int_member (row, "time_ns"), ==, 20000000000);
    /* the same keys in every row, whatever is known */
    row = json_array_get_object_element (json_object_get_array_member (back, "rows"), 0);
    g_assert_true (json_object_get_null_member (row, "note"));
}

static void
test_rows (void)
{
    g_autoptr (JsonObject) object = document ();
    JsonObject *row =
        json_array_get_object_element (json_object_get_array_member (object, "rows"), 0);
    g_autofree char *table =
        corral_cli_output_format_row (columns, row, CORRAL_CLI_FORMAT_TABLE, TRUE);
    g_autofree char *first =
        corral_cli_output_format_row (columns, row, CORRAL_CLI_FORMAT_CSV, TRUE);
    g_autofree char *later =
        corral_cli_output_format_row (columns, row, CORRAL_CLI_FORMAT_CSV, FALSE);
    g_autofree char *json =
        corral_cli_output_format_row (columns, row, CORRAL_CLI_FORMAT_JSON, FALSE);
    g_autoptr (JsonObject) back = parse_object (json);

    g_assert_cmpstr (table, ==, "web1  1.235  0.50  -\n");
    g_assert_cmpstr (first, ==, "name,time_ns,rate,secret,note\r\nweb1,1234567890,0.5,x,\r\n");
    g_assert_cmpstr (later, ==, "web1,1234567890,0.5,x,\r\n");
    g_assert_true (strchr (json, '\n') == json + strlen (json) - 1);
    g_assert_cmpint (json_object_get_int_member (back, "version"), ==, CORRAL_CLI_OUTPUT_VERSION);
}

static void
test_format_names (void)
{
    g_autoptr (GError) error = NULL;
    CorralCliFormat format = CORRAL_CLI_FORMAT_TABLE;

    g_assert_true (corral_cli_format_parse ("csv", &format, &error));
    g_assert_cmpint (format, ==, CORRAL_CLI_FORMAT_CSV);
    g_assert_false (corral_cli_format_parse ("yaml", &format, &error));
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    g_test_add_func ("/output/table", test_table);
    g_test_add_func ("/output/table-empty", test_table_empty);
    g_test_add_func ("/output/fields", test_fields);
    g_test_add_func ("/output/fields-and-table", test_fields_and_table);
    g_test_add_func ("/output/csv-table", test_csv_table);
    g_test_add_func ("/output/csv-pairs", test_csv_pairs);
    g_test_add_func ("/output/json", test_json);
    g_test_add_func ("/output/rows", test_rows);
    g_test_add_func ("/output/format-names", test_format_names);
    return g_test_run ();
}
