/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-link.h"

#include <libvirt-glib/libvirt-glib-event.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

/* A libvirtd that is silent for KEEPALIVE_SEC * (KEEPALIVE_COUNT + 1) counts as gone. */
#define KEEPALIVE_SEC 2
#define KEEPALIVE_COUNT 3
#define RETRY_FIRST_MS 100
#define RETRY_MAX_MS 5000
/* How long to wait for the main loop to be out of libvirt's callbacks, if it runs at all. */
#define LEAVE_MS 2000

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomain, virDomainFree)

typedef enum { ORDER_QUIT, ORDER_RETRY, ORDER_CLOSED, ORDER_DESCRIBE, ORDER_LEFT } OrderType;

typedef struct {
    OrderType type;
    char *name;
} Order;

/* Shared by the main context, which alone touches @func, and the thread. */
struct _CorralVmLink {
    gatomicrefcount refs;
    GMainContext *context;
    CorralVmLinkFunc func; /* (nullable) */
    gpointer data;
    char *uri;
    GAsyncQueue *orders;
    gboolean quit; /* of the thread alone */
};

typedef struct {
    CorralVmLink *link;
    CorralVmLinkReport report;
} Posted;

static void
order_free (gpointer data)
{
    Order *order = data;

    g_free (order->name);
    g_free (order);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Order, order_free)

static CorralVmLink *
link_ref (CorralVmLink *link)
{
    g_atomic_ref_count_inc (&link->refs);
    return link;
}

static void
link_unref (void *data)
{
    CorralVmLink *link = data;

    if (!g_atomic_ref_count_dec (&link->refs))
        return;
    g_main_context_unref (link->context);
    g_async_queue_unref (link->orders);
    g_free (link->uri);
    g_free (link);
}

static void
give_order (CorralVmLink *link, OrderType type, const char *name)
{
    Order *order = g_new0 (Order, 1);

    order->type = type;
    order->name = g_strdup (name);
    g_async_queue_push (link->orders, order);
}

/* --- reports: from any thread to the main context --- */

static void
posted_free (gpointer data)
{
    Posted *posted = data;

    link_unref (posted->link);
    g_free (posted->report.name);
    g_free (posted->report.text);
    g_free (posted);
}

static gboolean
deliver (gpointer data)
{
    Posted *posted = data;

    if (posted->link->func != NULL)
        posted->link->func (&posted->report, posted->link->data);
    return G_SOURCE_REMOVE;
}

static void
post (CorralVmLink *link, CorralVmLinkReportType type, const char *name, const char *text,
      CorralVmState state, gboolean starting)
{
    g_autoptr (GSource) source = g_idle_source_new ();
    Posted *posted = g_new0 (Posted, 1);

    posted->link = link_ref (link);
    posted->report.type = type;
    posted->report.name = g_strdup (name);
    posted->report.text = g_strdup (text);
    posted->report.state = state;
    posted->report.starting = starting;
    g_source_set_priority (source, G_PRIORITY_DEFAULT);
    g_source_set_callback (source, deliver, posted, posted_free);
    g_source_attach (source, link->context);
}

static void
post_simple (CorralVmLink *link, CorralVmLinkReportType type, const char *name, const char *text)
{
    post (link, type, name, text, CORRAL_VM_OTHER, FALSE);
}

/* --- libvirt's callbacks: in the default main context --- */

static int
on_lifecycle (virConnectPtr connection, virDomainPtr domain, int event, int detail, void *data)
{
    post_simple (data, CORRAL_VM_LINK_CHANGED, virDomainGetName (domain), NULL);
    return 0;
}

static void
on_metadata (virConnectPtr connection, virDomainPtr domain, int type, const char *uri, void *data)
{
    if (type == VIR_DOMAIN_METADATA_ELEMENT && uri != NULL)
        post_simple (data, CORRAL_VM_LINK_METADATA, virDomainGetName (domain), uri);
}

static void
on_close (virConnectPtr connection, int reason, void *data)
{
    give_order (data, ORDER_CLOSED, NULL);
}

/* --- the thread --- */

typedef struct {
    virConnectPtr connection;
    int lifecycle, metadata; /* callback ids, -1: none */
    gboolean has_close;
} Session;

/* Everything is subscribed to before anything is read, so that no change falls in between. */
static gboolean
session_open (CorralVmLink *link, Session *session)
{
    virConnectPtr connection;

    *session = (Session){ .lifecycle = -1, .metadata = -1 };
    session->connection = connection = virConnectOpenReadOnly (link->uri);
    if (connection == NULL)
        return FALSE;
    session->has_close =
        virConnectRegisterCloseCallback (connection, on_close, link_ref (link), link_unref) == 0;
    if (!session->has_close) {
        link_unref (link);
        return FALSE;
    }
    session->lifecycle =
        virConnectDomainEventRegisterAny (connection, NULL, VIR_DOMAIN_EVENT_ID_LIFECYCLE,
                                          VIR_DOMAIN_EVENT_CALLBACK (on_lifecycle), link_ref (link),
                                          link_unref);
    if (session->lifecycle < 0)
        link_unref (link);
    session->metadata =
        virConnectDomainEventRegisterAny (connection, NULL, VIR_DOMAIN_EVENT_ID_METADATA_CHANGE,
                                          VIR_DOMAIN_EVENT_CALLBACK (on_metadata), link_ref (link),
                                          link_unref);
    if (session->metadata < 0)
        link_unref (link);
    if (session->lifecycle < 0 || session->metadata < 0)
        return FALSE;
    return virConnectSetKeepAlive (connection, KEEPALIVE_SEC, KEEPALIVE_COUNT) >= 0;
}

static gboolean
tell_left (gpointer data)
{
    give_order (data, ORDER_LEFT, NULL);
    return G_SOURCE_REMOVE;
}

/* While the main loop is in a callback of libvirt, it holds a reference on the connection. Were
 * that the last one, the main loop itself would say good-bye to libvirtd, and wait for the answer.
 * So after the callbacks are taken away, the main loop passes by once before the connection is
 * closed here. */
static void
wait_for_main_loop (CorralVmLink *link)
{
    g_autoptr (GSource) source = g_idle_source_new ();
    gint64 end = g_get_monotonic_time () + LEAVE_MS * 1000;
    gint64 left;

    g_source_set_priority (source, G_PRIORITY_DEFAULT);
    g_source_set_callback (source, tell_left, link_ref (link), link_unref);
    g_source_attach (source, NULL);
    while ((left = end - g_get_monotonic_time ()) > 0) {
        g_autoptr (Order) order = g_async_queue_timeout_pop (link->orders, (guint64) left);

        if (order != NULL && order->type == ORDER_QUIT)
            link->quit = TRUE;
        if (order != NULL && order->type == ORDER_LEFT)
            break;
    }
    g_source_destroy (source);
}

static void
session_close (CorralVmLink *link, Session *session)
{
    if (session->connection == NULL)
        return;
    if (session->lifecycle >= 0)
        virConnectDomainEventDeregisterAny (session->connection, session->lifecycle);
    if (session->metadata >= 0)
        virConnectDomainEventDeregisterAny (session->connection, session->metadata);
    if (session->has_close)
        virConnectUnregisterCloseCallback (session->connection, on_close);
    wait_for_main_loop (link);
    virConnectClose (session->connection);
}

static gboolean
name_all (CorralVmLink *link, virConnectPtr connection)
{
    virDomainPtr *domains = NULL;
    int n_domains =
        virConnectListAllDomains (connection, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);

    if (n_domains < 0)
        return FALSE;
    for (int i = 0; i < n_domains; i++) {
        post_simple (link, CORRAL_VM_LINK_CHANGED, virDomainGetName (domains[i]), NULL);
        virDomainFree (domains[i]);
    }
    free (domains);
    return TRUE;
}

static void
describe (CorralVmLink *link, virConnectPtr connection, const char *name)
{
    g_autoptr (virDomain) domain = virDomainLookupByName (connection, name);
    CorralVmState state = CORRAL_VM_OTHER;
    int value, reason;
    char *xml;

    if (domain == NULL || virDomainGetState (domain, &value, &reason, 0) < 0)
        return;
    xml = virDomainGetXMLDesc (domain, 0);
    if (xml == NULL)
        return;
    if (value == VIR_DOMAIN_RUNNING || value == VIR_DOMAIN_BLOCKED)
        state = CORRAL_VM_RUNNING;
    else if (value == VIR_DOMAIN_PAUSED || value == VIR_DOMAIN_PMSUSPENDED)
        state = CORRAL_VM_PAUSED;
    if (value != VIR_DOMAIN_SHUTOFF)
        post (link, CORRAL_VM_LINK_DESCRIBED, name, xml, state,
              value == VIR_DOMAIN_PAUSED && reason == VIR_DOMAIN_PAUSED_STARTING_UP);
    free (xml);
}

static void
serve (CorralVmLink *link, virConnectPtr connection)
{
    while (!link->quit) {
        g_autoptr (Order) order = g_async_queue_pop (link->orders);

        if (order->type == ORDER_QUIT)
            link->quit = TRUE;
        else if (order->type == ORDER_CLOSED)
            return;
        else if (order->type == ORDER_DESCRIBE)
            describe (link, connection, order->name);
    }
}

/* Until @delay_ms is over or somebody says that trying is worth it. */
static gboolean
wait_to_retry (CorralVmLink *link, guint delay_ms)
{
    gint64 end = g_get_monotonic_time () + (gint64) delay_ms * 1000;
    gint64 left;

    while (!link->quit && (left = end - g_get_monotonic_time ()) > 0) {
        g_autoptr (Order) order = g_async_queue_timeout_pop (link->orders, (guint64) left);

        if (order != NULL && order->type == ORDER_QUIT)
            link->quit = TRUE;
        if (order != NULL && order->type == ORDER_RETRY)
            return TRUE;
    }
    return FALSE;
}

static gpointer
run (gpointer data)
{
    CorralVmLink *link = data;
    guint delay_ms = RETRY_FIRST_MS;

    while (!link->quit) {
        Session session;

        if (session_open (link, &session) && name_all (link, session.connection)) {
            delay_ms = RETRY_FIRST_MS;
            post_simple (link, CORRAL_VM_LINK_UP, NULL, NULL);
            serve (link, session.connection);
            post_simple (link, CORRAL_VM_LINK_DOWN, NULL,
                         "libvirtd has closed the connection, or no "
                         "longer answers");
        } else
            post_simple (link, CORRAL_VM_LINK_DOWN, NULL, virGetLastErrorMessage ());
        session_close (link, &session);
        if (wait_to_retry (link, delay_ms))
            delay_ms = RETRY_FIRST_MS;
        else
            delay_ms = MIN (delay_ms * 2, RETRY_MAX_MS);
    }
    link_unref (link);
    return NULL;
}

/* --- for the main context
 * ------------------------------------------------------------------------- */

/* libvirt would print its errors; they are reported instead. */
static void
print_nothing (void *data, virErrorPtr error)
{
}

CorralVmLink *
corral_vm_link_new (const char *uri, CorralVmLinkFunc func, gpointer data)
{
    static gsize once = 0;
    CorralVmLink *link = g_new0 (CorralVmLink, 1);

    if (g_once_init_enter (&once)) {
        virSetErrorFunc (NULL, print_nothing);
        gvir_event_register ();
        g_once_init_leave (&once, 1);
    }
    g_atomic_ref_count_init (&link->refs);
    link->context = g_main_context_ref_thread_default ();
    link->func = func;
    link->data = data;
    link->uri = g_strdup (uri);
    link->orders = g_async_queue_new_full (order_free);
    g_thread_unref (g_thread_new ("libvirt", run, link_ref (link)));
    return link;
}

void
corral_vm_link_free (CorralVmLink *link)
{
    if (link == NULL)
        return;
    link->func = NULL;
    give_order (link, ORDER_QUIT, NULL);
    link_unref (link);
}

void
corral_vm_link_retry (CorralVmLink *link)
{
    give_order (link, ORDER_RETRY, NULL);
}

void
corral_vm_link_describe (CorralVmLink *link, const char *name)
{
    give_order (link, ORDER_DESCRIBE, name);
}
