"""Worker: the basic retrieval tutorial of TensorFlow Recommenders, metrics off.

    train_tutorial.py ML-100K/u.data

As https://www.tensorflow.org/recommenders/examples/basic_retrieval: two tables of 32 numbers behind
StringLookup, 80,000 of the rows in batches of 8192 that are cached, Adagrad 0.1. Each request runs one
epoch and is answered with the seconds of a step and the mean loss of a row.
"""

import json
import os
import sys
import time

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFRS needs Keras 2
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs

DIM, ROWS, BATCH = 32, 80_000, 8192


def table(ids):
    known = sorted(set(ids))
    return tf.keras.Sequential([tf.keras.layers.StringLookup(vocabulary=known, mask_token=None),
                                tf.keras.layers.Embedding(len(known) + 1, DIM)])


class Tutorial(tfrs.Model):
    def __init__(self, users, movies):
        super().__init__()
        self.users, self.movies = table(users), table(movies)
        self.task = tfrs.tasks.Retrieval()

    def compute_loss(self, features, training=False):
        return self.task(self.users(features["user"]), self.movies(features["movie"]),
                         compute_metrics=False, compute_batch_metrics=False)


class Clock(tf.keras.callbacks.Callback):
    """Seconds and losses of an epoch's steps, without what fit does around them."""

    def on_epoch_begin(self, epoch, logs=None):
        self.begin, self.steps, self.loss = time.perf_counter(), 0, 0.0

    def on_train_batch_end(self, batch, logs=None):
        self.seconds = time.perf_counter() - self.begin
        self.steps += 1
        self.loss += logs["loss"]


def main(path):
    users, movies = np.loadtxt(path, dtype=str, usecols=(0, 1), unpack=True)
    rows = tf.data.Dataset.from_tensor_slices({"user": users, "movie": movies})
    rows = rows.shuffle(100_000, seed=42, reshuffle_each_iteration=False).take(ROWS)
    batches = rows.batch(BATCH).cache()
    model, clock = Tutorial(users, movies), Clock()
    model.compile(optimizer=tf.keras.optimizers.Adagrad(learning_rate=0.1))
    for _ in sys.stdin:
        model.fit(batches, epochs=1, verbose=0, callbacks=[clock])
        print(json.dumps({"seconds": clock.seconds / clock.steps, "loss": clock.loss / ROWS}),
              flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
