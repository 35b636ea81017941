# Ids are any bytes: quoted, with blanks, other alphabets; the screen gets no control characters.
set -e
{
    echo 'user,item,title'
    for i in 1 2 3 4 5 6 7 8; do
        echo "\"Zoë, \"\"Z\"\"\",item $i"
        echo "日本,item $((i % 3))"
        printf 'esc\033[31m,item %d\n' $((i % 5))
    done
} | sed 's/^\(user,item\),title/\1/' >r.csv
tandem train r.csv --epochs 2 -q -o m
tandem recommend m --user 'Zoë, "Z"' --user 日本 -k 2 --with-seen --json |
    jq -c '[.users[] | .user, .known]'
printf 'esc\033[31m\n' | tandem recommend m --users - --user x -k 1 | grep '^user esc'
