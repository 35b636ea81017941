# A validation part is watched: the best epoch is known, and training may stop before the last.
set -e
tandem train "$DATA/ratings.csv" --split time --timestamp-column timestamp \
    --validation-fraction 0.1 --epochs 6 --batch-size 256 --patience 2 -o m --json -q >r.json
jq -e '.train | .best_epoch >= 1 and .best_epoch <= .epochs and .best_monitor > 0' r.json >/dev/null

# So may a part of each query's rows be, beside a test file.
tandem train "$DATA/ratings.csv" --test "$DATA/ratings.csv" --split query \
    --validation-fraction 0.1 --recipe plain --epochs 2 --batch-size 256 -o m --json 2>said >r.json
jq -e '.train | .best_epoch >= 1 and .best_monitor > 0' r.json >/dev/null
grep -q '^610 queries, .* rows for validation, 100,836 rows held out' said

# A model is measured on the same part of each query again.
tandem train "$DATA/ratings.csv" --split query --recipe plain --epochs 2 -o m --json -q >r.json
tandem evaluate m "$DATA/ratings.csv" --split query --json -q | jq -S 'del(.. | .seconds?)' >again
jq -S '.evaluation | del(.. | .seconds?)' r.json | diff again -
