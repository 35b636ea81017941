"""crossentropy.safetensors: the Keras losses, value and gradient with respect to y_pred."""

import itertools

import numpy as np

from golden_common import GoldenFile, check_sound, normal, rng_for, some_weights
from golden_tf import keras, tf, versions

LOSSES = {
    "categorical_crossentropy": keras.losses.CategoricalCrossentropy,
    "sparse_categorical_crossentropy": keras.losses.SparseCategoricalCrossentropy,
    "binary_crossentropy": keras.losses.BinaryCrossentropy,
}

CLASS_ROWS, CLASSES = 6, 5

# Kinds of y_pred of the class losses. "edges" has exact zeros and ones, with row sums of
# one and of more, but no row of all zeros.
LOGITS = {
    "logits": lambda rng: normal(rng, CLASS_ROWS, CLASSES, scale=2.0),
    "large_logits": lambda rng: normal(rng, CLASS_ROWS, CLASSES, scale=60.0),
}


def edge_probabilities(rng):
    rows = [[1, 0, 0, 0, 0], [0, 0, 1, 0, 0], [0.5, 0.5, 0, 0, 0],
            [1, 1, 0, 0, 1], [0, 0.25, 0, 1e-9, 0.75], [0, 0, 0, 0, 1 - 1e-7]]
    return np.array(rows, np.float32)


def normalised(rng):
    values = rng.uniform(0.01, 1, (CLASS_ROWS, CLASSES))
    return (values / values.sum(1, keepdims=True)).astype(np.float32)


PROBABILITY_KINDS = {
    "normalised": normalised,
    "unnormalised": lambda rng: rng.uniform(0, 3, (CLASS_ROWS, CLASSES)).astype(np.float32),
    "edges": edge_probabilities,
}

# y_pred of the binary loss, [7, 1] and [4, 3].
BINARY_LOGITS = {
    "logits": lambda rng: normal(rng, 7, 1, scale=2.0),
    "large_logits": lambda rng: normal(rng, 4, 3, scale=60.0),
}
BINARY_PROBABILITIES = {
    "inside": lambda rng: rng.uniform(0.02, 0.98, (7, 1)).astype(np.float32),
    "edges": lambda rng: rng.choice([0.0, 1.0, 1e-9, 0.5, 1 - 1e-7], (4, 3)).astype(np.float32),
}


def one_hot_labels(rng, y_pred):
    return np.eye(CLASSES, dtype=np.float32)[rng.integers(0, CLASSES, len(y_pred))]


def soft_labels(rng, y_pred):
    return rng.dirichlet(np.ones(CLASSES), len(y_pred)).astype(np.float32)


def loose_labels(rng, y_pred):
    """Soft labels whose rows do not sum to one."""
    return rng.uniform(0, 1, y_pred.shape).astype(np.float32)


def class_labels(rng, y_pred):
    labels = rng.integers(0, CLASSES, len(y_pred))
    labels[1] = labels[4] = 2
    return labels.astype(np.int64)


def labels_with_minus_one(rng, y_pred):
    labels = class_labels(rng, y_pred)
    labels[[0, 3]] = -1
    return labels


def binary_labels(rng, y_pred):
    return rng.integers(0, 2, y_pred.shape).astype(np.float32)


def loss_cases(loss, kinds, labels, from_logits, extras):
    """All kinds of y_pred and labels, each with every reduction, weights or not, and extras.

    extras: list of (name, constructor arguments).
    """
    reductions = ("sum", "sum_over_batch_size", "none")
    rows = itertools.product(kinds.items(), labels.items(), reductions, (False, True), extras)
    for (kind, draw), (label, draw_label), reduction, weighted, (extra, arguments) in rows:
        parts = [loss.replace("_crossentropy", ""), kind, label, reduction]
        parts += ["weighted"] * weighted + [extra] * bool(extra)
        name = "_".join(parts)
        rng = rng_for(name)
        y_pred = draw(rng)
        tensors = {"y_true": draw_label(rng, y_pred), "y_pred": y_pred}
        if weighted:
            tensors["sample_weight"] = some_weights(rng, len(y_pred))
        yield name, tensors, {"loss": loss, "from_logits": from_logits,
                              "reduction": reduction, **arguments}


def all_loss_cases():
    nothing = ("", {})
    yield from loss_cases("categorical_crossentropy", LOGITS,
                          {"one_hot": one_hot_labels, "soft": soft_labels}, True,
                          [nothing, ("smoothed", {"label_smoothing": 0.2})])
    yield from loss_cases("categorical_crossentropy", PROBABILITY_KINDS,
                          {"one_hot": one_hot_labels, "soft": soft_labels}, False,
                          [nothing, ("smoothed", {"label_smoothing": 0.2})])
    sparse_extras = [nothing, ("ignore_2", {"ignore_class": 2})]
    yield from loss_cases("sparse_categorical_crossentropy", LOGITS,
                          {"classes": class_labels}, True, sparse_extras)
    yield from loss_cases("sparse_categorical_crossentropy", PROBABILITY_KINDS,
                          {"classes": class_labels}, False, sparse_extras)
    yield from loss_cases("sparse_categorical_crossentropy", {"logits": LOGITS["logits"]},
                          {"minus_one": labels_with_minus_one}, True,
                          [("ignore_-1", {"ignore_class": -1})])
    binary_extras = [nothing, ("smoothed", {"label_smoothing": 0.2})]
    yield from loss_cases("binary_crossentropy", BINARY_LOGITS,
                          {"labels": binary_labels}, True, binary_extras)
    yield from loss_cases("binary_crossentropy", BINARY_PROBABILITIES,
                          {"labels": binary_labels}, False, binary_extras)
    yield from documented_loss_cases()
    yield from odd_loss_cases()


def documented_loss_cases():
    """The example of the Keras documentation: 1.177, with weights 0.814, summed 2.354."""
    y_true = np.array([[0, 1, 0], [0, 0, 1]], np.float32)
    y_pred = np.array([[0.05, 0.95, 0], [0.1, 0.8, 0.1]], np.float32)
    weights = np.array([0.3, 0.7], np.float32)
    sparse_true = np.array([1, 2], np.int64)
    for loss, truth in (("categorical_crossentropy", y_true),
                        ("sparse_categorical_crossentropy", sparse_true)):
        base = {"y_true": truth, "y_pred": y_pred}
        short = loss.replace("_crossentropy", "")
        for name, tensors, reduction in (
                ("mean", base, "sum_over_batch_size"),
                ("weighted", {**base, "sample_weight": weights}, "sum_over_batch_size"),
                ("sum", base, "sum"), ("none", base, "none")):
            yield f"docs_{short}_{name}", tensors, {
                "loss": loss, "from_logits": False, "reduction": reduction}


def odd_loss_cases():
    rng = rng_for("odd losses")
    y_pred = LOGITS["logits"](rng)
    y_true = one_hot_labels(rng, y_pred)
    column = rng.uniform(0.1, 2, (CLASS_ROWS, 1)).astype(np.float32)
    base = {"loss": "categorical_crossentropy", "from_logits": True}
    yield ("categorical_weight_column",
           {"y_true": y_true, "y_pred": y_pred, "sample_weight": column},
           {**base, "reduction": "sum_over_batch_size"})
    yield ("categorical_loose_labels", {"y_true": loose_labels(rng, y_pred), "y_pred": y_pred},
           {**base, "reduction": "none",
            "defect": "Rows of y_true do not sum to one: the loss uses them as they are, but the "
                      "gradient is softmax - y, not sum(y) * softmax - y."})
    yield ("categorical_zero_row", {"y_true": y_true, "y_pred": np.zeros_like(y_pred)},
           {**base, "from_logits": False, "reduction": "none",
            "defect": "Probabilities that sum to zero are divided by zero: NaN."})
    yield ("sparse_categorical_all_ignored",
           {"y_true": np.full(CLASS_ROWS, 2, np.int64), "y_pred": y_pred},
           {"loss": "sparse_categorical_crossentropy", "from_logits": True, "ignore_class": 2,
            "reduction": "sum_over_batch_size",
            "defect": "Every row is ignored: the mean is 0 / 0, NaN."})


CONSTRUCTOR_ARGUMENTS = ("from_logits", "reduction", "label_smoothing", "ignore_class")


def run_loss(tensors, options):
    arguments = {key: options[key] for key in CONSTRUCTOR_ARGUMENTS if key in options}
    loss = LOSSES[options["loss"]](**arguments)
    y_pred = tf.constant(tensors["y_pred"])
    with tf.GradientTape() as tape:
        tape.watch(y_pred)
        value = loss(tensors["y_true"], y_pred, sample_weight=tensors.get("sample_weight"))
        total = tf.reduce_sum(value)
    return {"loss": value.numpy(), "d_y_pred": tape.gradient(total, y_pred).numpy()}


def make_crossentropy():
    golden = GoldenFile(versions())
    for name, tensors, options in all_loss_cases():
        outputs = run_loss(tensors, options)
        if "defect" not in options:
            # A clipped probability of 1e-7 has gradients of 1e7.
            check_sound(name, {"loss": outputs["loss"], "d_y_pred": outputs["d_y_pred"] / 1e3})
        golden.add(name, {**tensors, **outputs}, options)
    golden.save("crossentropy")
