/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Plans that a person can read: plans/NAME.txt has a machine and wishes, and beneath the line
 * "plan" what the planner makes of them.
 *
 *   golden-test FOLDER            compares
 *   golden-test FOLDER --write    writes what the planner makes of them now; look at the difference
 *
 * Lines: topology SYNTHETIC; housekeeping CPUS; offline CPUS;
 * container PATH MODE [smt= numa= overcommit= reserve= limit= share= helpers= exclusive= allowed=
 * now=];
 * vm NAME PATH VCPUS [smt= numa= now=CPU/CPU/...], where now= says that it runs, and on which.
 */
#include "policy/corral-plan.h"

#include <stdlib.h>
#include <string.h>

static const char *const modes[] = { "none", "dedicated", "shared", "housekeeping", NULL };
static const char *const smts[] = { "prefer", "isolate", "require", "avoid", NULL };
static const char *const exclusives[] = { "none", "root", "isolated", NULL };
static const char *const numas[] = { "prefer", "strict", "any", NULL };

static gboolean write_anew;

typedef struct {
    CorralTopology *topology;
    CorralCpuset *housekeeping;
    GArray *containers, *vms;
    GPtrArray *lines;      /* of GStrv, that names point into */
    GPtrArray *sets, *now; /* of sets, and of arrays of them */
} Case;

static CorralCpuset *
set_of (Case *what, const char *list)
{
    CorralCpuset *set = NULL;

    g_assert_true (corral_cpuset_parse (list, &set, NULL));
    g_ptr_array_add (what->sets, set);
    return set;
}

static int
word_of (const char *const *words, const char *word)
{
    for (int i = 0; words[i] != NULL; i++)
        if (g_str_equal (words[i], word))
            return i;
    g_error ("\"%s\" is no such word", word);
}

static void
read_now (Case *what, CorralPlanVm *vm, const char *text)
{
    g_auto (GStrv) words = g_strsplit (text, "/", -1);
    CorralCpuset **sets = g_new0 (CorralCpuset *, vm->n_vcpus);

    g_assert_cmpuint (g_strv_length (words), ==, vm->n_vcpus);
    for (guint i = 0; i < vm->n_vcpus; i++)
        sets[i] = set_of (what, words[i]);
    g_ptr_array_add (what->now, sets);
    vm->running = TRUE;
    vm->vcpus = (const CorralCpuset *const *) sets;
}

/* One "key=value"; exactly one of @container and @vm. */
static void
read_wish (Case *what, const char *text, CorralPlanContainer *container, CorralPlanVm *vm)
{
    const char *value = strchr (text, '=');
    CorralPlacement *wish = container != NULL ? &container->wish : &vm->wish;

    g_assert_nonnull (value);
    value++;
    if (g_str_has_prefix (text, "smt="))
        wish->smt = (CorralPlacementSmt) word_of (smts, value);
    else if (g_str_has_prefix (text, "numa="))
        wish->numa = (CorralPlacementNuma) word_of (numas, value);
    else if (vm != NULL && g_str_has_prefix (text, "now="))
        read_now (what, vm, value);
    else if (vm != NULL)
        g_error ("\"%s\" is nothing that a VM has", text);
    else if (g_str_has_prefix (text, "overcommit="))
        wish->overcommit = (guint) (g_ascii_strtod (value, NULL) * 1000 + 0.5);
    else if (g_str_has_prefix (text, "reserve="))
        wish->reserve_vcpus = (guint) strtoul (value, NULL, 10);
    else if (g_str_has_prefix (text, "limit="))
        wish->limit_vcpus = (guint) strtoul (value, NULL, 10);
    else if (g_str_has_prefix (text, "share="))
        wish->share_percent = (guint) strtoul (value, NULL, 10);
    else if (g_str_has_prefix (text, "helpers="))
        wish->helpers_percent = (guint) strtoul (value, NULL, 10);
    else if (g_str_has_prefix (text, "exclusive="))
        wish->exclusive = (CorralPlacementExclusive) word_of (exclusives, value);
    else if (g_str_has_prefix (text, "allowed="))
        container->allowed = set_of (what, value);
    else if (g_str_has_prefix (text, "now="))
        container->cpus = set_of (what, value);
    else
        g_error ("\"%s\" is nothing that a container has", text);
    if (vm != NULL && g_str_has_prefix (text, "smt="))
        vm->wishes |= CORRAL_WISH_SMT;
    if (vm != NULL && g_str_has_prefix (text, "numa="))
        vm->wishes |= CORRAL_WISH_NUMA;
}

static void
read_line (Case *what, const char *line)
{
    GStrv words = g_strsplit (line, " ", -1);

    g_ptr_array_add (what->lines, words);
    if (g_str_equal (words[0], "topology")) {
        what->topology = corral_topology_from_synthetic (line + strlen ("topology "), NULL);
        g_assert_nonnull (what->topology);
    } else if (g_str_equal (words[0], "housekeeping")) {
        what->housekeeping = set_of (what, words[1]);
    } else if (g_str_equal (words[0], "offline")) {
        g_autoptr (CorralTopology) before = what->topology;
        g_autoptr (CorralCpuset) online = hwloc_bitmap_dup (before->online);

        hwloc_bitmap_andnot (online, online, set_of (what, words[1]));
        what->topology = corral_topology_with_online (before, online);
    } else if (g_str_equal (words[0], "container")) {
        CorralPlanContainer container = { .path = words[1], .wish = CORRAL_PLACEMENT_INIT };

        container.wish.mode = (CorralPlacementMode) word_of (modes, words[2]);
        for (guint i = 3; words[i] != NULL; i++)
            read_wish (what, words[i], &container, NULL);
        g_array_append_val (what->containers, container);
    } else if (g_str_equal (words[0], "vm")) {
        CorralPlanVm vm = { .name = words[1], .path = words[2] };

        vm.n_vcpus = (guint) strtoul (words[3], NULL, 10);
        for (guint i = 4; words[i] != NULL; i++)
            read_wish (what, words[i], NULL, &vm);
        g_array_append_val (what->vms, vm);
    } else {
        g_assert_true (line[0] == '\0' || line[0] == '#');
    }
}

static void
tell_set (GString *text, const char *name, const CorralCpuset *set)
{
    g_autofree char *list = corral_cpuset_format (set);

    g_string_append_printf (text, " %s%s", name, list[0] == '\0' ? "-" : list);
}

static void
tell_reasons (GString *text, const GPtrArray *reasons)
{
    for (guint i = 0; i < reasons->len; i++) {
        const CorralPlanReason *reason = g_ptr_array_index (reasons, i);

        g_string_append_printf (text, "  not");
        tell_set (text, "", reason->cpus);
        g_string_append_printf (text, ": %s%s%s\n", corral_plan_rule_name (reason->rule),
                                reason->detail != NULL ? ", " : "",
                                reason->detail != NULL ? reason->detail : "");
    }
}

static char *
tell_plan (const CorralPlan *plan)
{
    GString *text = g_string_new (NULL);

    for (guint c = 0; c < plan->n_containers; c++) {
        const CorralPlannedContainer *container = &plan->containers[c];

        g_string_append_printf (text, "%s%s", container->path,
                                container->refused ? " refused" : "");
        tell_set (text, "cpus=", container->cpus);
        tell_set (text, "own=", container->own);
        tell_set (text, "mems=", container->mems);
        if (container->quota_usec >= 0)
            g_string_append_printf (text, " quota=%" G_GINT64_FORMAT, container->quota_usec);
        if (container->exclusive != CORRAL_EXCLUSIVE_NONE)
            g_string_append_printf (text, " exclusive=%s", exclusives[container->exclusive]);
        g_string_append_c (text, '\n');
        if (container->refused)
            tell_reasons (text, container->reasons);
    }
    for (guint v = 0; v < plan->n_vms; v++) {
        const CorralPlannedVm *vm = &plan->vms[v];

        g_string_append_printf (text, "%s%s", vm->name, vm->refused ? " refused" : "");
        for (guint i = 0; i < vm->n_vcpus && vm->vcpus != NULL; i++)
            tell_set (text, "", vm->vcpus[i]);
        if (vm->vcpus != NULL)
            tell_set (text, "helpers=", vm->helpers);
        if (vm->moves > 0)
            g_string_append_printf (text, " moves=%u", vm->moves);
        g_string_append_c (text, '\n');
        if (!vm->floats)
            tell_reasons (text, vm->reasons);
    }
    return g_string_free (text, FALSE);
}

static char *
plan_of (const char *wishes)
{
    g_auto (GStrv) lines = g_strsplit (wishes, "\n", -1);
    Case what = { 0 };
    CorralPlanInput input = { 0 };
    g_autoptr (CorralPlan) plan = NULL;
    char *text;

    what.containers = g_array_new (FALSE, TRUE, sizeof (CorralPlanContainer));
    what.vms = g_array_new (FALSE, TRUE, sizeof (CorralPlanVm));
    what.lines = g_ptr_array_new_with_free_func ((GDestroyNotify) g_strfreev);
    what.sets = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    what.now = g_ptr_array_new_with_free_func (g_free);
    for (guint i = 0; lines[i] != NULL; i++)
        if (lines[i][0] != '\0')
            read_line (&what, lines[i]);
    input.topology = what.topology;
    input.housekeeping = what.housekeeping;
    input.containers = (const CorralPlanContainer *) what.containers->data;
    input.n_containers = what.containers->len;
    input.vms = (const CorralPlanVm *) what.vms->data;
    input.n_vms = what.vms->len;
    plan = corral_plan_make (&input, NULL);
    g_assert_nonnull (plan);
    text = tell_plan (plan);
    g_array_unref (what.containers);
    g_array_unref (what.vms);
    g_ptr_array_unref (what.lines);
    g_ptr_array_unref (what.sets);
    g_ptr_array_unref (what.now);
    corral_topology_free (what.topology);
    return text;
}

static void
test_file (gconstpointer data)
{
    const char *path = data;
    g_autofree char *text = NULL, *made = NULL, *wishes = NULL;
    const char *expected;

    g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
    expected = strstr (text, "\nplan\n");
    g_assert_nonnull (expected);
    expected += strlen ("\nplan\n");
    wishes = g_strndup (text, (gsize) (expected - text) - strlen ("plan\n"));
    made = plan_of (wishes);
    if (write_anew) {
        g_autofree char *whole = g_strconcat (wishes, "plan\n", made, NULL);

        g_assert_true (g_file_set_contents (path, whole, -1, NULL));
        return;
    }
    if (!g_str_equal (made, expected))
        g_test_message ("%s makes:\n%s", path, made);
    g_assert_cmpstr (made, ==, expected);
}

int
main (int argc, char **argv)
{
    g_autoptr (GPtrArray) paths = g_ptr_array_new_with_free_func (g_free);
    g_autoptr (GDir) folder = NULL;
    const char *name;

    g_test_init (&argc, &argv, NULL);
    if (argc < 2 || (folder = g_dir_open (argv[1], 0, NULL)) == NULL)
        return 2;
    write_anew = argc > 2 && g_str_equal (argv[2], "--write");
    while ((name = g_dir_read_name (folder)) != NULL)
        if (g_str_has_suffix (name, ".txt")) {
            char *path = g_build_filename (argv[1], name, NULL);
            g_autofree char *test = g_strconcat ("/plans/", name, NULL);

            g_ptr_array_add (paths, path);
            g_test_add_data_func (test, path, test_file);
        }
    return paths->len > 0 ? g_test_run () : 2;
}
