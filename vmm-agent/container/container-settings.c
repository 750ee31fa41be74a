/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Weight and cap: checked, written, read back. */
#include "vmm-agent/container/container-private.h"

#include <errno.h>

/* The kernel's own limits: cpu.shares, and sched-bwc's quota and period. */
#define SHARES_MIN 2
#define SHARES_MAX 262144
#define QUOTA_MIN_USEC 1000
#define PERIOD_MIN_USEC 1000
#define PERIOD_MAX_USEC 1000000
/* Above it the kernel's arithmetic refuses a quota: MAX_BW in its kernel/sched/sched.h. */
#define QUOTA_MAX_USEC ((G_GINT64_CONSTANT (1) << 44) - 1)

static gboolean
find (CorralContainerCore *core, const char *path, guint feature, const char *what, char **ret_dir,
      GError **error)
{
    g_autofree char *dir = NULL;

    if (!corral_container_path_to_dir (path, &dir, error))
        return FALSE;
    if ((core->features & feature) == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "containers have no %s on this host: no mounted cpu controller offers it",
                     what);
        return FALSE;
    }
    if (!corral_io_exists (core->cpu->tree.fd, dir)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND, "no container \"%s\" exists",
                     path);
        return FALSE;
    }
    *ret_dir = g_steal_pointer (&dir);
    return TRUE;
}

gboolean
corral_container_set_weight (CorralContainerCore *core, const char *path, guint64 shares,
                             GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autofree char *dir = NULL;

    if (!find (core, path, CORRAL_FEATURE_WEIGHT, "weight", &dir, error))
        return FALSE;
    if (shares < SHARES_MIN || shares > SHARES_MAX) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot give the container \"%s\" %" G_GUINT64_FORMAT
                     " shares: the kernel takes %d to %d",
                     path, shares, SHARES_MIN, SHARES_MAX);
        return FALSE;
    }
    if (corral_backend_of (core->cpu)->write_weight (core, core->cpu, dir, shares, undo, error))
        return corral_container_done (core, undo);
    g_prefix_error (error, "cannot set the weight of the container \"%s\": ", path);
    return corral_undo_run (undo, error);
}

gboolean
corral_container_get_weight (CorralContainerCore *core, const char *path, guint64 *ret_shares,
                             GError **error)
{
    g_autofree char *dir = NULL;

    return find (core, path, CORRAL_FEATURE_WEIGHT, "weight", &dir, error) &&
           corral_backend_of (core->cpu)->read_weight (core, core->cpu, dir, ret_shares, error);
}

static gboolean
check_cap (CorralContainerCore *core, const char *path, const CorralContainerCap *cap,
           GError **error)
{
    if (cap->period_usec < PERIOD_MIN_USEC || cap->period_usec > PERIOD_MAX_USEC ||
        (cap->quota_usec != -1 &&
         (cap->quota_usec < QUOTA_MIN_USEC || cap->quota_usec > QUOTA_MAX_USEC))) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot cap the container \"%s\" at %" G_GINT64_FORMAT
                     " us in %" G_GINT64_FORMAT
                     " us: the kernel takes a period of %d to %d us and a quota of %d to "
                     "%" G_GINT64_FORMAT " us, or -1 for none",
                     path, cap->quota_usec, cap->period_usec, PERIOD_MIN_USEC, PERIOD_MAX_USEC,
                     QUOTA_MIN_USEC, QUOTA_MAX_USEC);
        return FALSE;
    }
    if (cap->burst_usec < 0 || cap->burst_usec > MAX (cap->quota_usec, 0)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                     "cannot give the container \"%s\" a burst of %" G_GINT64_FORMAT
                     " us: it must lie between 0 and the quota",
                     path, cap->burst_usec);
        return FALSE;
    }
    if (cap->burst_usec > 0 && (core->features & CORRAL_FEATURE_BURST) == 0) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_UNSUPPORTED,
                     "cannot give the container \"%s\" a burst: this host's kernel has none", path);
        return FALSE;
    }
    return TRUE;
}

static gboolean
cap_steps (CorralContainerCore *core, const char *dir, const CorralContainerCap *cap,
           CorralUndo *undo, GError **error)
{
    const CorralBackend *backend = corral_backend_of (core->cpu);
    CorralContainerCap granted;

    if (!backend->write_cap (core, core->cpu, dir, cap, undo, error) ||
        !backend->read_cap (core, core->cpu, dir, &granted, error))
        return FALSE;
    if (granted.quota_usec == cap->quota_usec && granted.period_usec == cap->period_usec &&
        granted.burst_usec == cap->burst_usec)
        return TRUE;
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_PARTIAL,
                 "the kernel granted a quota of %" G_GINT64_FORMAT " us in %" G_GINT64_FORMAT
                 " us with a burst of %" G_GINT64_FORMAT " us",
                 granted.quota_usec, granted.period_usec, granted.burst_usec);
    return FALSE;
}

gboolean
corral_container_set_cap (CorralContainerCore *core, const char *path,
                          const CorralContainerCap *cap, GError **error)
{
    g_autoptr (CorralUndo) undo = corral_undo_new ();
    g_autoptr (GError) local = NULL;
    g_autofree char *dir = NULL;

    if (!find (core, path, CORRAL_FEATURE_CAP, "cap", &dir, error) ||
        !check_cap (core, path, cap, error))
        return FALSE;
    if (cap_steps (core, dir, cap, undo, &local))
        return corral_container_done (core, undo);
    g_prefix_error (
        &local,
        "cannot cap the container \"%s\" at %" G_GINT64_FORMAT " us in %" G_GINT64_FORMAT " us%s: ",
        path, cap->quota_usec, cap->period_usec,
        core->cpu->version == 1
            ? " (its share of a period must not be larger than its parent's, nor smaller "
              "than a child's)"
            : "");
    /* v1 refuses what does not fit to the parent or a child now; nothing is wrong with the cap
     * itself. */
    if (core->cpu->version == 1 && g_error_matches (local, CORRAL_ERROR, CORRAL_ERROR_IO))
        local->code = CORRAL_ERROR_STATE;
    corral_undo_run (undo, &local);
    g_propagate_error (error, g_steal_pointer (&local));
    return FALSE;
}

gboolean
corral_container_get_cap (CorralContainerCore *core, const char *path, CorralContainerCap *ret_cap,
                          GError **error)
{
    g_autofree char *dir = NULL;

    return find (core, path, CORRAL_FEATURE_CAP, "cap", &dir, error) &&
           corral_backend_of (core->cpu)->read_cap (core, core->cpu, dir, ret_cap, error);
}
