# Defaults and choices of the library's tables are in the help.
set -e
tandem train --help >help
tr -s ' \n' ' ' <help >words
grep -q -- '--epochs N .*default: [0-9]' words
grep -q -- '--similarity NAME .*dot|cosine; default: ' words
grep -q -- '--split NAME .*random|time|time-query|last|query' words
