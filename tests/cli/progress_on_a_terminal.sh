# On a terminal each epoch leaves a line with its loss.
set -e
command -v script >/dev/null || { echo "script(1) is not here"; exit 77; }
script -qec "tandem train '$DATA/ratings.csv' --epochs 3 --batch-size 256 -o m" /dev/null >screen
tr '\r' '\n' <screen | sed 's/.*\[K//' >lines
for epoch in 1 2 3; do grep -q "^epoch $epoch  loss [0-9.]*  [0-9.]* s" lines; done
