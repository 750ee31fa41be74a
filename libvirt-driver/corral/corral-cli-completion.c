/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Completion for bash: the table of commands as shell arrays, and functions that read them. */
#include "libvirt-driver/corral/corral-cli.h"

/* Names come from the host and must never be expanded by the shell, so nothing here uses eval, or
 * compgen -W, which evaluates its words. The line is split here because bash splits at ":" and "=",
 * which URIs are full of. */
static const char functions[] =
    "# Offers those lines of the input that begin with the word being typed.\n"
    "_corral_offer ()\n"
    "{\n"
    "    local word\n"
    "    while IFS= read -r word; do\n"
    "        if [[ -n $word && $word == \"$current\"* ]]; then\n"
    "            printf -v word '%q' \"$word\"\n"
    "            COMPREPLY+=(\"$word\")\n"
    "        fi\n"
    "    done\n"
    "}\n"
    "\n"
    "_corral_offer_words ()\n"
    "{\n"
    "    _corral_offer < <(printf '%s\\n' \"$@\")\n"
    "}\n"
    "\n"
    "_corral_offer_containers ()\n"
    "{\n"
    "    _corral_offer < <(corral \"${connection[@]}\" list --name \"$@\" 2> /dev/null)\n"
    "}\n"
    "\n"
    "_corral_offer_operand ()\n"
    "{\n"
    "    case $1 in\n"
    "        container) _corral_offer_containers --all ;;\n"
    "        active) _corral_offer_containers ;;\n"
    "        inactive) _corral_offer_containers --inactive ;;\n"
    "        file) _corral_offer < <(compgen -f -- \"$current\") ;;\n"
    "        command) _corral_offer_words \"${!_corral_options[@]}\" ;;\n"
    "    esac\n"
    "}\n"
    "\n"
    "_corral ()\n"
    "{\n"
    "    local line=${COMP_LINE:0:COMP_POINT} command='' current previous i operand=0\n"
    "    local -a words connection=() kinds\n"
    "\n"
    "    COMPREPLY=()\n"
    "    read -ra words <<< \"$line\"\n"
    "    [[ $line == *[[:space:]] ]] && words+=('')\n"
    "    current=${words[-1]}\n"
    "    previous=${words[-2]}\n"
    "    for ((i = 1; i < ${#words[@]} - 1; i++)); do\n"
    "        case ${words[i]} in\n"
    "            -c | --connect)\n"
    "                ((i++))\n"
    "                connection+=(-c \"${words[i]//[\\\"\\']/}\")\n"
    "                ;;\n"
    "            -r | --readonly) connection+=(-r) ;;\n"
    "            -*) ;;\n"
    "            *)\n"
    "                command=${words[i]}\n"
    "                break\n"
    "                ;;\n"
    "        esac\n"
    "    done\n"
    "\n"
    "    if [[ -n ${_corral_values[$command $previous]} ]]; then\n"
    "        _corral_offer_words ${_corral_values[$command $previous]}\n"
    "    elif [[ -n ${_corral_complete[$command $previous]} ]]; then\n"
    "        _corral_offer_operand \"${_corral_complete[$command $previous]}\"\n"
    "    elif [[ -z $command ]]; then\n"
    "        [[ $previous == -c || $previous == --connect ]] && return\n"
    "        if [[ $current == -* ]]; then\n"
    "            _corral_offer_words $_corral_global_options\n"
    "        else\n"
    "            _corral_offer_words \"${!_corral_options[@]}\"\n"
    "        fi\n"
    "    elif [[ \" ${_corral_with_value[$command]} \" == *\" $previous \"* ]]; then\n"
    "        return\n"
    "    elif [[ $current == -* ]]; then\n"
    "        _corral_offer_words ${_corral_options[$command]}\n"
    "    else\n"
    "        kinds=(${_corral_operands[$command]})\n"
    "        for ((i++; i < ${#words[@]} - 1; i++)); do\n"
    "            if [[ \" ${_corral_with_value[$command]} \" == *\" ${words[i]} \"* ]]; then\n"
    "                ((i++))\n"
    "            elif [[ ${words[i]} != -* ]]; then\n"
    "                ((operand++))\n"
    "            fi\n"
    "        done\n"
    "        if ((operand >= ${#kinds[@]})) && [[ ${kinds[*]} == *+ ]]; then\n"
    "            operand=$((${#kinds[@]} - 1))\n"
    "        fi\n"
    "        _corral_offer_operand \"${kinds[operand]%+}\"\n"
    "    fi\n"
    "}\n"
    "\n"
    "complete -F _corral corral\n";

static void
append_option_words (GString *out, const CorralCliOption *options, gboolean only_with_value)
{
    const char *separator = "";

    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        if (option->help == NULL || (only_with_value && option->placeholder == NULL))
            continue;
        g_string_append_printf (out, "%s--%s", separator, option->name);
        separator = " ";
        if (only_with_value && option->letter != 0)
            g_string_append_printf (out, " -%c", option->letter);
    }
}

static const char *const kinds[] = {
    [CORRAL_CLI_COMPLETE_NOTHING] = "nothing", [CORRAL_CLI_COMPLETE_CONTAINER] = "container",
    [CORRAL_CLI_COMPLETE_ACTIVE] = "active",   [CORRAL_CLI_COMPLETE_INACTIVE] = "inactive",
    [CORRAL_CLI_COMPLETE_FILE] = "file",       [CORRAL_CLI_COMPLETE_COMMAND] = "command",
};

/* What the options of a command take: "[list --format]='table json csv'", "[capacity --svg]='file'"
 */
static void
append_value_words (GString *values, GString *complete, const char *command,
                    const CorralCliOption *options)
{
    for (const CorralCliOption *option = options; option->name != NULL; option++) {
        if (option->values != NULL)
            g_string_append_printf (values, "    [%s --%s]='%s'\n", command, option->name,
                                    option->values);
        if (option->complete != CORRAL_CLI_COMPLETE_NOTHING)
            g_string_append_printf (complete, "    [%s --%s]='%s'\n", command, option->name,
                                    kinds[option->complete]);
    }
}

static void
append_operand_words (GString *out, const CorralCliCommand *command)
{
    for (const CorralCliOperand *operand = command->operands;
         operand != NULL && operand->name != NULL; operand++)
        g_string_append_printf (out, "%s%s%s", operand == command->operands ? "" : " ",
                                kinds[operand->complete],
                                operand->count == CORRAL_CLI_REPEATED ? "+" : "");
}

char *
corral_cli_help_bash_completion (void)
{
    g_autoptr (GString) out = g_string_new ("# bash completion for corral; made by "
                                            "\"corral --generate bash-completion\".\n"
                                            "_corral_global_options='");
    g_autoptr (GString) with_value = g_string_new ("declare -gA _corral_with_value=(\n");
    g_autoptr (GString) operands = g_string_new ("declare -gA _corral_operands=(\n");
    g_autoptr (GString) values = g_string_new ("declare -gA _corral_values=(\n");
    g_autoptr (GString) complete = g_string_new ("declare -gA _corral_complete=(\n");

    append_option_words (out, corral_cli_global_options, FALSE);
    g_string_append (out, "'\ndeclare -gA _corral_options=(\n");
    for (const CorralCliCommand *command = corral_cli_commands; command->name != NULL; command++) {
        g_autofree CorralCliOption *options = corral_cli_command_options (command);

        if (command->flags & CORRAL_CLI_HIDDEN)
            continue;
        g_string_append_printf (out, "    [%s]='", command->name);
        append_option_words (out, options, FALSE);
        g_string_append (out, "'\n");
        g_string_append_printf (with_value, "    [%s]='", command->name);
        append_option_words (with_value, options, TRUE);
        g_string_append (with_value, "'\n");
        g_string_append_printf (operands, "    [%s]='", command->name);
        append_operand_words (operands, command);
        g_string_append (operands, "'\n");
        append_value_words (values, complete, command->name, options);
    }
    g_string_append_printf (out, ")\n%s)\n%s)\n%s)\n%s)\n\n%s", with_value->str, operands->str,
                            values->str, complete->str, functions);
    return g_string_free (g_steal_pointer (&out), FALSE);
}
