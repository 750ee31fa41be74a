/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/container/container-private.h"

/* No part of a group's name may be ".." and lead out of the tree. */
gboolean
corral_container_group_exists (CorralContainerCore *core, const char *group)
{
    g_auto (GStrv) parts = g_strsplit (group, "/", -1);

    for (guint i = 0; parts[i] != NULL; i++)
        if (*parts[i] == '\0' || g_str_equal (parts[i], ".") || g_str_equal (parts[i], ".."))
            return FALSE;
    return core->main != NULL && corral_io_exists (core->main->tree.fd, group);
}
