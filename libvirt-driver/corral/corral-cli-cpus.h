/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's bit maps of pCPUs, as lists such as "0-3,8". */
#pragma once

#include "libvirt-driver/corral/corral-cli.h"

/* How many pCPUs the host has, which is how long libvirt wants its maps. */
gboolean corral_cli_cpus_count (CorralCli *cli, int *ret_count, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* @ret_map: (out) (transfer full): VIR_CPU_MAPLEN (@count) bytes. A pCPU that the host does not
 * have is %CORRAL_ERROR_FAILED, what is no list %CORRAL_ERROR_INVALID. */
gboolean corral_cli_cpus_parse (const char *list, int count, guint8 **ret_map, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* Returns: (transfer full): the list; "" for an empty map */
char *corral_cli_cpus_format (const guint8 *map, int length);
