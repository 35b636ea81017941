# Settings are chosen by the size of the data, flags win, and after early stopping a training on all
# rows follows.
set -e
tandem train "$DATA/ratings.csv" --split random --epochs 3 -o m --json >r.json 2>err
grep -q '^recipe auto: 610 queries, .*dot product' err
grep -q '^trained again on all ' err
jq -e '.train.best_epoch >= 1 and .train.epochs <= 3' r.json >/dev/null
jq -e '.evaluation | .model.at[-1].ndcg > .popularity.at[-1].ndcg' r.json >/dev/null
tandem train "$DATA/ratings.csv" --epochs 1 --negatives all --group queries --batch-size 64 \
    -o m 2>err
grep -q '^recipe auto: .*measured against every candidate' err
tandem train "$DATA/ratings.csv" --epochs 1 --batch-size 256 --recipe plain -o m 2>err
if grep 'recipe auto\|trained again' err; then exit 1; fi
if tandem train "$DATA/ratings.csv" --recipe none -o m 2>err; then exit 1; fi
grep -q 'recipe' err
