"""Training for large data (the recipe of tandem train) in PyTorch.   large_torch.py LISTS EPOCHS

The same model and the same step: 256 whole queries against their own candidates and 4,096 drawn ones under
one log-q correction, cosine over a temperature, decoupled, a power of the partition function, Adam on the rows
that a step touches (SparseAdam). Prints one JSON line an epoch: seconds, mean loss. The first weights, the
order of the queries and the draws are its own, so losses are alike, not equal.
"""

import json
import math
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

DIM, BATCH, DRAWN = 64, 256, 4096
TEMPERATURE, POWER = 0.08, 1.22


def read_lists(path):
    """A line is a query's id and its candidates' ids. Returns arrays of candidate numbers, and how many
    candidates there are."""
    lists = [np.fromstring(line, dtype=np.int64, sep=" ")[1:] for line in open(path)]
    lists = [one for one in lists if len(one)]
    ids, flat = np.unique(np.concatenate(lists), return_inverse=True)
    ends = np.cumsum([len(one) for one in lists])
    return np.split(flat, ends[:-1]), len(ids)


class Trainer:
    def __init__(self, lists, candidates):
        self.lists, self.candidates = lists, candidates
        rows = sum(len(one) for one in lists)
        self.steps = math.ceil(len(lists) / BATCH)
        self.query = torch.nn.Embedding(len(lists), DIM, sparse=True)
        self.candidate = torch.nn.Embedding(candidates, DIM, sparse=True)
        for table in (self.query, self.candidate):
            torch.nn.init.normal_(table.weight, std=0.02)
        tables = [self.query.weight, self.candidate.weight]
        self.optimizer = torch.optim.SparseAdam(tables, lr=0.02, betas=(0.9, 0.95), eps=1e-7)
        share = np.bincount(np.concatenate(lists), minlength=candidates) / rows
        expected = rows / self.steps * share + DRAWN / candidates
        self.bias = torch.from_numpy(-np.log(expected).astype(np.float32))

    def batch(self, numbers):
        """Which query each interaction has, its column, and the columns with their copies."""
        chosen = [self.lists[number] for number in numbers]
        owner = torch.from_numpy(np.repeat(np.arange(len(chosen)), [len(one) for one in chosen]))
        own = torch.from_numpy(np.concatenate(chosen))
        drawn = torch.randint(self.candidates, (DRAWN,))
        columns, place, copies = torch.unique(torch.cat([own, drawn]), return_inverse=True,
                                              return_counts=True)
        return owner, place[: len(own)], columns, copies

    def loss(self, numbers):
        owner, own, columns, copies = self.batch(numbers)
        query = F.normalize(self.query(torch.from_numpy(numbers)))
        candidate = F.normalize(self.candidate(columns))
        logits = query @ candidate.T / TEMPERATURE + self.bias[columns]
        positive = logits[owner, own]
        others = (logits + copies.log()).index_put((owner, own), torch.tensor(-math.inf))
        partition = others.logsumexp(1)
        return (POWER * partition[owner] - positive).mean(), len(owner)

    def epoch(self, rng):
        begin, total, rows = time.perf_counter(), 0.0, 0
        order = rng.permutation(len(self.lists))
        for start in range(0, len(order), BATCH):
            loss, count = self.loss(order[start : start + BATCH])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            total, rows = total + loss.item() * count, rows + count
        return {"seconds": time.perf_counter() - begin, "loss": total / rows}


def main():
    torch.manual_seed(42)
    rng = np.random.default_rng(42)
    trainer = Trainer(*read_lists(sys.argv[1]))
    for _ in range(int(sys.argv[2])):
        print(json.dumps(trainer.epoch(rng)), flush=True)


if __name__ == "__main__":
    main()
