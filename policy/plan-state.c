/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The planner's table, made from its input: what belongs to whom before anything is placed. */
#include "policy/plan-private.h"

#include "common/corral-error.h"

#include <string.h>

static gboolean refuse_input (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

static gboolean
refuse_input (GError **error, const char *format, ...)
{
    g_autofree char *text = NULL;
    va_list args;

    va_start (args, format);
    text = g_strdup_vprintf (format, args);
    va_end (args);
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID, "cannot make a plan: %s", text);
    return FALSE;
}

static guint
depth_of (const char *path)
{
    guint depth = 0;

    for (; *path != '\0'; path++)
        depth += *path == '/';
    return depth;
}

/* The index of the container whose path is the longest proper prefix of @path, by components. */
static int
parent_of (GHashTable *by_path, const char *path)
{
    g_autofree char *prefix = g_strdup (path);
    char *slash;
    gpointer found;

    while ((slash = strrchr (prefix, '/')) != NULL && slash != prefix) {
        *slash = '\0';
        if (g_hash_table_lookup_extended (by_path, prefix, NULL, &found))
            return GPOINTER_TO_INT (found);
    }
    return -1;
}

static gboolean
learn_containers (PlanState *state, GHashTable *by_path, GError **error)
{
    const CorralPlanInput *input = state->input;

    for (guint i = 0; i < input->n_containers; i++) {
        const char *path = input->containers[i].path;

        if (path == NULL || *path != '/')
            return refuse_input (error, "\"%s\" is no container's path", path != NULL ? path : "");
        if (!g_hash_table_insert (by_path, (gpointer) path, GINT_TO_POINTER ((int) i)))
            return refuse_input (error, "two containers have the path \"%s\"", path);
    }
    for (guint i = 0; i < input->n_containers; i++) {
        state->containers[i].parent = parent_of (by_path, input->containers[i].path);
        state->containers[i].depth = depth_of (input->containers[i].path);
    }
    return TRUE;
}

static gboolean
is_uniform (const CorralPlanVm *vm)
{
    if (!vm->running || vm->vcpus == NULL || vm->vcpus[0] == NULL)
        return FALSE;
    for (guint i = 1; i < vm->n_vcpus; i++)
        if (vm->vcpus[i] != vm->vcpus[0] &&
            (vm->vcpus[i] == NULL || !hwloc_bitmap_isequal (vm->vcpus[i], vm->vcpus[0])))
            return FALSE;
    return TRUE;
}

static gboolean
learn_vms (PlanState *state, GHashTable *by_path, GError **error)
{
    g_autoptr (GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
    const CorralPlanInput *input = state->input;

    for (guint i = 0; i < input->n_vms; i++) {
        const CorralPlanVm *vm = &input->vms[i];
        gpointer found;

        if (vm->name == NULL || vm->path == NULL)
            return refuse_input (error, "a VM has no name or no container");
        if (!g_hash_table_add (names, (gpointer) vm->name))
            return refuse_input (error, "two VMs have the name \"%s\"", vm->name);
        if (vm->n_vcpus < 1 || vm->n_vcpus > CORRAL_VCPUS_MAX)
            return refuse_input (error, "the VM \"%s\" has no vCPUs, or too many", vm->name);
        state->vms[i].container = -1;
        state->vms[i].why_at = -1;
        state->vms[i].uniform = is_uniform (vm);
        if (g_hash_table_lookup_extended (by_path, vm->path, NULL, &found))
            state->vms[i].container = GPOINTER_TO_INT (found);
    }
    return TRUE;
}

/* From the top down: a pCPU is in a container's domain when neither it nor any ancestor says that
 * it is not. */
static void
learn_domain (PlanState *state, int container)
{
    const CorralCpuset *allowed = state->input->containers[container].allowed;
    PlanContainer *c = &state->containers[container];

    if (c->domain != NULL)
        return;
    if (c->parent >= 0)
        learn_domain (state, c->parent);
    c->domain = g_rc_box_alloc (MAX (state->n, 1));
    for (guint i = 0; i < state->n; i++)
        c->domain[i] =
            (allowed == NULL || hwloc_bitmap_isset (allowed, state->topology->cpus[i].number)) &&
            (c->parent < 0 || state->containers[c->parent].domain[i]);
}

/* What an unplanned container says it has is for it and those beneath it. Deeper ones come last,
 * so theirs is the last word. */
static void
learn_fences (PlanState *state)
{
    guint deepest = 0;

    for (guint i = 0; i < state->n; i++)
        state->fence[i] = -1;
    for (guint c = 0; c < state->input->n_containers; c++)
        deepest = MAX (deepest, state->containers[c].depth);
    for (guint depth = 0; depth <= deepest; depth++)
        for (guint c = 0; c < state->input->n_containers; c++) {
            const CorralPlanContainer *container = &state->input->containers[c];

            if (state->containers[c].depth != depth || container->allowed == NULL ||
                container->wish.mode != CORRAL_MODE_NONE)
                continue;
            for (guint i = 0; i < state->n; i++)
                if (state->containers[c].domain[i])
                    state->fence[i] = (int) c;
        }
}

struct _PlanTables {
    guint8 *housekeeping;
    int *fence;
    guint *core_size, *core_start, *core_cpus, *core_node, *core_l3;
    guint *l3_start, *l3_cores, *node_start, *node_cores;
};

static void
tables_clear (gpointer data)
{
    PlanTables *tables = data;

    g_free (tables->housekeeping);
    g_free (tables->fence);
    g_free (tables->core_size);
    g_free (tables->core_start);
    g_free (tables->core_cpus);
    g_free (tables->core_node);
    g_free (tables->core_l3);
    g_free (tables->l3_start);
    g_free (tables->l3_cores);
    g_free (tables->node_start);
    g_free (tables->node_cores);
}

static void
tables_new (PlanState *state)
{
    const CorralTopology *topology = state->topology;

    state->tables = g_rc_box_new (PlanTables);
    state->housekeeping = state->tables->housekeeping = g_new0 (guint8, state->n);
    state->fence = state->tables->fence = g_new (int, state->n);
    state->core_size = state->tables->core_size = g_new0 (guint, topology->n_cores);
    state->core_start = state->tables->core_start = g_new0 (guint, topology->n_cores + 1);
    state->core_cpus = state->tables->core_cpus = g_new0 (guint, state->n);
    state->core_node = state->tables->core_node = g_new0 (guint, topology->n_cores);
    state->core_l3 = state->tables->core_l3 = g_new0 (guint, topology->n_cores);
    state->l3_start = state->tables->l3_start = g_new0 (guint, topology->n_l3s + 1);
    state->l3_cores = state->tables->l3_cores = g_new0 (guint, topology->n_cores);
    state->node_start = state->tables->node_start = g_new0 (guint, topology->n_nodes + 1);
    state->node_cores = state->tables->node_cores = g_new0 (guint, topology->n_cores);
}

static void
learn_cores (PlanState *state)
{
    const guint n_cores = state->topology->n_cores;
    g_autofree guint *next = g_new0 (guint, n_cores + 1);

    for (guint i = 0; i < state->n; i++) {
        state->core_size[state->topology->cpus[i].core] += state->topology->cpus[i].online;
        next[state->topology->cpus[i].core]++;
    }
    for (guint core = 0, start = 0; core <= n_cores; core++) {
        state->core_start[core] = start;
        start += next[core];
        next[core] = state->core_start[core];
    }
    for (guint i = 0; i < state->n; i++)
        state->core_cpus[next[state->topology->cpus[i].core]++] = i;
}

/* Cores sorted by the group that they are in. @start: one more than there are groups, zeros */
static void
sort_cores (const guint *group_of, guint n_cores, guint n_groups, guint *start, guint *cores)
{
    g_autofree guint *next = g_new (guint, n_groups + 1);

    for (guint core = 0; core < n_cores; core++)
        start[group_of[core] + 1]++;
    for (guint group = 0; group < n_groups; group++)
        start[group + 1] += start[group];
    memcpy (next, start, (n_groups + 1) * sizeof *next);
    for (guint core = 0; core < n_cores; core++)
        cores[next[group_of[core]]++] = core;
}

static void
learn_groups (PlanState *state)
{
    const CorralTopology *topology = state->topology;

    for (guint core = 0; core < topology->n_cores; core++) {
        const CorralPcpu *first = &topology->cpus[state->core_cpus[state->core_start[core]]];

        state->core_node[core] = first->node;
        state->core_l3[core] = first->l3;
    }
    sort_cores (state->core_l3, topology->n_cores, topology->n_l3s, state->l3_start,
                state->l3_cores);
    sort_cores (state->core_node, topology->n_cores, topology->n_nodes, state->node_start,
                state->node_cores);
}

PlanState *
plan_state_new (const CorralPlanInput *input, GError **error)
{
    g_autoptr (PlanState) state = g_new0 (PlanState, 1);
    g_autoptr (GHashTable) by_path = g_hash_table_new (g_str_hash, g_str_equal);

    state->input = input;
    state->full.container = -1;
    state->topology = input->topology;
    state->n = input->topology->n_cpus;
    state->slots = g_new0 (PlanSlot, state->n);
    tables_new (state);
    state->containers = g_new0 (PlanContainer, input->n_containers + 1);
    state->vms = g_new0 (PlanVm, input->n_vms + 1);
    if (!learn_containers (state, by_path, error) || !learn_vms (state, by_path, error))
        return NULL;
    for (guint c = 0; c < input->n_containers; c++)
        learn_domain (state, (int) c);
    learn_fences (state);
    for (guint i = 0; i < state->n; i++) {
        const CorralPcpu *cpu = &state->topology->cpus[i];

        state->slots[i] = (PlanSlot){ .container = -1, .vm = -1 };
        state->housekeeping[i] =
            input->housekeeping != NULL && hwloc_bitmap_isset (input->housekeeping, cpu->number);
    }
    learn_cores (state);
    learn_groups (state);
    return g_steal_pointer (&state);
}

void
plan_state_free (PlanState *state)
{
    if (state == NULL)
        return;
    for (guint c = 0; c < state->input->n_containers; c++)
        g_clear_pointer (&state->containers[c].domain, g_rc_box_release);
    for (guint v = 0; v < state->input->n_vms; v++) {
        g_clear_pointer (&state->vms[v].cpus, g_rc_box_release);
        g_clear_pointer (&state->vms[v].now, g_rc_box_release);
    }
    g_clear_pointer (&state->told.reasons, g_ptr_array_unref);
    g_clear_pointer (&state->no_reasons, g_ptr_array_unref);
    g_rc_box_release_full (state->tables, tables_clear);
    g_free (state->slots);
    g_free (state->containers);
    g_free (state->vms);
    g_free (state);
}

static gpointer
acquire (gconstpointer box)
{
    return box != NULL ? g_rc_box_acquire ((gpointer) box) : NULL;
}

static void
extend_containers (PlanState *state, const PlanState *from)
{
    const CorralPlanInput *input = state->input;
    GHashTable *by_path;

    state->containers = g_new0 (PlanContainer, input->n_containers + 1);
    memcpy (state->containers, from->containers,
            from->input->n_containers * sizeof *state->containers);
    for (guint c = 0; c < from->input->n_containers; c++)
        acquire (state->containers[c].domain);
    if (input->n_containers == from->input->n_containers)
        return;
    by_path = g_hash_table_new (g_str_hash, g_str_equal);
    for (guint c = 0; c < from->input->n_containers; c++)
        g_hash_table_insert (by_path, (gpointer) input->containers[c].path,
                             GINT_TO_POINTER ((int) c));
    for (guint c = from->input->n_containers; c < input->n_containers; c++) {
        state->containers[c].parent = parent_of (by_path, input->containers[c].path);
        state->containers[c].depth = depth_of (input->containers[c].path);
        learn_domain (state, (int) c);
    }
    g_hash_table_unref (by_path);
}

static int
find_container (const CorralPlanInput *input, const char *path)
{
    for (guint c = input->n_containers; c-- > 0;)
        if (g_str_equal (input->containers[c].path, path))
            return (int) c;
    return -1;
}

PlanState *
plan_state_extend (const PlanState *from, const CorralPlanInput *input)
{
    PlanState *state = g_memdup2 (from, sizeof *from);

    state->input = input;
    state->told.reasons = NULL;
    state->no_reasons = NULL;
    g_rc_box_acquire (state->tables);
    state->slots = g_memdup2 (from->slots, MAX (from->n, 1) * sizeof *from->slots);
    extend_containers (state, from);
    state->vms = g_new0 (PlanVm, input->n_vms + 1);
    memcpy (state->vms, from->vms, from->input->n_vms * sizeof *state->vms);
    for (guint v = 0; v < from->input->n_vms; v++) {
        acquire (state->vms[v].cpus);
        acquire (state->vms[v].now);
    }
    for (guint v = from->input->n_vms; v < input->n_vms; v++) {
        state->vms[v].why_at = -1;
        state->vms[v].container =
            v > from->input->n_vms && input->vms[v].path == input->vms[v - 1].path
                ? state->vms[v - 1].container
                : find_container (input, input->vms[v].path);
    }
    return state;
}

const CorralPlacement *
plan_wish_of (const PlanState *state, int container)
{
    return &state->input->containers[container].wish;
}

CorralPlacement
plan_wish_of_vm (const PlanState *state, guint vm)
{
    const CorralPlanVm *input = &state->input->vms[vm];
    CorralPlacement wish = *plan_wish_of (state, state->vms[vm].container);

    if (input->wishes & CORRAL_WISH_SMT)
        wish.smt = input->wish.smt;
    if (input->wishes & CORRAL_WISH_NUMA)
        wish.numa = input->wish.numa;
    if (input->wishes & CORRAL_WISH_EMULATOR)
        wish.emulator = input->wish.emulator;
    return wish;
}

gboolean
plan_is_beneath (const PlanState *state, int container, int ancestor)
{
    for (; container >= 0; container = state->containers[container].parent)
        if (container == ancestor)
            return TRUE;
    return FALSE;
}

gboolean
plan_is_open (const PlanState *state, int container, guint cpu)
{
    return state->topology->cpus[cpu].online && !state->housekeeping[cpu] &&
           state->containers[container].domain[cpu] &&
           (state->fence[cpu] < 0 || plan_is_beneath (state, container, state->fence[cpu]));
}

void
plan_count (PlanState *state, int container, int vcpus)
{
    state->containers[container].own += (guint) vcpus;
    for (; container >= 0; container = state->containers[container].parent)
        state->containers[container].vcpus += (guint) vcpus;
}
