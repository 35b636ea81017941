# An unknown user gets the most popular candidates, and is told so.
set -e
tandem recommend "$MODEL" --user 'Änne B' | head -n 1
tandem recommend "$MODEL" --user nobody --user 7 -k 3 --json >r.json
jq -c '.users[] | [.user, .known, .ranked_by]' r.json
jq -e '.users[0].items | .[0].score >= .[1].score and .[1].score >= .[2].score
    and .[2].score > 100' r.json >/dev/null
tandem recommend "$MODEL" --user 7 --exclude never-seen
