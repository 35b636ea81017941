# --test FILE measures on that file; the numbers are those of evaluate with the same files.
set -e
awk -F, 'NR == 1 || NR % 5 != 0' "$DATA/ratings.csv" >train.csv
awk -F, 'NR == 1 || NR % 5 == 0' "$DATA/ratings.csv" >test.csv
tandem train train.csv --test test.csv --epochs 2 --batch-size 256 -o m --json -q >train.json
tandem evaluate m train.csv --test test.csv --json -q >evaluate.json
jq -S '.evaluation | del(.. | .seconds?)' train.json >first
jq -S 'del(.. | .seconds?)' evaluate.json | diff first -
jq -e '.evaluation.model.rows == 20167' train.json >/dev/null
