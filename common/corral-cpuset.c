/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "common/corral-cpuset.h"

#include "common/corral-error.h"

/* Not hwloc's own reader: that takes an unbounded range ("3-"), stops at the first stray character,
 * and reads "010" as octal and "08-8" as all CPUs there can be. Leading zeros are decimal here. */
static gboolean
read_list (const char *list, CorralCpuset *set)
{
    const char *at = list;

    while (*at != '\0') {
        guint64 first, last;
        char *end;

        if (!g_ascii_isdigit (*at))
            return FALSE;
        first = last = g_ascii_strtoull (at, &end, 10);
        if (*end == '-') {
            if (!g_ascii_isdigit (end[1]))
                return FALSE;
            last = g_ascii_strtoull (end + 1, &end, 10);
        }
        if (first > last || last > CORRAL_CPUSET_MAX ||
            hwloc_bitmap_set_range (set, (guint) first, (int) last) < 0)
            return FALSE;
        if (*end == ',' && end[1] != '\0')
            end++;
        else if (*end != '\0')
            return FALSE;
        at = end;
    }
    return TRUE;
}

gboolean
corral_cpuset_parse (const char *list, CorralCpuset **ret_set, GError **error)
{
    g_autofree char *stripped = g_strstrip (g_strdup (list));
    g_autoptr (CorralCpuset) set = hwloc_bitmap_alloc ();

    if (!read_list (stripped, set)) {
        g_autofree char *shown = g_utf8_make_valid (stripped, MIN (strlen (stripped), 80));

        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot read \"%s\" as a list of CPUs or nodes such as 0-3,8 "
                     "(numbers up to %d)",
                     shown, CORRAL_CPUSET_MAX);
        return FALSE;
    }
    *ret_set = g_steal_pointer (&set);
    return TRUE;
}

char *
corral_cpuset_format (const CorralCpuset *set)
{
    char *text;
    int length;

    if (set == NULL)
        return g_strdup ("");
    length = hwloc_bitmap_list_snprintf (NULL, 0, set);
    g_assert (length >= 0);
    text = g_malloc ((gsize) length + 1);
    hwloc_bitmap_list_snprintf (text, (gsize) length + 1, set);
    return text;
}
