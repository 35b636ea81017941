# A model goes on with new users and items, and keeps what it knew.
set -e
awk -F, 'NR == 1 || ($1 <= 500 && $2 <= 100000)' "$DATA/ratings.csv" >old.csv
awk -F, 'NR == 1 || $1 > 500 || $2 > 100000' "$DATA/ratings.csv" >new.csv
tandem train old.csv --items "$DATA/movies.csv" --dim 16 --epochs 2 -q -o old
tandem train new.csv --from old --items "$DATA/movies.csv" --epochs 1 -o softmax 2>err
grep -q '^old: 110 queries and [1-9][0-9,]* candidates are new$' err
tandem check softmax
# It is trained as it was.
tandem train old.csv --similarity cosine --temperature 0.3 --dim 8 --epochs 2 -q -o cosine
tandem train new.csv --from cosine -q --epochs 1 -o more
tandem info more --json | grep -q "temperature.*0.3"
tandem recommend softmax --user 600 --json |
    jq -e '.users[0].known and .users[0].ranked_by == "model"' >/dev/null
# What users had before is still left out.
tandem recommend softmax --user 7 -k 100000 --json -q | jq -r '.users[0].items[].id' | sort >left
awk -F, '$1 == 7 { print $2 }' "$DATA/ratings.csv" | sort >had
[ "$(comm -12 left had | wc -l)" -eq 0 ]
# The dimension is the model's.
code=0
tandem train new.csv --from old --dim 8 -o no 2>err || code=$?
[ "$code" -eq 2 ]
grep -q -e '--dim is settled by the model of --from' err
# iALS would forget: it is refused.
code=0
tandem train new.csv --from old --trainer ials -o no 2>err || code=$?
[ "$code" -eq 2 ]
grep -q 'would forget what --from knows' err
