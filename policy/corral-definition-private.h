/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of policy/ that read, write and hold definitions share. */
#pragma once

#include "policy/corral-definition.h"
#include "policy/corral-xml.h"

CorralDefinition *corral_definition_new (void);
void corral_definition_metadata_free (CorralMetadata *metadata);

/* Reads one child of <metadata>. */
gboolean corral_definition_metadata_read (CorralXmlReader *reader, xmlNode *node,
                                          CorralMetadata **ret_metadata) G_GNUC_WARN_UNUSED_RESULT;

/* Why @name can be no container's or VM's name; %NULL: it can. */
const char *corral_definition_name_fault (const char *name);
/* Why @text can be no title or description; %NULL: it can. */
const char *corral_definition_text_fault (const char *text, gboolean one_line);

/* %FALSE with %CORRAL_ERROR_INVALID when the document would be longer than CORRAL_XML_MAX. */
gboolean corral_definition_check_length (const CorralDefinition *definition, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
