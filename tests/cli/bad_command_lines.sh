# Each is refused with exit status 2 and a sentence that names the trouble.
refuse() {
    part=$1
    shift
    tandem "$@" >out 2>err
    code=$?
    [ "$code" -eq 2 ] && [ ! -s out ] && grep -qF -- "$part" err && [ "$(wc -l <err)" -eq 1 ] &&
        return
    echo "tandem $*: exit $code"
    cat out err
    exit 1
}
refuse 'tandem train FILE' train
refuse '--epochs needs a value' train x.csv --epochs
refuse 'epochs' train x.csv --epochs many
refuse 'epochs' train x.csv --epochs=-1
refuse 'similarity' train x.csv --similarity euclid
refuse '--no-json takes no value' version --no-json=yes
refuse 'one word too many' recommend a b --user 1
refuse '-z' recommend a -z
refuse 'for whom' recommend "$MODEL"
refuse 'similar to what' similar "$MODEL"
refuse 'similar to what' similar "$MODEL" --item 1 --title x
refuse 'where to' export "$MODEL"
refuse 'search for what' search x.index
refuse 'needs --model' search x.index --user 1
refuse 'about what' info
refuse 'nothing is held out' evaluate "$MODEL" "$DATA/ratings.csv"
refuse 'nothing to split' train "$DATA/ratings.csv" --test "$DATA/ratings.csv" --split random
refuse 'threads' info --cpu --threads 1000
refuse 'no verb' help cook
