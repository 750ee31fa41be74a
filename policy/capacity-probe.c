/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks the planner what else it would take. */
#include "policy/capacity-private.h"

/* No definition can have such a path, and libvirt takes no "/" in a VM's name. */
#define PROBE_COMPONENT ".corral-capacity"
#define PROBE_VM "/corral-capacity/"

struct _CorralProbe {
    CorralPlanInput input;
    CorralPlanContainer *containers; /* the input's, and one more */
    GArray *vms;                     /* of CorralPlanVm: the input's, then those that are tried */
    GPtrArray *names;                /* of the latter */
    guint n_vms;                     /* of the input */
    guint n_refused, n_moves;        /* without anything more */
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
    g_autoptr (CorralPlan) settled = NULL;

    probe->input = *input;
    probe->containers = g_new0 (CorralPlanContainer, input->n_containers + 1);
    for (guint i = 0; i < input->n_containers; i++) {
        probe->containers[i] = input->containers[i];
        if (input->containers[i].wish.mode != CORRAL_MODE_NONE && !plan->containers[i].refused)
            probe->containers[i].cpus = plan->containers[i].cpus;
    }
    probe->vms = g_array_new (FALSE, TRUE, sizeof (CorralPlanVm));
    probe->names = g_ptr_array_new_with_free_func (g_free);
    probe->n_vms = input->n_vms;
    add_settled_vms (probe, plan);
    probe->input.containers = probe->containers;
    probe->input.vms = (const CorralPlanVm *) probe->vms->data;

    settled = corral_plan_make (&probe->input, error);
    if (settled == NULL)
        return NULL;
    probe->n_refused = settled->n_refused;
    probe->n_moves = settled->n_moves;
    return g_steal_pointer (&probe);
}

void
corral_probe_free (CorralProbe *probe)
{
    if (probe == NULL)
        return;
    g_free (probe->containers);
    g_clear_pointer (&probe->vms, g_array_unref);
    g_clear_pointer (&probe->names, g_ptr_array_unref);
    g_free (probe);
}

static void
set_vms (CorralProbe *probe, const CorralProbeCase *what, const char *path, guint n_vms,
         guint n_vcpus)
{
    while (probe->names->len < n_vms)
        g_ptr_array_add (probe->names, g_strdup_printf (PROBE_VM "%u", probe->names->len));
    g_array_set_size (probe->vms, probe->n_vms);
    for (guint i = 0; i < n_vms; i++) {
        CorralPlanVm vm = {
            .name = probe->names->pdata[i],
            .path = path,
            .n_vcpus = n_vcpus,
            .wishes = what->new_child ? 0 : what->wishes,
            .wish = what->wish,
        };

        g_array_append_val (probe->vms, vm);
    }
    probe->input.vms = (const CorralPlanVm *) probe->vms->data;
    probe->input.n_vms = probe->vms->len;
}

gboolean
corral_probe_fits (CorralProbe *probe, const CorralProbeCase *what, guint n_vms, guint n_vcpus,
                   gboolean *ret_fits, GError **error)
{
    g_autofree char *child = g_strconcat (what->path, "/" PROBE_COMPONENT, NULL);
    CorralPlanInput input;
    g_autoptr (CorralPlan) plan = NULL;

    set_vms (probe, what, what->new_child ? child : what->path, n_vms, n_vcpus);
    input = probe->input;
    if (what->new_child)
        probe->containers[input.n_containers++] =
            (CorralPlanContainer){ .path = child, .wish = what->wish, .allowed = what->allowed };
    plan = corral_plan_make (&input, error);
    if (plan == NULL)
        return FALSE;
    *ret_fits =
        plan->n_refused <= probe->n_refused && (!what->no_moves || plan->n_moves <= probe->n_moves);
    for (guint i = 0; i < n_vms; i++)
        *ret_fits = *ret_fits && !plan->vms[probe->n_vms + i].refused;
    return TRUE;
}

/* What is searched for: the largest number that fits, of vCPUs of one VM or of VMs. */
typedef struct {
    CorralProbe *probe;
    const CorralProbeCase *what;
    guint n_vcpus; /* of each of the VMs that are counted; 0: vCPUs are */
} Search;

static gboolean
search_fits (const Search *search, guint number, gboolean *ret_fits, GError **error)
{
    guint vms = search->n_vcpus != 0 ? number : 1;
    guint vcpus = search->n_vcpus != 0 ? search->n_vcpus : number;

    return corral_probe_fits (search->probe, search->what, vms, vcpus, ret_fits, error);
}

/* From a guess that is mostly right, so that two questions are enough: first away from it in steps
 * that double, until the answer changes; then by halves. */
static gboolean
search_largest (const Search *search, guint guess, guint most, guint *ret_number, GError **error)
{
    guint fits = 0, fits_not = most + 1; /* none always fits, more than @most is not asked for */
    guint step = 1;
    guint at = CLAMP (guess, 1, most);

    while (fits + 1 < fits_not) {
        gboolean answer;

        if (!search_fits (search, at, &answer, error))
            return FALSE;
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
    *ret_number = fits;
    return TRUE;
}

gboolean
corral_probe_largest (CorralProbe *probe, const CorralProbeCase *what, guint guess,
                      guint *ret_vcpus, GError **error)
{
    Search search = { probe, what, 0 };

    return search_largest (&search, guess, CORRAL_CAPACITY_VCPUS_MAX, ret_vcpus, error);
}

gboolean
corral_probe_count (CorralProbe *probe, const CorralProbeCase *what, guint n_vcpus, guint most,
                    guint *ret_vms, GError **error)
{
    Search search = { probe, what, n_vcpus };

    *ret_vms = 0;
    return most == 0 || search_largest (&search, most, most, ret_vms, error);
}
