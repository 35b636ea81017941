# A validation part is watched: the best epoch is known, and training may stop before the last.
set -e
tandem train "$DATA/ratings.csv" --split time --timestamp-column timestamp \
    --validation-fraction 0.1 --epochs 6 --batch-size 256 --patience 2 -o m --json -q >r.json
jq -e '.train | .best_epoch >= 1 and .best_epoch <= .epochs and .best_monitor > 0' r.json >/dev/null
