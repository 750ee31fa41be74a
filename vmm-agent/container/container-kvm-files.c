/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-kvm-files.h"

#include <errno.h>
#include <string.h>

#define NS_PER_USEC G_GUINT64_CONSTANT (1000)

gboolean
corral_kvm_stat_parse (const char *text, CorralContainerKvmUsage *ret_usage)
{
    CorralContainerKvmUsage usage = { 0 };
    const struct {
        const char *key;
        guint64 *value;
        guint64 unit;
    } keys[] = {
        { "guest_usec", &usage.guest_ns, NS_PER_USEC },
        { "host_usec", &usage.host_ns, NS_PER_USEC },
        { "run_delay_usec", &usage.run_delay_ns, NS_PER_USEC },
        { "halt_poll_usec", &usage.halt_poll_ns, NS_PER_USEC },
        { "halt_wait_usec", &usage.halt_wait_ns, NS_PER_USEC },
        { "exits", &usage.exits, 1 },
    };
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    guint seen = 0;

    for (guint i = 0; lines[i] != NULL; i++) {
        char *space = strchr (lines[i], ' ');

        if (space == NULL)
            continue;
        *space = '\0';
        for (guint k = 0; k < G_N_ELEMENTS (keys); k++) {
            if (!g_str_equal (lines[i], keys[k].key))
                continue;
            if ((seen & (1u << k)) != 0 ||
                !g_ascii_string_to_unsigned (space + 1, 10, 0, G_MAXUINT64 / keys[k].unit,
                                             keys[k].value, NULL))
                return FALSE;
            *keys[k].value *= keys[k].unit;
            seen |= 1u << k;
        }
    }
    if (seen != (1u << G_N_ELEMENTS (keys)) - 1)
        return FALSE;
    *ret_usage = usage;
    return TRUE;
}

static gboolean
parse_number (const char *text, guint64 max, guint64 *ret_number)
{
    return g_ascii_string_to_unsigned (text, 10, 0, max, ret_number, NULL);
}

/* "vcpu.ID=TID"; the thread may be gone, which is 0. */
static gboolean
parse_runner (char *word, GArray *vcpus, guint *runners)
{
    char *equals = strchr (word, '=');
    CorralKvmVcpu vcpu;
    guint64 id, tid;

    if (equals == NULL)
        return FALSE;
    *equals = '\0';
    if (!parse_number (word + strlen ("vcpu."), G_MAXINT32, &id) ||
        !parse_number (equals + 1, G_MAXINT32, &tid))
        return FALSE;
    vcpu = (CorralKvmVcpu){ (pid_t) tid, (int) id };
    (*runners)++;
    if (tid != 0)
        g_array_append_val (vcpus, vcpu);
    return TRUE;
}

/* "FD vcpus=N vcpu.ID=TID ...", what follows the process's number. A word that is not known is one
 * of a later kernel's. */
static gboolean
parse_vm (const char *text, guint *ret_fd, GArray *vcpus, gboolean *ret_complete)
{
    g_auto (GStrv) words = g_strsplit (text, " ", -1);
    guint64 fd, count = G_MAXUINT64;
    guint runners = 0;

    if (words[0] == NULL || !parse_number (words[0], G_MAXUINT32, &fd))
        return FALSE;
    for (guint i = 1; words[i] != NULL; i++)
        if (g_str_has_prefix (words[i], "vcpus=")) {
            if (!parse_number (words[i] + strlen ("vcpus="), G_MAXUINT32, &count))
                return FALSE;
        } else if (g_str_has_prefix (words[i], "vcpu.") &&
                   !parse_runner (words[i], vcpus, &runners))
            return FALSE;
    if (count == G_MAXUINT64)
        return FALSE;
    *ret_fd = (guint) fd;
    *ret_complete = runners == count;
    return TRUE;
}

int
corral_kvm_vms_find (const char *text, pid_t pid, guint *ret_fd, GArray *vcpus,
                     gboolean *ret_complete)
{
    g_autofree char *prefix = g_strdup_printf ("%d-", (int) pid);
    g_auto (GStrv) lines = g_strsplit (text, "\n", -1);
    gboolean found = FALSE;

    for (guint i = 0; lines[i] != NULL; i++) {
        gboolean complete;
        guint fd;

        if (!g_str_has_prefix (lines[i], prefix))
            continue;
        if (!parse_vm (lines[i] + strlen (prefix), &fd, vcpus, &complete))
            return EILSEQ;
        if (!found)
            *ret_fd = fd;
        *ret_complete = complete && (!found || *ret_complete);
        found = TRUE;
    }
    return found ? 0 : ENOENT;
}
