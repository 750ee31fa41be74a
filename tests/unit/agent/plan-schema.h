/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether a document is as policy/schema/plan.rng says. */
#pragma once

#include <glib.h>

/* Aborts the test with libxml2's reason when @xml is not valid. <capacity> is looked for within a
 * <domainCapabilities>. */
void plan_schema_assert (const char *xml);

/* (transfer full) (nullable): the reason why @xml is not valid */
char *plan_schema_fault (const char *xml);
