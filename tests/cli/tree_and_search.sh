# A tree of a model's candidates, calibrated on its users, finds nearly what the exact index finds.
set -e
tandem index "$MODEL" -q -o exact
tandem index "$MODEL" --kind tree --num-leaves 24 --json -o tree >report
jq -c '[.index, .kind, .leaves, .calibration_queries > 100]' report
tandem check tree
users=$(seq 1 60 | sed 's/^/--user /')
search() {
    tandem search "$1" --model "$MODEL" $users -k 5 --json $2 | jq -c '.queries[].items[].id'
}
search exact >exact.ids
search tree '--target-recall 1' | cmp - exact.ids
search tree >tree.ids
same=$(paste exact.ids tree.ids | awk '$1 == $2' | wc -l)
[ "$same" -gt 180 ] || echo "only $same of 300 places agree"
search tree '--num-leaves-to-search 1 --reordering-num-neighbors 5' >narrow.ids
cmp -s narrow.ids exact.ids && echo "one leaf finds everything"
printf '1 0\n0 1\n1 1\n' >v.txt
tandem index v.txt --kind tree -o small 2>&1
tandem index v.txt --kind tree --calibrate v.txt -q -o small
tandem search small --vector 1,0 -k 2
tandem search small --vector 1,0 --target-recall 2 2>&1 || echo "exit $?"
tandem index v.txt --kind forest -o other 2>&1 || echo "exit $?"
tandem index "$MODEL" --store int8 --num-leaves 24 --json -o rounded >report
jq -c '[.kind, .store, .leaves]' report
tandem check rounded
tandem info rounded --json | jq -c '[.version, .index.kind, .index.store, .index.bytes > 0]'
search rounded >rounded.ids
same=$(paste exact.ids rounded.ids | awk '$1 == $2' | wc -l)
[ "$same" -gt 180 ] || echo "only $same of 300 places of the rounded agree"
[ $(($(wc -c <rounded) * 2)) -lt "$(wc -c <tree)" ] || echo "the rounded are not small"
tandem index v.txt --store int8 --kind exact -o other 2>&1 || echo "exit $?"
tandem index v.txt --store int8 --distance-measure squared_l2 -o other 2>&1 || echo "exit $?"
