# Dense layers behind the tables: trained, saved, checked, used. Widths that do not fit are refused.
set -e
tandem train "$DATA/ratings.csv" --split random --dim 16 --query-layers 32,16 --epochs 2 \
    -o m -q --json >r.json
jq -e '.train.last_loss < .train.first_loss' r.json >/dev/null
tandem check m >/dev/null
tandem recommend m --user 1 --k 3 >list
test "$(grep -c . list)" -ge 3
! tandem train "$DATA/ratings.csv" --dim 16 --query-layers 32 -o n -q 2>message
grep -q 'query-layers ends with 32, but vectors have 16 numbers (dim)' message
