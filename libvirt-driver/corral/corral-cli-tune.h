/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A container's weight and cap, as libvirt's scheduler parameters carry them. */
#pragma once

#include "libvirt-driver/corral/corral-cli.h"

typedef struct {
    gint64 shares;      /* -1: not told, or not to be changed */
    gint64 period_usec; /* likewise */
    gint64 burst_usec;  /* likewise; a parameter of corrald's own */
    gint64 quota_usec;  /* -1: no cap */
    gboolean has_quota; /* whether quota_usec is told, or to be changed */
} CorralCliTune;

#define CORRAL_CLI_TUNE_BURST "corral.burst"
#define CORRAL_CLI_TUNE_INIT                                                                       \
    {                                                                                              \
        -1, -1, -1, FALSE                                                                          \
    }

gboolean corral_cli_tune_read (virDomain *domain, guint affect, CorralCliTune *ret_tune,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_cli_tune_write (virDomain *domain, guint affect, const CorralCliTune *tune,
                                GError **error) G_GNUC_WARN_UNUSED_RESULT;

/**
 * corral_cli_tune_parse_quota:
 * @text: microseconds, percent of one pCPU ("150%"), or "none"
 * @period_usec: the period that percents are of
 */
gboolean corral_cli_tune_parse_quota (const char *text, gint64 period_usec, gint64 *ret_quota,
                                      GError **error) G_GNUC_WARN_UNUSED_RESULT;
