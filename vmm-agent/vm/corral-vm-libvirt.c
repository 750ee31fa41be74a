/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* VMs of libvirt.
 *
 * Facts come from the status files that libvirtd writes for itself, as soon as anything changes and
 * before it tells anybody: they are one consistent picture, they can be read while libvirtd hangs
 * or is away, and they are replaced by a rename, which inotify reports; so vCPU hotplug is seen
 * too, for which libvirt has no event. libvirt's events say when to read again as well, carry the
 * changes of metadata, and its API is asked for a domain whose status file cannot be understood.
 *
 * A VM is left alone until libvirt is done with its start, since it sorts the VM's threads into
 * cgroups until then, and would fail if they were moved meanwhile. */
#include "vmm-agent/vm/corral-vm-link.h"
#include "vmm-agent/vm/corral-vm-source.h"
#include "vmm-agent/vm/corral-vm-status.h"

#include "common/corral-error.h"

#include <string.h>

#define READ_AT_ONCE 4

struct _CorralVmLibvirt {
    CorralVmInventory *inventory;
    CorralVmNotify *notify;
    CorralVmLink *link;
    char *state_dir;
    guint state_watch, socket_watch;
    GHashTable *pending; /* names to be read when the main loop is next idle */
    GSource *read_soon;
    gboolean scan_pending, scanned;
    gboolean is_read;
    gboolean connected;
    char *reason;
};

/* A process that holds its pid file locked is the one that libvirt started. Where libvirt does not
 * keep it locked, the process must at least be where libvirt or we have put this VM. */
static gboolean
is_this_vm (CorralVmLibvirt *libvirt, const CorralVmProcess *process, gboolean locked,
            const char *group)
{
    g_autofree char *now = NULL;

    if (locked)
        return TRUE;
    now = corral_vm_inventory_group_of (libvirt->inventory, process->pid);
    return now != NULL &&
           (g_strcmp0 (now, group) == 0 || corral_vm_inventory_is_group_of_ours (now));
}

static gboolean
find_process (CorralVmLibvirt *libvirt, const char *name, const char *group,
              CorralVmProcess *ret_process)
{
    gboolean locked;
    pid_t pid;

    return corral_vm_status_read_pid (libvirt->state_dir, name, &pid, &locked, NULL) &&
           corral_vm_process_read (pid, ret_process) &&
           is_this_vm (libvirt, ret_process, locked, group);
}

static void
put_status (CorralVmLibvirt *libvirt, const CorralVmStatus *status)
{
    g_autofree char *group = NULL;
    CorralVmFacts facts = {
        .name = status->name,
        .source = CORRAL_VM_LIBVIRT,
        .state = status->state,
        .partition = status->partition,
        .threads = status->vcpus,
        .wishes = status->wishes,
        .wish = status->wish,
        .pins = status->pins,
        .emulator_pin = status->emulator_pin,
        .iothread_pins = status->iothread_pins,
        .any_pin = status->any_pin,
    };

    group = corral_vm_status_group (status->partition != NULL ? status->partition : "/machine",
                                    status->id, status->name);
    if (status->starting || !find_process (libvirt, status->name, group, &facts.process))
        return;
    /* a status left over from before the name's present process: there will be a new one */
    if (status->pid != 0 && status->pid != facts.process.pid)
        return;
    memcpy (facts.uuid, status->uuid, sizeof facts.uuid);
    facts.home_group = group;
    corral_vm_inventory_put (libvirt->inventory, &facts);
}

/* Nothing is known of it but that libvirt's process for it lives. */
static void
put_bare (CorralVmLibvirt *libvirt, const char *name)
{
    CorralVmFacts facts = {
        .name = name,
        .source = CORRAL_VM_LIBVIRT,
        .state = CORRAL_VM_OTHER,
    };

    if (corral_vm_inventory_lookup (libvirt->inventory, name) == NULL &&
        find_process (libvirt, name, NULL, &facts.process))
        corral_vm_inventory_put (libvirt->inventory, &facts);
}

static void
read_vm (CorralVmLibvirt *libvirt, const char *name)
{
    g_autoptr (CorralVmStatus) status = NULL;
    g_autoptr (GError) error = NULL;

    corral_vm_inventory_check (libvirt->inventory, name);
    if (corral_vm_status_read (libvirt->state_dir, name, &status, &error))
        put_status (libvirt, status);
    else if (libvirt->connected)
        corral_vm_link_describe (libvirt->link, name);
    else if (!g_error_matches (error, CORRAL_ERROR, CORRAL_ERROR_NOT_FOUND))
        put_bare (libvirt, name);
}

static void
set_read (CorralVmLibvirt *libvirt)
{
    if (libvirt->is_read)
        return;
    libvirt->is_read = TRUE;
    corral_vm_inventory_source_read (libvirt->inventory);
}

/* The name of the domain whose status @file is; NULL: it is some other file. */
static char *
name_of_file (const char *file)
{
    g_autofree char *name = NULL;

    if (!g_str_has_suffix (file, ".xml"))
        return NULL;
    name = g_strndup (file, strlen (file) - strlen (".xml"));
    return corral_vm_status_name_is_valid (name) ? g_steal_pointer (&name) : NULL;
}

static gboolean
scan (CorralVmLibvirt *libvirt)
{
    g_autoptr (GDir) directory = g_dir_open (libvirt->state_dir, 0, NULL);
    const char *file;

    if (directory == NULL)
        return FALSE;
    while ((file = g_dir_read_name (directory)) != NULL) {
        char *name = name_of_file (file);

        if (name != NULL)
            g_hash_table_add (libvirt->pending, name);
    }
    return TRUE;
}

static char *
take_pending (CorralVmLibvirt *libvirt)
{
    GHashTableIter iter;
    gpointer name;

    g_hash_table_iter_init (&iter, libvirt->pending);
    if (!g_hash_table_iter_next (&iter, &name, NULL))
        return NULL;
    g_hash_table_iter_steal (&iter);
    return name;
}

/* A few at a time: when hundreds of VMs are read again, others have their turn in between. */
static gboolean
read_pending (gpointer data)
{
    CorralVmLibvirt *libvirt = data;
    g_autoptr (CorralVmInventory) inventory = g_object_ref (libvirt->inventory);

    if (libvirt->scan_pending) {
        libvirt->scan_pending = FALSE;
        libvirt->scanned |= scan (libvirt);
    }
    for (int i = 0; i < READ_AT_ONCE; i++) {
        g_autofree char *name = take_pending (libvirt);

        if (name == NULL)
            break;
        read_vm (libvirt, name);
    }
    if (g_hash_table_size (libvirt->pending) > 0)
        return G_SOURCE_CONTINUE;
    g_clear_pointer (&libvirt->read_soon, g_source_unref);
    if (libvirt->scanned)
        set_read (libvirt);
    return G_SOURCE_REMOVE;
}

/* libvirtd may write a status several times in a row; it is read once for all that have come in. */
static void
read_soon (CorralVmLibvirt *libvirt, char *name)
{
    if (name != NULL)
        g_hash_table_add (libvirt->pending, name);
    if (libvirt->read_soon != NULL)
        return;
    libvirt->read_soon = g_idle_source_new ();
    g_source_set_priority (libvirt->read_soon, G_PRIORITY_DEFAULT + 10);
    g_source_set_callback (libvirt->read_soon, read_pending, libvirt, NULL);
    g_source_attach (libvirt->read_soon, g_main_context_get_thread_default ());
}

static void
on_state_dir (const char *file, gpointer data)
{
    CorralVmLibvirt *libvirt = data;
    char *name;

    if (file == NULL) {
        libvirt->scan_pending = TRUE;
        read_soon (libvirt, NULL);
        return;
    }
    name = name_of_file (file);
    if (name != NULL)
        read_soon (libvirt, name);
}

static void
on_socket_dir (const char *file, gpointer data)
{
    CorralVmLibvirt *libvirt = data;

    if (!libvirt->connected && (file == NULL || strstr (file, "sock") != NULL))
        corral_vm_link_retry (libvirt->link);
}

static void
on_described (CorralVmLibvirt *libvirt, const CorralVmLinkReport *report)
{
    g_autoptr (CorralVmStatus) status = NULL;

    if (!corral_vm_status_parse (report->text, strlen (report->text), &status, NULL) ||
        !g_str_equal (status->name, report->name)) {
        put_bare (libvirt, report->name);
        return;
    }
    status->state = report->state;
    status->starting = report->starting;
    put_status (libvirt, status);
}

static void
on_link (const CorralVmLinkReport *report, gpointer data)
{
    CorralVmLibvirt *libvirt = data;

    switch (report->type) {
    case CORRAL_VM_LINK_CHANGED:
        if (corral_vm_status_name_is_valid (report->name))
            read_soon (libvirt, g_strdup (report->name));
        break;
    case CORRAL_VM_LINK_METADATA:
        corral_vm_inventory_metadata (libvirt->inventory, report->name, report->text);
        break;
    case CORRAL_VM_LINK_DESCRIBED:
        on_described (libvirt, report);
        break;
    case CORRAL_VM_LINK_UP:
    case CORRAL_VM_LINK_DOWN:
        libvirt->connected = report->type == CORRAL_VM_LINK_UP;
        g_free (libvirt->reason);
        libvirt->reason = g_strdup (report->text);
        /* What has happened between two connections is in the files; and without a state directory,
         * this is all that can be read. */
        libvirt->scan_pending = TRUE;
        read_soon (libvirt, NULL);
        if (!g_file_test (libvirt->state_dir, G_FILE_TEST_IS_DIR))
            set_read (libvirt);
        break;
    }
}

/* libvirt's socket lies beside its state directory, unless the URI names another place. */
static char *
find_socket_dir (const char *uri, const char *state_dir)
{
    const char *query = strchr (uri, '?');
    g_autoptr (GHashTable) params = NULL;
    const char *socket = NULL;

    if (query != NULL)
        params = g_uri_parse_params (query + 1, -1, "&;", G_URI_PARAMS_NONE, NULL);
    if (params != NULL)
        socket = g_hash_table_lookup (params, "socket");
    return g_path_get_dirname (socket != NULL ? socket : state_dir);
}

CorralVmLibvirt *
corral_vm_libvirt_new (CorralVmInventory *inventory, CorralVmNotify *notify, const char *uri,
                       const char *state_dir)
{
    CorralVmLibvirt *libvirt = g_new0 (CorralVmLibvirt, 1);
    g_autofree char *socket_dir = find_socket_dir (uri, state_dir);

    libvirt->inventory = inventory;
    libvirt->notify = notify;
    libvirt->state_dir = g_strdup (state_dir);
    libvirt->reason = g_strdup ("libvirtd has not answered yet");
    libvirt->pending = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
    libvirt->state_watch = corral_vm_notify_add (notify, state_dir, on_state_dir, libvirt);
    libvirt->socket_watch = corral_vm_notify_add (notify, socket_dir, on_socket_dir, libvirt);
    libvirt->scan_pending = TRUE;
    read_soon (libvirt, NULL);
    libvirt->link = corral_vm_link_new (uri, on_link, libvirt);
    return libvirt;
}

void
corral_vm_libvirt_free (CorralVmLibvirt *libvirt)
{
    if (libvirt == NULL)
        return;
    corral_vm_link_free (libvirt->link);
    corral_vm_notify_remove (libvirt->notify, libvirt->state_watch);
    corral_vm_notify_remove (libvirt->notify, libvirt->socket_watch);
    if (libvirt->read_soon != NULL) {
        g_source_destroy (libvirt->read_soon);
        g_source_unref (libvirt->read_soon);
    }
    g_hash_table_unref (libvirt->pending);
    g_free (libvirt->state_dir);
    g_free (libvirt->reason);
    g_free (libvirt);
}

void
corral_vm_libvirt_offer (CorralVmLibvirt *libvirt, const char *name)
{
    read_soon (libvirt, g_strdup (name));
}

gboolean
corral_vm_libvirt_is_connected (CorralVmLibvirt *libvirt, char **ret_reason)
{
    *ret_reason = g_strdup (libvirt->connected ? NULL : libvirt->reason);
    return libvirt->connected;
}
