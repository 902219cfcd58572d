# bash completion for prunesid. Commands, options and choices are asked of the program, so that this
# does not have to be kept up with it.

_prunesid() {
    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}
    local tool=${COMP_WORDS[0]} command=${COMP_WORDS[1]} help
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        help=$("$tool" --help 2>/dev/null | awk '/^  prunesid / { print $2 }')
        mapfile -t COMPREPLY < <(compgen -W "$help help --help --version" -- "$word")
        return
    fi
    if [ "$command" = help ]; then
        help=$("$tool" --help 2>/dev/null | awk '/^  prunesid / { print $2 }')
        mapfile -t COMPREPLY < <(compgen -W "$help" -- "$word")
        return
    fi
    help=$("$tool" "$command" --help 2>/dev/null) || return
    # The value of the option before: a|b|c is a choice, a name in capitals may be a file.
    local value
    value=$(awk -v option="$before" '$1 == option && NF > 1 { print $2; exit }' <<<"$help")
    case $before in -*) ;; *) value="" ;; esac
    case $value in
    *"|"*) mapfile -t COMPREPLY < <(compgen -W "${value//|/ }" -- "$word") ;;
    DIR) mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    *)
        if [ "${word#-}" != "$word" ]; then
            help=$(awk '/^  -/ { for (i = 1; i <= NF; i++) if ($i ~ /^--?[a-zA-Z]/) {
                sub(/,$/, "", $i); print $i; if ($i !~ /^(-h|--help|-V)$/) break } }' <<<"$help")
            mapfile -t COMPREPLY < <(compgen -W "$help" -- "$word")
        else
            mapfile -t COMPREPLY < <(compgen -f -- "$word")
        fi
        ;;
    esac
}
complete -o filenames -F _prunesid prunesid
