# The same vectors as .npy, .fvecs, .fbin and text give the same answers, with ids that are words or
# numbers; a value that is not finite is refused in each, with its row.
set -e
one='\000\000\200\077' two='\000\000\000\100' zero='\000\000\000\000' nan='\000\000\300\177'
dim='\002\000\000\000' count='\003\000\000\000'

npy() {
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
    printf "$one$zero$zero$one$1$two"
}
fvecs() { printf "$dim$one$zero$dim$zero$one$dim$1$two"; }
fbin() { printf "$count$dim$one$zero$zero$one$1$two"; }

printf '1,0\n0,1\n2,2\n' >items.csv
npy "$two" >items.npy
fvecs "$two" >items.fvecs
fbin "$two" >items.fbin
printf 'east\nnorth\nfar\n' >words.txt
printf '70\n7\n-1\n' >numbers.txt
for form in npy fvecs fbin csv; do
    tandem index items.$form --kind exact --ids words.txt -q -o words
    tandem index items.$form --kind exact --ids numbers.txt -q -o numbers
    tandem search words --queries items.$form -k 2 --json |
        jq -c '[.queries[].items[] | [.id, .score + 0]]'
    tandem search numbers --queries items.$form -k 2 --json | jq -c '[.queries[].items[].id]'
done

printf '1,0\n0,1\nnan,2\n' >bad.csv
npy "$nan" >bad.npy
fvecs "$nan" >bad.fvecs
fbin "$nan" >bad.fbin
for form in npy fvecs fbin csv; do
    tandem index bad.$form --kind exact -o bad 2>&1 || echo "exit $?"
    tandem search words --queries bad.$form 2>&1 || echo "exit $?"
done
[ ! -e bad ]
