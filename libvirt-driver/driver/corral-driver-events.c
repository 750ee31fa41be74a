/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "libvirt-driver/driver/corral-driver-private.h"

/*
 * The agent's events as libvirt's. A client registers for one kind of event at a time, of one
 * domain or of all, and each event that it gets carries the number that its registration was
 * answered with. The agent emits in order, and a client's queue keeps the order.
 *
 * Clients from before 2014 do not know of these numbers. They register for a kind, of
 * every domain, and get events without a number, as libvirt still serves them.
 */

/* More than one client of libvirt has any use for; python's and virsh's register each kind once. */
#define REGISTRATIONS_MAX 1024

/* Of one kind, and of one domain or all of them: libvirt's own client library asks once, however
 * many callbacks it has. Each is one more message for each event, and on the read-only socket
 * anyone may ask. */
#define SAME_MAX 16

typedef struct {
    int callback; /* 0: the older way */
    int event;    /* virDomainEventID */
    gboolean one_domain;
    guint8 uuid[CORRAL_UUID_BYTES];
} Registration;

/* What hangs on a client. */
typedef struct {
    CorralDriver *driver; /* NULL once the driver is freed */
    CorralRpcClient *client;
    GArray *registrations; /* of Registration */
    int next_callback;
} Subscriber;

static void
subscriber_free (gpointer data)
{
    Subscriber *subscriber = data;

    if (subscriber->driver != NULL)
        g_ptr_array_remove (subscriber->driver->subscribers, subscriber);
    g_array_unref (subscriber->registrations);
    g_free (subscriber);
}

static Subscriber *
subscriber_of (CorralDriver *driver, CorralRpcClient *client)
{
    Subscriber *subscriber = corral_rpc_client_get_data (client);

    if (subscriber == NULL) {
        subscriber = g_new0 (Subscriber, 1);
        subscriber->driver = driver;
        subscriber->client = client;
        subscriber->registrations = g_array_new (FALSE, FALSE, sizeof (Registration));
        subscriber->next_callback = 1;
        g_ptr_array_add (driver->subscribers, subscriber);
        corral_rpc_client_set_data (client, subscriber, subscriber_free);
    }
    return subscriber;
}

/* --- registration --- */

static gboolean
is_same (const Registration *one, const Registration *other)
{
    return one->event == other->event && one->one_domain == other->one_domain &&
           memcmp (one->uuid, other->uuid, sizeof one->uuid) == 0;
}

static guint
count_same (const GArray *registrations, const Registration *registration)
{
    guint count = 0;

    for (guint i = 0; i < registrations->len; i++)
        count += is_same (&g_array_index (registrations, Registration, i), registration) ? 1 : 0;
    return count;
}

/* @registration: its callback is set here unless it is of the older kind. */
static gboolean
add_registration (CorralDriver *driver, CorralRpcClient *client, Registration *registration,
                  gboolean old, GError **error)
{
    Subscriber *subscriber = subscriber_of (driver, client);

    if (subscriber->registrations->len >= REGISTRATIONS_MAX) {
        corral_driver_error (error, VIR_ERR_OPERATION_FAILED,
                             "a connection may register for events %d times", REGISTRATIONS_MAX);
        return FALSE;
    }
    if (count_same (subscriber->registrations, registration) >= SAME_MAX) {
        corral_driver_error (error, VIR_ERR_OPERATION_FAILED,
                             "a connection may register for the same events %d times", SAME_MAX);
        return FALSE;
    }
    if (!old) {
        registration->callback = subscriber->next_callback;
        subscriber->next_callback =
            subscriber->next_callback == G_MAXINT ? 1 : subscriber->next_callback + 1;
    }
    g_array_append_val (subscriber->registrations, *registration);
    return TRUE;
}

/* Kinds that no container ever has are taken too, and stay silent: a client asks for all. */
static gboolean
check_event (int event, int last, GError **error)
{
    if (event >= 0 && event <= last)
        return TRUE;
    corral_driver_error (error, VIR_ERR_INTERNAL_ERROR, "unsupported event ID %d", event);
    return FALSE;
}

static gboolean
event_register (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                GError **error)
{
    const CorralWireEventRegisterArgs *wanted = args;
    Registration registration = { .event = wanted->event };

    if (!check_event (wanted->event, VIR_DOMAIN_EVENT_ID_MEMORY_DEVICE_SIZE_CHANGE, error))
        return FALSE;
    if (wanted->dom != NULL) {
        registration.one_domain = TRUE;
        memcpy (registration.uuid, wanted->dom->uuid, sizeof registration.uuid);
    }
    if (!add_registration (driver, client, &registration, FALSE, error))
        return FALSE;
    ((CorralWireInt *) ret)->value = registration.callback;
    return TRUE;
}

/* Takes away the first that fits: by @callback, or, where that is 0, an older one by @event. */
static gboolean
remove_registration (CorralRpcClient *client, int callback, int event)
{
    Subscriber *subscriber = corral_rpc_client_get_data (client);

    for (guint i = 0; subscriber != NULL && i < subscriber->registrations->len; i++) {
        const Registration *at = &g_array_index (subscriber->registrations, Registration, i);

        if (at->callback == callback && (callback != 0 || at->event == event)) {
            g_array_remove_index (subscriber->registrations, i);
            return TRUE;
        }
    }
    return FALSE;
}

static gboolean
event_deregister (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                  GError **error)
{
    const CorralWireInt *callback = args;

    if (callback->value != 0 && remove_registration (client, callback->value, -1))
        return TRUE;
    corral_driver_error (error, VIR_ERR_INTERNAL_ERROR, "domain event callback %d not registered",
                         callback->value);
    return FALSE;
}

/* --- the older way --- */

static gboolean
old_register (CorralDriver *driver, CorralRpcClient *client, int event, GError **error)
{
    Registration registration = { .event = event };

    return check_event (event, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, error) &&
           add_registration (driver, client, &registration, TRUE, error);
}

static gboolean
old_deregister (CorralRpcClient *client, int event, GError **error)
{
    if (!check_event (event, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, error))
        return FALSE;
    if (remove_registration (client, 0, event))
        return TRUE;
    corral_driver_error (error, VIR_ERR_INTERNAL_ERROR, "domain event %d not registered", event);
    return FALSE;
}

static gboolean
event_register_any (CorralDriver *driver, CorralRpcClient *client, gconstpointer args, gpointer ret,
                    GError **error)
{
    return old_register (driver, client, ((const CorralWireInt *) args)->value, error);
}

static gboolean
event_deregister_any (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                      gpointer ret, GError **error)
{
    return old_deregister (client, ((const CorralWireInt *) args)->value, error);
}

/* These answer a number that no client has ever looked at; libvirt leaves it 0. */
static gboolean
event_register_lifecycle (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                          gpointer ret, GError **error)
{
    return old_register (driver, client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, error);
}

static gboolean
event_deregister_lifecycle (CorralDriver *driver, CorralRpcClient *client, gconstpointer args,
                            gpointer ret, GError **error)
{
    return old_deregister (client, VIR_DOMAIN_EVENT_ID_LIFECYCLE, error);
}

/* --- messages --- */

/* One event in libvirt's shape: which message of the union is in use follows from @procedure. All
 * of them start with the callback's number. */
typedef struct {
    int event;     /* virDomainEventID */
    int procedure; /* CORRAL_PROC_* */
    union {
        int callback;
        CorralWireEventLifecycle lifecycle;
        CorralWireEventTunable tunable;
        CorralWireEventDevice device;
        CorralWireEventMetadata metadata;
    } body;
} Message;

static void
set_domain (CorralWireDomain *domain, const CorralEvent *event)
{
    corral_rpc_domain_set (domain, event->name, event->uuid, event->id);
}

static void
fill_lifecycle (Message *message, const CorralEvent *event, int kind, int detail)
{
    message->event = VIR_DOMAIN_EVENT_ID_LIFECYCLE;
    message->procedure = CORRAL_PROC_DOMAIN_EVENT_CALLBACK_LIFECYCLE;
    set_domain (&message->body.lifecycle.dom, event);
    message->body.lifecycle.event = kind;
    message->body.lifecycle.detail = detail;
}

static void
fill_device (Message *message, const CorralEvent *event, int id, int procedure)
{
    message->event = id;
    message->procedure = procedure;
    set_domain (&message->body.device.dom, event);
    message->body.device.alias = g_strdup (event->detail != NULL ? event->detail : "");
}

/* Under both of libvirt's names, as schedinfo shows it. */
static void
add_tune (CorralRpcParams *params, const CorralCpuTune *tune)
{
    gint64 quota = tune->quota_usec == CORRAL_QUOTA_NONE ? -1 : tune->quota_usec;

    if (tune->shares != -1)
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_TUNABLE_CPU_CPU_SHARES,
                                      (guint64) tune->shares);
    if (tune->period_usec != -1) {
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_TUNABLE_CPU_VCPU_PERIOD,
                                      (guint64) tune->period_usec);
        corral_rpc_params_add_ullong (params, VIR_DOMAIN_TUNABLE_CPU_GLOBAL_PERIOD,
                                      (guint64) tune->period_usec);
    }
    if (tune->quota_usec != -1) {
        corral_rpc_params_add_llong (params, VIR_DOMAIN_TUNABLE_CPU_VCPU_QUOTA, quota);
        corral_rpc_params_add_llong (params, VIR_DOMAIN_TUNABLE_CPU_GLOBAL_QUOTA, quota);
    }
    if (tune->burst_usec != -1)
        corral_rpc_params_add_ullong (params, "cputune." CORRAL_DRIVER_SCHED_BURST,
                                      (guint64) tune->burst_usec);
}

static gboolean
tune_is_empty (const CorralCpuTune *tune)
{
    return tune->shares == -1 && tune->period_usec == -1 && tune->quota_usec == -1 &&
           tune->burst_usec == -1;
}

/* A change of the container's own pCPUs is an event without any tune field; see
 * corral_agent_set_cpuset(). */
static void
add_cpus (CorralDriver *driver, const CorralEvent *event, CorralRpcParams *params)
{
    g_autoptr (CorralCpuset) cpus = NULL;
    g_autofree char *list = NULL;

    if (!corral_agent_get_cpuset (driver->agent, event->name, CORRAL_AFFECT_LIVE, &cpus, NULL))
        return;
    list = corral_cpuset_format (cpus);
    corral_rpc_params_add_string (params, VIR_DOMAIN_TUNABLE_CPU_EMULATORPIN, list);
}

static void
fill_tunable (CorralDriver *driver, Message *message, const CorralEvent *event)
{
    g_autoptr (CorralRpcParams) params = corral_rpc_params_new ();
    CorralWireEventTunable *tunable = &message->body.tunable;

    message->event = VIR_DOMAIN_EVENT_ID_TUNABLE;
    message->procedure = CORRAL_PROC_DOMAIN_EVENT_CALLBACK_TUNABLE;
    set_domain (&tunable->dom, event);
    if (event->type == CORRAL_EVENT_PINNED) {
        g_autofree char *key = g_strdup_printf (VIR_DOMAIN_TUNABLE_CPU_VCPUPIN, event->index);

        corral_rpc_params_add_string (params, key, event->detail != NULL ? event->detail : "");
    } else if (tune_is_empty (&event->tune)) {
        add_cpus (driver, event, params);
    } else {
        add_tune (params, &event->tune);
    }
    tunable->params.params_val =
        corral_rpc_params_steal (g_steal_pointer (&params), &tunable->params.params_len);
}

static void
fill_text (Message *message, const CorralEvent *event)
{
    CorralWireEventMetadata *metadata = &message->body.metadata;

    message->event = VIR_DOMAIN_EVENT_ID_METADATA_CHANGE;
    message->procedure = CORRAL_PROC_DOMAIN_EVENT_CALLBACK_METADATA_CHANGE;
    set_domain (&metadata->dom, event);
    metadata->type = event->text == CORRAL_TEXT_TITLE         ? VIR_DOMAIN_METADATA_TITLE
                     : event->text == CORRAL_TEXT_DESCRIPTION ? VIR_DOMAIN_METADATA_DESCRIPTION
                                                              : VIR_DOMAIN_METADATA_ELEMENT;
    if (event->text == CORRAL_TEXT_METADATA)
        metadata->uri = corral_rpc_opt_string_new (event->detail);
}

/* The element that virDomainGetMetadata() gives for this URI is another one now. */
static void
fill_drift (Message *message, const CorralEvent *event)
{
    CorralEvent text = *event;

    text.text = CORRAL_TEXT_METADATA;
    text.detail = CORRAL_DRIVER_DRIFT_URI;
    fill_text (message, &text);
}

static void
fill_message (CorralDriver *driver, Message *message, const CorralEvent *event)
{
    switch (event->type) {
    case CORRAL_EVENT_DEFINED:
        fill_lifecycle (message, event, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_ADDED);
        break;
    case CORRAL_EVENT_UPDATED:
        fill_lifecycle (message, event, VIR_DOMAIN_EVENT_DEFINED, VIR_DOMAIN_EVENT_DEFINED_UPDATED);
        break;
    case CORRAL_EVENT_UNDEFINED:
        fill_lifecycle (message, event, VIR_DOMAIN_EVENT_UNDEFINED,
                        VIR_DOMAIN_EVENT_UNDEFINED_REMOVED);
        break;
    case CORRAL_EVENT_STARTED:
        fill_lifecycle (message, event, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STARTED_BOOTED);
        break;
    case CORRAL_EVENT_STOPPED:
        fill_lifecycle (message, event, VIR_DOMAIN_EVENT_STOPPED,
                        VIR_DOMAIN_EVENT_STOPPED_DESTROYED);
        break;
    case CORRAL_EVENT_MEMBER_ADDED:
        fill_device (message, event, VIR_DOMAIN_EVENT_ID_DEVICE_ADDED,
                     CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_ADDED);
        break;
    case CORRAL_EVENT_MEMBER_REMOVED:
        fill_device (message, event, VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED,
                     CORRAL_PROC_DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED);
        break;
    case CORRAL_EVENT_TUNED:
    case CORRAL_EVENT_PINNED:
        fill_tunable (driver, message, event);
        break;
    case CORRAL_EVENT_DRIFT:
        fill_drift (message, event);
        break;
    case CORRAL_EVENT_TEXT:
        fill_text (message, event);
        break;
    }
}

static void
message_clear (Message *message)
{
    const CorralRpcProcedure *procedure = corral_rpc_procedure_lookup (message->procedure);

    xdr_free (procedure->args_filter, (char *) &message->body);
}

/* --- sending --- */

/* Of the kinds that the older way knows, a container has two. @message keeps what it holds. */
static void
send_old (const Subscriber *subscriber, const Message *message)
{
    if (message->event == VIR_DOMAIN_EVENT_ID_LIFECYCLE) {
        const CorralWireEventLifecycle *lifecycle = &message->body.lifecycle;
        CorralWireOldEventLifecycle old = { lifecycle->dom, lifecycle->event, lifecycle->detail };

        corral_rpc_client_send_event (subscriber->client, CORRAL_PROC_DOMAIN_EVENT_LIFECYCLE, &old);
    } else if (message->event == VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED) {
        CorralWireOldEventDevice old = { message->body.device.dom, message->body.device.alias };

        corral_rpc_client_send_event (subscriber->client, CORRAL_PROC_DOMAIN_EVENT_DEVICE_REMOVED,
                                      &old);
    }
}

static void
send_to (const Subscriber *subscriber, Message *message, const guint8 *uuid)
{
    for (guint i = 0; i < subscriber->registrations->len; i++) {
        const Registration *registration =
            &g_array_index (subscriber->registrations, Registration, i);

        if (registration->event != message->event ||
            (registration->one_domain &&
             memcmp (registration->uuid, uuid, sizeof registration->uuid) != 0))
            continue;
        if (registration->callback == 0) {
            send_old (subscriber, message);
            continue;
        }
        message->body.callback = registration->callback;
        corral_rpc_client_send_event (subscriber->client, message->procedure, &message->body);
    }
}

static void
on_event (CorralAgent *agent, const CorralEvent *event, CorralDriver *driver)
{
    Message message = { 0 };

    if (driver->subscribers->len == 0)
        return;
    fill_message (driver, &message, event);
    for (guint i = 0; i < driver->subscribers->len; i++)
        send_to (g_ptr_array_index (driver->subscribers, i), &message, event->uuid);
    message_clear (&message);
}

void
corral_driver_events_init (CorralDriver *driver)
{
    driver->subscribers = g_ptr_array_new ();
    driver->event_handler =
        g_signal_connect (driver->agent, "event", G_CALLBACK (on_event), driver);
}

/* Clients may outlive the driver for as long as the server does. */
void
corral_driver_events_clear (CorralDriver *driver)
{
    g_signal_handler_disconnect (driver->agent, driver->event_handler);
    for (guint i = 0; i < driver->subscribers->len; i++)
        ((Subscriber *) g_ptr_array_index (driver->subscribers, i))->driver = NULL;
    g_ptr_array_unref (driver->subscribers);
}

const CorralDriverEntry corral_driver_event_calls[] = {
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY, event_register },
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY, event_deregister },
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_REGISTER, event_register_lifecycle },
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER, event_deregister_lifecycle },
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_REGISTER_ANY, event_register_any },
    { CORRAL_PROC_CONNECT_DOMAIN_EVENT_DEREGISTER_ANY, event_deregister_any },
    { 0 },
};
