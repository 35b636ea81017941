# Several users at once get what each gets alone.
set -e
printf '3\n\n42\r\n610\n' | tandem recommend "$MODEL" --user 7 --users - --json >many.json
for user in 7 3 42 610; do
    tandem recommend "$MODEL" --user $user --json | jq -c '.users[0]'
done >alone
jq -c '.users[]' many.json | diff - alone
[ "$(tandem recommend "$MODEL" -u 7 -u 3 -k1 | grep -c '^user ')" -eq 2 ]
