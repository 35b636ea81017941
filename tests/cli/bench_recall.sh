# tandem bench recall: of a model, of an index file, of vectors; half of the queries calibrate.
set -e
options='--query-count 200 --rounds 1 -k 5,20 --targets 0.5,0.9,1'
tandem bench recall "$MODEL" --kind tree --num-leaves 24 $options --json >model.json
jq -c '[.kind, .leaves, .calibrating, .measured, .build_seconds > 0]' model.json
jq -c '.rows[] | [.k, (.target // 0) * 100]' model.json
jq -e '.rows | map(select(.target == 1 or .target == null)) | map(.recall == 1) | all' model.json
jq -e '.rows | map(.recall > 0 and .one_per_second > 0 and .all_per_second > 0 and
    .p50_us <= .p99_us) | all' model.json
# kept says what it says it does
jq -e '[.rows[] | select(.target != null) |
    .kept == ((.recall - .target) >= -0.005 and (.recall - .target) <= 0.02)] | all' model.json

tandem index "$MODEL" --kind tree --num-leaves 24 -q -o tree
sum=$(cksum <tree)
tandem bench recall tree --model "$MODEL" $options --json | jq -c '[.build_seconds, .measured]'
tandem bench recall tree --model "$MODEL" $options --keep-calibration --json |
    jq -c '[.calibrating, .measured]'
[ "$sum" = "$(cksum <tree)" ] || echo "the index file has changed"

tandem export "$MODEL" --what candidates -q -o items.npy
tandem export "$MODEL" --what queries -q -o users.npy
tandem bench recall items.npy --queries users.npy $options >table
head -n 1 table | cut -d: -f1
grep -c '^ *[0-9]* *exact *1.0000' table
tandem bench recall items.npy --queries users.npy --normalize $options --json |
    jq -c '[.kind, .measured, (.rows | length)]'

refuse() { tandem bench "$@" 2>&1 >/dev/null && echo "not refused: $*" || true; }
refuse precision "$MODEL"
refuse recall items.npy
refuse recall "$MODEL" --queries users.npy
refuse recall "$MODEL" --keep-calibration
refuse recall "$MODEL" --targets 0.9,2
refuse recall "$MODEL" --targets ''
refuse recall "$MODEL" -k 100000
printf '1 0\n0 1\n' >v.txt
refuse recall items.npy --queries v.txt
printf '1 0\n' >one.txt
refuse recall v.txt --kind tree --queries one.txt
