"""Worker: the in-batch softmax in PyTorch.   train_torch.py eager|compiled"""

import sys

import torch
import torch.nn.functional as F

from train_worker import batch, serve


def loss_of(query, candidate, labels):
    return F.cross_entropy(query @ candidate.T, labels, reduction="sum")


def program(mode):
    function = torch.compile(loss_of) if mode == "compiled" else loss_of

    def prepare(case):
        query, candidate = (torch.from_numpy(x).requires_grad_() for x in batch(case))
        labels = torch.arange(len(query))

        def run():
            query.grad = candidate.grad = None
            loss = function(query, candidate, labels)
            loss.backward()
            return lambda: (loss.detach().numpy(), query.grad.numpy(), candidate.grad.numpy())

        return run

    return prepare


if __name__ == "__main__":
    serve(program(sys.argv[1]), sys.argv[1])
