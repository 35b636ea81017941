# 1, 2 and 7 threads write the same bytes.
set -e
for threads in 1 2 7; do
    tandem train "$DATA/ratings.csv" --epochs 1 --batch-size 256 \
        --threads $threads -q -o "m$threads"
done
cmp m1 m2
cmp m1 m7
