# A history gives what a user with that history gets from iALS: folding in is the last half epoch.
set -e
tandem train "$DATA/ratings.csv" --items "$DATA/movies.csv" --trainer ials --dim 16 --epochs 3 \
    --regularization 0.02 -q -o m
awk -F, '$1 == 7 { print $2 }' "$DATA/ratings.csv" >taken
tandem recommend m --user 7 -k 20 --json >user.json
tandem recommend m --history-file taken -k 20 --json >history.json
jq -c '[.users[0].items[].id]' user.json >a
jq -c '[.users[0].items[].id]' history.json | cmp - a
jq -e '.users[0] | .user == null and .known == false and .ranked_by == "history"
    and .unknown == 0 and (.history | length) == 152' history.json >/dev/null
# Lists with commas, files and titles say the same; doubles change nothing.
tandem recommend m --history 1,858 --history 50,1 -k 5 >ids
printf '858\n50\n' >file
tandem recommend m --history-title "toy story (1995)" --history-file file -k 5 | cmp - ids
# What was taken is not recommended, unless asked for; nor is what is excluded.
tandem recommend m --history 1,858,50 -k 50 --exclude 527 --json |
    jq -e '[.users[0].items[].id] | index("1", "858", "50", "527") == null' >/dev/null
tandem recommend m --history 1,858,50 -k 50 --with-seen --json |
    jq -e '[.users[0].items[].id] | index("858") != null' >/dev/null
# Unknown candidates are passed over, and told; without a known one it is an error.
tandem recommend m --history nix,1 -k 1 --json 2>err | jq -e '.users[0].unknown == 1' >/dev/null
grep -q '^the model does not know candidate nix; it is passed over' err
# fails CODE WORDS FLAGS...
fails() {
    expected=$1 words=$2 code=0
    shift 2
    tandem recommend "$@" 2>err >out || code=$?
    [ "$code" -eq "$expected" ] && grep -q -e "$words" err
}
fails 8 'knows none of the candidates' m --history nix
fails 2 'titles contain "toy story"' m --history-title "toy story"
fails 2 'leave it or the users out' m --history 1 --user 7
tandem train "$DATA/ratings.csv" --heads 2 --epochs 1 -q -o heads
fails 12 'needs a model with one vector a query; this one has 2' heads --history 1
# Of a model trained by the softmax the history gets what is likeliest under it: here, for cosines,
# much of what the user gets who has this history.
tandem train "$DATA/ratings.csv" --recipe plain --similarity cosine --temperature 0.2 \
    --negatives all --group queries --batch-size 32 --optimizer adam-lazy --learning-rate 0.01 \
    --reduction mean --dim 32 --epochs 8 -q -o cosine
tandem recommend cosine --history-file taken -k 50 --json >history.json
jq -e '.users[0].ranked_by == "history"' history.json >/dev/null
jq -r '.users[0].items[].id' history.json | sort >history
tandem recommend cosine --user 7 -k 50 --json | jq -r '.users[0].items[].id' | sort >user
[ "$(comm -12 user history | wc -l)" -ge 25 ]
