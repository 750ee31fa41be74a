/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* corrald is asked over its own socket, in libvirt's protocol: two calls, no library. libvirtd is
 * not called: it waits for us. */
#include "libvirt-driver/hooks/corral-hook.h"

#include "common/corral-error.h"
#include "libvirt-driver/rpc/corral-admission.h"

#include <errno.h>
#include <rpc/rpc.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "corral_protocol.h"

#define SOCKET "libvirt-sock"
/* corrald answers in a few milliseconds; with one that hangs we go on as without. */
#define TIMEOUT_SECONDS 5
#define FRAME_MAX (8 * 1024 * 1024)

/* libvirt's numbers for "this function is not supported" and for a call that is not known: a
 * corrald that is older than we are, and has not been started again yet, has no answer. */
#define ERR_NO_SUPPORT 3
#define ERR_RPC 39

static int
open_socket (const char *dir)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct timeval timeout = { TIMEOUT_SECONDS, 0 };
    g_autofree char *path = g_build_filename (dir, SOCKET, NULL);
    int fd;

    if (strlen (path) >= sizeof address.sun_path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    strcpy (address.sun_path, path);
    fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 &&
        (setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0 ||
         setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) != 0 ||
         TEMP_FAILURE_RETRY (connect (fd, (struct sockaddr *) &address, sizeof address)) != 0)) {
        int err = errno;

        close (fd);
        errno = err;
        return -1;
    }
    return fd;
}

/* --- frames: the length of it all, a header, what belongs to it --- */

static gboolean
send_call (int fd, int procedure, guint serial, xdrproc_t filter, gpointer args)
{
    CorralWireHeader header = { CORRAL_WIRE_REMOTE_PROGRAM,
                                CORRAL_WIRE_REMOTE_VERSION,
                                procedure,
                                CORRAL_WIRE_CALL,
                                serial,
                                CORRAL_WIRE_OK };
    gsize size = CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE + xdr_sizeof (filter, args);
    g_autofree char *bytes = g_malloc (size);
    u_int length = (u_int) size;
    gsize sent = 0;
    gboolean ok;
    XDR xdr;

    xdrmem_create (&xdr, bytes, length, XDR_ENCODE);
    ok = xdr_u_int (&xdr, &length) && xdr_CorralWireHeader (&xdr, &header) && filter (&xdr, args);
    xdr_destroy (&xdr);
    while (ok && sent < size) {
        ssize_t part = TEMP_FAILURE_RETRY (send (fd, bytes + sent, size - sent, MSG_NOSIGNAL));

        ok = part > 0;
        sent += ok ? (gsize) part : 0;
    }
    return ok;
}

static gboolean
receive_all (int fd, char *bytes, gsize size)
{
    while (size > 0) {
        ssize_t part = TEMP_FAILURE_RETRY (recv (fd, bytes, size, 0));

        if (part <= 0) {
            if (part == 0)
                errno = ECONNRESET;
            return FALSE;
        }
        bytes += part;
        size -= (gsize) part;
    }
    return TRUE;
}

/* @filter, @ret: (nullable): what is returned when there is no error
 * @ret_error: (nullable): corrald's, when its answer is one. FALSE: there was no answer */
static gboolean
receive_reply (int fd, guint serial, xdrproc_t filter, gpointer ret, char **ret_error)
{
    CorralWireHeader header;
    CorralWireError wire = { 0 };
    g_autofree char *bytes = NULL;
    guint32 length;
    gboolean ok;
    XDR xdr;

    if (!receive_all (fd, (char *) &length, sizeof length))
        return FALSE;
    length = GUINT32_FROM_BE (length);
    if (length < CORRAL_WIRE_LENGTH_SIZE + CORRAL_WIRE_HEADER_SIZE || length > FRAME_MAX) {
        errno = EPROTO;
        return FALSE;
    }
    length -= CORRAL_WIRE_LENGTH_SIZE;
    bytes = g_malloc (length);
    if (!receive_all (fd, bytes, length))
        return FALSE;
    xdrmem_create (&xdr, bytes, length, XDR_DECODE);
    errno = EPROTO;
    ok = xdr_CorralWireHeader (&xdr, &header) && header.type == CORRAL_WIRE_REPLY &&
         header.serial == serial;
    if (ok && header.status == CORRAL_WIRE_OK) {
        ok = filter == NULL || filter (&xdr, ret);
    } else if (ok) {
        ok = xdr_CorralWireError (&xdr, &wire);
        if (ok && (wire.code == ERR_NO_SUPPORT || wire.code == ERR_RPC)) {
            errno = EOPNOTSUPP;
            ok = FALSE;
        }
        if (ok)
            *ret_error = g_strdup (wire.message != NULL ? *wire.message : "it gave no reason");
        xdr_free ((xdrproc_t) xdr_CorralWireError, (char *) &wire);
    }
    xdr_destroy (&xdr);
    return ok;
}

/* Returns: %FALSE when there was no answer
 * @ret_text: (nullable): what corrald answers, unless it is @ret_error */
static gboolean
call (int fd, const char *format, const char *xml, char **ret_text, char **ret_error)
{
    CorralWireOptTextFlags open = { NULL, 0 };
    CorralWireXmlToNativeArgs args = { (char *) format, (char *) xml, 0 };
    CorralWireText text = { NULL };
    gboolean ok = send_call (fd, CORRAL_PROC_CONNECT_OPEN, 1,
                             (xdrproc_t) xdr_CorralWireOptTextFlags, &open) &&
                  receive_reply (fd, 1, NULL, NULL, ret_error) &&
                  (*ret_error != NULL ||
                   (send_call (fd, CORRAL_PROC_CONNECT_DOMAIN_XML_TO_NATIVE, 2,
                               (xdrproc_t) xdr_CorralWireXmlToNativeArgs, &args) &&
                    receive_reply (fd, 2, (xdrproc_t) xdr_CorralWireText, &text, ret_error)));

    *ret_text = g_strdup (text.text);
    xdr_free ((xdrproc_t) xdr_CorralWireText, (char *) &text);
    return ok;
}

CorralHookAnswer
corral_hook_ask (const char *socket_dir, const char *xml, gboolean release, GError **error)
{
    g_autofree char *refused = NULL, *text = NULL;
    int fd = open_socket (socket_dir);
    gboolean answered = fd >= 0 && call (fd, release ? CORRAL_FORMAT_RELEASE : CORRAL_FORMAT_ADMIT,
                                         xml, &text, &refused);
    int err = errno;

    if (fd >= 0)
        close (fd);
    if (!answered) {
        g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_IO,
                     "corrald does not answer on the socket \"%s/" SOCKET "\": %s", socket_dir,
                     g_strerror (err));
        return CORRAL_HOOK_NO_ANSWER;
    }
    if (refused != NULL) {
        g_set_error_literal (error, CORRAL_ERROR, CORRAL_ERROR_REFUSED, refused);
        return CORRAL_HOOK_REFUSED;
    }
    return g_strcmp0 (text, CORRAL_ADMITTED_AND_READY) == 0 ? CORRAL_HOOK_READY
                                                            : CORRAL_HOOK_ADMITTED;
}
