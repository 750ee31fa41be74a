/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt's hook and corrald say to each other, by virConnectDomainXMLToNative(). */
#pragma once

/* Formats: a VM is about to start; it has ended, or was never started. */
#define CORRAL_FORMAT_ADMIT "corral-admit"
#define CORRAL_FORMAT_RELEASE "corral-release"

/* Answers to the first, compared as a whole. With the former the hook makes the container. */
#define CORRAL_ADMITTED "<admitted/>\n"
#define CORRAL_ADMITTED_AND_READY "<admitted container='ready'/>\n"
