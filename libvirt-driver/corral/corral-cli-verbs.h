/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The verbs, for the table of commands: one file for each group. */
#pragma once

#include "libvirt-driver/corral/corral-cli.h"

#define CORRAL_CLI_VERB(name)                                                                      \
    gboolean corral_cli_verb_##name (CorralCli *cli, const CorralCliArgs *args, GError **error)

/* corral-cli-list.c */
CORRAL_CLI_VERB (list);
CORRAL_CLI_VERB (stats);

/* corral-cli-show.c */
CORRAL_CLI_VERB (show);

/* corral-cli-top.c */
CORRAL_CLI_VERB (top);

/* corral-cli-life.c */
CORRAL_CLI_VERB (define);
CORRAL_CLI_VERB (create);
CORRAL_CLI_VERB (start);
CORRAL_CLI_VERB (destroy);
CORRAL_CLI_VERB (undefine);
CORRAL_CLI_VERB (autostart);
CORRAL_CLI_VERB (dump);

/* corral-cli-edit.c */
CORRAL_CLI_VERB (edit);

/* corral-cli-members.c */
CORRAL_CLI_VERB (attach);
CORRAL_CLI_VERB (detach);
CORRAL_CLI_VERB (pin);

/* corral-cli-set.c */
CORRAL_CLI_VERB (set);
CORRAL_CLI_VERB (title);
CORRAL_CLI_VERB (desc);

/* corral-cli-plan.c */
CORRAL_CLI_VERB (plan);
CORRAL_CLI_VERB (apply);
CORRAL_CLI_VERB (explain);
CORRAL_CLI_VERB (drift);

/* corral-cli-capacity.c */
CORRAL_CLI_VERB (capacity);

/* corral-cli-events.c */
CORRAL_CLI_VERB (events);

/* corral-cli-host.c */
CORRAL_CLI_VERB (host);
CORRAL_CLI_VERB (uri);
CORRAL_CLI_VERB (version);

/* corral-cli-shell.c */
CORRAL_CLI_VERB (connect);
CORRAL_CLI_VERB (help);
CORRAL_CLI_VERB (quit);
