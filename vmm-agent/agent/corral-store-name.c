/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* By itself, since the settings need it, and not the store's documents. */
#include "vmm-agent/agent/corral-store.h"

#include "common/corral-error.h"

#include <string.h>

gboolean
corral_store_name_check (const char *name, GError **error)
{
    gsize length = strlen (name);
    const char *wrong = NULL;
    g_autofree char *shown = NULL;

    if (length == 0)
        wrong = "it is empty";
    else if (length > CORRAL_NAME_MAX)
        wrong = "it is too long";
    else if (*name == '.')
        wrong = "it starts with a dot";
    else if (!g_utf8_validate (name, (gssize) length, NULL))
        wrong = "it is not UTF-8";
    for (gsize i = 0; wrong == NULL && i < length; i++)
        if (name[i] == '/' || g_ascii_iscntrl (name[i]))
            wrong = "it holds a slash or a control character";
    if (wrong == NULL)
        return TRUE;
    shown = g_utf8_make_valid (name, (gssize) MIN (length, 80));
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "\"%s\" cannot be a name: %s", shown,
                 wrong);
    return FALSE;
}
