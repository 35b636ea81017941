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

# iALS is tried too; what is best on the validation part is kept and told.
tandem train "$DATA/ratings.csv" --split random --dim 16 --epochs 3 --seed 7 --log log \
    -o m --json >r.json 2>err
tried='^iALS, unobserved weight .*, regularization .*, dim 16: 0\.[0-9]* in epoch [123]$'
[ "$(grep -c "$tried" err)" -ge 1 ]
best=$(sed -n 's/^the best of them, and kept: //p' err)
[ -n "$best" ]
score=$(sed -n "s/^$best: \(0\.[0-9]*\) in .*/\1/p" err)
[ "$score" = "$(sed -n 's/^iALS.*: \(0\.[0-9]*\) in .*/\1/p' err | sort -r | head -1)" ]
jq -e --argjson best "$score" '.train.trainer == "ials"
    and (.train.best_monitor - $best | fabs) < 0.0001' r.json >/dev/null
[ "$(wc -l <log)" -eq 3 ]
# It is trained again for all epochs that were made, whichever was best.
grep -q '^trained again on all .* for 3 epochs ' err
tandem info m | grep -q '\\"trainer\\":\\"ials\\"'
# Without --dim, of a dimension of its own, and the model is of the one that is kept.
tandem train "$DATA/ratings.csv" --split random --epochs 2 -o m --json >r.json 2>err
grep -q '^iALS.*, dim 256: ' err
dim=$(sed -n 's/^the best of them, and kept: iALS.*, dim //p' err)
[ -n "$dim" ]
jq -e --argjson dim "$dim" '.queries as $q | .candidates as $c
    | .parameters >= ($q + $c) * $dim and .parameters < ($q + $c + 9) * $dim' r.json >/dev/null
# Any number of threads chooses and trains the same.
tandem train "$DATA/ratings.csv" --dim 8 --epochs 2 --threads 1 -q -o one
tandem train "$DATA/ratings.csv" --dim 8 --epochs 2 --threads 3 -q -o three
cmp one three
# Not where a flag is for the softmax alone, or names a trainer, or nothing is held out.
softmax_only() {
    tandem train "$DATA/ratings.csv" --dim 4 --epochs 1 "$@" -o m 2>err
    if grep '^iALS' err; then exit 1; fi
}
softmax_only --learning-rate 0.1
softmax_only --similarity cosine
softmax_only --trainer softmax
softmax_only --validation-fraction 0
softmax_only --recipe plain --validation-fraction 0.1
