"""What choosing and measuring share: the processes of the systems, and what was found so far."""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
TREES = ["tandem", "scann", "scann-core", "faiss-ivf", "faiss-hnsw", "hnswlib", "usearch", "lorann",
         "rabitq", "vsag", "ngt"]
HOMES = {"scann": "scann", "scann-exact": "scann", "torch": "torch", "faiss-debian": "debian"}
TARGETS, KS = (0.90, 0.95, 0.99), (10, 100)


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


def shape(path):
    import numpy as np
    return np.load(path, mmap_mode="r").shape


# --- what was found


def cache_file(arguments, what):
    key = hashlib.sha1(arguments.items.encode()).hexdigest()[:8]
    return os.path.join(arguments.cache, f"{what.replace('/', f'-{key}-')}.json")


def saved(path, default):
    try:
        with open(path) as file:
            return json.load(file)
    except FileNotFoundError:
        return default


def save(path, value):
    with open(path + ".new", "w") as file:
        json.dump(value, file)
    os.replace(path + ".new", path)


def fastest(runs, k, target):
    """Of these runs the fastest that reached the target on the users for choosing, or None."""
    good = [run for run in runs if run["k"] == k and run["recall"] >= target]
    return min(good, key=lambda run: run["cpu"], default=None)
