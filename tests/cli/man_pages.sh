# A man page for each verb, which groff, where it is installed, formats without a warning.
set -e
for verb in $(tandem help --json | jq -r '.verbs[].verb'); do
    tandem help --man "$verb" >"tandem-$verb.1"
    for section in NAME SYNOPSIS DESCRIPTION OPTIONS 'EXIT STATUS'; do
        grep -q "^.SH $section" "tandem-$verb.1"
    done
    if command -v groff >/dev/null; then
        groff -man -Tutf8 -ww "tandem-$verb.1" >/dev/null 2>warnings
        [ ! -s warnings ] || { cat warnings; exit 1; }
    fi
done
tandem help --man | grep -q 'tandem\\-train (1)'
