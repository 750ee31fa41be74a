/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which VMs that are to start get their places.
 *
 * The input's own order is tried first, and is it when all of them fit. Otherwise some are left out
 * whatever is done, and which ones is a question of the order: the largest first is tried, and
 * those first that take fewest pCPUs for each vCPU. Then each one that was left out is put in front
 * of the others, alone and with one that has a place put last, as long as that leaves fewer vCPUs
 * out. When no such step is left, a few of the best order change places at random, and it goes on
 * from there if that is better. One that has no place even before all others is in no order's way,
 * and if only such are left out, no other is tried. How many orders are tried depends on the size
 * of the machine only, so that the same input gives the same plan, and a large one is made in time.
 */
#include "policy/plan-private.h"

#include <string.h>

/* VMs times pCPUs for which one order is tried. */
#define WORK_MAX 2000000
#define TRIES_MAX 1024

/* Smaller is better, from the top. */
typedef struct {
    guint64 vcpus; /* refused */
    guint64 vms;   /* refused */
    guint64 late;  /* the later in the input those are, the better */
} Judgement;

static Judgement
judge (const PlanState *state)
{
    Judgement judgement = { 0 };

    for (guint v = 0; v < state->input->n_vms; v++)
        if (state->vms[v].refused) {
            judgement.vcpus += state->input->vms[v].n_vcpus;
            judgement.vms++;
            judgement.late += state->input->n_vms - v;
        }
    return judgement;
}

static gboolean
is_better (const Judgement *a, const Judgement *b)
{
    if (a->vcpus != b->vcpus)
        return a->vcpus < b->vcpus;
    if (a->vms != b->vms)
        return a->vms < b->vms;
    return a->late < b->late;
}

typedef struct {
    const CorralPlanInput *input;
    const PlanState *start; /* before any of them has a place */
    PlanState *best;
    Judgement judgement;
    guint *order; /* the best one's */
    guint tries;  /* left */
    guint32 random;
} Search;

/* Takes the new order if it is better. Returns: whether it is */
static gboolean
try_order (Search *search, const guint *order)
{
    PlanState *state = plan_state_extend (search->start, search->input);
    Judgement judgement;

    search->tries--;
    plan_place_starting (state, order);
    judgement = judge (state);
    if (!is_better (&judgement, &search->judgement)) {
        plan_state_free (state);
        return FALSE;
    }
    plan_state_free (search->best);
    search->best = state;
    search->judgement = judgement;
    memcpy (search->order, order, search->input->n_vms * sizeof *order);
    return TRUE;
}

static int
compare_sizes (gconstpointer a, gconstpointer b, gpointer data)
{
    const CorralPlanInput *input = data;
    const guint x = *(const guint *) a, y = *(const guint *) b;

    if (input->vms[x].n_vcpus != input->vms[y].n_vcpus)
        return input->vms[x].n_vcpus > input->vms[y].n_vcpus ? -1 : 1;
    return (x > y) - (x < y);
}

/* pCPUs that nobody else can have once the VM is placed. */
static guint
footprint (const CorralPlanInput *input, const PlanState *state, guint vm)
{
    const guint k = input->vms[vm].n_vcpus;
    const guint threads = MAX (input->topology->n_cpus / MAX (input->topology->n_cores, 1), 1);

    if (state->vms[vm].container < 0)
        return k;
    switch (plan_wish_of_vm (state, vm).smt) {
    case CORRAL_SMT_ISOLATE:
        return k * threads;
    case CORRAL_SMT_REQUIRE:
        return (k + threads - 1) / threads * threads;
    case CORRAL_SMT_PREFER:
    case CORRAL_SMT_AVOID:
    default:
        return k;
    }
}

/* Those that leave fewer pCPUs idle first, of these the largest. */
static int
compare_footprints (gconstpointer a, gconstpointer b, gpointer data)
{
    const Search *search = data;
    const guint x = *(const guint *) a, y = *(const guint *) b;
    const guint64 p =
        (guint64) footprint (search->input, search->best, x) * search->input->vms[y].n_vcpus;
    const guint64 q =
        (guint64) footprint (search->input, search->best, y) * search->input->vms[x].n_vcpus;

    if (p != q)
        return p < q ? -1 : 1;
    return compare_sizes (a, b, (gpointer) search->input);
}

/* Those of @order with the VM at @first in front, and the one at @last, if not negative, at the
 * end. */
static void
rearrange (const guint *order, guint n, guint first, int last, guint *ret)
{
    guint next = 0;

    ret[next++] = order[first];
    for (guint i = 0; i < n; i++)
        if (i != first && (int) i != last)
            ret[next++] = order[i];
    if (last >= 0)
        ret[next++] = order[last];
}

/* Whether one would have a place where the other has. */
static gboolean
are_alike (const PlanState *state, guint a, guint b)
{
    CorralPlacement x, y;

    if (state->vms[a].container != state->vms[b].container || state->vms[a].container < 0 ||
        state->input->vms[a].n_vcpus != state->input->vms[b].n_vcpus)
        return FALSE;
    x = plan_wish_of_vm (state, a);
    y = plan_wish_of_vm (state, b);
    return x.smt == y.smt && x.numa == y.numa;
}

/* To put the VM at @place first is no use if one like it, before it in the order, was refused. */
static gboolean
was_tried (const Search *search, guint place)
{
    for (guint i = 0; i < place; i++)
        if (search->best->vms[search->order[i]].refused &&
            !search->input->vms[search->order[i]].running &&
            are_alike (search->best, search->order[i], search->order[place]))
            return TRUE;
    return FALSE;
}

/* One step to a better order; %FALSE: there is none so near. */
static gboolean
step (Search *search, guint *order)
{
    const guint n = search->input->n_vms;

    for (int last = -1; last < (int) n; last++) {
        if (last >= 0 && (search->input->vms[search->order[last]].running ||
                          !search->best->vms[search->order[last]].placed))
            continue;
        for (guint first = 0; first < n; first++) {
            const guint vm = search->order[first];

            if (!search->best->vms[vm].refused || search->input->vms[vm].running ||
                was_tried (search, first) ||
                (last >= 0 && are_alike (search->best, vm, search->order[last])))
                continue;
            if (search->tries == 0)
                return FALSE;
            rearrange (search->order, n, first, last, order);
            if (try_order (search, order))
                return TRUE;
        }
    }
    return FALSE;
}

/* xorshift: the same numbers for every plan */
static guint
draw (Search *search, guint n)
{
    search->random ^= search->random << 13;
    search->random ^= search->random >> 17;
    search->random ^= search->random << 5;
    return search->random % n;
}

/* Any two or three pairs of those that are to start change places; the best order is not left for
 * one that is no better. %FALSE: none of the tries that were left was better. */
static gboolean
shake (Search *search, guint *order)
{
    const guint n = search->input->n_vms;

    while (search->tries > 0) {
        memcpy (order, search->order, n * sizeof *order);
        for (guint pairs = 2 + draw (search, 2); pairs > 0; pairs--) {
            guint *a = &order[draw (search, n)], *b = &order[draw (search, n)];
            const guint vm = *a;

            *a = *b;
            *b = vm;
        }
        if (try_order (search, order))
            return TRUE;
    }
    return FALSE;
}

/* Whether the VM, which was left out, has no place even before all others. */
static gboolean
is_hopeless (const Search *search, guint vm)
{
    g_autoptr (PlanState) state = plan_state_extend (search->start, search->input);

    plan_place_one (state, vm);
    return state->vms[vm].refused;
}

/* vCPUs that are left out in any order. */
static guint64
count_hopeless (const Search *search)
{
    guint64 vcpus = 0;
    gboolean hopeless = FALSE;
    int last = -1;

    for (guint v = 0; v < search->input->n_vms; v++) {
        if (!search->best->vms[v].refused)
            continue;
        if (search->input->vms[v].running)
            hopeless = TRUE;
        else if (last < 0 || !are_alike (search->best, (guint) last, v))
            hopeless = is_hopeless (search, v);
        last = search->input->vms[v].running ? -1 : (int) v;
        vcpus += hopeless ? search->input->vms[v].n_vcpus : 0;
    }
    return vcpus;
}

static void
improve (Search *search)
{
    const guint n = search->input->n_vms;
    const guint64 hopeless = count_hopeless (search);
    g_autofree guint *order = g_new (guint, n);

    if (search->judgement.vcpus <= hopeless)
        return;
    memcpy (order, search->order, n * sizeof *order);
    g_qsort_with_data (order, (int) n, sizeof *order, compare_sizes, (gpointer) search->input);
    try_order (search, order);
    if (search->tries > 0) {
        g_qsort_with_data (order, (int) n, sizeof *order, compare_footprints, search);
        try_order (search, order);
    }
    while (search->judgement.vcpus > hopeless && (step (search, order) || shake (search, order)))
        ;
}

/* Whether any two of those that are to start differ: as many of one kind fit in any order. */
static gboolean
order_matters (const PlanState *start)
{
    int first = -1;

    for (guint v = 0; v < start->input->n_vms; v++) {
        if (start->input->vms[v].running)
            continue;
        if (first >= 0 && !are_alike (start, (guint) first, v))
            return TRUE;
        first = (int) v;
    }
    return FALSE;
}

PlanState *
plan_best_of (PlanState *start)
{
    const CorralPlanInput *input = start->input;
    const guint64 work = (guint64) MAX (input->n_vms, 1) * MAX (input->topology->n_cpus, 1);
    Search search = { .input = input, .start = start, .random = 1 };

    search.tries = order_matters (start) ? (guint) MIN (WORK_MAX / work, TRIES_MAX) : 0;
    search.best = search.tries > 0 ? plan_state_extend (start, input) : start;
    search.order = g_new (guint, MAX (input->n_vms, 1));
    for (guint v = 0; v < input->n_vms; v++)
        search.order[v] = v;
    plan_place_starting (search.best, search.order);
    search.judgement = judge (search.best);
    if (search.judgement.vms > 0 && search.tries > 0)
        improve (&search);
    g_free (search.order);
    if (search.best != start)
        plan_state_free (start);
    return search.best;
}

PlanState *
plan_best (const CorralPlanInput *input, GError **error)
{
    PlanState *state = plan_state_new (input, error);

    if (state == NULL)
        return NULL;
    plan_place_running (state);
    plan_place_reserved (state);
    return plan_best_of (state);
}
