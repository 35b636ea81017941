"""Runs Tandem and its peers in turn, checks that they got the same, prints tables. See README.md."""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

from train_worker import CASES

HERE = pathlib.Path(__file__).resolve().parent
PAUSE = 0.05  # seconds between runs: the threads of some packages spin on after their work
TOLERANCE = 1e-5  # relative, of the loss and, in the 2-norm, of the gradients
EPOCHS = 20  # of the tutorial, in one run of tandem train


class Worker:
    def __init__(self, name, *command):
        self.name = name
        self.process = subprocess.Popen([str(word) for word in command], text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, **request):
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        if not answer:
            sys.exit(f"train: the worker {self.name} died")
        return json.loads(answer)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def start_workers(arguments):
    torch, tfrs = (arguments.env / name / "bin" / "python" for name in ("torch", "tfrs"))
    return [
        Worker("tandem", torch, HERE / "train_tandem.py", arguments.build / "libtandem.so"),
        Worker("eager", torch, HERE / "train_torch.py", "eager"),
        Worker("compiled", torch, HERE / "train_torch.py", "compiled"),
        Worker("tfrs", tfrs, HERE / "train_tfrs.py"),
    ]


def difference(ours, theirs):
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    return np.linalg.norm(ours - theirs) / np.linalg.norm(theirs)


def check(workers, case):
    """The largest difference of a peer's loss and gradients from ours; stops if it is too large."""
    with tempfile.TemporaryDirectory() as folder:
        results = {}
        for worker in workers:
            worker.ask(do="save", case=case, folder=folder)
            results[worker.name] = np.load(os.path.join(folder, f"{case}.{worker.name}.npz"))
        worst = 0.0
        for worker in workers[1:]:
            for part in ("loss", "d_query", "d_candidate"):
                off = difference(results["tandem"][part], results[worker.name][part])
                worst = max(worst, off)
                if not off <= TOLERANCE:
                    sys.exit(f"train: {case}: {part} of {worker.name} differs by {off:.2g}")
    return worst


def compare_steps(arguments, cases):
    workers = start_workers(arguments)
    worst = {case: check(workers, case) for case in cases}
    times = {(case, worker.name): [] for case in cases for worker in workers}
    for _ in range(arguments.rounds):
        for case in cases:
            for worker in workers:
                time.sleep(PAUSE)
                times[case, worker.name].append(worker.ask(do="time", case=case)["seconds"])
    for worker in workers:
        worker.close()
    print("| case | " + " | ".join(f"{w.name}, ms" for w in workers) + " | "
          + " | ".join(f"{w.name} / tandem" for w in workers[1:]) + " | largest difference |")
    print("|---" * (2 * len(workers) + 1) + "|")
    for case in cases:
        best = [min(times[case, w.name]) * 1e3 for w in workers]
        middle = [statistics.median(times[case, w.name]) * 1e3 for w in workers]
        cells = [f"{b:.3g} ({m:.3g})" for b, m in zip(best, middle)]
        cells += [f"{b / best[0]:.2f} ({m / middle[0]:.2f})" for b, m in zip(best[1:], middle[1:])]
        print(f"| {case} | " + " | ".join(cells) + f" | {worst[case]:.1g} |")


def tutorial_options(arguments):
    return [str(arguments.build / "tandem"), "train", arguments.data, "--format", "tsv", "--split",
            "random", "--split-count", "20000", "--vocabulary", "all", "--dim", "32",
            "--batch-size", "8192", "--shuffle", "once", "--optimizer", "adagrad",
            "--learning-rate", "0.1", "--similarity", "dot", "--temperature", "1",
            "--reduction", "sum", "--sampling-correction", "none",
            "--no-remove-accidental-hits", "--recipe", "plain", "--baselines", "popularity",
            "--quiet"]


def train(arguments, folder, epochs):
    """Seconds of the command `tandem train`, and its log."""
    log = os.path.join(folder, "log")
    command = tutorial_options(arguments) + ["--epochs", str(epochs), "--log", log, "--output",
                                             os.path.join(folder, "model.tandem")]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    with open(log) as lines:
        return seconds, [json.loads(line) for line in lines]


def compare_tutorial(arguments):
    tfrs = Worker("tutorial", arguments.env / "tfrs" / "bin" / "python", HERE / "train_tutorial.py",
                  arguments.data)
    tfrs.ask(do="time")  # compiles, fills the cache
    ours, theirs, whole = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(arguments.rounds):
            time.sleep(PAUSE)
            theirs.append(tfrs.ask(do="time"))
            time.sleep(PAUSE)
            ours += train(arguments, folder, EPOCHS)[1]
            whole.append(train(arguments, folder, 3)[0])
    tfrs.close()
    steps = ours[0]["steps"]
    a = [epoch["seconds"] / steps * 1e3 for epoch in ours]
    b = [epoch["seconds"] * 1e3 for epoch in theirs]
    print("| tutorial, ML-100K | tandem | tfrs | ratio |\n|---|---|---|---|")
    print(f"| a step, ms | {min(a):.3g} ({statistics.median(a):.3g}) | {min(b):.4g} "
          f"({statistics.median(b):.4g}) | {min(b) / min(a):.0f} "
          f"({statistics.median(b) / statistics.median(a):.0f}) |")
    first, last = ours[0]["loss"], ours[EPOCHS - 1]["loss"]
    print(f"| mean loss of a row, epoch 1 and {EPOCHS} | {first:.4f}, {last:.4f} | | |")
    print(f"| the same, epoch 2 and {len(theirs) + 1} | {ours[1]['loss']:.4f}, "
          f"{ours[min(len(theirs), EPOCHS - 1)]['loss']:.4f} | {theirs[0]['loss']:.4f}, "
          f"{theirs[-1]['loss']:.4f} | |")
    print(f"| whole command, 3 epochs and evaluation, s | {min(whole):.3g} "
          f"({statistics.median(whole):.3g}) | | |")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("env", type=pathlib.Path)
    parser.add_argument("build", type=lambda text: pathlib.Path(text).resolve())
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--data", help="u.data of MovieLens 100K; without: no tutorial")
    parser.add_argument("--only", default="", help="cases whose name contains this, and 'tutorial'")
    arguments = parser.parse_args()
    print(f"best (median) of {arguments.rounds} rounds; load before {os.getloadavg()[0]:.2f}\n")
    cases = [case for case in CASES if arguments.only in case]
    if cases:
        compare_steps(arguments, cases)
        print()
    if arguments.data and arguments.only in "tutorial":
        compare_tutorial(arguments)


if __name__ == "__main__":
    main()
