/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The `corral` command: what its verbs, its parser and its table of commands share. It is a libvirt
 * client and nothing else; a verb is a few libvirt calls with a name that reads well. */
#pragma once

#include "libvirt-driver/client/corral-client-cleanup.h"
#include "libvirt-driver/corral/corral-cli-output.h"

#include <glib.h>

#define CORRAL_CLI_URI "corral+unix:///system?socket=/run/corral/libvirt-sock"
#define CORRAL_CLI_URI_READONLY "corral+unix:///system?socket=/run/corral/libvirt-sock-ro"
#define CORRAL_CLI_URI_VARIABLE "CORRAL_URI"

/* What the process ends with. */
typedef enum {
    CORRAL_CLI_OK = 0,
    CORRAL_CLI_FAILED = 1,
    CORRAL_CLI_USAGE = 2,  /* what was typed makes no sense, whatever state the host is in */
    CORRAL_CLI_POLICY = 3, /* the policy is not satisfied */
} CorralCliExit;

typedef struct _CorralCliArgs CorralCliArgs;

typedef struct {
    char *uri; /* (nullable): NULL stands for the environment's, or the default */
    gboolean readonly;
    gboolean quit;        /* the shell should end */
    CorralCliExit result; /* of a verb that did what it was asked to */
    virConnect *conn;     /* (nullable): opened when the first verb needs it */
} CorralCli;

/* --- the table of commands --- */

/* What completion offers for an operand or an option's value. */
typedef enum {
    CORRAL_CLI_COMPLETE_NOTHING,
    CORRAL_CLI_COMPLETE_CONTAINER,
    CORRAL_CLI_COMPLETE_ACTIVE,
    CORRAL_CLI_COMPLETE_INACTIVE,
    CORRAL_CLI_COMPLETE_FILE,
    CORRAL_CLI_COMPLETE_COMMAND,
} CorralCliComplete;

typedef struct {
    const char *name;        /* "all" for --all */
    char letter;             /* 'a' for -a; 0: none */
    const char *placeholder; /* (nullable): the name of its value in help; NULL: a flag */
    const char *help;
    const char *values; /* (nullable): the only ones that it takes, a space between them */
    CorralCliComplete complete;
} CorralCliOption;

typedef enum {
    CORRAL_CLI_REQUIRED,
    CORRAL_CLI_OPTIONAL,
    CORRAL_CLI_REPEATED, /* none or more */
} CorralCliCount;

typedef struct {
    const char *name; /* "CONTAINER" */
    CorralCliCount count;
    CorralCliComplete complete;
} CorralCliOperand;

/* What a command needs besides its own options. */
typedef enum {
    CORRAL_CLI_FORMATS = 1 << 0, /* has --format */
    CORRAL_CLI_AFFECTS = 1 << 1, /* has --live and --config */
    CORRAL_CLI_HIDDEN = 1 << 2,  /* another name of a command; not in lists */
} CorralCliFlags;

typedef struct {
    const char *name;
    const char *group;
    const char *summary;              /* one line, no full stop */
    const char *description;          /* (nullable): paragraphs, an empty line between them */
    guint flags;                      /* of CorralCliFlags */
    const CorralCliOption *options;   /* (nullable): ends with a NULL name */
    const CorralCliOperand *operands; /* (nullable): ends with a NULL name */
    gboolean (*run) (CorralCli *cli, const CorralCliArgs *args, GError **error);
} CorralCliCommand;

extern const CorralCliCommand corral_cli_commands[];      /* ends with a NULL name */
extern const CorralCliOption corral_cli_global_options[]; /* ends with a NULL name */

/* Also finds hidden ones; NULL with %CORRAL_ERROR_INVALID. */
const CorralCliCommand *corral_cli_command_find (const char *name, GError **error);

/* All options of a command, those it has by its flags included; ends with a NULL name. */
CorralCliOption *corral_cli_command_options (const CorralCliCommand *command);

/* --- arguments --- */

/**
 * corral_cli_args_parse:
 * @words: the words after the command's name
 *
 * Returns: (transfer full): %NULL with %CORRAL_ERROR_INVALID when @words do not fit @command
 */
CorralCliArgs *corral_cli_args_parse (const CorralCliCommand *command, char **words,
                                      GError **error);
void corral_cli_args_free (CorralCliArgs *args);

gboolean corral_cli_args_flag (const CorralCliArgs *args, const char *name);
/* (nullable) */
const char *corral_cli_args_option (const CorralCliArgs *args, const char *name);
/* @ret_value is left alone when the option is not there. */
gboolean corral_cli_args_number (const CorralCliArgs *args, const char *name, gint64 minimum,
                                 gint64 maximum, gint64 *ret_value, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
/* (nullable): the operand at @index */
const char *corral_cli_args_operand (const CorralCliArgs *args, guint index);
guint corral_cli_args_count (const CorralCliArgs *args);
gboolean corral_cli_args_help (const CorralCliArgs *args);
CorralCliFormat corral_cli_args_format (const CorralCliArgs *args);
/* VIR_DOMAIN_AFFECT_*, from --live and --config; neither is "as it is now" */
guint corral_cli_args_affect (const CorralCliArgs *args);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (CorralCliArgs, corral_cli_args_free)

/* Options of the process, before the command. @words has none of them left afterwards. */
typedef struct {
    char *uri;
    char *generate; /* "man" or "bash-completion" */
    gboolean readonly, help, version;
} CorralCliGlobal;
gboolean corral_cli_global_parse (char ***words, CorralCliGlobal *ret_global, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;
void corral_cli_global_clear (CorralCliGlobal *global);

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (CorralCliGlobal, corral_cli_global_clear)

/* --- texts made from the table --- */

char *corral_cli_help_overview (void);
char *corral_cli_help_command (const CorralCliCommand *command);
char *corral_cli_help_man_page (void);
char *corral_cli_help_bash_completion (void);

/* --- running --- */

/**
 * corral_cli_run:
 * @words: a command and its arguments
 *
 * Runs one command and prints its error, if there is one.
 */
CorralCliExit corral_cli_run (CorralCli *cli, char **words);

/* Connects if @cli is not connected. */
gboolean corral_cli_connect (CorralCli *cli, GError **error) G_GNUC_WARN_UNUSED_RESULT;
void corral_cli_disconnect (CorralCli *cli);

/* The interactive mode: reads commands until the end of the input. Returns the exit code of the
 * last command when the input is no terminal, else %CORRAL_CLI_OK. */
CorralCliExit corral_cli_shell (CorralCli *cli);

/* Prints to stdout. Fails only if stdout is closed or full. */
gboolean corral_cli_print (const char *text, GError **error) G_GNUC_WARN_UNUSED_RESULT;
gboolean corral_cli_say (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3)
    G_GNUC_WARN_UNUSED_RESULT;
/* An XML document from @file, "-" for the input: at most 1 MiB of text. (corral-cli-life.c) */
gboolean corral_cli_read_document (const char *file, char **ret_text, GError **error)
    G_GNUC_WARN_UNUSED_RESULT;

/* "error: ..." on stderr, as virsh has it. */
void corral_cli_print_error (const GError *error);
