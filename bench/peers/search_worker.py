"""One system in a process of its own: requests as lines of JSON, answers likewise.

    search_worker.py SYSTEM ITEMS.npy USERS.npy CACHE

Users are cut in three: those at hand when an index is built or calibrated and settings are chosen
(set "choose"), and others, on which the chosen settings are measured (set "measure").
"""

import hashlib
import json
import os
import sys
import time

import numpy as np

from search_systems import SYSTEMS

QUERIES = 1000


def memory(what="RssAnon"):
    """Bytes of this process: its own, or with those of files that it maps (VmRSS)."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(what)) * 1024


class Worker:
    def __init__(self, name, items, users, cache):
        self.name, self.cache = name, cache
        self.items = np.ascontiguousarray(np.load(items, mmap_mode="r"), np.float32)
        every = np.ascontiguousarray(np.load(users), np.float32)
        order = np.random.default_rng(7).permutation(len(every))
        self.sets = {"choose": every[order[:QUERIES]].copy(),
                     "measure": every[order[QUERIES:2 * QUERIES]].copy()}
        self.truth = {}
        self.key = hashlib.sha1(items.encode()).hexdigest()[:8]

    def threshold(self, which, k):
        """Score of the k-th best of each query, in float64 over the best in float32."""
        if which not in self.truth:
            path = os.path.join(self.cache, f"truth-{self.key}-{which}.npy")
            if not os.path.exists(path):
                best = []
                for query in np.array_split(self.sets[which], 50):
                    scores = query @ self.items.T
                    some = np.argpartition(-scores, 200, axis=1)[:, :200]
                    exact = np.einsum("qd,qkd->qk", query.astype(np.float64),
                                      self.items[some].astype(np.float64))
                    best.append(-np.sort(-exact, axis=1))
                np.save(f"{path[:-4]}.{os.getpid()}.npy", np.concatenate(best))
                os.replace(f"{path[:-4]}.{os.getpid()}.npy", path)
            self.truth[which] = np.load(path)
        return self.truth[which][:, k - 1]

    def recall(self, which, found, k):
        """Share of ids of the first queries that are as good as the k-th best. A tie counts as found, a
        double once."""
        found = np.asarray(found).astype(np.int64)
        queries = self.sets[which][:len(found)]
        fine = (found >= 0) & (found < len(self.items))
        scores = np.einsum("qd,qkd->qk", queries.astype(np.float64),
                           self.items[np.where(fine, found, 0)].astype(np.float64))
        least = self.threshold(which, k)[:len(found)]
        fine &= scores >= (least - 1e-6 * np.maximum(1, np.abs(least)))[:, None]
        return sum(len(set(row[good])) for row, good in zip(found, fine)) / found.shape[0] / k

    def build(self, build):
        version = [SYSTEMS[self.name]().version()] if self.name == "tandem" else []
        name = json.dumps([self.name, build] + version, sort_keys=True)
        path = os.path.join(self.cache, self.key + "-" + self.name + "-" +
                            hashlib.sha1(name.encode()).hexdigest()[:10])
        self.system = None
        self.system = SYSTEMS[self.name]()
        if os.path.exists(path + ".facts"):
            before = memory("VmRSS")
            self.system.load(path)
            with open(path + ".facts") as file:
                facts = json.load(file)
            facts["loaded_mb"] = (memory("VmRSS") - before) / 1e6
            return facts
        before, start, used = memory(), time.perf_counter(), time.process_time()
        self.system.build(self.items, self.sets["choose"],
                          dict(build, path=path) if self.name == "ngt" else build)
        facts = {"seconds": time.perf_counter() - start, "cpu": time.process_time() - used,
                 "mb": (memory() - before) / 1e6, "about": self.system.about()}
        if getattr(self.system, "save", None) is not None:
            self.system.save(path)
            facts["file_mb"] = size(path) / 1e6
            if self.name.startswith("tandem"):
                self.system.path = path
            with open(path + ".facts", "w") as file:
                json.dump(facts, file)
        return facts

    def run(self, which, k, setting, mode="batch", threads=1, size=QUERIES, first=0,
            check=False):
        """Seconds of the clock for a call, of the processor for a query, and latencies one by one."""
        queries = self.sets[which]
        if mode == "one":
            times, start = [], time.process_time()
            for row in range(len(queries)):
                began = time.thread_time()
                self.system.search(queries[row:row + 1], k, setting, 1)
                times.append(time.thread_time() - began)
            used = (time.process_time() - start) / len(queries)
            return {"wall": float(np.sum(times)), "cpu": used, "times": times}
        first %= len(queries) - size + 1
        queries = queries[first:first + size]
        start, used = time.perf_counter(), time.process_time()
        found = self.system.search(queries, k, setting, threads)
        out = {"wall": time.perf_counter() - start,
               "cpu": (time.process_time() - used) / len(queries)}
        if check:
            out["recall"] = self.recall(which, found, k)
            out["ids"] = hashlib.sha1(np.ascontiguousarray(found, np.int64).tobytes()).hexdigest()
        return out


def size(path):
    if os.path.isdir(path):
        return sum(os.path.getsize(os.path.join(path, name)) for name in os.listdir(path))
    return os.path.getsize(path)


def main():
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what the systems print is no answer
    worker = Worker(*sys.argv[1:])
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("call"))(**request)
        except Exception as problem:  # a system may fail in its own ways; the others go on
            answer = {"error": f"{type(problem).__name__}: {problem}"}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


main()
