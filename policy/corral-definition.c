/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "policy/corral-definition.h"

#include "common/corral-error.h"
#include "policy/corral-definition-private.h"

#include <string.h>

/* Room in CORRAL_XML_MAX for what a dump adds to a definition: the id and the number of vCPUs. */
#define LIVE_ROOM 256

/* --- members --- */

CorralMemberDef *
corral_member_def_copy (const CorralMemberDef *member)
{
    CorralMemberDef *copy = g_new0 (CorralMemberDef, 1);

    *copy = *member;
    copy->name = g_strdup (member->name);
    return copy;
}

void
corral_member_def_free (CorralMemberDef *member)
{
    if (member == NULL)
        return;
    g_free (member->name);
    g_free (member);
}

gboolean
corral_member_def_equal (const CorralMemberDef *a, const CorralMemberDef *b)
{
    return a->type == b->type && a->vcpu == b->vcpu && g_strcmp0 (a->name, b->name) == 0;
}

/* --- definition --- */

void
corral_definition_metadata_free (CorralMetadata *metadata)
{
    if (metadata == NULL)
        return;
    g_free (metadata->uri);
    g_free (metadata->xml);
    g_free (metadata->bare);
    g_free (metadata);
}

static gpointer
copy_metadata (gconstpointer item, gpointer unused)
{
    const CorralMetadata *metadata = item;
    CorralMetadata *copy = g_new0 (CorralMetadata, 1);

    copy->uri = g_strdup (metadata->uri);
    copy->xml = g_strdup (metadata->xml);
    copy->bare = g_strdup (metadata->bare);
    return copy;
}

static gpointer
copy_member (gconstpointer item, gpointer unused)
{
    return corral_member_def_copy (item);
}

CorralDefinition *
corral_definition_new (void)
{
    CorralDefinition *definition = g_new0 (CorralDefinition, 1);

    definition->tune = (CorralCpuTune) CORRAL_CPU_TUNE_INIT;
    definition->placement = (CorralPlacement) CORRAL_PLACEMENT_INIT;
    definition->members = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_member_def_free);
    definition->metadata =
        g_ptr_array_new_with_free_func ((GDestroyNotify) corral_definition_metadata_free);
    return definition;
}

CorralDefinition *
corral_definition_copy (const CorralDefinition *definition)
{
    CorralDefinition *copy = g_new0 (CorralDefinition, 1);

    copy->name = g_strdup (definition->name);
    memcpy (copy->uuid, definition->uuid, sizeof copy->uuid);
    copy->partition = g_strdup (definition->partition);
    copy->title = g_strdup (definition->title);
    copy->description = g_strdup (definition->description);
    copy->cpus = definition->cpus != NULL ? hwloc_bitmap_dup (definition->cpus) : NULL;
    copy->mems = definition->mems != NULL ? hwloc_bitmap_dup (definition->mems) : NULL;
    copy->tune = definition->tune;
    copy->planned = definition->planned;
    copy->placement = definition->placement;
    copy->placement_said = definition->placement_said;
    copy->members = g_ptr_array_copy (definition->members, (GCopyFunc) copy_member, NULL);
    copy->metadata = g_ptr_array_copy (definition->metadata, (GCopyFunc) copy_metadata, NULL);
    return copy;
}

void
corral_definition_free (CorralDefinition *definition)
{
    if (definition == NULL)
        return;
    g_free (definition->name);
    g_free (definition->partition);
    g_free (definition->title);
    g_free (definition->description);
    g_clear_pointer (&definition->cpus, hwloc_bitmap_free);
    g_clear_pointer (&definition->mems, hwloc_bitmap_free);
    g_ptr_array_unref (definition->members);
    g_ptr_array_unref (definition->metadata);
    g_free (definition);
}

/* --- names and texts --- */

/* Whether every character is one that an XML document can hold. */
static gboolean
is_xml_text (const char *text)
{
    if (!g_utf8_validate (text, -1, NULL))
        return FALSE;
    for (const char *at = text; *at != '\0'; at = g_utf8_next_char (at)) {
        gunichar c = g_utf8_get_char (at);

        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0xfffe || c == 0xffff)
            return FALSE;
    }
    return TRUE;
}

const char *
corral_definition_text_fault (const char *text, gboolean one_line)
{
    if (!is_xml_text (text))
        return "expected valid UTF-8 without control characters";
    if (one_line && strpbrk (text, "\n\r") != NULL)
        return "expected a single line";
    return NULL;
}

const char *
corral_definition_name_fault (const char *name)
{
    gsize length = strlen (name);

    if (length == 0)
        return "expected a name, not nothing";
    if (length > CORRAL_NAME_MAX)
        return "expected a name of at most " G_STRINGIFY (CORRAL_NAME_MAX) " bytes";
    if (!is_xml_text (name))
        return "expected a name in valid UTF-8 without control characters";
    for (const char *at = name; *at != '\0'; at = g_utf8_next_char (at))
        if (g_unichar_iscntrl (g_utf8_get_char (at)))
            return "expected a name in valid UTF-8 without control characters";
    if (strchr (name, '/') != NULL)
        return "expected a name without \"/\"";
    if (g_ascii_isspace (name[0]) || g_ascii_isspace (name[length - 1]))
        return "expected a name without spaces around it";
    return NULL;
}

gboolean
corral_definition_check_length (const CorralDefinition *definition, GError **error)
{
    g_autofree char *xml = corral_definition_format (definition, NULL);

    if (strlen (xml) + LIVE_ROOM <= CORRAL_XML_MAX)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot change container \"%s\": its definition would be longer than %d bytes",
                 definition->name, CORRAL_XML_MAX);
    return FALSE;
}

static gboolean
set_text (CorralDefinition *definition, char **field, const char *what, const char *text,
          gboolean one_line, GError **error)
{
    g_autofree char *before = NULL;
    const char *fault;

    if (text == NULL || *text == '\0') {
        g_clear_pointer (field, g_free);
        return TRUE;
    }
    fault = corral_definition_text_fault (text, one_line);
    if (fault != NULL) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot set the %s of container \"%s\": %s", what, definition->name, fault);
        return FALSE;
    }
    before = g_steal_pointer (field);
    *field = g_strdup (text);
    if (corral_definition_check_length (definition, error))
        return TRUE;
    g_free (*field);
    *field = g_steal_pointer (&before);
    return FALSE;
}

gboolean
corral_definition_set_title (CorralDefinition *definition, const char *text, GError **error)
{
    return set_text (definition, &definition->title, "title", text, TRUE, error);
}

gboolean
corral_definition_set_description (CorralDefinition *definition, const char *text, GError **error)
{
    return set_text (definition, &definition->description, "description", text, FALSE, error);
}

/* --- claims --- */

/* '*' and '?' only. Going back to the last star is enough, so the time is at most the product of
 * both lengths, whatever the pattern. */
static gboolean
glob_matches (const char *pattern, const char *text)
{
    const char *star = NULL;
    const char *resume = NULL;

    while (*text != '\0')
        if (*pattern == '*') {
            star = pattern++;
            resume = text;
        } else if (*pattern != '\0' &&
                   (*pattern == '?' || g_utf8_get_char (pattern) == g_utf8_get_char (text))) {
            pattern = g_utf8_next_char (pattern);
            text = g_utf8_next_char (text);
        } else if (star != NULL) {
            pattern = star + 1;
            text = resume = g_utf8_next_char (resume);
        } else
            return FALSE;
    return pattern[strspn (pattern, "*")] == '\0';
}

guint
corral_definition_claims (const CorralDefinition *definition, const char *vm_name)
{
    guint best = 0;

    if (!g_utf8_validate (vm_name, -1, NULL))
        return 0;
    for (guint i = 0; i < definition->members->len; i++) {
        const CorralMemberDef *member = g_ptr_array_index (definition->members, i);
        guint literals = 0;

        /* One vCPU of a VM says nothing about where the whole VM belongs. */
        if (member->type != CORRAL_MEMBER_VM)
            continue;
        if (strcmp (member->name, vm_name) == 0)
            return G_MAXUINT;
        if (!glob_matches (member->name, vm_name))
            continue;
        for (const char *at = member->name; *at != '\0'; at = g_utf8_next_char (at))
            literals += *at != '*' && *at != '?';
        best = MAX (best, literals + 1);
    }
    return best;
}

/* --- partitions --- */

/* Of a component that holds a dot: its length, if it is a VM's own directory and something is in
 * it. */
static gsize
group_length (const char *at)
{
    const gsize length = strspn (at, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-.");
    g_autofree char *name = g_strndup (at, length);

    return at[length] == '/' && *at != '.' &&
                   (g_str_has_suffix (name, ".libvirt-qemu") || g_str_has_suffix (name, ".corral"))
               ? length
               : 0;
}

static const char *
partition_fault (const char *partition)
{
    guint depth = 0;
    const char *at = partition;

    if (*at != '/')
        return "it is not absolute";
    while (*at == '/') {
        gsize length = strspn (++at, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "_-");

        if (at[length] == '.')
            length = MAX (length, group_length (at));
        if (length == 0 && (at[0] == '/' || at[0] == '\0'))
            return "a component is empty";
        if (length > CORRAL_NAME_MAX)
            return "a component is longer than " G_STRINGIFY (CORRAL_NAME_MAX) " bytes";
        if (++depth > CORRAL_PARTITION_DEPTH)
            return "it has more than " G_STRINGIFY (CORRAL_PARTITION_DEPTH) " components";
        at += length;
    }
    if (*at == '.')
        return "a component holds a dot, which libvirt takes for the end of its own naming rule";
    if (*at != '\0')
        return "only letters, digits, \"_\" and \"-\" may stand between the slashes";
    return NULL;
}

gboolean
corral_partition_check (const char *partition, GError **error)
{
    const char *fault = partition_fault (partition);
    g_autofree char *shown = NULL;

    if (fault == NULL)
        return TRUE;
    shown = corral_xml_shown (partition);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "cannot use \"%s\" as a container's partition: %s", shown, fault);
    return FALSE;
}
