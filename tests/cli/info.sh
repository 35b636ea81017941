# Each kind of file is described, for people and for programs.
set -e
tandem info "$MODEL" >text
tandem info "$MODEL" --json | jq -r .kind
grep -q '^kind: "model"' text
tandem index "$MODEL" -q -o i
tandem info i --json | jq -r .kind
tandem export "$DATA/ratings.csv" --what dataset -o d
tandem info d --json | jq -r .kind
tandem info "$DATA/ratings.csv" --timestamp-column timestamp
tandem info "$DATA/ratings.csv" --rating-column rating --rating-min 4 --json |
    jq -c '[.kind, .rows, .queries, .below_rating]'
tandem info --cpu | grep -c 'available, chosen'
tandem info --cpu --threads 3 --kernel ref --json |
    jq -c '[.threads, .bfloat16, (.kernels[] | select(.chosen) | .kernel)]'
tandem info --cpu --kernel ref | grep 'bfloat16' | sed 's/^[0-9]* threads; //'
tandem info --cpu --kernel abacus 2>&1 | grep -c '^tandem info: kernel set "abacus"'
