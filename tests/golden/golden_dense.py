"""dense.safetensors: Dense layers forward and backward, and trainings of towers that end in them."""

import numpy as np

from golden_common import GoldenFile, normal, rng_for
from golden_tf import keras, tf, tfrs, versions

# name: (rows, inputs, outputs, activation)
LAYERS = {
    "layer_linear": (7, 5, 3, None),
    "layer_relu": (7, 5, 3, "relu"),
    "layer_wide": (33, 17, 40, "relu"),
    "layer_one": (1, 1, 1, None),
}

# name: (query layers, candidate layers, optimizer class, arguments)
ADAGRAD, SGD = keras.optimizers.Adagrad, keras.optimizers.SGD
TOWERS = {
    "tower_query": ([4], [], ADAGRAD, {"learning_rate": 0.1}),
    "tower_both": ([5, 4], [4], ADAGRAD, {"learning_rate": 0.1}),
    "tower_deep": ([9, 6, 4], [7, 4], ADAGRAD, {"learning_rate": 0.05}),
    "tower_sgd": ([5, 4], [6, 4], SGD, {"learning_rate": 0.02}),
}
USERS, ITEMS, DIM, ROWS, BATCH, EPOCHS = 6, 9, 4, 24, 8, 2


def run_layer(rng, rows, inputs, outputs, activation):
    tensors = {"input": normal(rng, rows, inputs), "kernel": normal(rng, inputs, outputs),
               "bias": normal(rng, outputs), "d_output": normal(rng, rows, outputs)}
    layer = keras.layers.Dense(outputs, activation=activation)
    layer.build((rows, inputs))
    layer.set_weights([tensors["kernel"], tensors["bias"]])
    given = tf.constant(tensors["input"])
    with tf.GradientTape() as tape:
        tape.watch(given)
        output = layer(given)
    wanted = [given, layer.kernel, layer.bias]
    gradients = tape.gradient(output, wanted, output_gradients=tensors["d_output"])
    names = ("d_input", "d_kernel", "d_bias")
    tensors.update({name: value.numpy() for name, value in zip(names, gradients)})
    tensors["output"] = output.numpy()
    return tensors


def in_order_of_sight(numbers):
    """The same, renumbered so that 0, 1, 2, ... appear in this order."""
    first = {}
    return np.array([first.setdefault(number, len(first)) for number in numbers], np.int64)


def draw_ids(rng, count):
    """Each of 0 .. count - 1 at least once among ROWS."""
    ids = np.concatenate([np.arange(count), rng.integers(0, count, ROWS - count)])
    return in_order_of_sight(rng.permutation(ids))


def make_tower(rng, ids, widths):
    """A table with a row behind the ids for unknown ones, then Dense layers, relu between them."""
    table = keras.layers.Embedding(ids + 1, DIM)
    dense = [keras.layers.Dense(width, activation="relu" if i + 1 < len(widths) else None)
             for i, width in enumerate(widths)]
    tower = keras.Sequential([table] + dense)
    tower(tf.constant([0]))
    for weights in tower.weights:
        weights.assign(normal(rng, *weights.shape, scale=0.5))
    return tower


def run_tower(rng, query_layers, candidate_layers, maker, arguments):
    queries, candidates = draw_ids(rng, USERS), draw_ids(rng, ITEMS)
    towers = (make_tower(rng, USERS, query_layers), make_tower(rng, ITEMS, candidate_layers))
    weights = [w for tower in towers for w in tower.weights]
    tensors = {"query": queries, "candidate": candidates}
    tensors.update({f"initial/{i}": w.numpy() for i, w in enumerate(weights)})
    task, optimizer, losses = tfrs.tasks.Retrieval(), maker(**arguments, jit_compile=False), []
    for start in list(range(0, ROWS, BATCH)) * EPOCHS:
        ids = [x[start:start + BATCH] for x in (queries, candidates)]
        with tf.GradientTape() as tape:
            vectors = [tower(tf.constant(x)) for tower, x in zip(towers, ids)]
            loss = task(*vectors, compute_metrics=False, compute_batch_metrics=False)
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights))
        losses.append(loss.numpy())
    tensors["loss"] = np.array(losses, np.float32)
    tensors.update({f"final/{i}": w.numpy() for i, w in enumerate(weights)})
    return tensors


def make_dense():
    golden = GoldenFile(versions())
    for name, (rows, inputs, outputs, activation) in LAYERS.items():
        tensors = run_layer(rng_for(name), rows, inputs, outputs, activation)
        golden.add(name, tensors, {"layer": "Dense", "activation": activation or "linear"})
    for name, (query, candidate, maker, arguments) in TOWERS.items():
        tensors = run_tower(rng_for(name), query, candidate, maker, arguments)
        golden.add(name, tensors, {"query_layers": ",".join(map(str, query)),
                                   "candidate_layers": ",".join(map(str, candidate)), "dim": DIM,
                                   "batch": BATCH, "epochs": EPOCHS,
                                   "optimizer": maker.__name__.lower(), **arguments})
    golden.save("dense")
