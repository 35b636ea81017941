# Where the query tower takes histories, a list says all there is to say of a user.
set -e
tandem train "$DATA/ratings.csv" --items "$DATA/movies.csv" --query-tower history --dim 16 \
    --timestamp-column timestamp --recipe plain --epochs 2 -q -o m
tandem check m
tandem info m --json |
    jq -e '.metadata.options | fromjson | .["query-tower"] == "history"' >/dev/null
# What user 7 took, oldest first, is user 7, to the last digit.
awk -F, '$1 == 7 { print $4 "," $2 }' "$DATA/ratings.csv" | sort -s -n -t, -k1,1 |
    cut -d, -f2 >taken
tandem recommend m --user 7 -k 20 --json | jq -c '.users[0].items' >user
tandem recommend m --history-file taken -k 20 --json >history.json
jq -c '.users[0].items' history.json | cmp - user
jq -e '.users[0] | .user == null and .known == false and .ranked_by == "history"
    and .unknown == 0 and (.history | length) == 152' history.json >/dev/null
# Unknown candidates are passed over, and told; without a known one it is an error.
tandem recommend m --history nix,1 -k 1 --json 2>err | jq -e '.users[0].unknown == 1' >/dev/null
grep -q '^the model does not know candidate nix; it is passed over' err
code=0
tandem recommend m --history nix 2>err || code=$?
[ "$code" -eq 8 ] && grep -q 'knows none of the candidates' err
# Of long lists the last ones count.
tandem train "$DATA/ratings.csv" --query-tower id+history --history-length 2 --dim 16 \
    --recipe plain --history-pooling attention --epochs 1 -q -o short
tandem recommend short --history 858,50,1,260 -k 500 --with-seen --json |
    jq -c '.users[0].items' >a
tandem recommend short --history 1,260 -k 500 --with-seen --json | jq -c '.users[0].items' |
    cmp - a
# A model goes on with new rows, and the histories with it.
awk -F, 'NR == 1 || $1 <= 500' "$DATA/ratings.csv" >old.csv
awk -F, 'NR == 1 || $1 > 500' "$DATA/ratings.csv" >new.csv
tandem train old.csv --query-tower id+history --dim 16 --recipe plain --epochs 1 -q -o old
tandem train new.csv --from old --epochs 1 -q -o more
tandem check more
tandem recommend more --user 600 --json | jq -e '.users[0].ranked_by == "model"' >/dev/null
# The whole is the same for any number of threads.
for threads in 1 3; do
    tandem train old.csv --query-tower id+history --history-pooling sqrt --dim 16 --epochs 1 \
        --recipe plain --group queries --threads $threads -q -o "t$threads"
done
cmp t1 t3
# What does not go together is refused.
# fails CODE WORDS FLAGS...
fails() {
    expected=$1 words=$2 code=0
    shift 2
    tandem train "$DATA/ratings.csv" "$@" -q -o no 2>err || code=$?
    [ "$code" -eq "$expected" ] && grep -q -e "$words" err
}
fails 2 'needs query-layers' --recipe plain --query-tower history --heads 2
fails 2 'query-tower id' --trainer ials --query-tower history
fails 2 'query-tower' --query-tower histories
