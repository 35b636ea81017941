# Every bad file has its reason beside it, not only the first.
set -e
: >empty.csv
printf 'no container' >text
cp "$MODEL" damaged
printf 'x' | dd of=damaged bs=1 seek=300000 conv=notrunc 2>dd.log
status=0
tandem check "$MODEL" empty.csv text damaged >out 2>err || status=$?
[ "$status" -eq 7 ]
grep -c ': ok$' out | grep -qx 1
grep -c ': not ok$' out | grep -qx 3
grep -A1 '^empty.csv: not ok$' out | grep -q 'this is no container file'
grep -A1 '^text: not ok$' out | grep -q 'this is no container file'
grep -A1 '^damaged: not ok$' out | grep -q 'is damaged: its checksum is wrong'
grep -q '^tandem check: empty.csv' err
