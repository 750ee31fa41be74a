/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* <plan>, <explain> and <drift> of policy/schema/plan.rng, read into the documents that the verbs
 * print. */
#pragma once

#include <glib.h>
#include <json-glib/json-glib.h>

/**
 * corral_cli_plan_parse:
 * @root: the element that is expected: "plan", "explain" or "drift"
 * @xml: from the other side, which may mean no good
 *
 * A plan or an explanation becomes
 *   { generation, changed, moves, refused, containers: [], vms: [], vcpus: [], reasons: [] }
 * with one row in vcpus for each vCPU of a VM and one in reasons for each rule that something fell
 * to; a drift { generation, items: [] }. What is not there is %NULL in the JSON.
 *
 * Returns: (transfer full): %NULL with %CORRAL_ERROR_XML
 */
JsonObject *corral_cli_plan_parse (const char *root, const char *xml, GError **error);

/* A document with nothing in it, for a host that has no containers. (transfer full) */
JsonObject *corral_cli_plan_empty (const char *root);
