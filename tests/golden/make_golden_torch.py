"""Writes optimizers_torch.safetensors: ten steps of torch's optimizers, dense and sparse.

Usage:  python make_golden_torch.py

The committed file was made with torch 2.13.0 (CPU), numpy 2.4.6 and safetensors 0.8.0.
The layout is that of optimizers.safetensors; the options carry the Keras names (epsilon
for eps, and so on), lr_decay is torch's own.
"""

import importlib.metadata
import platform

import numpy as np
import torch

from golden_common import GoldenFile, optimizer_inputs, optimizer_name

PACKAGES = ("torch", "numpy", "safetensors")

NESTEROV = {"lr": 0.1, "momentum": 0.9, "nesterov": True}
ACCUMULATOR = {"lr": 0.1, "initial_accumulator_value": 0.1, "eps": 0.01, "lr_decay": 0.05}
ADAM_EPSILON = {"lr": 0.05, "eps": 0.01, "betas": (0.8, 0.99)}

# (optimizer, variant, class, arguments, whether sparse: for each kind of gradient it takes)
OPTIMIZERS = [
    ("sgd", "", torch.optim.SGD, {"lr": 0.1}, (False, True)),
    ("sgd", "momentum", torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}, (False,)),
    ("sgd", "nesterov", torch.optim.SGD, NESTEROV, (False,)),
    ("adagrad", "", torch.optim.Adagrad, {"lr": 0.1}, (False, True)),
    ("adagrad", "accumulator", torch.optim.Adagrad, ACCUMULATOR, (False, True)),
    ("adam", "", torch.optim.Adam, {"lr": 0.05}, (False,)),
    ("adam", "epsilon", torch.optim.Adam, ADAM_EPSILON, (False,)),
    ("adamw", "", torch.optim.AdamW, {"lr": 0.05, "weight_decay": 0.1}, (False,)),
    ("sparse_adam", "", torch.optim.SparseAdam, {"lr": 0.05}, (True,)),
    ("sparse_adam", "epsilon", torch.optim.SparseAdam, ADAM_EPSILON, (True,)),
]

# torch's argument: the name it is stored under.
STORED = {"lr": "learning_rate", "eps": "epsilon", "momentum": "momentum", "nesterov": "nesterov",
          "initial_accumulator_value": "initial_accumulator_value", "lr_decay": "lr_decay",
          "weight_decay": "weight_decay"}


def run_optimizer(optimizer, param, tensors):
    params = []
    for step, grad in enumerate(tensors["grad"]):
        grad = torch.tensor(grad)
        if "row" in tensors:
            rows = torch.tensor(tensors["row"][step])[None]
            grad = torch.sparse_coo_tensor(rows, grad, param.shape)
        param.grad = grad
        optimizer.step()
        params.append(param.detach().numpy().copy())
    return {"param": np.stack(params)}


def optimizer_options(optimizer):
    arguments = optimizer.defaults
    options = {name: arguments[key] for key, name in STORED.items() if key in arguments}
    if "betas" in arguments:
        options["beta_1"], options["beta_2"] = arguments["betas"]
    return options


def main():
    torch.set_num_threads(1)
    torch.sparse.check_sparse_tensor_invariants.enable()
    versions = {package: importlib.metadata.version(package) for package in PACKAGES}
    golden = GoldenFile({"python": platform.python_version(), **versions})
    for kind, variant, maker, arguments, sparsities in OPTIMIZERS:
        for sparse in sparsities:
            name = optimizer_name("torch", kind, variant, sparse)
            tensors = optimizer_inputs(name, sparse)
            param = torch.nn.Parameter(torch.tensor(tensors["initial"]))
            optimizer = maker([param], **arguments)
            tensors.update(run_optimizer(optimizer, param, tensors))
            golden.add(name, tensors, {"family": "torch", "optimizer": kind, "sparse": sparse,
                                       **optimizer_options(optimizer)})
    golden.save("optimizers_torch")


if __name__ == "__main__":
    main()
