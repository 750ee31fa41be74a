/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the planner what else it would take: not for whole plans, but on top of one that is made
 * once.
 */
#include "policy/capacity-private.h"
#include "policy/plan-private.h"

/* No definition can have such a path, and libvirt takes no "/" in a VM's name. */
#define PROBE_COMPONENT ".corral-capacity"
#define PROBE_VM "/corral-capacity/"

struct _CorralProbe {
    CorralPlanInput input;           /* as it is once the plan is applied */
    CorralPlanContainer *containers; /* the input's, and one more */
    GArray *vms;                     /* of CorralPlanVm: the input's, then those that are tried */
    GPtrArray *names;                /* of the latter */
    PlanState *running, *reserved;   /* after these steps */
    guint n_refused, n_moves;        /* without anything more */

    /* of the case that is asked about */
    char *path;                 /* of its container */
    CorralPlanInput case_input; /* with that, if it is a new one */
    PlanState *start;           /* (nullable): own, or @reserved */
};

/* A VM that has its place is where the plan puts it; another is as it was. */
static void
add_settled_vms (CorralProbe *probe, const CorralPlan *plan)
{
    for (guint i = 0; i < probe->input.n_vms; i++) {
        CorralPlanVm vm = probe->input.vms[i];
        const CorralPlannedVm *planned = &plan->vms[i];

        if (planned->planned && !planned->refused) {
            vm.running = TRUE;
            vm.vcpus = (const CorralCpuset *const *) planned->vcpus;
        }
        g_array_append_val (probe->vms, vm);
    }
}

CorralProbe *
corral_probe_new (const CorralPlanInput *input, const CorralPlan *plan, GError **error)
{
    g_autoptr (CorralProbe) probe = g_new0 (CorralProbe, 1);
    g_autoptr (PlanState) settled = NULL;

    probe->input = *input;
    probe->containers = g_new0 (CorralPlanContainer, input->n_containers + 1);
    for (guint i = 0; i < input->n_containers; i++) {
        probe->containers[i] = input->containers[i];
        if (input->containers[i].wish.mode != CORRAL_MODE_NONE && !plan->containers[i].refused)
            probe->containers[i].cpus = plan->containers[i].cpus;
    }
    probe->vms = g_array_new (FALSE, TRUE, sizeof (CorralPlanVm));
    probe->names = g_ptr_array_new_with_free_func (g_free);
    add_settled_vms (probe, plan);
    probe->input.containers = probe->containers;
    probe->input.vms = (const CorralPlanVm *) probe->vms->data;

    probe->running = plan_state_new (&probe->input, error);
    if (probe->running == NULL)
        return NULL;
    plan_place_running (probe->running);
    probe->reserved = plan_state_extend (probe->running, &probe->input);
    plan_place_reserved (probe->reserved);
    settled = plan_best_of (plan_state_extend (probe->reserved, &probe->input));
    probe->n_refused = plan_count_refused (settled);
    probe->n_moves = plan_count_moves (settled);
    return g_steal_pointer (&probe);
}

static void
end_case (CorralProbe *probe)
{
    if (probe->start != probe->reserved)
        plan_state_free (probe->start);
    probe->start = NULL;
    g_clear_pointer (&probe->path, g_free);
}

void
corral_probe_free (CorralProbe *probe)
{
    if (probe == NULL)
        return;
    end_case (probe);
    plan_state_free (probe->running);
    plan_state_free (probe->reserved);
    g_free (probe->containers);
    g_clear_pointer (&probe->vms, g_array_unref);
    g_clear_pointer (&probe->names, g_ptr_array_unref);
    g_free (probe);
}

/* What a plan with the case's container comes to before the VMs that are tried. A new one is the
 * last of all, and in a plan from the beginning it would change nothing before its own set is laid
 * out: nobody runs in it, and it reserves nothing. */
static void
begin_case (CorralProbe *probe, const CorralProbeCase *what)
{
    end_case (probe);
    probe->case_input = probe->input;
    if (!what->new_child) {
        probe->path = g_strdup (what->path);
        probe->start = probe->reserved;
        return;
    }
    probe->path = g_strconcat (what->path, "/" PROBE_COMPONENT, NULL);
    probe->containers[probe->case_input.n_containers++] =
        (CorralPlanContainer){ .path = probe->path, .wish = what->wish, .allowed = what->allowed };
    if (what->wish.mode == CORRAL_MODE_SHARED) {
        probe->start = plan_state_extend (probe->running, &probe->case_input);
        plan_fill_pool (probe->start, probe->input.n_containers);
        plan_place_reserved (probe->start);
    } else {
        probe->start = plan_state_extend (probe->reserved, &probe->case_input);
    }
}

/* Whether @n_vms VMs of @n_vcpus each have a place, and nobody loses one for them. */
static gboolean
fits (CorralProbe *probe, const CorralProbeCase *what, guint n_vms, guint n_vcpus)
{
    CorralPlanInput input = probe->case_input;
    g_autoptr (PlanState) state = NULL;
    const guint first = input.n_vms;

    while (probe->names->len < n_vms)
        g_ptr_array_add (probe->names, g_strdup_printf (PROBE_VM "%u", probe->names->len));
    g_array_set_size (probe->vms, first);
    for (guint i = 0; i < n_vms; i++) {
        CorralPlanVm vm = {
            .name = probe->names->pdata[i],
            .path = probe->path,
            .n_vcpus = n_vcpus,
            .wishes = what->new_child ? 0 : what->wishes,
            .wish = what->wish,
        };

        g_array_append_val (probe->vms, vm);
    }
    /* The array may have been moved. */
    probe->input.vms = probe->case_input.vms = input.vms = (const CorralPlanVm *) probe->vms->data;
    input.n_vms = probe->vms->len;
    state = plan_state_extend (probe->start, &input);
    /* Those after it would have what it leaves. */
    state->any_room_will_do = n_vms == 1 && !what->no_moves;
    state = plan_best_of (state);
    for (guint i = first; i < input.n_vms; i++)
        if (state->vms[i].refused)
            return FALSE;
    return plan_count_refused (state) <= probe->n_refused &&
           (!what->no_moves || plan_count_moves (state) <= probe->n_moves);
}

/* What is searched for: the largest number that fits, of vCPUs of one VM or of VMs. */
typedef struct {
    CorralProbe *probe;
    const CorralProbeCase *what;
    guint n_vcpus; /* of each of the VMs that are counted; 0: vCPUs are */
} Search;

static gboolean
search_fits (const Search *search, guint number)
{
    guint vms = search->n_vcpus != 0 ? number : 1;
    guint vcpus = search->n_vcpus != 0 ? search->n_vcpus : number;

    return fits (search->probe, search->what, vms, vcpus);
}

/* From a guess that is mostly right, so that two questions are enough: first away from it in steps
 * that double, until the answer changes; then by halves. */
static guint
search_largest (const Search *search, guint guess, guint most)
{
    guint fits = 0, fits_not = most + 1; /* none always fits, more than @most is not asked for */
    guint step = 1;
    guint at = CLAMP (guess, 1, most);

    while (fits + 1 < fits_not) {
        gboolean answer = search_fits (search, at);

        if (answer)
            fits = at;
        else
            fits_not = at;
        if (fits_not > most && answer)
            at = MIN (most, at + step);
        else if (fits == 0 && !answer)
            at = at > step ? at - step : 1;
        else
            at = fits + (fits_not - fits) / 2;
        step *= 2;
    }
    return fits;
}

guint
corral_probe_largest (CorralProbe *probe, const CorralProbeCase *what, guint guess)
{
    Search search = { probe, what, 0 };

    begin_case (probe, what);
    return search_largest (&search, guess, CORRAL_CAPACITY_VCPUS_MAX);
}

guint
corral_probe_count (CorralProbe *probe, const CorralProbeCase *what, guint n_vcpus, guint most)
{
    Search search = { probe, what, n_vcpus };

    begin_case (probe, what);
    return most > 0 ? search_largest (&search, most, most) : 0;
}
