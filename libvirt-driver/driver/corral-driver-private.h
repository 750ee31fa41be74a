/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the driver's files share. */
#pragma once

#include "libvirt-driver/driver/corral-driver-host.h"
#include "libvirt-driver/driver/corral-driver.h"
#include "libvirt-driver/rpc/corral-rpc-params.h"

/* Constants only: nothing here calls into libvirt. */
#include <libvirt/libvirt.h>

#define CORRAL_DRIVER_TYPE "Corral"
#define CORRAL_DRIVER_URI "corral:///system"
/* Elements that are served as metadata of a container, and never stored. */
#define CORRAL_DRIVER_PLAN_URI "urn:corral:plan:1"
#define CORRAL_DRIVER_EXPLAIN_URI "urn:corral:explain:1"
#define CORRAL_DRIVER_DRIFT_URI "urn:corral:drift:1"
/* What a domain's vCPU lists and a host's cpumaps may hold on the wire. */
#define CORRAL_DRIVER_VCPUS_MAX CORRAL_WIRE_VCPUS_MAX

typedef gboolean (*CorralDriverCall) (CorralDriver *driver, CorralRpcClient *client,
                                      gconstpointer args, gpointer ret, GError **error);

/* One row of a file's table of handlers. */
typedef struct {
    int procedure; /* CORRAL_PROC_* */
    CorralDriverCall call;
} CorralDriverEntry;

struct _CorralDriver {
    CorralAgent *agent;
    CorralRpcServer *server;
    CorralDriverHost *host;
    GPtrArray *bindings;    /* what the server's handlers point to */
    GPtrArray *subscribers; /* clients that asked for events, oldest first; borrowed */
    gulong event_handler;
};

/* Each file's table; the entry with procedure 0 ends it. */
extern const CorralDriverEntry corral_driver_connect_calls[];
extern const CorralDriverEntry corral_driver_domain_calls[];
extern const CorralDriverEntry corral_driver_life_calls[];
extern const CorralDriverEntry corral_driver_device_calls[];
extern const CorralDriverEntry corral_driver_text_calls[];
extern const CorralDriverEntry corral_driver_vcpu_calls[];
extern const CorralDriverEntry corral_driver_sched_calls[];
extern const CorralDriverEntry corral_driver_numa_calls[];
extern const CorralDriverEntry corral_driver_stats_calls[];
extern const CorralDriverEntry corral_driver_node_calls[];
extern const CorralDriverEntry corral_driver_event_calls[];
extern const CorralDriverEntry corral_driver_plan_calls[];

/* --- corral-driver-error.c --- */

/* Sets an error that travels as @code, a virErrorNumber. Without libvirt's words in front of it:
 * those are added to every error on its way out. */
void corral_driver_error (GError **error, int code, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* Puts the words that libvirt has for the error's code in front of its message. */
void corral_driver_dress_error (GError *error);

/* --- corral-driver-common.c --- */

/* The container that a client means: by UUID, as libvirt does it. */
const CorralContainer *corral_driver_find (CorralDriver *driver, const CorralWireDomain *dom,
                                           GError **error);

/* The same, for calls that make sense while it is active only. */
const CorralContainer *corral_driver_find_active (CorralDriver *driver, const CorralWireDomain *dom,
                                                  GError **error);

const char *corral_driver_name (const CorralContainer *container);
gboolean corral_driver_is_active (const CorralContainer *container);
void corral_driver_fill_domain (const CorralContainer *container, CorralWireDomain *ret_domain);

/* %FALSE when @flags holds a bit that @known does not. */
gboolean corral_driver_check_flags (guint flags, guint known, const char *api, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* What VIR_DOMAIN_AFFECT_* in @flags mean for @container: a set of CorralAffect. Other bits are not
 * looked at. */
gboolean corral_driver_affect (const CorralContainer *container, guint flags, guint *ret_affect,
                               GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* The same for a call that reads, so that both at once is refused. Gives the definition meant. */
gboolean corral_driver_affect_one (const CorralContainer *container, guint flags, guint *ret_affect,
                                   const CorralDefinition **ret_definition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-driver-cpumap.c --- */

/* libvirt's cpumap, lowest CPU in the lowest bit of the first byte. @size bytes at @map, zeroed. */
void corral_driver_cpumap_fill (const CorralCpuset *set, guint8 *map, gsize size);
/* (transfer full): all of it, also those above CORRAL_CPUSET_MAX, for which there is no place: who
 * asks for them is to be refused. */
CorralCpuset *corral_driver_cpumap_read (const guint8 *map, gsize size);

/* --- corral-driver-domain.c --- */

/* Whether it passes a filter of virConnectListAllDomains(). */
gboolean corral_driver_matches (const CorralContainer *container, guint flags);
/* (transfer container): of CorralContainer, sorted by name: those that pass. */
GPtrArray *corral_driver_collect (CorralDriver *driver, guint flags);
/* virDomainState, and a reason that belongs to it. */
void corral_driver_state (const CorralContainer *container, int *ret_state, int *ret_reason);

/* --- corral-driver-events.c --- */

void corral_driver_events_init (CorralDriver *driver);
void corral_driver_events_clear (CorralDriver *driver);

/* --- corral-driver-plan.c --- */

gboolean corral_driver_is_plan_uri (const char *uri);
/* (transfer full): what is served for it */
char *corral_driver_get_plan (CorralDriver *driver, const CorralContainer *container,
                              const char *uri, GError **error);
/* Applies the <plan> in @value. */
gboolean corral_driver_set_plan (CorralDriver *driver, const char *uri, const char *value,
                                 guint flags, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- corral-driver-sched.c --- */

#define CORRAL_DRIVER_SCHED_BURST "corral.burst"
