"""What the peers share: the cases, their data, and the loop of a worker.

A worker is a process with one program in it. It reads requests, one JSON object a line, and answers
each with one line: {"do": "time", "case": C} with the seconds of one run, {"do": "save", "case": C,
"folder": F} after writing what the last run got to F/C.NAME.npz (loss, d_query, d_candidate).
"""

import json
import os
import sys
import time

import numpy as np

# Rows of a batch, dimensions. The same as those of bench_train.
CASES = {
    "B=1024 d=64": (1024, 64),
    "B=8192 d=32": (8192, 32),
    "B=8192 d=64": (8192, 64),
    "B=8192 d=128": (8192, 128),
}


def batch(case):
    """Query and candidate vectors [B, d], the same for every worker. No two rows are the same."""
    size, dim = CASES[case]
    rng = np.random.default_rng(size * 1000 + dim)
    draw = lambda: rng.uniform(-0.5, 0.5, (size, dim)).astype(np.float32)
    return draw(), draw()


def serve(programs, name):
    """`programs`: function of a case's name -> function without arguments that runs it once and
    returns a function for its result, a tuple (loss, d_query, d_candidate) of numpy arrays."""
    runs = {}
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what packages print must not be taken for an answer
    for line in sys.stdin:
        request = json.loads(line)
        case = request["case"]
        if case not in runs:
            runs[case] = programs(case)
            runs[case]()  # compiles, allocates
        begin = time.perf_counter()
        result = runs[case]()
        seconds = time.perf_counter() - begin
        if request["do"] == "save":
            loss, d_query, d_candidate = result()
            np.savez(os.path.join(request["folder"], f"{case}.{name}.npz"), loss=loss,
                     d_query=d_query, d_candidate=d_candidate)
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)
