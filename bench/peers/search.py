"""Search against the peers: tune on some users, measure on others, print tables.

    search tune    ITEMS.npy USERS.npy [--systems A,B]    settings of each system
    search measure ITEMS.npy USERS.npy [--systems A,B]    queries a second at each recall
    search exact   ITEMS.npy USERS.npy [--systems A,B]    the exact engines

What was found is kept in the cache folder; `measure` takes the settings that `tune` left there.
"""

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time

import search_systems

HERE = os.path.dirname(os.path.abspath(__file__))
TREES = ["tandem", "scann", "scann-core", "faiss-ivf", "faiss-hnsw", "hnswlib", "usearch", "lorann",
         "rabitq", "vsag", "ngt"]
OURS = ["tandem-fp32", "tandem-int8"]
EXACT = OURS + ["numpy", "torch", "faiss-flat", "faiss-debian", "scann-exact", "scann-core-exact"]
HOMES = {"scann": "scann", "scann-exact": "scann", "torch": "torch", "faiss-debian": "debian"}
TARGETS, KS = (0.90, 0.95, 0.99), (10, 100)
SECONDS_EACH = 22  # of measuring one k and target


@contextlib.contextmanager
def machine(alone):
    """Share a machine: PEERS_LOCKS may name two files, TURN:MACHINE. Work holds the second shared;
    a measurement holds both alone."""
    with contextlib.ExitStack() as stack:
        if "PEERS_LOCKS" in os.environ:
            turn, room = (stack.enter_context(open(name, "a"))
                          for name in os.environ["PEERS_LOCKS"].split(":"))
            fcntl.flock(turn, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            if not alone:
                fcntl.flock(turn, fcntl.LOCK_UN)
        yield


class Peer:
    """A worker process."""

    def __init__(self, name, arguments, threads=1):
        environment = dict(os.environ, OMP_NUM_THREADS=str(threads), MKL_NUM_THREADS=str(threads),
                           OPENBLAS_NUM_THREADS=str(threads))
        for unwanted in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):
            environment.pop(unwanted, None)
        # Fresh memory in huge pages for everybody: without them, large results cost more than the products.
        environment["GLIBC_TUNABLES"] = "glibc.malloc.hugetlb=1"
        python = os.path.join(arguments.environments, HOMES.get(name, "search"), "bin", "python")
        self.name, self.current = name, None
        self.log = open(os.path.join(arguments.cache, name + ".log"), "w")
        self.process = subprocess.Popen(
            [python, os.path.join(HERE, "search_worker.py"), name, arguments.items,
             arguments.users, arguments.cache],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True,
            env=environment)

    def ask(self, call, **request):
        try:
            self.process.stdin.write(json.dumps(dict(request, call=call)) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        return json.loads(answer) if answer else {"error": "the process ended"}

    def build(self, build):
        if build != self.current:
            self.facts = self.ask("build", build=build)
            self.current = build
        return self.facts

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def results_file(arguments, name):
    key = hashlib.sha1(arguments.items.encode()).hexdigest()[:8]
    return os.path.join(arguments.cache, f"tuned-{key}-{name}.json")


# --- choosing settings


def tune_build(peer, build, rows, found):
    facts = peer.build(build)
    if "error" in facts:
        print(f"{peer.name} {build}: {facts['error']}", flush=True)
        return
    print(f"{peer.name} {build}: built in {facts['cpu']:.1f} s of the processor, "
          f"{facts['mb']:.0f} MB, {facts['about']}", flush=True)
    for k in KS:
        for setting in search_systems.settings(peer.name, rows, build, k):
            answer = peer.ask("run", which="choose", k=k, setting=setting, check=True)
            if "error" in answer:
                print(f"{peer.name} {setting}: {answer['error']}", flush=True)
                break
            if answer["cpu"] < 0.002:
                again = peer.ask("run", which="choose", k=k, setting=setting)
                answer["cpu"] = min(answer["cpu"], again["cpu"])
            found.append(dict(answer, k=k, build=build, setting=setting, facts=facts))


def tune(arguments):
    for name in arguments.systems or TREES:
        peer, found = Peer(name, arguments), []
        rows, dim = shape(arguments.items)
        for build in search_systems.builds(name, rows, dim)[:arguments.builds]:
            with machine(alone=False):
                tune_build(peer, build, rows, found)
            with open(results_file(arguments, name), "w") as file:
                json.dump(found, file)
        peer.close()


def shape(path):
    import numpy as np
    return np.load(path, mmap_mode="r").shape


def chosen(arguments, name, k, target):
    """The fastest setting that reached the target on the users for choosing, or None."""
    try:
        with open(results_file(arguments, name)) as file:
            runs = json.load(file)
    except FileNotFoundError:
        return None
    good = [run for run in runs if run["k"] == k and run["recall"] >= target]
    return min(good, key=lambda run: run["cpu"], default=None)


# --- measuring


def recalls(peers, picks, k):
    """Recall of the chosen settings on the users that are measured."""
    out = {}
    for name, pick in picks.items():
        peers[name].build(pick["build"])
        out[name] = peers[name].ask("run", which="measure", k=k, setting=pick["setting"],
                                    check=True)["recall"]
    return out


def measure_one(peers, picks, k, rounds):
    """The same users through each system in turn; the best round counts."""
    seconds = {name: [] for name in picks}
    singles = {name: [] for name in picks}
    for name, pick in picks.items():
        peers[name].build(pick["build"])
    began = time.monotonic()
    for _ in range(rounds):
        for name, pick in picks.items():
            request = dict(which="measure", k=k, setting=pick["setting"])
            seconds[name].append(peers[name].ask("run", **request)["cpu"])
            singles[name].append(peers[name].ask("run", mode="one", **request)["times"])
        if time.monotonic() - began > SECONDS_EACH:
            break
    out = {}
    for name in picks:
        latency = sorted(min(times) for times in zip(*singles[name]))
        out[name] = {"batch": 1 / min(seconds[name]),
                     "one": len(latency) / sum(latency), "p50": 1e6 * latency[len(latency) // 2],
                     "p99": 1e6 * latency[len(latency) * 99 // 100], "pick": picks[name]}
    return out


def print_measured(k, target, out):
    ours = out.get("tandem")
    best = {mode: max((run[mode] for name, run in out.items() if name != "tandem"), default=0)
            for mode in ("batch", "one")}
    for name, run in sorted(out.items(), key=lambda item: -item[1]["batch"]):
        facts = run["pick"]["facts"]
        print(f"| {k} | {target:.2f} | {name} | {run['recall']:.4f} | {run['batch']:.0f} | "
              f"{run['one']:.0f} | {run['p50']:.1f} | {run['p99']:.1f} | {facts['cpu']:.1f} | "
              f"{facts['mb']:.0f} | {facts.get('file_mb', 0):.0f} | "
              f"{json.dumps(run['pick']['build'])} {json.dumps(run['pick']['setting'])} |")
    if ours is not None and best["batch"] > 0:
        print(f"ours / best peer at k={k}, {target:.2f}: whole set {ours['batch'] / best['batch']:.2f}, "
              f"one query a call {ours['one'] / best['one']:.2f}")
    sys.stdout.flush()


def measure(arguments):
    names = arguments.systems or TREES
    peers = {}
    print(f"{arguments.items} {shape(arguments.items)}")
    print("| k | target | system | recall | queries/s, whole set | queries/s, one a call | p50 us | "
          "p99 us | build s | MB | file MB | how |\n|" + "---|" * 12)
    cases = [(k, target, {name: pick for name in names
                          if (pick := chosen(arguments, name, k, target)) is not None})
             for k in KS for target in TARGETS]
    for name in {name for _, _, picks in cases for name in picks}:
        peers[name] = Peer(name, arguments)
    found = [recalls(peers, picks, k) for k, _, picks in cases]
    with machine(alone=True):
        print(f"load {os.getloadavg()[0]:.1f}")
        measured = [measure_one(peers, picks, k, arguments.rounds) for k, _, picks in cases]
    for (k, target, _), recall, out in zip(cases, found, measured):
        for name in out:
            out[name]["recall"] = recall[name]
        print_measured(k, target, out)
    for peer in peers.values():
        peer.close()


# --- the exact engines


def exact(arguments):
    rows, dim = shape(arguments.items)
    print(f"{arguments.items} ({rows}, {dim}), load {os.getloadavg()[0]:.1f}")
    cases = [(size, k, threads) for threads in arguments.threads for size in (1, 256) for k in KS]
    found = {}
    for threads in arguments.threads:
        peers = start_exact(arguments, threads, rows, dim)
        for case in (case for case in cases if case[2] == threads):
            found[case] = time_exact(peers, *case, arguments.rounds)
        for peer in peers.values():
            peer.close()
    print_exact(found, cases)


def start_exact(arguments, threads, rows, dim):
    """The systems that could be built here."""
    peers = {}
    for name in arguments.systems or EXACT:
        peer = Peer(name, arguments, threads)
        facts = peer.build(search_systems.builds(name, rows, dim)[0])
        print(name, facts.get("about", facts.get("error")), flush=True)
        if "error" in facts:
            peer.close()
        else:
            peers[name] = peer
    return peers


def check_exact(peers, request):
    """All find the true best, and both of ours the same ids in the same order."""
    answers = {name: peer.ask("run", check=True, **request) for name, peer in peers.items()}
    for name, answer in answers.items():
        if answer.get("recall", 0) < 1:
            print(f"{name} at {request}: {answer}", flush=True)
    ids = {answers[name]["ids"] for name in OURS if name in answers}
    if len(ids) > 1:
        sys.exit(f"the ids of ours differ at {request}")


def time_exact(peers, size, k, threads, rounds):
    """Best and median seconds of a call; systems take turns, and the queries change with the round."""
    request = dict(which="measure", k=k, setting={}, size=size, threads=threads)
    check_exact(peers, request)
    seconds = {name: [] for name in peers}
    with machine(alone=True):
        began = time.monotonic()
        for turn in range(rounds if size > 1 else 5 * rounds):
            for name, peer in peers.items():
                time.sleep(0.05)  # the threads of the one before may still spin, waiting for work
                answer = peer.ask("run", first=turn * size, **request)
                seconds[name].append(answer.get("wall", float("inf")))
            if time.monotonic() - began > SECONDS_EACH:
                break
    return {name: (min(times), sorted(times)[len(times) // 2]) for name, times in seconds.items()}


def print_exact(found, cases):
    """Milliseconds of a call, best (median); then how many times as long each takes as ours."""
    names = [name for name in EXACT if any(name in found[case] for case in cases)]
    head = " | ".join(f"batch {size}, k {k}, {threads} thr." for size, k, threads in cases)
    print(f"\n| ms a call | {head} |\n|" + "---|" * (len(cases) + 1))
    for name in names:
        cells = (found[case].get(name) for case in cases)
        print(f"| {name} | " + " | ".join(f"{1e3 * c[0]:.2f} ({1e3 * c[1]:.2f})" if c else ""
                                          for c in cells) + " |")
    for ours in OURS:
        print(f"\n| best time / {ours} | {head} |\n|" + "---|" * (len(cases) + 1))
        for name in names:
            if ours in names and name not in OURS:
                print(f"| {name} | " + " | ".join(
                    f"{found[case][name][0] / found[case][ours][0]:.2f}" if name in found[case] else ""
                    for case in cases) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("tune", "measure", "exact"))
    parser.add_argument("items")
    parser.add_argument("users")
    parser.add_argument("--systems", type=lambda text: text.split(","))
    parser.add_argument("--builds", type=int, help="how many ways to build are tried, at most")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=lambda text: [int(n) for n in text.split(",")],
                        default=[1, 2], help="of `exact`")
    parser.add_argument("--cache", default=os.path.expanduser("~/.cache/tandem-peers"))
    parser.add_argument("--environments", default=os.environ.get("PEERS_HOME"), required=False,
                        help="the folder that search_setup made")
    arguments = parser.parse_args()
    arguments.items, arguments.users = map(os.path.abspath, (arguments.items, arguments.users))
    os.makedirs(arguments.cache, exist_ok=True)
    {"tune": tune, "measure": measure, "exact": exact}[arguments.what](arguments)


main()
