"""Writes the golden files of this folder from the real TensorFlow Recommenders.

Usage:  python make_golden.py [FILE ...]      (no FILE: all; e.g. "retrieval metrics")

The committed files were made on Python 3.11 (x86-64, CPU) with
    tensorflow-cpu 2.21.0  tf-keras 2.21.0  tensorflow-recommenders 0.7.7
    numpy 2.4.6  safetensors 0.8.0
in a fresh virtual environment: pip install those versions, then run this script.
make_golden_torch.py does the same for torch's optimizers. README.md has the naming.

Every case draws its input from a generator seeded by its own name, everything runs on
one thread, and the files are byte-identical from run to run.
"""

import sys

from golden_dense import make_dense
from golden_features import make_featurize
from golden_losses import make_crossentropy
from golden_metrics import make_metrics
from golden_optimizers import make_optimizers, make_schedules
from golden_retrieval import make_retrieval
from golden_search import make_brute_force

MAKERS = {
    "retrieval": make_retrieval,
    "crossentropy": make_crossentropy,
    "metrics": make_metrics,
    "optimizers": make_optimizers,
    "schedules": make_schedules,
    "brute_force": make_brute_force,
    "featurize": make_featurize,
    "dense": make_dense,
}


def main(arguments):
    unknown = set(arguments) - set(MAKERS)
    if unknown:
        sys.exit(f"unknown file {sorted(unknown)}; known: {', '.join(MAKERS)}")
    for name in arguments or MAKERS:
        MAKERS[name]()


if __name__ == "__main__":
    main(sys.argv[1:])
