/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the command needs of a container's XML, as virDomainGetXMLDesc() gives it. */
#pragma once

#include <glib.h>

/* A <member/>. In the XML of an active container these are the VMs that are there; in a definition
 * a name may be a pattern. */
typedef struct {
    char *name;
    int vcpu; /* -1: the whole VM */
} CorralCliMember;

typedef struct {
    char *title, *description, *partition; /* (nullable) */
    char *cpus, *mems;                     /* (nullable): the parent's */
    GPtrArray *members;                    /* of CorralCliMember */
} CorralCliXml;

/* %CORRAL_ERROR_XML when @text is no document of libvirt's. */
CorralCliXml *corral_cli_xml_parse (const char *text, GError **error);
void corral_cli_xml_free (CorralCliXml *xml);

/* Returns: (transfer full): the definition @text with memory nodes @mems, "" for none of its own,
 * and nothing else altered */
char *corral_cli_xml_set_mems (const char *text, const char *mems, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCliXml, corral_cli_xml_free)
