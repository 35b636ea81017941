# The same split flags cut the same way: evaluate measures what train measured.
set -e
tandem evaluate "$MODEL" "$DATA/ratings.csv" --split random --json -q >again.json
jq -S '.evaluation | del(.. | .seconds?)' "$LOG" >first
jq -S 'del(.. | .seconds?)' again.json | diff first -
tandem evaluate "$MODEL" "$DATA/ratings.csv" --split random --keep-seen --json -q >seen.json
jq -S 'del(.. | .seconds?)' seen.json | cmp -s first - && exit 1
tandem evaluate "$MODEL" "$DATA/ratings.csv" --split random -q >table
grep -q '^model  *0\.' table
grep -q '^popularity  *0\.' table
grep -q '^item-knn  *0\.' table
