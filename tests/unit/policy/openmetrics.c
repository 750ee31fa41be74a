/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tests/unit/policy/openmetrics.h"

#include <string.h>

typedef struct {
    GHashTable *families; /* those that have been, by name */
    GHashTable *samples;  /* name and labels of those that have been */
    GHashTable *said;     /* "TYPE" and so on, of the family at hand */
    char *family, *type;
    gboolean has_samples;
} Check;

static gboolean
matches (const char *pattern, const char *text)
{
    return g_regex_match_simple (pattern, text, G_REGEX_DOLLAR_ENDONLY, 0);
}

static const char *
start_family (Check *check, const char *name)
{
    if (g_strcmp0 (check->family, name) == 0)
        return NULL;
    if (!g_hash_table_add (check->families, g_strdup (name)))
        return "the family comes in two pieces";
    g_free (check->family);
    check->family = g_strdup (name);
    g_clear_pointer (&check->type, g_free);
    g_hash_table_remove_all (check->said);
    check->has_samples = FALSE;
    return NULL;
}

/* "# TYPE name gauge" */
static const char *
check_descriptor (Check *check, const char *line)
{
    g_auto (GStrv) words = g_strsplit (line, " ", 4);
    const char *fault;

    if (g_strv_length (words) != 4 || !matches ("^[a-zA-Z_:][a-zA-Z0-9_:]*$", words[2]))
        return "no descriptor";
    fault = start_family (check, words[2]);
    if (fault != NULL)
        return fault;
    if (check->has_samples)
        return "a descriptor after samples";
    if (!g_hash_table_add (check->said, g_strdup (words[1])))
        return "a second descriptor of a kind";
    if (g_str_equal (words[1], "TYPE")) {
        check->type = g_strdup (words[3]);
        return matches ("^(gauge|counter|info)$", words[3]) ? NULL : "an unknown type";
    }
    if (g_str_equal (words[1], "UNIT")) {
        g_autofree char *ending = g_strconcat ("_", words[3], NULL);

        return g_str_has_suffix (words[2], ending) ? NULL : "a name without its unit";
    }
    if (!g_str_equal (words[1], "HELP"))
        return "no descriptor";
    return matches ("^([^\\\\\"\n]|\\\\[\\\\n\"])*$", words[3]) ? NULL : "a help not escaped";
}

/* Steps over "name=\"value\"" at *@at. */
static const char *
check_label (GHashTable *names, const char **at)
{
    const char *start = *at;
    const char *equals = strstr (start, "=\"");
    g_autofree char *name = equals != NULL ? g_strndup (start, (gsize) (equals - start)) : NULL;
    const char *value;

    if (name == NULL || !matches ("^[a-zA-Z_][a-zA-Z0-9_]*$", name) ||
        g_str_has_prefix (name, "__"))
        return "a bad label";
    if (!g_hash_table_add (names, g_steal_pointer (&name)))
        return "a label twice";
    for (value = equals + 2; *value != '\0' && *value != '"'; value++) {
        if (*value == '\\' && strchr ("\\n\"", *++value) == NULL)
            return "an unknown escape";
    }
    *at = value + 1;
    return *value == '"' ? NULL : "a label without end";
}

static const char *
check_labels (const char **at)
{
    g_autoptr (GHashTable) names = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

    if (**at != '{')
        return NULL;
    do {
        const char *fault;

        (*at)++;
        fault = check_label (names, at);
        if (fault != NULL)
            return fault;
    } while (**at == ',');
    if (**at != '}')
        return "labels without end";
    (*at)++;
    return NULL;
}

static const char *
check_sample (Check *check, const char *line)
{
    gsize length = strcspn (line, "{ ");
    g_autofree char *name = g_strndup (line, length);
    g_autofree char *expected = NULL;
    const char *at = line + length;
    const char *fault = check_labels (&at);

    if (fault != NULL)
        return fault;
    if (check->type == NULL)
        return "a sample without a type";
    expected = g_strconcat (check->family,
                            g_str_equal (check->type, "counter") ? "_total"
                            : g_str_equal (check->type, "info")  ? "_info"
                                                                 : "",
                            NULL);
    if (!g_str_equal (name, expected))
        return "a sample of another family, or with another ending";
    check->has_samples = TRUE;
    if (!g_hash_table_add (check->samples, g_strndup (line, (gsize) (at - line))))
        return "a sample twice";
    if (!matches ("^ [-+]?([0-9]+(\\.[0-9]*)?|\\.[0-9]+)([eE][-+]?[0-9]+)?$", at))
        return "no number";
    if (g_str_equal (check->type, "info") && !g_str_equal (at, " 1"))
        return "an info that is not 1";
    if (g_str_equal (check->type, "counter") && at[1] == '-')
        return "a counter below 0";
    return NULL;
}

char *
openmetrics_fault (const char *text)
{
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    g_autoptr (GHashTable) families = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GHashTable) samples = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr (GHashTable) said = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    Check check = { families, samples, said, NULL, NULL, FALSE };
    const char *fault = g_utf8_validate (text, -1, NULL) ? NULL : "not UTF-8";
    guint i = 0;

    for (; fault == NULL && lines[i] != NULL && !g_str_equal (lines[i], "# EOF"); i++)
        fault = g_str_has_prefix (lines[i], "# ") ? check_descriptor (&check, lines[i])
                                                  : check_sample (&check, lines[i]);
    if (fault == NULL &&
        (lines[i] == NULL || lines[i + 1] == NULL || *lines[i + 1] != '\0' || lines[i + 2] != NULL))
        fault = "not one \"# EOF\" at the end";
    g_free (check.family);
    g_free (check.type);
    return fault != NULL ? g_strdup_printf ("line %u: %s", i, fault) : NULL;
}
