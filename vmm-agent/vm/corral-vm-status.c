/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "vmm-agent/vm/corral-vm-status.h"

#include "common/corral-error.h"
#include "policy/corral-definition.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <libxml/tree.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STATUS_MAX (16 * 1024 * 1024)
#define VCPUS_MAX 8192
/* Numbers that an administrator chooses; larger ones have no pin for us. */
#define IOTHREADS_MAX 8192
#define PARTITION_MAX 4096
/* libvirt stops adding to a machine's name when it has this many characters. */
#define MACHINE_NAME_MAX 64

G_DEFINE_AUTOPTR_CLEANUP_FUNC (xmlDoc, xmlFreeDoc)

typedef xmlChar XmlText;
static void
xml_text_free (XmlText *text)
{
    xmlFree (text);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (XmlText, xml_text_free)

void
corral_vm_status_free (CorralVmStatus *status)
{
    if (status == NULL)
        return;
    g_free (status->name);
    g_free (status->partition);
    g_clear_pointer (&status->vcpus, g_array_unref);
    g_clear_pointer (&status->pins, g_ptr_array_unref);
    g_clear_pointer (&status->emulator_pin, hwloc_bitmap_free);
    g_clear_pointer (&status->iothread_pins, g_ptr_array_unref);
    g_clear_pointer (&status->any_pin, hwloc_bitmap_free);
    g_free (status);
}

gboolean
corral_vm_status_name_is_valid (const char *name)
{
    return *name != '\0' && strlen (name) < 250 && strchr (name, '/') == NULL &&
           !g_str_equal (name, ".") && !g_str_equal (name, "..") &&
           g_utf8_validate (name, -1, NULL);
}

/* --- XML --- */

static xmlNode *
child (xmlNode *parent, const char *name)
{
    for (xmlNode *node = parent != NULL ? parent->children : NULL; node != NULL; node = node->next)
        if (node->type == XML_ELEMENT_NODE && node->ns == NULL &&
            g_str_equal ((const char *) node->name, name))
            return node;
    return NULL;
}

static char *
child_text (xmlNode *parent, const char *name)
{
    xmlNode *node = child (parent, name);
    g_autoptr (XmlText) text = node != NULL ? xmlNodeGetContent (node) : NULL;

    return g_strdup ((const char *) text);
}

static gboolean
int_attribute (xmlNode *node, const char *name, gint64 min, gint64 max, gint64 *ret_value)
{
    g_autoptr (XmlText) text = xmlGetNoNsProp (node, (const xmlChar *) name);

    return text != NULL &&
           g_ascii_string_to_signed ((const char *) text, 10, min, max, ret_value, NULL);
}

static gboolean
parse_uuid (const char *text, guint8 *ret_uuid)
{
    gsize digits = 0;

    for (const char *at = text; *at != '\0'; at++) {
        int digit = g_ascii_xdigit_value (*at);

        if (*at == '-' || g_ascii_isspace (*at))
            continue;
        if (digit < 0 || digits == 32)
            return FALSE;
        ret_uuid[digits / 2] =
            (guint8) (digits % 2 == 0 ? digit << 4 : ret_uuid[digits / 2] | digit);
        digits++;
    }
    return digits == 32;
}

/* Most domains have none, which a look at the text tells. What is wrong with them was said when the
 * domain was started. */
static void
read_wishes (const char *xml, gsize length, xmlNode *domain, CorralVmStatus *status)
{
    xmlBuffer *buffer;

    status->wish = (CorralPlacement) CORRAL_PLACEMENT_INIT;
    if (g_strstr_len (xml, (gssize) length, CORRAL_XML_NAMESPACE) == NULL)
        return;
    buffer = xmlBufferCreate ();
    if (xmlNodeDump (buffer, domain->doc, domain, 0, 0) < 0 ||
        !corral_vm_wishes_parse ((const char *) xmlBufferContent (buffer),
                                 (gsize) xmlBufferLength (buffer), &status->wish, &status->wishes,
                                 NULL, NULL, NULL))
        status->wishes = 0;
    xmlBufferFree (buffer);
}

static CorralCpuset *
cpuset_attribute (xmlNode *node)
{
    g_autoptr (XmlText) text =
        node != NULL ? xmlGetNoNsProp (node, (const xmlChar *) "cpuset") : NULL;
    CorralCpuset *cpus = NULL;

    if (text == NULL || !corral_cpuset_parse ((const char *) text, &cpus, NULL))
        return NULL;
    if (hwloc_bitmap_iszero (cpus))
        g_clear_pointer (&cpus, hwloc_bitmap_free);
    return cpus;
}

/* @cpus: (transfer full) */
static void
set_pin (GPtrArray **pins, guint index, CorralCpuset *cpus)
{
    if (*pins == NULL)
        *pins = g_ptr_array_new_with_free_func ((GDestroyNotify) hwloc_bitmap_free);
    if ((*pins)->len <= index)
        g_ptr_array_set_size (*pins, (int) index + 1);
    hwloc_bitmap_free (g_ptr_array_index (*pins, index));
    g_ptr_array_index (*pins, index) = cpus;
}

/* Each <@element @attribute='N' cpuset=''/> in @cputune, with N up to @max */
static void
read_pins_of (xmlNode *cputune, const char *element, const char *attribute, gint64 max,
              GPtrArray **pins)
{
    for (xmlNode *node = cputune != NULL ? cputune->children : NULL; node != NULL;
         node = node->next) {
        CorralCpuset *cpus;
        gint64 index;

        if (node->type != XML_ELEMENT_NODE || !g_str_equal ((const char *) node->name, element) ||
            !int_attribute (node, attribute, 0, max, &index))
            continue;
        cpus = cpuset_attribute (node);
        if (cpus != NULL)
            set_pin (pins, (guint) index, cpus);
    }
}

/* <vcpu cpuset=''> is for all that have no pin of their own. */
static void
read_pins (xmlNode *domain, CorralVmStatus *status)
{
    g_autoptr (CorralCpuset) all = cpuset_attribute (child (domain, "vcpu"));
    g_autofree char *count = child_text (domain, "vcpu");
    xmlNode *cputune = child (domain, "cputune");
    guint64 n = 0;

    if (all != NULL && count != NULL &&
        g_ascii_string_to_unsigned (g_strstrip (count), 10, 1, VCPUS_MAX, &n, NULL))
        for (guint i = 0; i < n; i++)
            set_pin (&status->pins, i, hwloc_bitmap_dup (all));
    read_pins_of (cputune, "vcpupin", "vcpu", VCPUS_MAX - 1, &status->pins);
    read_pins_of (cputune, "iothreadpin", "iothread", IOTHREADS_MAX, &status->iothread_pins);
    status->emulator_pin = cpuset_attribute (child (cputune, "emulatorpin"));
    if (status->emulator_pin == NULL && all != NULL)
        status->emulator_pin = hwloc_bitmap_dup (all);
    status->any_pin = g_steal_pointer (&all);
}

static void
read_domain (xmlNode *domain, CorralVmStatus *status)
{
    g_autofree char *uuid = child_text (domain, "uuid");
    g_autofree char *partition = child_text (child (domain, "resource"), "partition");
    guint8 bytes[16] = { 0 };
    gint64 id;

    status->name = child_text (domain, "name");
    if (uuid != NULL && parse_uuid (uuid, bytes))
        memcpy (status->uuid, bytes, sizeof bytes);
    if (partition != NULL && *partition == '/' && strlen (partition) < PARTITION_MAX)
        status->partition = g_steal_pointer (&partition);
    if (int_attribute (domain, "id", 0, G_MAXINT, &id))
        status->id = (int) id;
}

static void
read_vcpus (xmlNode *vcpus, CorralVmStatus *status)
{
    for (xmlNode *node = vcpus != NULL ? vcpus->children : NULL; node != NULL; node = node->next) {
        CorralThread thread = { .role = CORRAL_THREAD_VCPU };
        gint64 index, tid;

        if (node->type != XML_ELEMENT_NODE || !g_str_equal ((const char *) node->name, "vcpu") ||
            !int_attribute (node, "id", 0, VCPUS_MAX - 1, &index) ||
            !int_attribute (node, "pid", 1, G_MAXINT, &tid) || status->vcpus->len >= VCPUS_MAX)
            continue;
        thread.index = (int) index;
        thread.tid = (pid_t) tid;
        g_array_append_val (status->vcpus, thread);
    }
}

static void
read_state (xmlNode *root, CorralVmStatus *status)
{
    g_autoptr (XmlText) state = xmlGetNoNsProp (root, (const xmlChar *) "state");
    g_autoptr (XmlText) reason = xmlGetNoNsProp (root, (const xmlChar *) "reason");

    /* "blocked" is what a running domain is for hypervisors that can tell */
    if (g_strcmp0 ((char *) state, "running") == 0 || g_strcmp0 ((char *) state, "blocked") == 0)
        status->state = CORRAL_VM_RUNNING;
    else if (g_strcmp0 ((char *) state, "paused") == 0 ||
             g_strcmp0 ((char *) state, "pmsuspended") == 0)
        status->state = CORRAL_VM_PAUSED;
    status->starting =
        status->state == CORRAL_VM_PAUSED && g_strcmp0 ((char *) reason, "starting up") == 0;
}

gboolean
corral_vm_status_parse (const char *xml, gsize length, CorralVmStatus **ret_status, GError **error)
{
    g_autoptr (CorralVmStatus) status = g_new0 (CorralVmStatus, 1);
    g_autoptr (xmlDoc) document = NULL;
    xmlNode *root, *domain;
    gint64 pid;

    if (length > 0 && length <= STATUS_MAX)
        document = xmlReadMemory (xml, (int) length, "status.xml", NULL,
                                  XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
    root = document != NULL && document->intSubset == NULL ? xmlDocGetRootElement (document) : NULL;
    status->state = CORRAL_VM_OTHER;
    status->id = -1;
    status->vcpus = g_array_new (FALSE, FALSE, sizeof (CorralThread));
    domain = root;
    if (root != NULL && g_str_equal ((const char *) root->name, "domstatus")) {
        domain = child (root, "domain");
        if (int_attribute (root, "pid", 1, G_MAXINT, &pid))
            status->pid = (pid_t) pid;
        read_state (root, status);
        read_vcpus (child (root, "vcpus"), status);
    }
    if (domain != NULL && g_str_equal ((const char *) domain->name, "domain")) {
        read_domain (domain, status);
        read_wishes (xml, length, domain, status);
        read_pins (domain, status);
    }
    if (status->name == NULL || !corral_vm_status_name_is_valid (status->name)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_XML,
                     "cannot read a domain's status: the document of %" G_GSIZE_FORMAT
                     " bytes is not well-formed, or no <domstatus> with a domain's name",
                     length);
        return FALSE;
    }
    *ret_status = g_steal_pointer (&status);
    return TRUE;
}

/* --- files --- */

/* The files lie on a tmpfs, and are opened so that nothing else put in their place could block. */
static int
open_file (const char *directory, const char *name, const char *suffix, off_t *ret_size,
           GError **error)
{
    g_autofree char *path = g_strconcat (directory, "/", name, suffix, NULL);
    struct stat info;
    int fd = -1;

    if (!corral_vm_status_name_is_valid (name))
        errno = EINVAL;
    else
        fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 &&
        (fstat (fd, &info) < 0 || !S_ISREG (info.st_mode) || info.st_size > STATUS_MAX)) {
        close (fd);
        fd = -1;
        errno = EINVAL;
    }
    if (fd < 0)
        g_set_error (error, CORRAL_ERROR,
                     errno == ENOENT ? CORRAL_ERROR_NOT_FOUND : CORRAL_ERROR_IO,
                     "cannot read \"%s\": %s", path, g_strerror (errno));
    else
        *ret_size = info.st_size;
    return fd;
}

gboolean
corral_vm_status_read (const char *directory, const char *name, CorralVmStatus **ret_status,
                       GError **error)
{
    g_autoptr (CorralVmStatus) status = NULL;
    g_autofree char *text = NULL;
    gsize length = 0;
    off_t size;
    gssize got;
    int fd;

    fd = open_file (directory, name, ".xml", &size, error);
    if (fd < 0)
        return FALSE;
    text = g_malloc ((gsize) size + 1);
    while (length < (gsize) size && (got = read (fd, text + length, (gsize) size - length)) > 0)
        length += (gsize) got;
    close (fd);
    if (!corral_vm_status_parse (text, length, &status, error))
        return FALSE;
    if (!g_str_equal (status->name, name)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_XML,
                     "cannot use \"%s/%s.xml\": it is of another domain, \"%s\"", directory, name,
                     status->name);
        return FALSE;
    }
    *ret_status = g_steal_pointer (&status);
    return TRUE;
}

gboolean
corral_vm_status_read_pid (const char *directory, const char *name, pid_t *ret_pid,
                           gboolean *ret_locked, GError **error)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[32] = "";
    gint64 pid;
    off_t size;
    int fd;

    fd = open_file (directory, name, ".pid", &size, error);
    if (fd < 0)
        return FALSE;
    if (read (fd, text, sizeof text - 1) < 0 || fcntl (fd, F_GETLK, &lock) < 0)
        lock.l_type = F_UNLCK;
    close (fd);
    if (!g_ascii_string_to_signed (g_strstrip (text), 10, 1, G_MAXINT, &pid, NULL)) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "cannot read \"%s/%s.pid\": it holds no process number", directory, name);
        return FALSE;
    }
    *ret_pid = (pid_t) pid;
    *ret_locked = lock.l_type != F_UNLCK && lock.l_pid == (pid_t) pid;
    return TRUE;
}

/* --- names --- */

/* libvirt keeps letters, digits and dashes of a domain's name, dots too but no two of '.' and '-'
 * in a row, and none of them at either end. */
static void
append_machine_name (GString *group, gsize start, const char *name)
{
    gboolean after_mark = TRUE;

    for (; *name != '\0' && group->len - start < MACHINE_NAME_MAX; name++) {
        if (*name == '.' || *name == '-') {
            if (!after_mark)
                g_string_append_c (group, *name);
            after_mark = TRUE;
        } else if (g_ascii_isalnum (*name)) {
            g_string_append_c (group, *name);
            after_mark = FALSE;
        }
    }
    while (group->len > start && strchr ("-.", group->str[group->len - 1]) != NULL)
        g_string_truncate (group, group->len - 1);
}

char *
corral_vm_status_group (const char *partition, int id, const char *name)
{
    g_auto (GStrv) parts = NULL;
    g_autoptr (GString) group = g_string_new (NULL);
    gsize start;

    if (*partition != '/')
        return NULL;
    parts = g_strsplit (partition + 1, "/", -1);
    for (guint i = 0; parts[i] != NULL; i++) {
        gboolean special =
            i == 0 && (g_str_equal (parts[i], "machine") || g_str_equal (parts[i], "system") ||
                       g_str_equal (parts[i], "user"));

        if (*parts[i] == '\0')
            continue;
        if (g_str_equal (parts[i], "..") || g_str_equal (parts[i], "."))
            return NULL;
        /* libvirt's escape for what could be a file of the cgroup core; see container-path.c. */
        if (!special && (*parts[i] == '_' || g_str_equal (parts[i], "cgroup") ||
                         g_str_has_prefix (parts[i], "cgroup.")))
            g_string_append_c (group, '_');
        g_string_append (group, parts[i]);
        if (!special && strchr (parts[i], '.') == NULL)
            g_string_append (group, ".partition");
        g_string_append_c (group, '/');
    }
    start = group->len;
    g_string_append_printf (group, "qemu-%d-", id);
    append_machine_name (group, start, name);
    g_string_append (group, ".libvirt-qemu");
    return g_string_free (g_steal_pointer (&group), FALSE);
}
