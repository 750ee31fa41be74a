/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The one error domain of Corral, with the few codes that a caller may need to match. */
#pragma once

#include <glib.h>

#define CORRAL_ERROR (corral_error_quark ())
GQuark corral_error_quark (void);

/**
 * CorralError:
 * @CORRAL_ERROR_FAILED: none of the others; the message says what happened
 * @CORRAL_ERROR_INVALID: an argument, name or path that no state of the host could make right
 * @CORRAL_ERROR_NOT_FOUND: the container, VM or vCPU named does not exist
 * @CORRAL_ERROR_EXISTS: one with this name, UUID or path exists already
 * @CORRAL_ERROR_STATE: right in itself, but not now (start of an active container, for example)
 * @CORRAL_ERROR_BUSY: the container still holds members or children
 * @CORRAL_ERROR_UNSUPPORTED: this host's kernel or mounts cannot do it; the message says why
 * @CORRAL_ERROR_XML: a document that does not parse or validate; the message names the line
 * @CORRAL_ERROR_PARTIAL: the kernel granted something else than was asked; the message names what
 * it granted. What was changed has been undone
 * @CORRAL_ERROR_IO: reading or writing a file of the host failed
 * @CORRAL_ERROR_DENIED: a change was asked for over a read-only connection
 * @CORRAL_ERROR_REFUSED: the policy says no: the pCPUs that were wished for cannot be had; the
 * message has the rules
 *
 * Each code becomes one of libvirt's error codes in libvirt-driver/driver, and nowhere else.
 */
typedef enum {
    CORRAL_ERROR_FAILED,
    CORRAL_ERROR_INVALID,
    CORRAL_ERROR_NOT_FOUND,
    CORRAL_ERROR_EXISTS,
    CORRAL_ERROR_STATE,
    CORRAL_ERROR_BUSY,
    CORRAL_ERROR_UNSUPPORTED,
    CORRAL_ERROR_XML,
    CORRAL_ERROR_PARTIAL,
    CORRAL_ERROR_IO,
    CORRAL_ERROR_DENIED,
    CORRAL_ERROR_REFUSED,
} CorralError;
