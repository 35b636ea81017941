# The baselines that are asked for stand beside the model, and what is wrong with it is said.
set -e
tandem evaluate "$MODEL" "$DATA/ratings.csv" --split random --baselines item-knn,popularity \
    --k 10,5 --json -q >r.json
jq -e 'keys == ["item-knn", "model", "popularity", "warnings"]
    and (.["item-knn"].at | map(.k) == [10, 5])
    and .popularity.at[0].overlap > .model.at[0].overlap
    and .popularity.at[0].coverage < .model.at[0].coverage' r.json >/dev/null
# The warning names the strongest one that the model does not beat; here it was hardly trained.
tandem train "$DATA/ratings.csv" --split random --epochs 1 --batch-size 8192 --learning-rate 0.001 \
    -o weak --baselines popularity,item-knn >table 2>warnings
grep -q '^warning: the model does not beat item-knn: NDCG@10 ' warnings
[ "$(grep -c '^at ' table)" -eq 2 ]
# Vectors of one number can only say how popular an item is: everybody gets the same.
awk 'BEGIN { for (u = 0; u < 40; u++) for (i = 0; i < 3; i++)
        print "u" u ",i" (u * 7 + i * 11) % 200
    for (u = 0; u < 40; u++) for (i = 200; i < 230; i++) print "u" u ",i" i }' >train.csv
awk 'BEGIN { for (u = 0; u < 40; u++) print "u" u ",i" (u * 3) % 200 }' >test.csv
tandem train train.csv --test test.csv --no-exclude-seen --epochs 60 --batch-size 256 --dim 1 \
    --learning-rate 0.2 --k 10 -o same --baselines none >table 2>warnings
[ "$(grep -c '^popularity' table)" -eq 0 ]
grep -q '^warning: everybody gets much the same: ' warnings
# Without a name, or with an unknown one, it is an error before anything is read.
code=0
tandem train no.csv --baselines ease,popular -o m 2>err || code=$?
[ "$code" -eq 2 ]
grep -q 'there is no "popular"; known are popularity, item-knn and ease' err
