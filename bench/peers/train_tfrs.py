"""Worker: the in-batch softmax by the Retrieval task of TensorFlow Recommenders, metrics off."""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"  # TFRS needs Keras 2
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf
import tensorflow_recommenders as tfrs

from train_worker import batch, serve


def prepare(case):
    task = tfrs.tasks.Retrieval()
    query, candidate = (tf.constant(x) for x in batch(case))

    @tf.function
    def step(query, candidate):
        with tf.GradientTape() as tape:
            tape.watch([query, candidate])
            loss = task(query, candidate, compute_metrics=False, compute_batch_metrics=False)
        return loss, tape.gradient(loss, [query, candidate])

    def run():
        loss, (d_query, d_candidate) = step(query, candidate)
        loss.numpy()
        return lambda: (loss.numpy(), d_query.numpy(), d_candidate.numpy())

    return run


if __name__ == "__main__":
    serve(prepare, "tfrs")
