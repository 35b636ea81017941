# A reader that goes away is no reason for noise; a full disk is.
tandem help train 2>err | head -n 1
[ -s err ] && cat err
trap '' PIPE
mkfifo left
: <left &
exec 3>left
wait # until the reader has left
tandem help train 2>err >&3
echo "exit $?"
cat err
exec 3>&-
if [ -e /dev/full ]; then
    tandem help train 2>err >/dev/full
    echo "exit $?"
    grep -c 'standard output' err
else
    printf 'exit 4\n1\n'
fi
