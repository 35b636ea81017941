# The best of a search, and the command that is printed for it makes the same model to the byte.
set -e
ln -s "$DATA/ratings.csv" "it's.csv"
for trainer in ials softmax; do
    tandem tune "it's.csv" --trainer "$trainer" --dim 8 --epochs 3 --trials 3 --rounds 2 \
        --seconds 0 --seed 5 --items "$DATA/movies.csv" --no-exclude-seen --plot p.svg \
        --trials-log log -o m -q >out
    sed -n '/^tandem train/p' out >again
    mv m tuned
    sh -e ./again 2>/dev/null >/dev/null
    cmp m tuned
    # Three trials, of which one went on; each has a line, a point in the picture, a command.
    [ "$(wc -l <log)" -eq 4 ]
    [ "$(grep -c '^  [12]/2 ' out)" -eq 4 ]
    jq -es 'map(.round) == [1, 1, 1, 2] and (map(.epochs) == [1, 1, 1, 3])
        and all(.score > 0 and (.command | startswith("tandem train")))
        and .[0].settings == {} and (.[1].settings | length) >= 3' log >/dev/null
    [ "$(grep -c '<circle' p.svg)" -ge 4 ]
    [ "$(tail -n 1 p.svg)" = '</svg>' ]
done
# What is given is not searched; the test part is measured once, at the end.
tandem tune "$DATA/ratings.csv" --trainer ials --split random --dim 8 --epochs 2 --trials 2 \
    --rounds 1 --regularization 0.01 --baselines popularity -o m --json -q >r.json
jq -e '(.trials | length) == 2 and .monitor == "ndcg@10"
    and (.trials[1].settings | keys == ["regularization-exponent", "unobserved-weight"])
    and (.best.score == ([.trials[].score] | max)) and .evaluation.model.queries > 600
    and (.best.command | contains("--regularization 0.01"))' r.json >/dev/null
code=0
tandem tune "$DATA/ratings.csv" --checkpoint c -o m 2>err || code=$?
[ "$code" -eq 2 ]
grep -q 'tandem tune does many' err
