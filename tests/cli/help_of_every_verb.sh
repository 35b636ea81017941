# Every verb explains itself, names its example, and fits 80 columns.
set -e
tandem help >overview
verbs=$(tandem help --json | jq -r '.verbs[].verb')
for verb in $verbs; do
    grep -q "^  $verb " overview
    tandem "$verb" --help >help
    tandem help "$verb" | cmp - help
    grep -q "^tandem $verb - " help
    grep -q '^  --json ' help
    [ "$(awk 'length($0) > 80 && !/^  (tandem|  )/' help | wc -l)" -eq 0 ]
done
[ "$(echo "$verbs" | wc -l)" -eq 15 ]
