/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans as documents, for libvirt clients: policy/schema/plan.rng says what they look like. */
#include "vmm-agent/agent/corral-agent-plan-private.h"

#include "common/corral-error.h"

#include <string.h>

static const char *
mode_name (CorralPlacementMode mode)
{
    static const char *const names[] = { "none", "dedicated", "shared", "housekeeping" };

    return names[mode];
}

static const char *
exclusive_name (CorralPlacementExclusive exclusive)
{
    static const char *const names[] = { "none", "root", "isolated" };

    return names[exclusive];
}

static void
append_text (GString *out, const char *name, const char *value)
{
    g_autofree char *escaped = g_markup_escape_text (value, -1);

    g_string_append_printf (out, " %s='%s'", name, escaped);
}

static void
append_set (GString *out, const char *name, const CorralCpuset *set)
{
    g_autofree char *list = corral_cpuset_format (set);

    g_string_append_printf (out, " %s='%s'", name, list);
}

static const char *
yes_no (gboolean yes)
{
    return yes ? "yes" : "no";
}

static gint64
shown_quota (gint64 quota_usec)
{
    return MAX (quota_usec, -1);
}

static void
append_reasons (GString *out, const GPtrArray *reasons, const char *indent)
{
    for (guint i = 0; reasons != NULL && i < reasons->len; i++) {
        const CorralPlanReason *reason = g_ptr_array_index (reasons, i);
        g_autofree char *detail =
            reason->detail != NULL ? g_markup_escape_text (reason->detail, -1) : NULL;
        g_autofree char *text = g_markup_escape_text (corral_plan_rule_text (reason->rule), -1);

        g_string_append_printf (out, "%s<reason rule='%s'", indent,
                                corral_plan_rule_name (reason->rule));
        append_set (out, "cpus", reason->cpus);
        append_set (out, "nodes", reason->nodes);
        g_string_append_printf (out, ">%s%s%s</reason>\n", text, detail != NULL ? ": " : "",
                                detail != NULL ? detail : "");
    }
}

/* --- a plan, and what the kernel has beside it --- */

typedef struct {
    CorralAgent *agent;
    const CorralAgentSnapshot *snapshot;
    const CorralPlan *plan;
    CorralAgentTargets *targets;
    const char *path; /* (nullable): only what is in this container, or beneath it */
    gboolean changed; /* of anything that is shown */
} View;

static gboolean
is_shown (const View *view, const char *path)
{
    return view->path == NULL || corral_agent_path_is_within (path, view->path);
}

static gboolean
differs (const CorralCpuset *wanted, const CorralCpuset *now)
{
    return wanted != NULL && (now == NULL || !hwloc_bitmap_isequal (wanted, now));
}

/* The attributes of a <container>; @now: (nullable) */
static gboolean
append_container (View *view, GString *out, guint index, const CorralAgentValues *now)
{
    const CorralPlannedContainer *planned = &view->plan->containers[index];
    const CorralAgentValues *target = corral_agent_targets_container (view->targets, index);
    const CorralDefinition *definition = g_ptr_array_index (view->snapshot->definitions, index);
    gboolean changed =
        !planned->refused &&
        (now == NULL || differs (target->cpus, now->cpus) || differs (target->mems, now->mems) ||
         (target->quota_usec != CORRAL_AGENT_QUOTA_KEEP && target->quota_usec != now->quota_usec) ||
         (target->cpus != NULL && target->exclusive != now->exclusive));

    append_text (out, "path", planned->path);
    append_text (out, "name", definition->name);
    g_string_append_printf (out, " mode='%s' changed='%s'",
                            mode_name (view->snapshot->input.containers[index].wish.mode),
                            yes_no (changed));
    append_set (out, "cpus", planned->cpus);
    append_set (out, "own", planned->own);
    append_set (out, "mems", planned->mems);
    g_string_append_printf (out, " quota='%" G_GINT64_FORMAT "' exclusive='%s'",
                            shown_quota (planned->quota_usec), exclusive_name (planned->exclusive));
    view->changed = view->changed || changed;
    return changed;
}

static gboolean
read_now (View *view, guint index, CorralAgentValues *now)
{
    const CorralAgentEntry *entry = g_ptr_array_index (view->snapshot->entries, index);

    *now = (CorralAgentValues){ .quota_usec = -1 };
    return entry != NULL && corral_agent_entry_is_active (entry) &&
           corral_agent_read_values (view->agent, view->plan->containers[index].path, now, NULL);
}

static void
append_vcpus (View *view, GString *out, guint index, gboolean *changed, GString *inner)
{
    const CorralPlannedVm *planned = &view->plan->vms[index];
    const CorralAgentUnit *unit = g_ptr_array_index (view->snapshot->units, index);

    for (guint i = 0; planned->vcpus != NULL && i < planned->n_vcpus; i++) {
        const CorralCpuset *cpus = corral_agent_targets_vcpu (view->targets, index, i);
        const CorralAgentThread *thread =
            i < unit->threads->len ? g_ptr_array_index (unit->threads, i) : NULL;
        g_autoptr (CorralCpuset) now = NULL;

        g_string_append_printf (inner, "    <vcpu id='%u'",
                                thread != NULL ? (guint) thread->vcpu : i);
        append_set (inner, "cpus", cpus != NULL ? cpus : planned->vcpus[i]);
        if (thread != NULL &&
            corral_container_get_affinity (view->agent->core, thread->tid, &now, NULL)) {
            append_set (inner, "now", now);
            *changed = *changed || differs (cpus, now);
        }
        g_string_append (inner, "/>\n");
    }
}

static void
append_helpers (View *view, guint index, gboolean *changed, GString *inner)
{
    const CorralPlannedVm *planned = &view->plan->vms[index];
    const CorralAgentUnit *unit = g_ptr_array_index (view->snapshot->units, index);
    const CorralCpuset *target = corral_agent_targets_helpers (view->targets, index);
    g_autoptr (CorralCpuset) now = NULL;

    if (planned->vcpus == NULL || unit->apart)
        return;
    g_string_append (inner, "    <helpers");
    append_set (inner, "cpus", target != NULL ? target : planned->helpers);
    g_string_append_printf (inner, " quota='%" G_GINT64_FORMAT "'",
                            shown_quota (planned->helpers_quota_usec));
    if (unit->vm != NULL &&
        corral_container_get_affinity (view->agent->core, unit->vm->pid, &now, NULL)) {
        append_set (inner, "now", now);
        *changed = *changed || differs (target, now);
    }
    g_string_append (inner, "/>\n");
}

/* Appends the attributes of a <vm>, ">", and its children. */
static void
append_vm (View *view, GString *out, guint index)
{
    const CorralPlannedVm *planned = &view->plan->vms[index];
    const CorralAgentUnit *unit = g_ptr_array_index (view->snapshot->units, index);
    g_autoptr (GString) inner = g_string_new (NULL);
    gboolean changed = FALSE;

    append_vcpus (view, out, index, &changed, inner);
    append_helpers (view, index, &changed, inner);
    append_text (out, "name", unit->vm_name);
    append_text (out, "path", planned->path);
    g_string_append_printf (out, " running='%s' changed='%s' moves='%u'", yes_no (unit->vm != NULL),
                            yes_no (changed), planned->moves);
    append_set (out, "mems", planned->mems);
    g_string_append_printf (out, ">\n%s", inner->str);
    view->changed = view->changed || changed;
}

static gboolean
is_planned (const View *view, guint index)
{
    return view->snapshot->input.containers[index].wish.mode != CORRAL_MODE_NONE &&
           is_shown (view, view->plan->containers[index].path);
}

static gboolean
is_planned_vm (const View *view, guint index)
{
    const CorralPlannedVm *planned = &view->plan->vms[index];

    return (planned->planned || planned->refused) && is_shown (view, planned->path);
}

static gboolean
view_make (CorralAgent *agent, const CorralAgentChange *change, const char *path,
           CorralAgentSnapshot **ret_snapshot, CorralPlan **ret_plan, View *view, GError **error)
{
    *ret_snapshot = corral_agent_snapshot_new (agent, change, error);
    if (*ret_snapshot == NULL)
        return FALSE;
    *ret_plan = corral_plan_make (&(*ret_snapshot)->input, error);
    if (*ret_plan == NULL)
        return FALSE;
    *view = (View){ .agent = agent, .snapshot = *ret_snapshot, .plan = *ret_plan, .path = path };
    view->targets = corral_agent_targets_new (agent, view->snapshot, view->plan);
    return TRUE;
}

/* --- <plan> --- */

/* What a container has for helpers alone is none of its own pCPUs. */
static void
hide_helpers (const View *view, guint index, CorralAgentValues *now)
{
    const CorralAgentValues *target = corral_agent_targets_container (view->targets, index);
    g_autoptr (CorralCpuset) helpers = NULL;

    if (target->cpus == NULL)
        return;
    helpers = hwloc_bitmap_alloc ();
    hwloc_bitmap_andnot (helpers, target->cpus, view->plan->containers[index].cpus);
    hwloc_bitmap_andnot (now->cpus, now->cpus, helpers);
}

static void
append_plan_containers (View *view, GString *out)
{
    for (guint i = 0; i < view->plan->n_containers; i++) {
        CorralAgentValues now;
        gboolean there;

        if (!is_planned (view, i) || view->plan->containers[i].refused)
            continue;
        there = read_now (view, i, &now);
        g_string_append (out, "  <container");
        append_container (view, out, i, there ? &now : NULL);
        if (there) {
            hide_helpers (view, i, &now);
            g_string_append (out, ">\n    <now");
            append_set (out, "cpus", now.cpus);
            append_set (out, "mems", now.mems);
            g_string_append_printf (out,
                                    " quota='%" G_GINT64_FORMAT
                                    "' exclusive='%s'/>\n  </container>\n",
                                    shown_quota (now.quota_usec),
                                    now.invalid ? "invalid" : exclusive_name (now.exclusive));
        } else {
            g_string_append (out, "/>\n");
        }
        corral_agent_values_clear (&now);
    }
}

static guint
append_refused (View *view, GString *out)
{
    guint n = 0;

    for (guint i = 0; i < view->plan->n_containers; i++) {
        const CorralPlannedContainer *at = &view->plan->containers[i];

        if (!at->refused || !is_shown (view, at->path))
            continue;
        g_string_append (out, "  <refused");
        append_text (out, "container", at->path);
        g_string_append (out, ">\n");
        append_reasons (out, at->reasons, "    ");
        g_string_append (out, "  </refused>\n");
        n++;
    }
    for (guint i = 0; i < view->plan->n_vms; i++) {
        const CorralPlannedVm *at = &view->plan->vms[i];
        const CorralAgentUnit *unit = g_ptr_array_index (view->snapshot->units, i);

        if (!at->refused || !is_shown (view, at->path))
            continue;
        g_string_append (out, "  <refused");
        append_text (out, "vm", unit->vm_name);
        append_text (out, "path", at->path);
        g_string_append (out, ">\n");
        append_reasons (out, at->reasons, "    ");
        g_string_append (out, "  </refused>\n");
        n++;
    }
    return n;
}

char *
corral_agent_plan_xml (CorralAgent *agent, const CorralDefinition *candidate, const char *path,
                       GError **error)
{
    CorralAgentChange change = { .candidate = candidate };
    g_autoptr (CorralAgentSnapshot) snapshot = NULL;
    g_autoptr (CorralPlan) plan = NULL;
    g_autoptr (GString) out = g_string_new (NULL);
    guint64 generation = corral_agent_get_generation (agent);
    guint moves = 0, refused;
    View view;

    if (!view_make (agent, &change, path, &snapshot, &plan, &view, error))
        return NULL;
    append_plan_containers (&view, out);
    for (guint i = 0; i < plan->n_vms; i++) {
        if (!is_planned_vm (&view, i) || plan->vms[i].vcpus == NULL)
            continue;
        g_string_append (out, plan->vms[i].refused ? "  <vm refused='yes'" : "  <vm");
        append_vm (&view, out, i);
        g_string_append (out, "  </vm>\n");
        moves += plan->vms[i].moves;
    }
    refused = append_refused (&view, out);
    corral_agent_targets_free (view.targets);
    return g_strdup_printf ("<plan generation='%" G_GUINT64_FORMAT
                            "' changed='%s' moves='%u' refused='%u'>\n%s</plan>\n",
                            generation, yes_no (view.changed), moves, refused, out->str);
}

/* --- <explain> --- */

char *
corral_agent_explain_xml (CorralAgent *agent, const char *path, GError **error)
{
    g_autoptr (CorralAgentSnapshot) snapshot = NULL;
    g_autoptr (CorralPlan) plan = NULL;
    g_autoptr (GString) out = g_string_new (NULL);
    guint64 generation = corral_agent_get_generation (agent);
    CorralAgentChange change = { .candidate = corral_agent_inactive_at (agent, path) };
    guint shown = 0;
    View view;

    if (!view_make (agent, &change, path, &snapshot, &plan, &view, error))
        return NULL;
    for (guint i = 0; i < plan->n_containers; i++) {
        CorralAgentValues now;
        gboolean there;

        if (!is_shown (&view, plan->containers[i].path))
            continue;
        there = read_now (&view, i, &now);
        g_string_append_printf (out, "  <container refused='%s'",
                                yes_no (plan->containers[i].refused));
        append_container (&view, out, i, there ? &now : NULL);
        g_string_append (out, ">\n");
        append_reasons (out, plan->containers[i].reasons, "    ");
        g_string_append (out, "  </container>\n");
        corral_agent_values_clear (&now);
        shown++;
    }
    for (guint i = 0; i < plan->n_vms; i++) {
        if (!is_planned_vm (&view, i))
            continue;
        g_string_append_printf (out, "  <vm refused='%s'", yes_no (plan->vms[i].refused));
        append_vm (&view, out, i);
        append_reasons (out, plan->vms[i].reasons, "    ");
        g_string_append (out, "  </vm>\n");
    }
    corral_agent_targets_free (view.targets);
    if (shown > 0)
        return g_strdup_printf ("<explain generation='%" G_GUINT64_FORMAT "'>\n%s</explain>\n",
                                generation, out->str);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "there is no container at \"%s\"",
                 path);
    return NULL;
}
