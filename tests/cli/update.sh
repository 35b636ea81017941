# Items of an index change, come and go; the file is replaced as a whole or stays.
set -e
printf '1 0\n0 1\n1 1\n' >vectors.txt
printf 'east\nnorth\nboth\n' >ids.txt
printf '5 0\n-1 0\n' >new.txt
printf 'east\nwest\n' >new_ids.txt
for kind in exact tree; do
    tandem index vectors.txt --ids ids.txt --kind $kind -q -o i
    tandem update i --upsert new.txt --ids new_ids.txt --delete north 2>&1 | sed 's/; drift.*//'
    tandem check i
    tandem search i --vector 1,0
    tandem info i --json | jq -c '[.version, .index.items, .index.positions, .index.updates]'
    cp i before
    tandem update i --delete north 2>&1 || echo "exit $?"
    tandem update i --delete east --upsert new.txt --ids ids.txt 2>&1 || echo "exit $?"
    tandem update i --ids ids.txt 2>&1 || echo "exit $?"
    tandem update i --upsert new.txt 2>&1 || echo "exit $?"
    cmp i before
    printf 'west\nboth\n' | tandem update i --delete-file - --rebuild -o j --json |
        jq -c '[.index, .deleted, .items, .positions, .updates, .drift == 0]'
    cmp i before
    tandem search j --vector 1,0
    tandem update j --upsert vectors.txt --ids ids.txt --normalize -q
    tandem search j --vector 1,1 -k 1
done
tandem index vectors.txt -q -o unnamed
printf '3\n0\n' >numbers.txt
tandem update unnamed --upsert new.txt --ids numbers.txt 2>&1
tandem search unnamed --vector=-1,0 -k 2
# The same model again changes nothing but the count of updates.
tandem index "$MODEL" -q -o movies
tandem search movies --model "$MODEL" --user 7 -k 5 >first
tandem update movies --upsert "$MODEL" -q
tandem search movies --model "$MODEL" --user 7 -k 5 | cmp - first
