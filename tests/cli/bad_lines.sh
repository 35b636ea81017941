# A bad line stops with file, line and what was expected, or is skipped and counted.
head -n 200 "$DATA/ratings.csv" >ratings.csv
echo '7,8,good,964982703' >>ratings.csv
tandem train ratings.csv --rating-column rating -o m 2>err
echo "exit $?"
grep -c '^tandem train: ratings.csv:201: ' err
tandem train ratings.csv --rating-column rating --skip-bad-lines --epochs 1 --json -o m \
    2>/dev/null | jq -c '.read'
