/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's last error of this thread, as a GError. */
#pragma once

#include <glib.h>
#include <libvirt/virterror.h>

/**
 * corral_client_set_error:
 * @error: (nullable): where a GError goes
 * @...: a format and its values: what was tried, on which object; libvirt's own message is added
 *   after a colon
 *
 * Sets @error from virGetLastError(). The code is the nearest of CorralError, so that a caller may
 * match %CORRAL_ERROR_NOT_FOUND or %CORRAL_ERROR_UNSUPPORTED, and %CORRAL_ERROR_FAILED otherwise;
 * never %CORRAL_ERROR_INVALID, which stands for what the user typed here.
 *
 * A macro, because even virDomainGetName() forgets the last error: it has to be kept before the
 * values
 * are looked at.
 */
#define corral_client_set_error(error, ...)                                                        \
    G_STMT_START                                                                                   \
    {                                                                                              \
        virErrorPtr corral_client_last = virSaveLastError ();                                      \
                                                                                                   \
        corral_client_set_error_from ((error), corral_client_last, __VA_ARGS__);                   \
        virFreeError (corral_client_last);                                                         \
    }                                                                                              \
    G_STMT_END

void corral_client_set_error_from (GError **error, virErrorPtr last, const char *format, ...)
    G_GNUC_PRINTF (3, 4);

/* Stops libvirt from printing each error on stderr by itself. */
void corral_client_silence_errors (void);
