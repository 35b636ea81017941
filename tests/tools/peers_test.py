"""How bench/peers chooses settings, with a system whose speed and recall are known. Exits with 77
where numpy is missing, which the systems are imported with."""

import os
import sys
import unittest

try:
    import numpy  # noqa: F401
except ImportError:
    print("skipped: no numpy")
    sys.exit(77)

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../bench/peers"))
import search_measure
import search_peer
import search_systems
import search_tune


class Known:
    """Recall effort / 100, a query takes effort seconds, twice that with "slow"; fails beyond 100."""
    name, facts = "known", {}

    def __init__(self):
        self.asked = []

    def ask(self, call, which, k, setting, check=False):
        effort = setting["effort"]
        if effort > 100:
            return {"error": "too much"}
        self.asked.append(effort)
        return {"recall": min(effort, setting.get("most", 100)) / 100,
                "cpu": effort * (2 if setting.get("slow") else 1)}


def climb(efforts, **rest):
    tuning = {"peer": Known(), "found": []}
    done = search_tune.climb(tuning, 10, {}, [dict(rest, effort=effort) for effort in efforts])
    return tuning, done


class Climb(unittest.TestCase):
    def test_stops_at_the_highest_recall(self):
        self.assertEqual(climb([50, 99, 100])[0]["peer"].asked, [50, 99])

    def test_stops_where_no_more_is_found(self):
        self.assertEqual(climb(range(40, 100, 10), most=40)[0]["peer"].asked, [40, 50, 60, 70])

    def test_stops_where_the_best_was_faster(self):
        tuning, _ = climb([50, 99])
        search_tune.climb(tuning, 10, {}, [{"effort": effort, "slow": 1} for effort in (30, 60, 90)])
        self.assertEqual(tuning["peer"].asked, [50, 99, 30, 60])

    def test_stops_where_the_system_fails(self):
        tuning, done = climb([90, 101, 99])
        self.assertEqual((tuning["peer"].asked, len(done)), ([90], 1))

    def test_another_k_does_not_count(self):
        tuning, _ = climb([99])
        search_tune.climb(tuning, 100, {}, [{"effort": 98, "slow": 1}, {"effort": 99, "slow": 1}])
        self.assertEqual(tuning["peer"].asked, [99, 98, 99])


class Refine(unittest.TestCase):
    def test_halves_the_step(self):
        tuning, done = climb([80, 100])
        search_tune.refine(tuning, 10, {}, done, 0.92)
        self.assertEqual(tuning["peer"].asked, [80, 100, 90, 95])
        self.assertEqual(search_peer.fastest(tuning["found"], 10, 0.92)["setting"], {"effort": 95})

    def test_leaves_slow_ones_alone(self):
        tuning, done = climb([80, 100])
        tuning["found"].append({"k": 10, "recall": 0.93, "cpu": 10})
        search_tune.refine(tuning, 10, {}, done, 0.92)
        self.assertEqual(tuning["peer"].asked, [80, 100])

    def test_between(self):
        self.assertEqual(search_tune.between({"a": 2, "b": 1}, {"a": 5, "b": 1}), {"a": 3, "b": 1})
        self.assertIsNone(search_tune.between({"a": 2}, {"a": 3}))
        self.assertEqual(search_tune.between({"a": 0.5}, {"a": 1.0}), {"a": 0.75})


class Fastest(unittest.TestCase):
    def test_of_those_that_reach_it(self):
        runs = [{"k": 10, "recall": r, "cpu": c} for r, c in ((0.89, 1), (0.9, 3), (0.99, 2))]
        self.assertEqual(search_peer.fastest(runs, 10, 0.9)["cpu"], 2)
        self.assertIsNone(search_peer.fastest(runs, 10, 0.995))
        self.assertIsNone(search_peer.fastest(runs, 100, 0.5))


class Rivals(unittest.TestCase):
    def test_best_of_both_groups(self):
        out = {"tandem": {"batch": 9}, "scann": {"batch": 3}, "scann-core": {"batch": 4},
               "hnswlib": {"batch": 8}, "faiss-ivf": {"batch": 2, "one": 5}}
        self.assertEqual(list(search_measure.rivals(out, "batch")),
                         [("scann-core", 4), ("hnswlib", 8)])
        self.assertEqual(list(search_measure.rivals(out, "one")), [None, ("faiss-ivf", 5)])


class Walks(unittest.TestCase):
    def test_first_number_rises(self):
        for name in search_peer.TREES:
            for build in search_systems.builds(name, 41000, 64):
                for k in search_peer.KS:
                    for walk in search_systems.settings(name, 41000, build, k):
                        first = [next(iter(setting.values())) for setting in walk]
                        self.assertEqual(first, sorted(set(first)), (name, walk))
                        self.assertEqual(len({str(list(s.items())[1:]) for s in walk}), 1)


unittest.main()
