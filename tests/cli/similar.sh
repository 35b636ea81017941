# By title and by id the same; cosines; without the item itself.
set -e
tandem similar "$MODEL" --title 'toy story (1995)' --json >title.json
tandem similar "$MODEL" --item 1 --json | cmp - title.json
jq -e '.id == "1" and .title == "Toy Story (1995)" and (.items | length) == 10
    and ([.items[] | .score <= 1.000001 and .id != "1"] | all)' title.json >/dev/null
tandem similar "$MODEL" --title 'Toy Story' >/dev/null 2>err && exit 1
grep -q 'titles contain "Toy Story"' err
tandem similar "$MODEL" --title 'no such film' 2>err && exit 1
grep -q 'no title contains' err
tandem similar "$MODEL" --item 999999999 2>err && exit 1
grep -q 'there is no candidate "999999999"' err
