# Vectors smoothed over the graph of who took what: trained, gone on with; a model as any other.
set -e
train() {
    tandem train "$DATA/ratings.csv" --recipe plain --similarity cosine --temperature 0.2 \
        --dim 16 --group queries --batch-size 128 --negatives all --optimizer adam-lazy \
        --learning-rate 0.02 --split random --baselines popularity "$@"
}
train --graph-layers 2 --epochs 8 --json -o m 2>/dev/null >report
jq -e '.model | tostring | length > 0' report >/dev/null
tandem check m
tandem info m --json | jq -e '.metadata.training | fromjson | .options["graph-layers"] == 2' \
    >/dev/null
tandem recommend m --user 7 -k 5 --json | jq -e '.users[0].items | length == 5' >/dev/null
tandem recommend m --history 1,260 -k 5 --json | jq -e '.users[0].items | length == 5' >/dev/null
# The same for any number of threads, and with a stop.
for threads in 1 3; do
    train --graph-layers 2 --epochs 3 --threads $threads -q -o "t$threads"
done
cmp t1 t3
train --graph-layers 2 --epochs 2 --checkpoint part -q -o two
tandem check part
train --graph-layers 2 --epochs 3 --checkpoint part --resume -q -o three
tandem export t1 --what candidates -o a.csv
tandem export three --what candidates -o b.csv
cmp a.csv b.csv
# It makes a difference, which is told before it starts.
train --graph-layers 0 --epochs 3 -q -o none
! cmp -s t1 none
train --graph-layers 2 --plan --json >with
train --graph-layers 0 --plan --json >without
jq -e --slurpfile without without \
    '.memory.workspace > $without[0].memory.workspace' with >/dev/null
# What does not go together is refused.
code=0
train --graph-layers 2 --query-tower history -q -o no 2>err || code=$?
[ "$code" -eq 2 ] && grep -q 'query-tower id' err
code=0
train --graph-layers 9 -q -o no 2>err || code=$?
[ "$code" -eq 2 ] && grep -q 'graph-layers' err
