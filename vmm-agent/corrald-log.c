/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/corrald-log.h"

#include <unistd.h>

void
corrald_log_init (void)
{
    /* Structured to the journal when standard error is connected to it, else as text; never to
     * standard output. */
    g_log_writer_default_set_use_stderr (TRUE);
}

void
corrald_log (GLogLevelFlags level, const char *message_id, const char *format, ...)
{
    g_autofree char *message = NULL;
    va_list args;

    va_start (args, format);
    message = g_strdup_vprintf (format, args);
    va_end (args);
    g_log_structured ("corrald", level, "MESSAGE_ID", message_id, "MESSAGE", "%s", message);
}

void
corrald_log_event (const CorralEvent *event)
{
    switch (event->type) {
    case CORRAL_EVENT_STARTED:
        g_log_structured ("corrald", G_LOG_LEVEL_MESSAGE, "MESSAGE_ID",
                          CORRALD_MESSAGE_CONTAINER_STARTED, "CORRAL_CONTAINER", event->name,
                          "MESSAGE", "container \"%s\" started", event->name);
        return;
    case CORRAL_EVENT_STOPPED:
        g_log_structured ("corrald", G_LOG_LEVEL_MESSAGE, "MESSAGE_ID",
                          CORRALD_MESSAGE_CONTAINER_STOPPED, "CORRAL_CONTAINER", event->name,
                          "MESSAGE", "container \"%s\" stopped", event->name);
        return;
    case CORRAL_EVENT_MEMBER_ADDED:
        g_log_structured ("corrald", G_LOG_LEVEL_MESSAGE, "MESSAGE_ID",
                          CORRALD_MESSAGE_MEMBER_ADDED, "CORRAL_CONTAINER", event->name,
                          "CORRAL_VM", event->detail, "MESSAGE",
                          "VM \"%s\" joined container \"%s\"", event->detail, event->name);
        return;
    case CORRAL_EVENT_MEMBER_REMOVED:
        g_log_structured ("corrald", G_LOG_LEVEL_MESSAGE, "MESSAGE_ID",
                          CORRALD_MESSAGE_MEMBER_REMOVED, "CORRAL_CONTAINER", event->name,
                          "CORRAL_VM", event->detail, "MESSAGE", "VM \"%s\" left container \"%s\"",
                          event->detail, event->name);
        return;
    case CORRAL_EVENT_DRIFT:
        g_log_structured ("corrald", G_LOG_LEVEL_WARNING, "MESSAGE_ID", CORRALD_MESSAGE_DRIFT,
                          "CORRAL_CONTAINER", event->name, "MESSAGE", "drift: %s", event->detail);
        return;
    case CORRAL_EVENT_DEFINED:
    case CORRAL_EVENT_UPDATED:
    case CORRAL_EVENT_UNDEFINED:
    case CORRAL_EVENT_TUNED:
    case CORRAL_EVENT_PINNED:
    case CORRAL_EVENT_TEXT:
        return;
    }
}
