# --quiet leaves nothing on standard error; without a terminal there is no bar either.
set -e
tandem train "$DATA/ratings.csv" --epochs 1 --batch-size 256 --quiet -o m 2>err
[ ! -s err ]
tandem train "$DATA/ratings.csv" --recipe plain --epochs 1 --batch-size 256 -o m 2>err
tr -d '\n' <err | grep -q "$(printf '\r')" && exit 1
grep -q '610 queries, 9,724 candidates, 100,836 rows to train on' err
