/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of commands. Parsing, help, completion and the man page are all made from it. */
#include "libvirt-driver/corral/corral-cli-verbs.h"

#include "common/corral-error.h"

#define OPTIONS(...)                                                                               \
    (const CorralCliOption[])                                                                      \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }
#define OPERANDS(...)                                                                              \
    (const CorralCliOperand[])                                                                     \
    {                                                                                              \
        __VA_ARGS__,                                                                               \
        {                                                                                          \
            NULL                                                                                   \
        }                                                                                          \
    }

#define CONTAINER(count, complete)                                                                 \
    {                                                                                              \
        "CONTAINER", CORRAL_CLI_##count, CORRAL_CLI_COMPLETE_##complete                            \
    }
#define OPERAND(name, count)                                                                       \
    {                                                                                              \
        name, CORRAL_CLI_##count, CORRAL_CLI_COMPLETE_NOTHING                                      \
    }
#define XML_FILE                                                                                   \
    {                                                                                              \
        "FILE", CORRAL_CLI_REQUIRED, CORRAL_CLI_COMPLETE_FILE                                      \
    }

#define FORMATS CORRAL_CLI_FORMATS
#define AFFECTS CORRAL_CLI_AFFECTS
#define HIDDEN CORRAL_CLI_HIDDEN

const CorralCliOption corral_cli_global_options[] = {
    { "connect", 'c', "URI", "connect to URI instead of corrald on this host" },
    { "readonly", 'r', NULL, "change nothing" },
    { "version", 'v', NULL, "print the version of corral" },
    { "help", 'h', NULL, "show this help" },
    { "generate", 0, "WHAT", NULL },
    { NULL },
};

static const CorralCliOption help_option = { "help", 'h', NULL, "show this help" };
static const CorralCliOption format_option = { "format", 0, "FORMAT", "write table, json or csv",
                                               "table json csv" };
static const CorralCliOption affect_options[] = {
    { "live", 0, NULL, "change the container as it runs; this is the default for an active one" },
    { "config", 0, NULL, "change its definition, which the next start uses" },
};

const CorralCliCommand corral_cli_commands[] = {
    { "list", "Containers", "list containers",
      "Lists the active containers: those that exist in the kernel.", FORMATS,
      OPTIONS ({ "all", 'a', NULL, "active and inactive containers" },
               { "inactive", 0, NULL, "only inactive containers" },
               { "persistent", 0, NULL, "only containers with a definition" },
               { "transient", 0, NULL, "only containers without a definition" },
               { "autostart", 0, NULL, "only containers that corrald starts by itself" },
               { "name", 0, NULL, "only names, one on each line" },
               { "uuid", 0, NULL, "only UUIDs, one on each line" }),
      NULL, corral_cli_verb_list },
    { "show", "Containers", "show all about one container",
      "Shows a container's identity, place, pCPUs, weight, cap and usage, its members, and each of "
      "their vCPUs with the pCPU it last ran on and the pCPUs it may run on.\n\n"
      "Usage includes that of child containers and of members that have left. guest is the time "
      "that vCPUs spent in the guest, host the time of vCPU threads outside it, emulator all "
      "other threads; the three add up to cpu. wait is the time that vCPUs were ready to run "
      "and did not get a pCPU.",
      FORMATS, NULL, OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_show },
    { "stats", "Containers", "show the CPU usage of containers",
      "Shows the usage of the containers named, or of all active ones, since each was started: "
      "see \"show\" for what the columns mean.",
      FORMATS, NULL, OPERANDS (CONTAINER (REPEATED, ACTIVE)), corral_cli_verb_stats },
    { "top", "Containers", "show which containers use the CPUs now",
      "Shows the active containers again and again, the busiest first. The columns are "
      "pCPU-seconds per second: 1.00 is one pCPU kept busy. A container includes its children. "
      "Keys: q quits, space shows now.\n\n"
      "When the output is no terminal, or with --batch, each round is written after the other; in "
      "JSON each is one line.",
      FORMATS,
      OPTIONS ({ "interval", 'd', "SECONDS", "time between two rounds; 2 unless told" },
               { "iterations", 'n', "N", "end after N rounds" },
               { "batch", 'b', NULL, "do not clear the screen, read no keys" }),
      NULL, corral_cli_verb_top },

    { "define", "Life of a container", "define a container, or change its definition",
      "Reads an XML document from FILE (\"-\" is the input). The container is not started; an "
      "active one keeps running as it is.",
      0, NULL, OPERANDS (XML_FILE), corral_cli_verb_define },
    { "create", "Life of a container", "create a container that is forgotten when destroyed",
      "Reads an XML document from FILE (\"-\" is the input) and makes a transient container.", 0,
      NULL, OPERANDS (XML_FILE), corral_cli_verb_create },
    { "start", "Life of a container", "start a defined container", NULL, 0, NULL,
      OPERANDS (CONTAINER (REQUIRED, INACTIVE)), corral_cli_verb_start },
    { "destroy", "Life of a container", "remove a container from the kernel",
      "A container that holds VMs or active children is left alone. The definition stays.", 0, NULL,
      OPERANDS (CONTAINER (REQUIRED, ACTIVE)), corral_cli_verb_destroy },
    { "stop", "Life of a container", "the same as destroy", NULL, HIDDEN, NULL,
      OPERANDS (CONTAINER (REQUIRED, ACTIVE)), corral_cli_verb_destroy },
    { "undefine", "Life of a container", "forget a container's definition",
      "An active container stays, and is forgotten when it is destroyed.", 0, NULL,
      OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_undefine },
    { "autostart", "Life of a container", "let corrald start a container by itself", NULL, 0,
      OPTIONS ({ "disable", 0, NULL, "no longer start it" }),
      OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_autostart },
    { "dump", "Life of a container", "print a container's XML",
      "Prints the XML of the container as it runs, or its definition when it is inactive.", 0,
      OPTIONS ({ "inactive", 0, NULL, "the definition, of an active container as well" }),
      OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_dump },
    { "dumpxml", "Life of a container", "the same as dump", NULL, HIDDEN,
      OPTIONS ({ "inactive", 0, NULL, "the definition, of an active container as well" }),
      OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_dump },
    { "edit", "Life of a container", "edit a container's definition",
      "Opens the definition in $VISUAL, $EDITOR or vi, and defines it when the editor ends. "
      "If the document is not accepted, the editor can be opened again.",
      0, NULL, OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_edit },

    { "attach", "Members", "move a VM or a vCPU into a container",
      "MEMBER is the name of a VM, or VM:VCPU for one of its vCPUs. All threads of a running VM "
      "move, or none does.",
      AFFECTS, NULL, OPERANDS (OPERAND ("MEMBER", REQUIRED), CONTAINER (REQUIRED, CONTAINER)),
      corral_cli_verb_attach },
    { "detach", "Members", "move a VM or a vCPU out of its container",
      "MEMBER is the name of a VM, or VM:VCPU for one of its vCPUs. Without CONTAINER it leaves "
      "the innermost active one it is in.",
      AFFECTS, NULL, OPERANDS (OPERAND ("MEMBER", REQUIRED), CONTAINER (OPTIONAL, CONTAINER)),
      corral_cli_verb_detach },
    { "pin", "Members", "pin a vCPU to pCPUs",
      "TARGET and VCPU name a vCPU: a VM and the number of its vCPU, or a container and the number "
      "that \"show\" gives for a vCPU of its members. VM:VCPU is one word for both. CPUS is a list "
      "such as 0-3,8; they must lie within the container.",
      0, NULL,
      OPERANDS (OPERAND ("TARGET", REQUIRED), OPERAND ("VCPU", OPTIONAL),
                OPERAND ("CPUS", REQUIRED)),
      corral_cli_verb_pin },

    { "set", "Weight, cap and texts", "change a container's weight, cap or pCPUs",
      "The cap is QUOTA microseconds of CPU time in each PERIOD, for the whole container: 200000 "
      "in 100000, or 200%, are two pCPUs. \"none\" removes it.\n\n"
      "The memory nodes can only be changed in the definition: for an active container give "
      "--config.",
      AFFECTS,
      OPTIONS ({ "shares", 0, "N", "weight against other containers, 2 to 262144" },
               { "quota", 0, "QUOTA",
                 "cap in microseconds in a period, in percent of one pCPU, or "
                 "none" },
               { "period", 0, "USEC", "length of the cap's period" },
               { "burst", 0, "USEC", "unused quota that may be carried over" },
               { "cpus", 0, "LIST", "pCPUs, such as 0-3,8" },
               { "mems", 0, "LIST", "NUMA nodes for memory" }),
      OPERANDS (CONTAINER (REQUIRED, CONTAINER)), corral_cli_verb_set },
    { "title", "Weight, cap and texts", "show or change a container's title",
      "Without TEXT the title is printed; an empty TEXT removes it.", AFFECTS, NULL,
      OPERANDS (CONTAINER (REQUIRED, CONTAINER), OPERAND ("TEXT", OPTIONAL)),
      corral_cli_verb_title },
    { "desc", "Weight, cap and texts", "show or change a container's description",
      "Without TEXT the description is printed; an empty TEXT removes it.", AFFECTS, NULL,
      OPERANDS (CONTAINER (REQUIRED, CONTAINER), OPERAND ("TEXT", OPTIONAL)),
      corral_cli_verb_desc },

    { "plan", "Plans", "show what the policy would change",
      "Plans for the whole host as it is now, and shows how that differs from what the kernel has: "
      "\"+\" is new, \"~\" changes, \"!\" is refused, with the rule that each pCPU or node fell "
      "to. Nothing is changed. With FILE (\"-\" is the input), as it would be if that container "
      "were defined.\n\n"
      "Ends with 3 when a wish cannot be met, otherwise with 0, whether there is something to do "
      "or not.",
      FORMATS, NULL, OPERANDS ({ "FILE", CORRAL_CLI_OPTIONAL, CORRAL_CLI_COMPLETE_FILE }),
      corral_cli_verb_plan },
    { "apply", "Plans", "do what \"plan\" shows",
      "Makes the kernel as the plan says, all of it or nothing. The generation counts the changes "
      "of the host that a plan depends on: with --generation only that very plan is applied, and "
      "refused when the host has changed since. Ends with 3 when a wish could not be met.",
      FORMATS, OPTIONS ({ "generation", 0, "N", "apply only the plan of this generation" }), NULL,
      corral_cli_verb_apply },
    { "explain", "Plans", "show why a container or a VM has the pCPUs that it has",
      "NAME is a container, its path, or a VM in a planned container. Shows what each has, and for "
      "each pCPU or node that was turned down, the rule that did it.",
      FORMATS, OPTIONS ({ "vm", 0, NULL, "NAME is a VM, also when a container is named so" }),
      OPERANDS ({ "NAME", CORRAL_CLI_REQUIRED, CORRAL_CLI_COMPLETE_CONTAINER }),
      corral_cli_verb_explain },
    { "drift", "Plans", "show what is not as it was planned",
      "Shows what differs from the last applied plan, of the whole host or of a container and what "
      "is in it: since when, what was found, and whether it was repaired. Ends with 3 while "
      "something is not as planned.",
      FORMATS, NULL, OPERANDS (CONTAINER (OPTIONAL, CONTAINER)), corral_cli_verb_drift },
    { "capacity", "Plans", "show how much there is, who has it and what still fits",
      "One row for the host, one for each NUMA node and each container, in pCPUs. Reserved ones "
      "are the host's or kept for a container's reservation, dedicated ones have one vCPU or are "
      "kept idle beside it; the four columns add up. Used is the pCPUs' worth of time since "
      "somebody asked last. Ratio is how many vCPUs may be placed for each shared pCPU. Max is "
      "the largest VM that the planner would still take, in vCPUs, dedicated, with idle siblings "
      "or shared. Stranded is how many of the free pCPUs are lost to fragmentation.\n\n"
      "placement is JSON with the resource providers, inventories and usages of OpenStack "
      "Placement; openmetrics is text for Prometheus.",
      0,
      OPTIONS ({ "format", 0, "FORMAT", "write table, json, csv, placement or openmetrics",
                 "table json csv placement openmetrics" },
               { "svg", 0, "FILE",
                 "draw who has which pCPU and how busy it is; only that unless there is --format",
                 NULL, CORRAL_CLI_COMPLETE_FILE }),
      NULL, corral_cli_verb_capacity },

    { "events", "Host and connection", "wait for events of containers",
      "Prints what happens to containers, or to one: started, stopped, defined, a member came or "
      "went, a weight, cap or pin changed. Ends after the first event unless told otherwise. In "
      "JSON each event is one line.",
      FORMATS,
      OPTIONS ({ "loop", 'l', NULL, "go on until interrupted" },
               { "timeout", 't', "SECONDS", "end after this time" }),
      OPERANDS (CONTAINER (OPTIONAL, CONTAINER)), corral_cli_verb_events },
    { "host", "Host and connection", "show the host's CPUs and what containers have of them", NULL,
      FORMATS, NULL, NULL, corral_cli_verb_host },
    { "uri", "Host and connection", "show what corral is connected to", NULL, FORMATS, NULL, NULL,
      corral_cli_verb_uri },
    { "version", "Host and connection", "show the versions of corral, corrald and libvirt", NULL,
      FORMATS, NULL, NULL, corral_cli_verb_version },
    { "connect", "Host and connection", "connect to another URI", "For the interactive mode.", 0,
      OPTIONS ({ "readonly", 'r', NULL, "change nothing" }), OPERANDS (OPERAND ("URI", OPTIONAL)),
      corral_cli_verb_connect },
    { "help", "Host and connection", "show help", NULL, 0, NULL,
      OPERANDS ({ "COMMAND", CORRAL_CLI_OPTIONAL, CORRAL_CLI_COMPLETE_COMMAND }),
      corral_cli_verb_help },
    { "quit", "Host and connection", "end the interactive mode", NULL, 0, NULL, NULL,
      corral_cli_verb_quit },
    { "exit", "Host and connection", "the same as quit", NULL, HIDDEN, NULL, NULL,
      corral_cli_verb_quit },
    { NULL },
};

const CorralCliCommand *
corral_cli_command_find (const char *name, GError **error)
{
    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        if (g_str_equal (command->name, name))
            return command;
    }
    g_set_error (error, CORRAL_ERROR, CORRAL_ERROR_INVALID,
                 "there is no command \"%s\"; \"corral help\" lists them", name);
    return NULL;
}

CorralCliOption *
corral_cli_command_options (const CorralCliCommand *command)
{
    g_autoptr (GArray) all = g_array_new (TRUE, TRUE, sizeof (CorralCliOption));

    for (const CorralCliOption *option = command->options; option != NULL && option->name != NULL;
         option++)
        g_array_append_val (all, *option);
    if (command->flags & CORRAL_CLI_AFFECTS)
        g_array_append_vals (all, affect_options, G_N_ELEMENTS (affect_options));
    if (command->flags & CORRAL_CLI_FORMATS)
        g_array_append_val (all, format_option);
    g_array_append_val (all, help_option);
    return (CorralCliOption *) g_array_free (g_steal_pointer (&all), FALSE);
}
