# Truncated, flipped, empty and foreign files are refused with a reason.
set -e
refuse() {
    wanted=$1
    shift
    code=0
    tandem "$@" >out 2>err || code=$?
    [ "$code" -eq "$wanted" ] && [ "$(wc -l <err)" -eq 1 ] && return
    echo "tandem $*: exit $code, expected $wanted"
    cat out err
    exit 1
}
size=$(wc -c <"$MODEL")
head -c $((size / 2)) "$MODEL" >half
cp "$MODEL" flipped
printf '\377\376' | dd of=flipped bs=1 seek=$((size - 1000)) conv=notrunc 2>/dev/null
: >empty
for verb in check info "recommend --user 1" "similar --item 1"; do
    set -- $verb
    name=$1
    shift
    refuse 6 "$name" half "$@"
    [ "$name" = info ] || refuse 6 "$name" flipped "$@"
done
refuse 6 check half flipped "$MODEL"
grep -q ': ok' out
refuse 7 search "$MODEL" --vector 1,2
tandem index "$MODEL" -q -o good.index
refuse 7 recommend good.index --user 1
refuse 5 train empty -o m
refuse 5 evaluate "$MODEL" empty --split random
code=0
tandem recommend empty --user 1 >out 2>err || code=$?
[ "$code" -ne 0 ] && [ -s err ]
[ ! -e m ]
