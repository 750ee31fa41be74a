/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Chooses pCPUs for one VM or one container's set among those that are free.
 *
 * From the outside in: nodes, then L3 groups, then cores. At each level as few as possible; where
 * several choices have as few, the one that leaves least over there ("best fit"), so that what is
 * free stays in large pieces; and where those are alike, the lowest number, so that the same
 * question always has the same answer.
 */
#include "policy/plan-private.h"

#include <string.h>

typedef struct {
    const PlanState *state;
    const PlanAsk *ask;
    guint8 *free;      /* by pCPU */
    guint *core_free;  /* by core: free pCPUs */
    guint *core_slots; /* by core: vCPUs that it can take */
    guint *core_keep;  /* by core: free pCPUs that are to be kept */
    guint8 *nodes;     /* by node: chosen */
    guint *l3_slots;   /* by L3 group, in the chosen nodes */
} View;

/* Smaller is better, from the top. */
typedef struct {
    guint nodes, distance, lost, l3s, l3_left, left;
} Score;

static void
view_init (View *view, const PlanState *state, const PlanAsk *ask)
{
    const CorralTopology *topology = state->topology;

    *view = (View){ state,
                    ask,
                    g_new0 (guint8, state->n),
                    g_new0 (guint, topology->n_cores),
                    g_new0 (guint, topology->n_cores),
                    g_new0 (guint, topology->n_cores),
                    g_new0 (guint8, topology->n_nodes),
                    g_new0 (guint, topology->n_l3s) };
}

static void
view_clear (View *view)
{
    g_free (view->free);
    g_free (view->core_free);
    g_free (view->core_slots);
    g_free (view->core_keep);
    g_free (view->nodes);
    g_free (view->l3_slots);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (View, view_clear)

static guint
slots_of_core (const View *view, guint core)
{
    const guint free = view->core_free[core], size = view->state->core_size[core];

    switch (view->ask->smt) {
    case CORRAL_SMT_ISOLATE:
        return size > 0 && free == size ? 1 : 0;
    case CORRAL_SMT_REQUIRE:
        return free == size ? size : 0;
    case CORRAL_SMT_PREFER:
    case CORRAL_SMT_AVOID:
    default:
        return free;
    }
}

/* @kind: -1 for all kinds of core. Returns: how many places there are */
static guint
look (View *view, int kind)
{
    const PlanState *state = view->state;
    const PlanAsk *ask = view->ask;
    guint places = 0;

    for (guint core = 0; core < state->topology->n_cores; core++) {
        view->core_free[core] = view->core_keep[core] = 0;
        for (guint at = state->core_start[core]; at < state->core_start[core + 1]; at++) {
            const guint cpu = state->core_cpus[at];

            view->free[cpu] = plan_is_free (state, ask->container, cpu) &&
                              (kind < 0 || state->topology->cpus[cpu].kind == kind) &&
                              (ask->within == NULL || ask->within[cpu]);
            view->core_free[core] += view->free[cpu];
            view->core_keep[core] += view->free[cpu] && ask->keep != NULL && ask->keep[cpu];
        }
        view->core_slots[core] = slots_of_core (view, core);
        places += view->core_slots[core];
    }
    return places;
}

/* --- nodes --- */

static void
count_l3s (View *view)
{
    const PlanState *state = view->state;

    for (guint l3 = 0; l3 < state->topology->n_l3s; l3++)
        view->l3_slots[l3] = 0;
    for (guint node = 0; node < state->topology->n_nodes; node++)
        for (guint at = state->node_start[node];
             view->nodes[node] && at < state->node_start[node + 1]; at++) {
            const guint core = state->node_cores[at];

            view->l3_slots[state->core_l3[core]] += view->core_slots[core];
        }
}

/* The smallest L3 group that can take @k, or else the largest; -1: all are full. */
static int
next_l3 (const View *view, guint k, const guint8 *used)
{
    int best = -1;

    for (guint l3 = 0; l3 < view->state->topology->n_l3s; l3++) {
        const guint slots = used != NULL && used[l3] ? 0 : view->l3_slots[l3];
        const guint have = best < 0 ? 0 : view->l3_slots[best];

        if (slots == 0)
            continue;
        if (best < 0 || (slots >= k && (have < k || slots < have)) ||
            (slots < k && have < k && slots > have))
            best = (int) l3;
    }
    return best;
}

static Score
score_nodes (View *view)
{
    const CorralTopology *topology = view->state->topology;
    g_autofree guint8 *used = g_new0 (guint8, topology->n_l3s);
    Score score = { 0 };
    guint left = view->ask->k, total = 0, kept = 0;
    int l3;

    for (guint a = 0; a < topology->n_nodes; a++) {
        score.nodes += view->nodes[a];
        for (guint b = 0; b < topology->n_nodes; b++)
            if (view->nodes[a] && view->nodes[b])
                score.distance += topology->distances[a * topology->n_nodes + b];
    }
    for (guint node = 0; node < topology->n_nodes; node++)
        for (guint at = view->state->node_start[node];
             view->nodes[node] && at < view->state->node_start[node + 1]; at++) {
            const guint core = view->state->node_cores[at];

            total += view->core_slots[core];
            kept += MIN (view->core_keep[core], view->core_slots[core]);
        }
    count_l3s (view);
    while (left > 0 && (l3 = next_l3 (view, left, used)) >= 0) {
        used[l3] = TRUE;
        score.l3s++;
        score.l3_left = view->l3_slots[l3] - MIN (left, view->l3_slots[l3]);
        left -= MIN (left, view->l3_slots[l3]);
    }
    score.lost = view->ask->k - MIN (kept, view->ask->k);
    score.left = total - MIN (total, view->ask->k);
    return score;
}

static gboolean
is_better (const Score *a, const Score *b)
{
    const guint x[] = { a->nodes, a->distance, a->lost, a->l3s, a->l3_left, a->left };
    const guint y[] = { b->nodes, b->distance, b->lost, b->l3s, b->l3_left, b->left };

    for (guint i = 0; i < G_N_ELEMENTS (x); i++)
        if (x[i] != y[i])
            return x[i] < y[i];
    return FALSE;
}

/* Adds to @first the nodes with most places, near ones before far ones, until @k fit. */
static void
gather_nodes (View *view, const guint *slots, guint first)
{
    const CorralTopology *topology = view->state->topology;
    guint have = slots[first];

    for (guint i = 0; i < topology->n_nodes; i++)
        view->nodes[i] = i == first;
    while (have < view->ask->k) {
        int best = -1;

        for (guint i = 0; i < topology->n_nodes; i++) {
            const guint *from = &topology->distances[first * topology->n_nodes];
            /* What still lacks is enough; more than that is no merit. */
            const guint lacks = view->ask->k - have;

            if (view->nodes[i] || slots[i] == 0)
                continue;
            if (best < 0 || MIN (slots[i], lacks) > MIN (slots[best], lacks) ||
                (MIN (slots[i], lacks) == MIN (slots[best], lacks) && from[i] < from[best]))
                best = (int) i;
        }
        if (best < 0)
            return;
        view->nodes[best] = TRUE;
        have += slots[best];
    }
}

static gboolean
choose_nodes (View *view)
{
    const CorralTopology *topology = view->state->topology;
    g_autofree guint *slots = g_new0 (guint, topology->n_nodes);
    g_autofree guint8 *chosen = g_new0 (guint8, topology->n_nodes);
    gboolean single = FALSE, found = FALSE;
    Score best = { 0 };

    if (view->ask->numa == CORRAL_NUMA_ANY) {
        for (guint i = 0; i < topology->n_nodes; i++)
            view->nodes[i] = TRUE;
        count_l3s (view);
        return TRUE;
    }
    for (guint core = 0; core < topology->n_cores; core++)
        slots[view->state->core_node[core]] += view->core_slots[core];
    for (guint i = 0; i < topology->n_nodes; i++)
        single = single || slots[i] >= view->ask->k;
    if (!single && view->ask->numa == CORRAL_NUMA_STRICT)
        return FALSE;
    for (guint i = 0; i < topology->n_nodes; i++) {
        Score score;

        if (slots[i] == 0 || (single && slots[i] < view->ask->k))
            continue;
        gather_nodes (view, slots, i);
        score = score_nodes (view);
        if (found && !is_better (&score, &best))
            continue;
        found = TRUE;
        best = score;
        memcpy (chosen, view->nodes, topology->n_nodes);
    }
    memcpy (view->nodes, chosen, topology->n_nodes);
    count_l3s (view);
    return found;
}

/* --- cores --- */

static void
take_cpu (View *view, guint core, guint cpu, PlanPick *pick)
{
    g_array_append_val (pick->cpus, cpu);
    view->free[cpu] = FALSE;
    view->core_free[core]--;
}

/* Up to @want pCPUs of the core, those to be kept first. Returns: how many */
static guint
take_of_core (View *view, guint core, guint want, PlanPick *pick)
{
    guint taken = 0;

    for (guint pass = 0; pass < 2; pass++)
        for (guint at = view->state->core_start[core];
             at < view->state->core_start[core + 1] && taken < want; at++) {
            const guint cpu = view->state->core_cpus[at];
            const gboolean kept = view->ask->keep != NULL && view->ask->keep[cpu];

            if (!view->free[cpu] || kept != (pass == 0))
                continue;
            take_cpu (view, core, cpu, pick);
            taken++;
        }
    return taken;
}

/* What is left of a core that is this VM's alone. */
static void
idle_rest (View *view, guint core, PlanPick *pick)
{
    for (guint at = view->state->core_start[core]; at < view->state->core_start[core + 1]; at++) {
        const guint cpu = view->state->core_cpus[at];

        if (!view->free[cpu])
            continue;
        g_array_append_val (pick->idle, cpu);
        view->free[cpu] = FALSE;
        view->core_free[core]--;
    }
}

/* How well the core suits when @left vCPUs are still to be placed: smaller is better. */
static guint64
core_rank (const View *view, guint core, guint left)
{
    const guint free = view->core_free[core], size = view->state->core_size[core];
    const guint64 lost = G_MAXUINT8 - MIN (view->core_keep[core], G_MAXUINT8);
    guint64 shape;

    switch (view->ask->smt) {
    case CORRAL_SMT_AVOID:
        /* A core to itself, then the emptiest. */
        shape = (guint64) (size - free);
        break;
    case CORRAL_SMT_PREFER:
        /* Whole cores while they can be filled; the rest where it fits best. */
        if (left >= size)
            shape = free == size ? 0 : 1 + (guint64) (size - free);
        else
            shape = free >= left ? (guint64) (free - left) : (guint64) (size + left - free);
        break;
    case CORRAL_SMT_ISOLATE:
    case CORRAL_SMT_REQUIRE:
    default:
        shape = 0;
        break;
    }
    return shape << 40 | lost << 32 | core;
}

static void
take_of_l3 (View *view, guint l3, guint want, PlanPick *pick)
{
    while (want > 0) {
        const guint each =
            view->ask->smt == CORRAL_SMT_ISOLATE || view->ask->smt == CORRAL_SMT_AVOID ? 1 : want;
        guint64 best = G_MAXUINT64;
        guint core;

        for (guint at = view->state->l3_start[l3]; at < view->state->l3_start[l3 + 1]; at++) {
            const guint i = view->state->l3_cores[at];

            if (view->core_free[i] > 0 && view->core_slots[i] > 0 &&
                view->nodes[view->state->core_node[i]])
                best = MIN (best, core_rank (view, i, want));
        }
        if (best == G_MAXUINT64)
            return;
        core = (guint) (best & G_MAXUINT32);
        want -= take_of_core (view, core, each, pick);
        if (view->ask->smt == CORRAL_SMT_ISOLATE || view->ask->smt == CORRAL_SMT_REQUIRE) {
            idle_rest (view, core, pick);
            view->core_slots[core] = 0;
        }
    }
}

static int
compare_guints (gconstpointer a, gconstpointer b)
{
    const guint x = *(const guint *) a, y = *(const guint *) b;

    return (x > y) - (x < y);
}

void
plan_pick_clear (PlanPick *pick)
{
    g_clear_pointer (&pick->cpus, g_array_unref);
    g_clear_pointer (&pick->idle, g_array_unref);
}

gboolean
plan_select (const PlanState *state, const PlanAsk *ask, PlanPick *ret_pick)
{
    const int kinds = (int) state->topology->n_kinds;
    g_auto (View) view = { 0 };
    gboolean found = FALSE;
    guint left = ask->k;
    int l3;

    view_init (&view, state, ask);
    /* One kind of core for a VM, the fastest that has room; a mixture where none has. */
    for (int kind = kinds > 1 ? kinds - 1 : -1; !found && kind >= -1; kind--)
        found = look (&view, kind) >= ask->k && choose_nodes (&view);
    if (!found)
        return FALSE;
    *ret_pick = (PlanPick){ g_array_new (FALSE, FALSE, sizeof (guint)),
                            g_array_new (FALSE, FALSE, sizeof (guint)) };
    while (left > 0 && (l3 = next_l3 (&view, left, NULL)) >= 0) {
        const guint take = MIN (left, view.l3_slots[l3]);

        take_of_l3 (&view, (guint) l3, take, ret_pick);
        view.l3_slots[l3] = 0;
        left -= take;
    }
    g_array_sort (ret_pick->cpus, compare_guints);
    return TRUE;
}
