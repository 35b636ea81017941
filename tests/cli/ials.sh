# The second trainer: its own options, kept in the model; those of the other one are refused.
set -e
tandem train "$DATA/ratings.csv" --items "$DATA/movies.csv" --split random --trainer ials --dim 16 \
    --epochs 4 --regularization 0.01 --baselines popularity --json -q -o ials.tandem >r.json
jq -e '.train.trainer == "ials" and .train.epochs == 4
    and .train.last_loss < .train.first_loss
    and .evaluation.model.at[2].ndcg > 1.3 * .evaluation.popularity.at[2].ndcg' r.json >/dev/null
tandem info ials.tandem | grep -q '\\"trainer\\":\\"ials\\".*\\"regularization\\":0.01'
tandem info "$MODEL" | grep -q '\\"trainer\\":\\"softmax\\".*\\"batch-size\\":512'
tandem check ials.tandem
# refused WORDS FLAGS...: exit status 2, and a sentence with these words.
refused() {
    words=$1 code=0
    shift
    tandem train "$DATA/ratings.csv" "$@" -o no.tandem 2>err || code=$?
    [ "$code" -eq 2 ] && grep -q -e "$words" err && [ ! -e no.tandem ]
}
refused '--checkpoint is an option of --trainer softmax.*start anew' --trainer ials --checkpoint c
refused '--learning-rate is an option of --trainer softmax' --trainer ials --learning-rate 1
refused '--block is an option of --trainer ials' --block 8
refused 'similarity dot' --trainer ials --similarity cosine
# A seed is everybody's.
tandem train "$DATA/ratings.csv" --trainer ials --dim 4 --epochs 1 --seed 7 -q -o seed.tandem
