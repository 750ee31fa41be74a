/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a call costs, by the time that this thread had a CPU: a machine that is busy with other
 * things changes less of it. */
#pragma once

#include <glib.h>

/* The median of 15 calls, in ms */
double bench_median_ms (void (*call) (gpointer data), gpointer data);
/* A loop of dependent steps, so that no compiler or CPU makes less of it: what to compare with. */
double bench_loop_ms (void);
