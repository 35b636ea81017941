# Ten titles in order of score, none of which the user has rated in the training part.
set -e
tandem recommend "$MODEL" --user 7 --json >r.json
jq -e '.users[0] | .known and .ranked_by == "model" and (.items | length) == 10
    and ([.items[].rank] == [range(1; 11)]) and ([.items[].score] | . == (sort | reverse))
    and ([.items[].title | length > 0] | all)' r.json >/dev/null
# What is not in the training part was held out: the seen ones are 80 % of the user's ratings.
tandem recommend "$MODEL" --user 7 --with-seen -k 100000 --json >all.json
tandem recommend "$MODEL" --user 7 -k 100000 --json >unseen.json
jq -r '.users[0].items[].id' all.json | sort >all
jq -r '.users[0].items[].id' unseen.json | sort >unseen
comm -23 all unseen >seen
awk -F, '$1 == 7 { print $2 }' "$DATA/ratings.csv" | sort >rated
[ "$(wc -l <seen)" -gt 0 ]
[ "$(comm -23 seen rated | wc -l)" -eq 0 ]
[ "$(comm -13 all unseen | wc -l)" -eq 0 ]
# Titles are those of the item file.
id=$(jq -r '.users[0].items[0].id' r.json)
title=$(jq -r '.users[0].items[0].title' r.json)
grep "^$id," "$DATA/movies.csv" | grep -qF "$title"
# The first is gone when it is excluded, and the others move up.
tandem recommend "$MODEL" --user 7 -k 9 --exclude "$id" --json >without.json
jq -c '[.users[0].items[].id]' without.json >moved
jq -c '[.users[0].items[1:][].id]' r.json | cmp - moved
echo "$id" >ids
tandem recommend "$MODEL" --user 7 -k 9 --exclude-file ids --json | cmp - without.json
