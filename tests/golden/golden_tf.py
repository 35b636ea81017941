"""Loads TensorFlow the one way the golden files are made: Keras 2, CPU, one thread."""

import importlib.metadata
import os
import platform

os.environ["TF_USE_LEGACY_KERAS"] = "1"      # TFRS refuses Keras 3
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"    # plain Eigen kernels
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf
import tensorflow_recommenders as tfrs

tf.config.threading.set_intra_op_parallelism_threads(1)
tf.config.threading.set_inter_op_parallelism_threads(1)
tf.get_logger().setLevel("ERROR")

keras = tf.keras

PACKAGES = ("tensorflow-cpu", "tf-keras", "tensorflow-recommenders", "numpy", "safetensors")


def versions():
    found = {package: importlib.metadata.version(package) for package in PACKAGES}
    return {"python": platform.python_version(), **found}
