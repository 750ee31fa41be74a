/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order in which VMs that are to start get their places.
 *
 * The input's own order is tried first, and is it when all of them fit. Otherwise some are left out
 * whatever is done, and which ones is a question of the order: the largest first is tried, and then
 * each one that was left out is put in front of the others, as long as that leaves fewer vCPUs out.
 * How many orders are tried depends on the size of the machine only, so that the same input gives
 * the same plan, and a large one is made in time.
 */
#include "policy/plan-private.h"

#include <string.h>

/* VMs times pCPUs for which one order is tried. */
#define WORK_MAX 2000000
#define TRIES_MAX 64

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
    PlanState *best;
    Judgement judgement;
    guint *order; /* the best one's */
    guint tries;  /* left */
} Search;

/* Takes the new order if it is better. Returns: whether it is */
static gboolean
try_order (Search *search, const guint *order)
{
    PlanState *state = plan_state_new (search->input, NULL);
    Judgement judgement;

    search->tries--;
    plan_place_all (state, order);
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

/* Those of order with the VM at @place in front. */
static void
put_first (const guint *order, guint place, guint n, guint *ret)
{
    ret[0] = order[place];
    memcpy (ret + 1, order, place * sizeof *order);
    memcpy (ret + 1 + place, order + place + 1, (n - place - 1) * sizeof *order);
}

static void
improve (Search *search)
{
    const guint n = search->input->n_vms;
    g_autofree guint *order = g_new (guint, n);
    guint place = 0;

    memcpy (order, search->order, n * sizeof *order);
    g_qsort_with_data (order, (int) n, sizeof *order, compare_sizes, (gpointer) search->input);
    try_order (search, order);
    while (place < n && search->tries > 0 && search->judgement.vcpus > 0) {
        const guint vm = search->order[place];

        if (!search->best->vms[vm].refused || search->input->vms[vm].running) {
            place++;
            continue;
        }
        put_first (search->order, place, n, order);
        place = try_order (search, order) ? 0 : place + 1;
    }
}

static guint
n_to_start (const CorralPlanInput *input)
{
    guint n = 0;

    for (guint v = 0; v < input->n_vms; v++)
        n += !input->vms[v].running;
    return n;
}

PlanState *
plan_best (const CorralPlanInput *input, GError **error)
{
    const guint64 work = (guint64) MAX (input->n_vms, 1) * input->topology->n_cpus;
    Search search = { .input = input, .best = plan_state_new (input, error) };

    if (search.best == NULL)
        return NULL;
    search.order = g_new (guint, MAX (input->n_vms, 1));
    for (guint v = 0; v < input->n_vms; v++)
        search.order[v] = v;
    search.tries = (guint) CLAMP (WORK_MAX / work, 0, TRIES_MAX);
    plan_place_all (search.best, search.order);
    search.judgement = judge (search.best);
    if (search.judgement.vms > 0 && search.tries > 0 && n_to_start (input) > 1)
        improve (&search);
    g_free (search.order);
    return search.best;
}
