# An index of a model's candidates, searched for a user, gives what recommend --with-seen gives.
set -e
tandem index "$MODEL" -q -o i
tandem check i -q
tandem search i --model "$MODEL" --user 7 -k 20 --json | jq '.queries[0].items' >search
tandem recommend "$MODEL" --user 7 -k 20 --with-seen --json | jq '.users[0].items' | diff search -
# The same through exported query vectors: row 0 is the first id.
tandem export "$MODEL" --what queries -o q.npy
tandem export "$MODEL" --what query-ids -o q.txt
tandem search i --queries q.npy -k 5 --json >all.json
tandem search i --model "$MODEL" --user "$(head -n 1 q.txt)" -k 5 --json |
    jq -c '.queries[0].items | [.[].id]' >one
jq -c '.queries[0].items | [.[].id]' all.json | diff one -
tandem search i --model "$MODEL" --user nobody 2>err && exit 1
grep -q 'there is no user "nobody"' err
