# A file that is not there: exit status 8 and its name, from every verb.
set -e
refuse() {
    code=0
    tandem "$@" >out 2>err || code=$?
    [ "$code" -eq 8 ] && [ ! -s out ] && grep -q 'nowhere' err && return
    echo "tandem $*: exit $code"
    cat out err
    exit 1
}
refuse train nowhere.csv -o m
refuse train "$DATA/ratings.csv" --items nowhere.csv -o m
refuse train "$DATA/ratings.csv" --test nowhere.csv -o m
refuse train "$DATA/ratings.csv" -o nowhere/m
refuse evaluate nowhere "$DATA/ratings.csv" --split random
refuse recommend nowhere --user 1
refuse recommend "$MODEL" --users nowhere
refuse similar nowhere --item 1
refuse index nowhere -o i
refuse search nowhere --vector 1,2
refuse export nowhere -o x.npy
refuse info nowhere
[ ! -e m ] && [ ! -e i ]
