"""optimizers.safetensors: ten steps each, dense and sparse.
schedules.safetensors: learning rates at steps 0..20.
"""

import numpy as np

from golden_common import GoldenFile, optimizer_inputs, optimizer_name
from golden_tf import keras, tf, tfrs, versions

NEW, LEGACY = keras.optimizers, keras.optimizers.legacy
CLIPPY = tfrs.experimental.optimizers.ClippyAdagrad

NESTEROV = {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}
BIG_EPSILON = {"learning_rate": 0.1, "epsilon": 0.01, "initial_accumulator_value": 0.0}
ADAM_EPSILON = {"learning_rate": 0.05, "epsilon": 0.01, "beta_1": 0.8, "beta_2": 0.99}
CLIP_UPDATE = {"learning_rate": 0.5, "clip_accumulator_update": True}
STANDARD_UPDATE = {"learning_rate": 0.5, "use_standard_accumulator_update": True,
                   "accumulator_relative_threshold": 0.01}

# (family, optimizer, variant, class, arguments)
OPTIMIZERS = [
    ("tfkeras", "sgd", "", NEW.SGD, {"learning_rate": 0.1}),
    ("tfkeras", "sgd", "momentum", NEW.SGD, {"learning_rate": 0.1, "momentum": 0.9}),
    ("tfkeras", "sgd", "nesterov", NEW.SGD, NESTEROV),
    ("tfkeras", "adagrad", "", NEW.Adagrad, {"learning_rate": 0.1}),
    ("tfkeras", "adagrad", "epsilon", NEW.Adagrad, BIG_EPSILON),
    ("tfkeras", "adam", "", NEW.Adam, {"learning_rate": 0.05}),
    ("tfkeras", "adam", "epsilon", NEW.Adam, ADAM_EPSILON),
    ("tfkeras_legacy", "sgd", "", LEGACY.SGD, {"learning_rate": 0.1}),
    ("tfkeras_legacy", "sgd", "momentum", LEGACY.SGD, {"learning_rate": 0.1, "momentum": 0.9}),
    ("tfkeras_legacy", "sgd", "nesterov", LEGACY.SGD, NESTEROV),
    ("tfkeras_legacy", "adagrad", "", LEGACY.Adagrad, {"learning_rate": 0.1}),
    ("tfkeras_legacy", "adagrad", "epsilon", LEGACY.Adagrad, BIG_EPSILON),
    ("tfkeras_legacy", "adam", "", LEGACY.Adam, {"learning_rate": 0.05}),
    ("tfkeras_legacy", "adam", "epsilon", LEGACY.Adam, ADAM_EPSILON),
    ("tfrs", "clippy_adagrad", "", CLIPPY, {"learning_rate": 0.5}),
    ("tfrs", "clippy_adagrad", "clip_update", CLIPPY, CLIP_UPDATE),
    ("tfrs", "clippy_adagrad", "standard_update", CLIPPY, STANDARD_UPDATE),
]


def run_optimizer(optimizer, tensors):
    variable = tf.Variable(tensors["initial"])
    params = []
    for step, grad in enumerate(tensors["grad"]):
        grad = tf.constant(grad)
        if "row" in tensors:
            grad = tf.IndexedSlices(grad, tf.constant(tensors["row"][step]), variable.shape)
        optimizer.apply_gradients([(grad, variable)])
        params.append(variable.numpy())
    return {"param": np.stack(params)}


def optimizer_options(optimizer, arguments, sparse):
    """The arguments that were given, completed by the class's defaults."""
    kept = ("learning_rate", "momentum", "nesterov", "initial_accumulator_value", "epsilon",
            "beta_1", "beta_2", "variable_relative_threshold", "accumulator_relative_threshold",
            "absolute_threshold", "clip_accumulator_update")
    defaults = {key: plain(value) for key, value in optimizer.get_config().items() if key in kept}
    return {"sparse": sparse, **defaults, **arguments}


def plain(value):
    """A configuration holds some numbers as float32; 0.9 shall read 0.9."""
    return float(str(value)) if isinstance(value, np.floating) else value


def make_optimizers():
    golden = GoldenFile(versions())
    for family, kind, variant, maker, arguments in OPTIMIZERS:
        # XLA is a GPU matter here; legacy classes do not know the argument.
        extra = {} if issubclass(maker, LEGACY.Optimizer) else {"jit_compile": False}
        for sparse in (False, True):
            name = optimizer_name(family, kind, variant, sparse)
            optimizer = maker(**arguments, **extra)
            tensors = optimizer_inputs(name, sparse)
            tensors.update(run_optimizer(optimizer, tensors))
            golden.add(name, tensors, {"family": family, "optimizer": kind,
                                       **optimizer_options(optimizer, arguments, sparse)})
    add_scheduled_case(golden)
    golden.save("optimizers")


def add_scheduled_case(golden):
    """Step t (counted from 0) uses the schedule's value at t."""
    name = optimizer_name("tfkeras", "sgd", "scheduled", sparse=False)
    arguments = {"initial_learning_rate": 0.3, "decay_steps": 2, "decay_rate": 0.5}
    schedule = keras.optimizers.schedules.ExponentialDecay(**arguments)
    tensors = optimizer_inputs(name, sparse=False)
    tensors.update(run_optimizer(NEW.SGD(schedule, jit_compile=False), tensors))
    golden.add(name, tensors, {"family": "tfkeras", "optimizer": "sgd", "sparse": False,
                               "schedule": "ExponentialDecay", **arguments})


EXPONENTIAL = {"initial_learning_rate": 0.5, "decay_steps": 4, "decay_rate": 0.7}
POLYNOMIAL = {"initial_learning_rate": 0.5, "decay_steps": 8, "end_learning_rate": 0.05}
COSINE = {"initial_learning_rate": 0.5, "decay_steps": 12}
WARMUP = {"initial_learning_rate": 0.1, "decay_steps": 10, "warmup_target": 0.5, "warmup_steps": 5}

# name: (kind, class name, arguments)
SCHEDULES = {
    "exponential": ("ExponentialDecay", EXPONENTIAL),
    "exponential_staircase": ("ExponentialDecay", {**EXPONENTIAL, "staircase": True}),
    "inverse_time": ("InverseTimeDecay", EXPONENTIAL),
    "inverse_time_staircase": ("InverseTimeDecay", {**EXPONENTIAL, "staircase": True}),
    "polynomial_linear": ("PolynomialDecay", POLYNOMIAL),
    "polynomial_square": ("PolynomialDecay", {**POLYNOMIAL, "power": 2.0}),
    "polynomial_root": ("PolynomialDecay", {**POLYNOMIAL, "power": 0.5}),
    "polynomial_cycle": ("PolynomialDecay", {**POLYNOMIAL, "cycle": True}),
    "cosine": ("CosineDecay", COSINE),
    "cosine_alpha": ("CosineDecay", {**COSINE, "alpha": 0.1}),
    "cosine_warmup": ("CosineDecay", WARMUP),
    "cosine_warmup_alpha": ("CosineDecay", {**WARMUP, "alpha": 0.2}),
    "cosine_warmup_from_zero": ("CosineDecay", {**WARMUP, "initial_learning_rate": 0.0}),
    "cosine_restarts": ("CosineDecayRestarts", {"initial_learning_rate": 0.5,
                                                "first_decay_steps": 3, "t_mul": 2.0,
                                                "m_mul": 0.8, "alpha": 0.05}),
    "piecewise": ("PiecewiseConstantDecay", {"boundaries": [3, 4, 11],
                                             "values": [1.0, 0.5, 0.25, 0.1]}),
}


def make_schedules():
    golden = GoldenFile(versions())
    steps = np.arange(21, dtype=np.int64)
    for name, (kind, arguments) in SCHEDULES.items():
        schedule = getattr(keras.optimizers.schedules, kind)(**arguments)
        rates = [float(schedule(tf.constant(step))) for step in steps]
        golden.add(name, {"step": steps, "learning_rate": np.array(rates, np.float32)},
                   {"schedule": kind, **arguments})
    golden.save("schedules")
