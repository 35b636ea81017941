# A training says what memory it needs before it starts, and refuses what cannot fit; --plan only
# says it.
set -e
data=$DATA/ratings.csv
jq -e '.memory | .needed > .model and .needed < 1000000000 and .copies > 0 and .optimizer > 0
    and .workspace > 0 and .evaluation > 0 and .baselines > 0 and .data > 1000000
    and .may_be_taken > .needed' "$LOG" >/dev/null

tandem train "$data" --recipe plain --plan -o m >out 2>err
[ ! -e m ]
grep -q '^memory: [0-9.]* MB beside the data ([0-9.]* MB): model .* [MG]B may be taken$' out
grep -q 'memory' err && exit 1
tandem train "$data" --recipe plain --plan --json --quiet >out
jq -e '(keys == ["memory"]) and .memory.evaluation == 0 and .memory.baselines == 0' out >/dev/null

# More of everything takes more; another trainer has no optimizer.
needed() { tandem train "$data" --recipe plain --plan --json --quiet "$@" | jq .memory.needed; }
[ "$(needed --dim 128)" -gt "$(needed --dim 32)" ]
[ "$(needed --batch-size 65536)" -gt "$(needed --batch-size 256)" ]
none=$(needed --split random --baselines none)
[ "$(needed --split random --baselines all)" -gt "$none" ]
tandem train "$data" --trainer ials --plan --json --quiet >out
jq -e '.memory.optimizer == 0' out >/dev/null

# Too little: exit status and sentence, and nothing is written.
code=0
tandem train "$data" --recipe plain --dim 64 --memory-max 2000000 -o m --quiet 2>err || code=$?
[ "$code" -ne 0 ]
[ ! -e m ]
grep -q 'this takes [0-9.]* MB of memory beside the data, and 2.0 MB may be taken; most of it' err
tandem train "$data" --recipe plain --epochs 1 --dim 8 --memory-max 4000000000 -o m --quiet
[ -e m ]

# On small data iALS is tried after the softmax, whose model stays: both count.
awk 'BEGIN { print "user,item"; for (u = 0; u < 150; u++) for (i = 0; i < 40; i++)
    if ((u * 7 + i * 13) % 5 < 3) print u "," i }' >dense.csv
of() { tandem train dense.csv --plan --json --quiet --dim 256 "$@" | jq "$part"; }
part=.memory.needed
both=$(of) softmax=$(of --trainer softmax) ials=$(of --trainer ials --validation-fraction 0.1)
part=.memory.model
model=$(of --trainer softmax)
[ "$both" -eq $((softmax > model + ials ? softmax : model + ials)) ]
[ "$both" -gt "$softmax" ]

# The largest of its settings counts, unless --dim says what all are: the best so far and the next.
needed() { tandem train "$data" --plan --json --quiet "$@" | jq .memory.model; }
one=$(needed --trainer ials --dim 256 --validation-fraction 0.1)
[ "$(needed)" -eq $((2 * one)) ]
[ "$(needed --dim 64)" -lt "$one" ]
