# Exact answers over vectors from a text file: order, ties, exclusions, allowed items, k beyond n.
set -e
printf '1 0\n0 1\n1 0\n-1 0\n2 2\n' >vectors.txt
printf 'east\nnorth\n"e,2"\nwest\nfar\n' >ids.txt
tandem index vectors.txt --ids ids.txt -o i 2>&1
tandem search i --vector 1,0
tandem search i --vector '1 0' -k 2 --exclude far
printf 'west\nnorth\n' >allowed
tandem search i --vector 0,1 --allow allowed -k 7
tandem search i --queries vectors.txt -k 1 --json | jq -c '[.queries[].items[0].id]'
tandem index vectors.txt -q -o unnamed
tandem search unnamed --vector 0.5,0 --exclude 4 --exclude 0 -k 2
tandem index vectors.txt --normalize --ids ids.txt -q -o unit
tandem search unit --vector 1,1 -k 1
tandem search i --vector 1,2,3 2>&1 || echo "exit $?"
tandem search i --vector 1,x 2>&1 || echo "exit $?"
tandem search i --vector 1,nan 2>/dev/null || echo "exit $?"
tandem search unnamed --vector 1,0 --exclude 5 2>&1 || echo "exit $?"
printf 'a\nb\n' >short
tandem index vectors.txt --ids short -o j 2>&1 || echo "exit $?"
printf 'a\nb\nc\nd\na\n' >twice
tandem index vectors.txt --ids twice -o j 2>&1 || echo "exit $?"
[ ! -e j ]
