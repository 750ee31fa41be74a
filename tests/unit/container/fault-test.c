/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Each step of each change fails in turn, and all must be as it was before. */
#include "tests/unit/container/host.h"

#include <errno.h>
#include <string.h>

typedef struct {
    Host *host;
    char *a, *b, *child; /* containers; child is a/child */
    Vm *vm;
    char *home; /* libvirt's group of the VM, in a */
    CorralThread threads[8];
    CorralContainerVm view;
    CorralCpuset *first, *two;
} World;

typedef gboolean (*Operation) (World *world, GError **error);

/* The change, and what takes it back when it succeeded. */
typedef struct {
    const char *name;
    Operation run, back;
} Case;

static gboolean
create (World *w, GError **error)
{
    g_autofree char *path = host_path (w->host, "new/deep");

    return corral_container_create (w->host->core, path, w->first, w->host->mems, error);
}

static gboolean
destroy_new (World *w, GError **error)
{
    g_autofree char *deep = host_path (w->host, "new/deep");
    g_autofree char *top = host_path (w->host, "new");

    return corral_container_destroy (w->host->core, deep, error) &&
           corral_container_destroy (w->host->core, top, error);
}

/* b has settings of its own and an empty group of ours: all that must come back. */
static gboolean
destroy (World *w, GError **error)
{
    return corral_container_destroy (w->host->core, w->b, error);
}

static gboolean
create_b (World *w, GError **error)
{
    const CorralContainerCap cap = { 30000, 60000, 0 };

    return corral_container_create (w->host->core, w->b, w->two, NULL, error) &&
           corral_container_set_weight (w->host->core, w->b, 2048, error) &&
           corral_container_set_cap (w->host->core, w->b, &cap, error);
}

static gboolean
attach (World *w, GError **error)
{
    return corral_container_attach (w->host->core, w->b, &w->view, error);
}

static gboolean
restore (World *w, GError **error)
{
    return corral_container_restore (w->host->core, w->home, &w->view, error);
}

static gboolean
add_process (World *w, GError **error)
{
    return corral_container_add_process (w->host->core, w->b, w->vm->pid, error);
}

static gboolean
add_thread (World *w, GError **error)
{
    return corral_container_add_thread (w->host->core, w->b, w->vm->pid, w->vm->tids[1], error);
}

static gboolean
attach_home (World *w, GError **error)
{
    return corral_container_attach (w->host->core, w->a, &w->view, error) &&
           corral_container_prune (w->host->core, w->b, error);
}

static gboolean
set_cpuset (World *w, GError **error)
{
    return corral_container_set_cpuset (w->host->core, w->a, w->first, w->host->mems, error);
}

static gboolean
set_cpuset_back (World *w, GError **error)
{
    return corral_container_set_cpuset (w->host->core, w->a, w->two, NULL, error);
}

static gboolean
set_cap (World *w, GError **error)
{
    const CorralContainerCap cap = { 40000, 50000, 10000 };

    return corral_container_set_cap (w->host->core, w->b, &cap, error);
}

static gboolean
set_cap_back (World *w, GError **error)
{
    const CorralContainerCap cap = { 30000, 60000, 0 };

    return corral_container_set_cap (w->host->core, w->b, &cap, error);
}

static gboolean
pin (World *w, GError **error)
{
    return corral_container_pin_thread (w->host->core, w->vm->pid, w->vm->tids[1], w->first, error);
}

static gboolean
unpin (World *w, GError **error)
{
    return corral_container_pin_thread (w->host->core, w->vm->pid, w->vm->tids[1], w->two, error);
}

static const Case cases[] = {
    { "create", create, destroy_new },
    { "destroy", destroy, create_b },
    { "attach", attach, restore },
    /* It begins, and is each time again, away in b. */
    { "restore", restore, attach },
    { "add-process", add_process, restore },
    { "add-thread", add_thread, attach_home },
    { "set-cpuset", set_cpuset, set_cpuset_back },
    { "set-cap", set_cap, set_cap_back },
    { "pin", pin, unpin },
};

static void
must (World *w, Operation operation)
{
    g_autoptr (GError) error = NULL;
    gboolean ok = operation (w, &error);

    g_assert_no_error (error);
    g_assert_true (ok);
}

static void
world_build (World *w, Host *host)
{
    g_autoptr (GError) error = NULL;

    *w = (World){ .host = host };
    w->a = host_path (host, "a");
    w->b = host_path (host, "b");
    w->child = host_path (host, "a/child");
    w->first = hwloc_bitmap_alloc ();
    hwloc_bitmap_only (w->first, host->cpu[0]);
    w->two = hwloc_bitmap_dup (w->first);
    hwloc_bitmap_set (w->two, host->cpu[1]);
    g_assert_true (corral_container_create (host->core, w->child, NULL, NULL, &error));
    must (w, set_cpuset_back);
    must (w, create_b);
    w->vm = host_spawn (host, 4);
    w->view = host_vm (w->vm, w->threads);
    w->home = host_libvirt_group (host, "a", "qemu-3-web", w->vm);
    /* In all hierarchies from the start, so that only the operation itself is looked at. */
    must (w, attach_home);
}

static void
world_clear (World *w)
{
    g_free (w->a);
    g_free (w->b);
    g_free (w->child);
    g_free (w->home);
    hwloc_bitmap_free (w->first);
    hwloc_bitmap_free (w->two);
}

/* Shows the first line that differs, not both texts. */
static void
assert_same (const char *before, const char *after, const GError *error)
{
    g_auto (GStrv) old = g_strsplit (before, "\n", -1);
    g_auto (GStrv) now = g_strsplit (after, "\n", -1);
    const char *dir = "";

    for (guint i = 0; old[i] != NULL || now[i] != NULL; i++) {
        if (g_strcmp0 (old[i], now[i]) != 0)
            g_error ("in %s: before \"%s\", after \"%s\" (%s)", dir, old[i], now[i],
                     error != NULL ? error->message : "success");
        dir = *old[i] == '/' ? old[i] : dir;
    }
}

static void
fail_each_step (World *w, const Case *c)
{
    g_autofree char *before = NULL;
    gboolean reached = TRUE;
    guint n;

    /* Once without a fault: what it leaves on for good, such as a controller, is then on before. */
    must (w, c->run);
    must (w, c->back);
    before = host_snapshot (w->host);
    for (n = 1; reached && n < 1000; n++) {
        g_autoptr (GError) error = NULL;
        g_autofree char *after = NULL;
        gboolean ok;

        host_fail_at (w->host, n, n % 2 == 0 ? EIO : EBUSY);
        ok = c->run (w, &error);
        reached = w->host->steps >= n;
        host_fail_at (w->host, 0, 0);
        if (ok) {
            /* Not every step must succeed: what only tidies up, or passes on a controller that is
             * good to have, may fail. */
            g_assert_no_error (error);
            must (w, c->back);
        } else {
            g_assert_nonnull (error);
            g_assert_null (strstr (error->message, "could not be undone"));
        }
        after = host_snapshot (w->host);
        assert_same (before, after, error);
    }
    g_assert_false (reached);
    g_assert_cmpuint (n, >, 2);
}

static void
test_each_step (gconstpointer data)
{
    const guint which = GPOINTER_TO_UINT (data) / N_HOSTS;
    g_autoptr (Host) host = host_new (GPOINTER_TO_UINT (data) % N_HOSTS);
    World world;

    if (host == NULL)
        return;
    if (g_str_equal (cases[which].name, "add-thread") &&
        (corral_container_core_features (host->core) & CORRAL_FEATURE_THREAD_ANYWHERE) == 0) {
        g_test_skip ("v2 has no such move");
        return;
    }
    world_build (&world, host);
    fail_each_step (&world, &cases[which]);
    world_clear (&world);
}

/* If taking back fails, too, the error says so, and what it could not take back. */
static void
test_undo_fails (void)
{
    g_autoptr (Host) host = host_new (HOST_FAKE_HYBRID);
    g_autoptr (GError) error = NULL;
    World world;

    world_build (&world, host);
    host_fail_at (host, 4, EIO);
    host->fail_count = 1000;
    g_assert_false (create (&world, &error));
    host_fail_at (host, 0, 0);
    g_assert_error (error, CORRAL_ERROR, CORRAL_ERROR_IO);
    g_assert_nonnull (strstr (error->message, "could not be undone"));
    world_clear (&world);
}

int
main (int argc, char **argv)
{
    g_test_init (&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS (cases) * N_HOSTS; i++) {
        g_autofree char *path = g_strdup_printf ("/container-fault/%s/%s", host_names[i % N_HOSTS],
                                                 cases[i / N_HOSTS].name);

        g_test_add_data_func (path, GUINT_TO_POINTER (i), test_each_step);
    }
    g_test_add_func ("/container-fault/undo-fails", test_undo_fails);
    return g_test_run ();
}
