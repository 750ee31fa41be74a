/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans and explanations for people. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

/* What an apply would change, "+" for what is new, "~" for what is not as it is, "!" for what is
 * refused. @document: of corral_cli_plan_parse(). (transfer full) */
char *corral_cli_plan_text (JsonObject *document);

/* What each has, and what was turned down for it. @vm: (nullable): only this one. (transfer full)
 */
char *corral_cli_explain_text (JsonObject *document, const char *vm);
