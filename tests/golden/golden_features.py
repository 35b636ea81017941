"""featurize.safetensors: the Keras preprocessing layers the tutorials use.

Strings stand in the options: "input", and "vocabulary" where there is one.
"""

import numpy as np

from golden_common import GoldenFile, normal, rng_for
from golden_tf import keras, tf, versions

WORDS = ["Star Wars (1977)", "One Flew Over the Cuckoo's Nest (1975)", "", "a", "42", "unknown",
         "Léon: The Professional (1994)", "a much longer string, well over sixty-four bytes, for "
         "the long branch of the hash function"]
NUMBERS = [0, 1, -1, 42, 10**6, 2**40]

# name: (layer arguments, input)
HASHINGS = {
    "hashing_string_200000": ({"num_bins": 200000}, WORDS),
    "hashing_string_3": ({"num_bins": 3}, WORDS),
    "hashing_string_salt": ({"num_bins": 200000, "salt": 133}, WORDS),
    "hashing_string_salt_pair": ({"num_bins": 200000, "salt": [133, 137]}, WORDS),
    "hashing_integer": ({"num_bins": 1000}, NUMBERS),
    "hashing_integer_salt": ({"num_bins": 1000, "salt": 7}, NUMBERS),
}

# "adapt" is text to learn the vocabulary from: c three times, a, b and e twice, d once.
ADAPT = ["c", "a", "b", "c", "e", "a", "c", "b", "d", "e"]
LOOKUPS = {
    "lookup_plain": ({"vocabulary": ["a", "b", "c"], "mask_token": None}, ["c", "x", "a", ""]),
    "lookup_mask": ({"vocabulary": ["a", "b", "c"], "mask_token": ""}, ["c", "x", "a", ""]),
    "lookup_buckets": ({"vocabulary": ["a", "b"], "num_oov_indices": 3, "mask_token": None},
                       ["a", "b", "x", "y", "zebra", ""]),
    "lookup_adapt": ({"mask_token": None}, ["a", "b", "c", "d", "e", "f"]),
    "lookup_adapt_limit": ({"mask_token": None, "max_tokens": 4}, ["a", "b", "c", "d", "e", "f"]),
}

TITLES = ["Toy Story (1995)", "Star Wars: A New Hope", "toy  STORY 2", "", "the hope, the wars!"]

BOUNDS = [-1.0, 0.0, 2.5, 10.0]


def add_strings(golden):
    for name, (arguments, values) in HASHINGS.items():
        output = keras.layers.Hashing(**arguments)(tf.constant(values))
        golden.add(name, {"output": output.numpy().astype(np.int64)},
                   {"layer": "hashing", "input": values, **arguments})
    for name, (arguments, values) in LOOKUPS.items():
        layer = keras.layers.StringLookup(**arguments)
        options = {"layer": "string_lookup", "input": values, **arguments}
        if "vocabulary" not in arguments:
            layer.adapt(tf.constant(ADAPT))
            options["adapt"] = ADAPT
            options["vocabulary"] = layer.get_vocabulary(include_special_tokens=False)
        golden.add(name, {"output": layer(tf.constant(values)).numpy().astype(np.int64)}, options)
    for name, arguments in (("text", {}), ("text_limit", {"max_tokens": 5})):
        layer = keras.layers.TextVectorization(**arguments)
        layer.adapt(tf.constant(TITLES))
        golden.add(name, {"output": layer(tf.constant(TITLES)).numpy().astype(np.int64)},
                   {"layer": "text_vectorization", "input": TITLES, "adapt": TITLES,
                    "vocabulary": layer.get_vocabulary(), **arguments})


def add_numbers(golden):
    for name, values in (("normalization", normal(rng_for("normalization"), 50, scale=40.0) + 300),
                         ("normalization_constant", np.full(5, 3.5, np.float32))):
        layer = keras.layers.Normalization(axis=None)
        layer.adapt(values)
        golden.add(name, {"input": values, "output": layer(values).numpy()},
                   {"layer": "normalization"})
    values = np.array([-5, -1, -0.5, 0, 0.1, 2.5, 9.99, 10, 11], np.float32)
    layer = keras.layers.Discretization(bin_boundaries=BOUNDS)
    output = layer(values).numpy().astype(np.int64)
    golden.add("discretization", {"input": values, "output": output},
               {"layer": "discretization", "bin_boundaries": BOUNDS})


def make_featurize():
    golden = GoldenFile(versions())
    add_strings(golden)
    add_numbers(golden)
    golden.save("featurize")
