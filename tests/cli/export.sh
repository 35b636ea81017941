# Vectors, ids and interactions come out whole, in the same order, and go back in.
set -e
tandem export "$MODEL" --what candidates -o c.npy
tandem export "$MODEL" --what candidates -o c.csv
tandem export "$MODEL" --what candidate-ids -o c.txt
count=$(jq .candidates "$LOG")
[ "$(wc -l <c.txt)" -eq "$count" ]
[ "$(wc -l <c.csv)" -eq $((count + 1)) ]
tail -n +2 c.csv | cut -d, -f1 | cmp - c.txt
tandem index c.npy --ids c.txt -q -o from-npy
tandem index "$MODEL" -q -o from-model
vector=$(sed -n 2p c.csv | cut -d, -f2-)
tandem search from-npy --vector "$vector" --json >a
tandem search from-model --vector "$vector" --json | cmp a -
tandem export "$DATA/ratings.csv" --what interactions -o i.csv
[ "$(wc -l <i.csv)" -eq 100837 ]
tail -n +2 "$DATA/ratings.csv" | cut -d, -f1,2 >want
tail -n +2 i.csv | cut -d, -f1,2 | cmp want -
tandem export "$DATA/ratings.csv" --what dataset -o d
tandem check d >/dev/null
tandem export d --what interactions -o again.csv
cmp i.csv again.csv
tandem export "$MODEL" -o c.parquet 2>err && exit 1
grep -q 'written as .npy or .csv' err
tandem export c.txt --what dataset -o nowhere/d 2>/dev/null && exit 1
tandem export "$MODEL" "$MODEL" -o x.npy 2>err && exit 1
grep -q 'one model' err
