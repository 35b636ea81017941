"""Search against the peers: tune on some users, measure on others, print tables.

    search tune    ITEMS.npy USERS.npy    build; choose settings of each system; check their recall
    search measure ITEMS.npy USERS.npy    queries a second at each recall, of what `tune` left
    search report  ITEMS.npy USERS.npy    the tables of what was measured so far
    search exact   ITEMS.npy USERS.npy    the exact engines

Indexes, settings and results are kept in the cache folder. `measure` builds nothing and may be run in
pieces: `--k 10 --targets 0.95`.
"""

import argparse
import os

from search_exact import EXACT, exact
from search_measure import measure, report
from search_peer import KS, TARGETS, TREES
from search_tune import tune


def listed(kind):
    return lambda text: [kind(part) for part in text.split(",")]


def options():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("what", choices=("tune", "measure", "report", "exact"))
    add("items")
    add("users")
    add("--systems", type=listed(str), help="those alone, as A,B")
    add("--builds", type=int, help="how many ways to build are tried, at most")
    add("--k", type=listed(int), default=KS)
    add("--targets", type=listed(float), default=TARGETS)
    add("--rounds", type=int, default=7)
    add("--seconds", type=float, default=22, help="no round begins later, for each k and target")
    add("--near", type=float, default=1e9, metavar="F",
        help="measure only what was at most F times slower than the fastest when settings were chosen")
    add("--threads", type=listed(int), help="`measure`: one number (1); `exact`: a list (1,2)")
    add("--cache", default=os.path.expanduser("~/.cache/tandem-peers"))
    add("--environments", default=os.environ.get("PEERS_HOME"), help="what search_setup made")
    return parser.parse_args()


def main():
    arguments = options()
    arguments.items, arguments.users = map(os.path.abspath, (arguments.items, arguments.users))
    arguments.systems = arguments.systems or (EXACT if arguments.what == "exact" else TREES)
    arguments.threads = arguments.threads or ([1, 2] if arguments.what == "exact" else [1])
    os.makedirs(arguments.cache, exist_ok=True)
    {"tune": tune, "measure": measure, "report": report, "exact": exact}[arguments.what](arguments)


main()
