# Every example of the help runs as printed, in order, where the bundled data is.
set -e
mkdir data
ln -s "$DATA" data/ml-latest-small
for verb in train tune evaluate recommend similar index update search export info check help; do
    tandem "$verb" --help | sed -n '/^Example$/,/^$/p' | sed 's/^  //; /^Example$/d'
done >examples
cat examples
sh -e ./examples >out 2>&1 || { cat out; exit 1; }
