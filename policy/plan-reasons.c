/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Why a pCPU was turned down: read off the table once everything has its place. */
#include "policy/plan-private.h"

static const struct {
    const char *name, *text;
} rules[] = {
    [CORRAL_RULE_OFFLINE] = { "offline", "it is offline" },
    [CORRAL_RULE_HOUSEKEEPING] = { "housekeeping", "it is left to the host" },
    [CORRAL_RULE_NOT_ALLOWED] = { "not-allowed",
                                  "it is outside the pCPUs that the definition allows" },
    [CORRAL_RULE_PARENT] = { "parent", "it is outside the parent's pCPUs" },
    [CORRAL_RULE_OWNED] = { "owned", "another has it" },
    [CORRAL_RULE_SIBLING] = { "sibling", "its core must not be shared" },
    [CORRAL_RULE_NODE_FULL] = { "node-full", "its node has too few free pCPUs for the whole VM" },
    [CORRAL_RULE_CORE_PARTIAL] = { "core-partial", "its core is not wholly free" },
    [CORRAL_RULE_WORSE] = { "worse", "another choice splits or strands less" },
    [CORRAL_RULE_LIMIT] = { "limit", "the container's limit of vCPUs is reached" },
    [CORRAL_RULE_OVERCOMMIT] = { "overcommit",
                                 "the container would have more vCPUs than its overcommit allows" },
    [CORRAL_RULE_RESERVED] = { "reserved", "it is kept for a reservation" },
    [CORRAL_RULE_CONTAINER] = { "container", "there is no such container, or it was refused" },
    [CORRAL_RULE_STRAY] = { "stray", "vCPUs without a pCPU of their own run on it meanwhile" },
};

G_STATIC_ASSERT (G_N_ELEMENTS (rules) == CORRAL_RULE_MAX);

const char *
corral_plan_rule_name (CorralPlanRule rule)
{
    g_return_val_if_fail (rule >= 0 && rule < CORRAL_RULE_MAX, NULL);
    return rules[rule].name;
}

const char *
corral_plan_rule_text (CorralPlanRule rule)
{
    g_return_val_if_fail (rule >= 0 && rule < CORRAL_RULE_MAX, NULL);
    return rules[rule].text;
}

void
corral_plan_reason_free (CorralPlanReason *reason)
{
    if (reason == NULL)
        return;
    hwloc_bitmap_free (reason->cpus);
    hwloc_bitmap_free (reason->nodes);
    g_free (reason->detail);
    g_free (reason);
}

/* Who stands behind a rule: a VM, a container, or nobody. */
typedef struct {
    CorralPlanRule rule;
    int vm, container;
} Cause;

/* What is asked for, and the places each node has left for it. */
typedef struct {
    const PlanState *state;
    int container;
    int vm; /* -1: the container's own set */
    CorralPlacement wish;
    guint k;
    gboolean refused;
    guint8 *whole;      /* by core: wholly free */
    guint *node_places; /* by node */
} Question;

static Cause
cause_of_owned (const Question *question, guint cpu)
{
    const PlanSlot *slot = &question->state->slots[cpu];

    if (slot->pad)
        return (Cause){ CORRAL_RULE_RESERVED, -1, slot->container };
    /* Who was refused is told whose each pCPU is; who has a place, only which container's. */
    return (Cause){ slot->idle ? CORRAL_RULE_SIBLING : CORRAL_RULE_OWNED,
                    question->refused ? slot->vm : -1, slot->container };
}

static Cause
cause_of (const Question *question, guint cpu)
{
    const PlanState *state = question->state;
    const CorralPcpu *pcpu = &state->topology->cpus[cpu];
    const CorralCpuset *allowed = state->input->containers[question->container].allowed;

    if (!pcpu->online)
        return (Cause){ CORRAL_RULE_OFFLINE, -1, -1 };
    if (state->housekeeping[cpu])
        return (Cause){ CORRAL_RULE_HOUSEKEEPING, -1, -1 };
    if (allowed != NULL && !hwloc_bitmap_isset (allowed, pcpu->number))
        return (Cause){ CORRAL_RULE_NOT_ALLOWED, -1, -1 };
    if (!state->containers[question->container].domain[cpu])
        return (Cause){ CORRAL_RULE_PARENT, -1, -1 };
    if (!plan_is_open (state, question->container, cpu))
        return (Cause){ CORRAL_RULE_OWNED, -1, state->fence[cpu] };
    if (state->slots[cpu].container >= 0)
        return cause_of_owned (question, cpu);
    if (question->wish.smt == CORRAL_SMT_ISOLATE && !question->whole[pcpu->core])
        return (Cause){ CORRAL_RULE_SIBLING, -1, -1 };
    if (question->wish.smt == CORRAL_SMT_REQUIRE && !question->whole[pcpu->core])
        return (Cause){ CORRAL_RULE_CORE_PARTIAL, -1, -1 };
    if (question->refused || (question->wish.numa == CORRAL_NUMA_STRICT &&
                              question->node_places[pcpu->node] < question->k))
        return (Cause){ CORRAL_RULE_NODE_FULL, -1, -1 };
    return (Cause){ CORRAL_RULE_WORSE, -1, -1 };
}

static char *
detail_of (const Question *question, const Cause *cause)
{
    const CorralPlanInput *input = question->state->input;

    if (cause->rule == CORRAL_RULE_NODE_FULL)
        return g_strdup_printf ("%u are needed together", question->k);
    if (cause->vm >= 0)
        return g_strdup_printf ("the VM \"%s\"", input->vms[cause->vm].name);
    if (cause->container >= 0)
        return g_strdup_printf ("the container \"%s\"", input->containers[cause->container].path);
    return NULL;
}

static void
count_places (Question *question)
{
    const PlanState *state = question->state;

    for (guint core = 0; core < state->topology->n_cores; core++) {
        const guint first = state->core_cpus[state->core_start[core]];
        guint free = 0;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++)
            free += plan_is_free (state, question->container, state->core_cpus[at]);
        question->whole[core] = free > 0 && free == state->core_size[core];
        if (question->wish.smt == CORRAL_SMT_ISOLATE)
            free = question->whole[core];
        else if (question->wish.smt == CORRAL_SMT_REQUIRE && !question->whole[core])
            free = 0;
        question->node_places[state->topology->cpus[first].node] += free;
    }
}

static gboolean
is_its_own (const Question *question, guint cpu)
{
    const PlanSlot *slot = &question->state->slots[cpu];

    if (question->vm >= 0)
        return question->refused && slot->vm == question->vm;
    return slot->container == question->container;
}

static GPtrArray *
answer (Question *question)
{
    const PlanState *state = question->state;
    GPtrArray *reasons = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_plan_reason_free);
    g_autoptr (GHashTable) seen = g_hash_table_new_full (g_int64_hash, g_int64_equal, g_free, NULL);
    CorralPlanReason *reason = NULL;
    gint64 last = -1;

    question->whole = g_new0 (guint8, state->topology->n_cores);
    question->node_places = g_new0 (guint, state->topology->n_nodes);
    count_places (question);
    for (guint i = 0; i < state->n; i++) {
        const CorralPcpu *cpu = &state->topology->cpus[i];
        Cause cause;
        gint64 key;

        if (is_its_own (question, i))
            continue;
        cause = cause_of (question, i);
        key = (gint64) cause.rule << 56 | (gint64) (cause.vm + 1) << 28 | (cause.container + 1);
        if (key != last)
            reason = g_hash_table_lookup (seen, &key);
        if (reason == NULL) {
            reason = g_new0 (CorralPlanReason, 1);
            reason->rule = cause.rule;
            reason->cpus = hwloc_bitmap_alloc ();
            reason->nodes = hwloc_bitmap_alloc ();
            reason->detail = detail_of (question, &cause);
            g_ptr_array_add (reasons, reason);
            g_hash_table_insert (seen, g_memdup2 (&key, sizeof key), reason);
        }
        last = key;
        hwloc_bitmap_set (reason->cpus, cpu->number);
        if (cause.rule == CORRAL_RULE_NODE_FULL)
            hwloc_bitmap_set (reason->nodes, state->topology->node_numbers[cpu->node]);
    }
    g_free (question->whole);
    g_free (question->node_places);
    return reasons;
}

/* The reasons without the VM's own pCPUs. */
static GPtrArray *
without_own (const PlanState *state, GPtrArray *reasons, guint vm)
{
    GPtrArray *left = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_plan_reason_free);
    g_autoptr (CorralCpuset) own = hwloc_bitmap_alloc ();

    /* On its cores also those that are kept idle for it. */
    for (guint i = 0; i < state->input->vms[vm].n_vcpus; i++) {
        const guint core = state->topology->cpus[state->vms[vm].cpus[i]].core;

        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++)
            if (state->slots[state->core_cpus[at]].vm == (int) vm)
                hwloc_bitmap_set (own, state->topology->cpus[state->core_cpus[at]].number);
    }
    for (guint i = 0; i < reasons->len; i++) {
        const CorralPlanReason *reason = g_ptr_array_index (reasons, i);
        CorralPlanReason *copy;

        if (hwloc_bitmap_isincluded (reason->cpus, own))
            continue;
        copy = g_new0 (CorralPlanReason, 1);
        copy->rule = reason->rule;
        copy->cpus = hwloc_bitmap_dup (reason->cpus);
        hwloc_bitmap_andnot (copy->cpus, copy->cpus, own);
        copy->nodes = hwloc_bitmap_dup (reason->nodes);
        copy->detail = g_strdup (reason->detail);
        g_ptr_array_add (left, copy);
    }
    return left;
}

/* VMs of one shape in one container have the same reasons, their own places aside. */
static GPtrArray *
answer_for_placed (PlanState *state, Question *question, guint vm)
{
    if (state->told.reasons == NULL || state->told.container != question->container ||
        state->told.k != question->k || state->told.smt != question->wish.smt ||
        state->told.numa != question->wish.numa) {
        g_clear_pointer (&state->told.reasons, g_ptr_array_unref);
        state->told.container = question->container;
        state->told.k = question->k;
        state->told.smt = question->wish.smt;
        state->told.numa = question->wish.numa;
        state->told.reasons = answer (question);
    }
    return without_own (state, state->told.reasons, vm);
}

/* Of one that runs all the same: where. */
static void
add_stray (const PlanState *state, guint vm, GPtrArray *reasons)
{
    CorralPlanReason *reason;
    guint held = 0;

    if (!plan_is_stray (state, vm))
        return;
    g_free (plan_held_places (state, vm, &held));
    reason = g_new0 (CorralPlanReason, 1);
    reason->rule = CORRAL_RULE_STRAY;
    reason->cpus = plan_stray_cpus (state, vm);
    reason->nodes = hwloc_bitmap_alloc ();
    reason->detail =
        g_strdup_printf ("%u of %u%s", state->input->vms[vm].n_vcpus - held,
                         state->input->vms[vm].n_vcpus,
                         hwloc_bitmap_iszero (reason->cpus)
                             ? ", where they are: no pCPU is left that no other vCPU has alone"
                             : "");
    g_ptr_array_add (reasons, reason);
}

GPtrArray *
plan_reasons_of_vm (PlanState *state, guint vm)
{
    const PlanVm *planned = &state->vms[vm];
    Question question = { .state = state,
                          .container = planned->container,
                          .vm = (int) vm,
                          .k = state->input->vms[vm].n_vcpus,
                          .refused = planned->refused };
    CorralPlanReason *whole;
    GPtrArray *reasons;

    if (!planned->refused && planned->cpus == NULL) {
        if (state->no_reasons == NULL)
            state->no_reasons = g_ptr_array_new ();
        return g_ptr_array_ref (state->no_reasons);
    }
    if (planned->container >= 0 && planned->refused &&
        (planned->why == CORRAL_RULE_OWNED || planned->why == CORRAL_RULE_OVERCOMMIT)) {
        question.wish = plan_wish_of_vm (state, vm);
        reasons = answer (&question);
    } else if (!planned->refused) {
        question.wish = plan_wish_of_vm (state, vm);
        return answer_for_placed (state, &question, vm);
    } else {
        reasons = g_ptr_array_new_with_free_func ((GDestroyNotify) corral_plan_reason_free);
    }
    if (planned->refused)
        add_stray (state, vm, reasons);
    if (!planned->refused || planned->why == CORRAL_RULE_OWNED)
        return reasons;
    whole = g_new0 (CorralPlanReason, 1);
    whole->rule = planned->why;
    whole->cpus = hwloc_bitmap_alloc ();
    whole->nodes = hwloc_bitmap_alloc ();
    if (planned->why_at >= 0)
        whole->detail = g_strdup_printf ("the container \"%s\" may have %u vCPUs and has %u",
                                         state->input->containers[planned->why_at].path,
                                         plan_wish_of (state, planned->why_at)->limit_vcpus,
                                         state->containers[planned->why_at].vcpus);
    else if (planned->why == CORRAL_RULE_OVERCOMMIT)
        whole->detail = g_strdup_printf ("%u pCPUs would be needed",
                                         plan_pool_need (state, planned->container, question.k));
    else if (planned->why == CORRAL_RULE_CONTAINER)
        whole->detail = g_strdup (state->input->vms[vm].path);
    g_ptr_array_insert (reasons, 0, whole);
    return reasons;
}

GPtrArray *
plan_reasons_of_container (const PlanState *state, guint container)
{
    Question question = { .state = state,
                          .container = (int) container,
                          .vm = -1,
                          .wish = *plan_wish_of (state, (int) container),
                          .k = 1,
                          .refused = state->containers[container].refused };

    if (question.wish.mode != CORRAL_MODE_SHARED && question.wish.mode != CORRAL_MODE_DEDICATED)
        return g_ptr_array_new_with_free_func ((GDestroyNotify) corral_plan_reason_free);
    return answer (&question);
}
