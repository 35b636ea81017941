# Settings are chosen by the size of the data, flags win, early stopping is followed by a training on all.
set -e
tandem train "$DATA/ratings.csv" --split random --epochs 3 -o m --json >r.json 2>err
grep -q '^recipe auto: measured against every candidate' err
grep -q '^trained again on all ' err
jq -e '.train.best_epoch >= 1 and .train.epochs <= 3' r.json >/dev/null
jq -e '.evaluation | .model.at[0].ndcg > .popularity.at[0].ndcg' r.json >/dev/null
tandem train "$DATA/ratings.csv" --epochs 1 --negatives batch --batch-size 256 -o m 2>err
grep -q '^recipe auto: measured against the rest of the batch' err
tandem train "$DATA/ratings.csv" --epochs 1 --batch-size 256 --recipe plain -o m 2>err
if grep 'recipe auto\|trained again' err; then exit 1; fi
if tandem train "$DATA/ratings.csv" --recipe none -o m 2>err; then exit 1; fi
grep -q 'recipe' err
