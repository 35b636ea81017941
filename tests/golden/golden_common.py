"""What all makers of golden files share: drawing input and writing the files.

Needs numpy and safetensors only, so that the torch script can use it too.
"""

import json
import pathlib
import struct
import zlib

import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).resolve().parent


def rng_for(name):
    """A generator seeded by the case name, so that adding a case changes no other case."""
    return np.random.default_rng(zlib.crc32(name.encode()))


class GoldenFile:
    """Collects cases and writes them.

    Tensor t of case c is stored as "c/t". The options of case c are JSON text in the
    file's __metadata__ under the key c; the keys "cases" and "versions" hold the case
    names in order and the packages that produced the numbers.
    """

    def __init__(self, versions):
        self.versions = versions
        self.tensors = {}
        self.options = {}

    def add(self, name, tensors, options):
        if name in self.options:
            raise ValueError(f"duplicate case {name}")
        self.options[name] = options
        for key, value in tensors.items():
            # Scalars become shape [1].
            array = np.ascontiguousarray(np.atleast_1d(value))
            if array.dtype not in (np.float32, np.int64, np.uint8):
                raise TypeError(f"{name}/{key} has type {array.dtype}")
            self.tensors[f"{name}/{key}"] = array

    def save(self, stem):
        path = HERE / f"{stem}.safetensors"
        metadata = {"versions": to_json(self.versions), "cases": to_json(list(self.options))}
        metadata.update({name: to_json(options) for name, options in self.options.items()})
        save_file(self.tensors, str(path), metadata=metadata)
        order_metadata(path, list(metadata))
        print(f"{path.name}: {len(self.options)} cases, {len(self.tensors)} tensors, "
              f"{path.stat().st_size} bytes")


def to_json(value):
    # Strict JSON: a NaN or an infinity among the options is a mistake of this script.
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def order_metadata(path, keys):
    """Rewrites the header with __metadata__ in the given order.

    save_file keeps it in a hash map of random order; without this step no two runs
    would write the same bytes.
    """
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    header["__metadata__"] = {key: header["__metadata__"][key] for key in keys}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length:])
    path.chmod(0o644)


def check_sound(name, outputs):
    for key, value in outputs.items():
        if not np.all(np.abs(value) < 1e6):
            raise ValueError(f"{name}/{key} is not a sensible value; mark the case as a defect")


def normal(rng, *shape, scale=1.0):
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def dyadic(rng, *shape):
    """Multiples of 1/4 in [-1, 1]: dot products are exact in any order, and ties are many."""
    return (rng.integers(-4, 5, shape) / 4).astype(np.float32)


def some_weights(rng, count):
    """Weights in [0, 2), about a third of them zero, never all of them."""
    weights = rng.uniform(0, 2, count) * (rng.random(count) > 0.33)
    weights[0] = 1.25
    return weights.astype(np.float32)


# Shape of the optimizer cases.
STEPS, ROWS, WIDTH, TOUCHED = 10, 9, 4, 6


def optimizer_inputs(name, sparse):
    """Initial parameter and the gradients of all steps.

    Sparse: TOUCHED row numbers a step, with duplicates; the last row is never touched and
    row 7 not before step 6.
    """
    rng = rng_for(name)
    tensors = {"initial": normal(rng, ROWS, WIDTH)}
    if not sparse:
        tensors["grad"] = normal(rng, STEPS, ROWS, WIDTH, scale=0.7)
        return tensors
    tensors["grad"] = normal(rng, STEPS, TOUCHED, WIDTH, scale=0.7)
    rows = rng.integers(0, 7, (STEPS, TOUCHED))
    rows[:, -1] = rows[:, 0]
    rows[6:, 2] = 7
    tensors["row"] = rows.astype(np.int64)
    return tensors


def optimizer_name(family, kind, variant, sparse):
    parts = [family, kind] + [variant] * bool(variant) + ["sparse" if sparse else "dense"]
    return "_".join(parts)
