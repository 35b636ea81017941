"""Worker: the in-batch softmax by td_retrieval_compute.   train_tandem.py LIBTANDEM.SO

The structs are those of tandem.h, section 4.
"""

import ctypes as c
import sys

import numpy as np

from train_worker import batch, serve

FLOATS = c.POINTER(c.c_float)


class Error(c.Structure):
    _fields_ = [("status", c.c_int), ("line", c.c_uint64), ("byte", c.c_uint64),
                ("message", c.c_char * 480)]


class Shape(c.Structure):
    _fields_ = [(name, c.c_uint32) for name in ("queries_max", "candidates_max", "heads", "dim")]


class Batch(c.Structure):
    _fields_ = [(name, c.c_uint32) for name in ("queries", "candidates", "heads", "dim")] + [
        (name, c.c_void_p) for name in ("query", "candidate", "positive", "sample_weight",
                                        "sampling_probability", "candidate_id", "query_id",
                                        "score_mask")]


class Result(c.Structure):
    _fields_ = [("loss", c.c_double), ("d_temperature", c.c_double)] + [
        (name, c.c_void_p) for name in ("row_loss", "d_query", "d_candidate")]


class Options(c.Structure):
    _fields_ = [("temperature", c.c_float), ("remove_accidental_hits", c.c_bool),
                ("hard_negatives", c.c_uint32), ("label_smoothing", c.c_float),
                ("symmetric", c.c_bool), ("reduction", c.c_int)]


def program(path):
    library = c.CDLL(path)
    error = Error()

    def call(function, *arguments):
        if getattr(library, function)(*arguments, c.byref(error)) != 0:
            sys.exit(error.message.decode())

    context = c.c_void_p()
    call("td_context_create", c.byref(context), None)

    def prepare(case):
        query, candidate = batch(case)
        d_query, d_candidate = np.empty_like(query), np.empty_like(candidate)
        size, dim = query.shape
        options, task, result = Options(), c.c_void_p(), Result()
        library.td_retrieval_options_init(c.byref(options))
        options.remove_accidental_hits = False
        options.reduction = 0  # sum
        call("td_retrieval_create", c.byref(task), context, c.byref(Shape(size, size, 1, dim)),
             c.byref(options))
        rows = Batch(size, size, 1, dim, query.ctypes.data, candidate.ctypes.data)
        result.d_query, result.d_candidate = d_query.ctypes.data, d_candidate.ctypes.data
        keep = (query, candidate)

        def run():
            call("td_retrieval_compute", task, c.byref(rows), c.byref(result))
            return lambda: (result.loss, d_query, d_candidate, keep)[:3]

        return run

    return prepare


if __name__ == "__main__":
    serve(program(sys.argv[1]), "tandem")
