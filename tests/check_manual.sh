#!/usr/bin/env bash
# The man page has every option that --help has, and completion offers commands, options, choices
# and files: check_manual.sh TOOL COMPLETION MAN_PAGE
set -euo pipefail
tool=$1
# shellcheck source=/dev/null
. "$2"
page=$3
result=0

while read -r option; do
    grep -q -F -e "${option//-/\\-}" "$page" || { echo "the man page has no $option"; result=1; }
done < <("$tool" --help | awk '/^  --?[a-zA-Z]/ { print $1 }')
for section in NAME SYNOPSIS DESCRIPTION OPTIONS EXAMPLES; do
    grep -q "^.SH $section$" "$page" || { echo "the man page has no $section"; result=1; }
done

# offers WANTED WORD...: what completion makes of the words
offers() {
    local wanted=$1
    shift
    COMP_WORDS=("$tool" "$@")
    COMP_CWORD=$#
    _prunesid
    [ "${COMPREPLY[*]}" = "$wanted" ] || {
        echo "after '$*': '${COMPREPLY[*]}', not '$wanted'"
        result=1
    }
}
cd "$(dirname -- "$page")"
offers "select sweep" s
offers "batch" help b
offers "--keep" select --k
offers "--out-dir" batch --ou
offers "--preset --protect --phi-ref" batch --p
offers "" info --k
offers "llava" select x --preset l
offers "prunesid uniform" sweep --method ""
offers "prunesid.1" select prunesid.
exit "$result"
