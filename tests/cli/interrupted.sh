# The first interrupt stops between two steps: exit status 13, and no model is left behind.
set -e
command -v setsid >/dev/null || { echo "setsid is not here"; exit 77; }
cat >stop.sh <<'END'
trap - INT
exec tandem train "$DATA/ratings.csv" --epochs 100000 --batch-size 256 -o m
END
setsid sh stop.sh 2>err & pid=$!
sleep 1
code=0
kill -INT $pid
wait $pid || code=$?
[ "$code" -eq 13 ] || { echo "exit $code"; cat err; exit 1; }
[ ! -e m ]
