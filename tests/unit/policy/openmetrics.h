/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The grammar of OpenMetrics text 1.0.0, for tests: as far as gauges, counters and infos go. */
#pragma once

#include <glib.h>

/* What is wrong with @text, with the number of the line; %NULL: nothing. (transfer full) */
char *openmetrics_fault (const char *text);
