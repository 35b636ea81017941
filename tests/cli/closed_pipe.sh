# A reader that goes away is no reason for noise; a full disk is.
tandem help train 2>err | head -n 1
[ -s err ] && cat err
trap '' PIPE
{ tandem help train 2>err; echo "exit $?" >code; } | true
sleep 0.2
cat code err
if [ -e /dev/full ]; then
    tandem help train 2>err >/dev/full
    echo "exit $?"
    grep -c 'standard output' err
else
    printf 'exit 4\n1\n'
fi
