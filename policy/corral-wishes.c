/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-wishes.h"

#include "policy/corral-definition.h"

#include <string.h>

/* One attribute of <placement>. Its words stand for the enumerators from @first on. */
typedef struct {
    const char *name;
    CorralPlacementSaid said;
    guint first;
    const char *words[5]; /* none for a number */
} Attribute;

static const Attribute attributes[] = {
    { "mode",
      CORRAL_SAID_MODE,
      CORRAL_MODE_DEDICATED,
      { "dedicated", "shared", "housekeeping", NULL } },
    { "smt",
      CORRAL_SAID_SMT,
      CORRAL_SMT_PREFER,
      { "prefer", "isolate", "require", "avoid", NULL } },
    { "numa", CORRAL_SAID_NUMA, CORRAL_NUMA_PREFER, { "prefer", "strict", "any", NULL } },
    { "emulator",
      CORRAL_SAID_EMULATOR,
      CORRAL_EMULATOR_HOUSEKEEPING,
      { "housekeeping", "container", NULL } },
    { "overcommit", CORRAL_SAID_OVERCOMMIT, 0, { NULL } },
    { "exclusive",
      CORRAL_SAID_EXCLUSIVE,
      CORRAL_EXCLUSIVE_NONE,
      { "none", "root", "isolated", NULL } },
    { "drift", CORRAL_SAID_DRIFT, FALSE, { "report", "repair", NULL } },
};

static guint
get_value (const CorralPlacement *placement, CorralPlacementSaid said)
{
    switch (said) {
    case CORRAL_SAID_MODE:
        return placement->mode;
    case CORRAL_SAID_SMT:
        return placement->smt;
    case CORRAL_SAID_NUMA:
        return placement->numa;
    case CORRAL_SAID_EMULATOR:
        return placement->emulator;
    case CORRAL_SAID_OVERCOMMIT:
        return placement->overcommit;
    case CORRAL_SAID_EXCLUSIVE:
        return placement->exclusive;
    case CORRAL_SAID_DRIFT:
        return placement->repair ? 1 : 0;
    case CORRAL_SAID_HELPERS:
        return placement->helpers_percent;
    }
    g_assert_not_reached ();
}

static void
set_value (CorralPlacement *placement, CorralPlacementSaid said, guint value)
{
    switch (said) {
    case CORRAL_SAID_MODE:
        placement->mode = (CorralPlacementMode) value;
        break;
    case CORRAL_SAID_SMT:
        placement->smt = (CorralPlacementSmt) value;
        break;
    case CORRAL_SAID_NUMA:
        placement->numa = (CorralPlacementNuma) value;
        break;
    case CORRAL_SAID_EMULATOR:
        placement->emulator = (CorralPlacementEmulator) value;
        break;
    case CORRAL_SAID_OVERCOMMIT:
        placement->overcommit = value;
        break;
    case CORRAL_SAID_EXCLUSIVE:
        placement->exclusive = (CorralPlacementExclusive) value;
        break;
    case CORRAL_SAID_DRIFT:
        placement->repair = value != 0;
        break;
    case CORRAL_SAID_HELPERS:
        placement->helpers_percent = value;
        break;
    }
}

/* "1.5" is 1500: at most three digits before the point and three after it. */
static gboolean
parse_thousandths (const char *text, guint *ret_value)
{
    gsize whole = strspn (text, "0123456789"), part = 0;
    guint value = 0;

    if (text[whole] == '.') {
        part = strspn (text + whole + 1, "0123456789");
        if (part < 1 || part > 3 || text[whole + 1 + part] != '\0')
            return FALSE;
    }
    if (whole < 1 || whole > 3 || (part == 0 && text[whole] != '\0'))
        return FALSE;
    for (gsize i = 0; i < whole; i++)
        value = value * 10 + (guint) g_ascii_digit_value (text[i]);
    for (gsize i = 0; i < 3; i++)
        value = value * 10 + (i < part ? (guint) g_ascii_digit_value (text[whole + 1 + i]) : 0);
    *ret_value = value;
    return value >= CORRAL_OVERCOMMIT_MIN && value <= CORRAL_OVERCOMMIT_MAX;
}

static char *
format_thousandths (guint value)
{
    char *text = g_strdup_printf ("%u.%03u", value / 1000, value % 1000);

    for (gsize length = strlen (text); text[length - 1] == '0' && text[length - 2] != '.'; length--)
        text[length - 1] = '\0';
    return text;
}

static gboolean
read_attribute (CorralXmlReader *reader, const xmlNode *node, const Attribute *attribute,
                const char *text, CorralPlacement *placement)
{
    g_autoptr (GString) expected = g_string_new (NULL);
    g_autofree char *tag = NULL;
    g_autofree char *shown = NULL;
    guint value = 0;

    if (attribute->words[0] == NULL) {
        g_autofree char *number = g_strstrip (g_strdup (text));

        if (parse_thousandths (number, &value)) {
            set_value (placement, attribute->said, value);
            return TRUE;
        }
        g_string_append (expected, "a number from 0.1 to 100.0 with at most three decimals");
    }
    for (guint i = 0; attribute->words[i] != NULL; i++) {
        if (strcmp (text, attribute->words[i]) == 0) {
            set_value (placement, attribute->said, attribute->first + i);
            return TRUE;
        }
        g_string_append_printf (expected, "%s'%s'",
                                i == 0                            ? ""
                                : attribute->words[i + 1] == NULL ? " or "
                                                                  : ", ",
                                attribute->words[i]);
    }
    tag = corral_xml_tag (node);
    shown = corral_xml_shown (text);
    return corral_xml_fail (reader, node, "%s: expected in \"%s\" %s, not \"%s\"", tag,
                            attribute->name, expected->str, shown);
}

gboolean
corral_wishes_read_placement (CorralXmlReader *reader, const xmlNode *node, guint allowed,
                              CorralPlacement *placement, guint *ret_said)
{
    const char *names[G_N_ELEMENTS (attributes) + 1];
    gsize n_names = 0;

    for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++)
        if ((allowed & attributes[i].said) != 0)
            names[n_names++] = attributes[i].name;
    names[n_names] = NULL;
    if (!corral_xml_check_attributes (reader, node, names) ||
        !corral_xml_check_empty (reader, node))
        return FALSE;

    *ret_said = 0;
    for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++) {
        g_autofree char *text = corral_xml_attribute (node, attributes[i].name);

        if (text == NULL)
            continue;
        if (!read_attribute (reader, node, &attributes[i], text, placement))
            return FALSE;
        *ret_said |= attributes[i].said;
    }
    return TRUE;
}

gboolean
corral_wishes_read_vcpus (CorralXmlReader *reader, const xmlNode *node, guint *ret_vcpus)
{
    static const char *const allowed[] = { "vcpus", NULL };

    return corral_xml_check_attributes (reader, node, allowed) &&
           corral_xml_check_empty (reader, node) &&
           corral_xml_number_attribute (
               reader, node, "vcpus", 1, CORRAL_VCPUS_MAX,
               "a number of vCPUs from 1 to " G_STRINGIFY (CORRAL_VCPUS_MAX), ret_vcpus);
}

gboolean
corral_wishes_read_share (CorralXmlReader *reader, const xmlNode *node, CorralPlacement *placement,
                          guint *said)
{
    static const char *const allowed[] = { "percent", "helpers", NULL };

    if (!corral_xml_check_attributes (reader, node, allowed) ||
        !corral_xml_check_empty (reader, node) ||
        !corral_xml_number_attribute (
            reader, node, "percent", 1, CORRAL_SHARE_MAX,
            "percents of a pCPU for each vCPU, from 1 to " G_STRINGIFY (CORRAL_SHARE_MAX),
            &placement->share_percent))
        return FALSE;
    placement->helpers_percent = CORRAL_HELPERS_DEFAULT;
    if (xmlHasProp (node, (const xmlChar *) "helpers") == NULL)
        return TRUE;
    *said |= CORRAL_SAID_HELPERS;
    return corral_xml_number_attribute (
        reader, node, "helpers", 1, CORRAL_HELPERS_MAX,
        "percents of a pCPU for each VM's helpers, from 1 to " G_STRINGIFY (CORRAL_HELPERS_MAX),
        &placement->helpers_percent);
}

/* --- contradictions --- */

static const char *
mode_name (CorralPlacementMode mode)
{
    return attributes[0].words[mode - CORRAL_MODE_DEDICATED];
}

static gboolean
check_mode (CorralXmlReader *reader, const xmlNode *node, const CorralPlacement *placement,
            guint said)
{
    const char *mode = mode_name (placement->mode);

    if (placement->mode == CORRAL_MODE_DEDICATED && placement->overcommit != 1000)
        return corral_xml_fail (reader, node,
                                "<corral:placement>: expected mode='shared' beside \"overcommit\", "
                                "not \"dedicated\", where each vCPU has a pCPU of its own");
    if (placement->mode != CORRAL_MODE_DEDICATED && placement->exclusive != CORRAL_EXCLUSIVE_NONE)
        return corral_xml_fail (reader, node,
                                "<corral:placement>: expected mode='dedicated' beside "
                                "\"exclusive\", not \"%s\"",
                                mode);
    if (placement->mode != CORRAL_MODE_HOUSEKEEPING)
        return TRUE;
    for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++)
        if ((attributes[i].said & said &
             (CORRAL_SAID_SMT | CORRAL_SAID_NUMA | CORRAL_SAID_OVERCOMMIT)) != 0)
            return corral_xml_fail (reader, node,
                                    "<corral:placement>: expected mode='dedicated' or 'shared' "
                                    "beside \"%s\", not \"housekeeping\", which takes the pCPUs "
                                    "that are left to the host",
                                    attributes[i].name);
    return TRUE;
}

gboolean
corral_wishes_check (CorralXmlReader *reader, const xmlNode *root, const CorralPlacement *placement,
                     guint said)
{
    const xmlNode *reserve = corral_xml_find_own (root, "reserve");

    if (!check_mode (reader, corral_xml_find_own (root, "placement"), placement, said))
        return FALSE;
    if (reserve != NULL && placement->mode == CORRAL_MODE_HOUSEKEEPING)
        return corral_xml_fail (reader, reserve,
                                "<corral:reserve>: expected none beside mode='housekeeping', whose "
                                "pCPUs are the host's");
    if (placement->limit_vcpus > 0 && placement->reserve_vcpus > placement->limit_vcpus)
        return corral_xml_fail (
            reader, reserve,
            "<corral:reserve>: expected at most the %u vCPUs of <corral:limit>, "
            "not %u",
            placement->limit_vcpus, placement->reserve_vcpus);
    if (placement->mode == CORRAL_MODE_SHARED && (said & CORRAL_SAID_OVERCOMMIT) != 0 &&
        placement->share_percent * placement->overcommit > 100 * 1000)
        return corral_xml_fail (reader, corral_xml_find_own (root, "share"),
                                "<corral:share>: expected in \"percent\" at most 100 divided by "
                                "the overcommit, %u, not %u, which pCPUs could not give",
                                100 * 1000 / placement->overcommit, placement->share_percent);
    return TRUE;
}

/* --- writing --- */

void
corral_wishes_append_placement (GString *out, const CorralPlacement *placement, guint said)
{
    for (gsize i = 0; i < G_N_ELEMENTS (attributes); i++) {
        const Attribute *attribute = &attributes[i];
        guint value = get_value (placement, attribute->said);
        g_autofree char *number = NULL;

        if ((said & attribute->said) == 0)
            continue;
        if (attribute->words[0] == NULL)
            number = format_thousandths (value);
        g_string_append_printf (out, " %s='%s'", attribute->name,
                                number != NULL ? number
                                               : attribute->words[value - attribute->first]);
    }
}
