# The same rows as TSV, with ::, with blanks and compressed train the same model.
set -e
tail -n +2 "$DATA/ratings.csv" | head -n 5000 | cut -d, -f1,2 >rows
tr , '\t' <rows >r.tsv
tr , ' ' <rows >r.txt
sed 's/,/::/g' rows >r.dat
gzip -c rows >r.csv.gz
cp rows r.csv
for file in r.csv r.tsv r.txt r.dat r.csv.gz; do
    tandem train "$file" --epochs 1 --batch-size 256 -q -o "$file.model"
    cmp r.csv.model "$file.model"
done
