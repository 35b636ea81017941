"""Tandem's index through its C interface, as the other peers are used through Python."""

import ctypes
import hashlib
import os

import numpy as np

HIT = np.dtype([("position", np.uint32), ("score", np.float32)])
SEARCH_BYTES, EFFORT_OFFSET = 256, 56  # td_search, and td_search_effort in it


class Vectors(ctypes.Structure):
    _fields_ = [("data", ctypes.c_void_p), ("rows", ctypes.c_uint64), ("dim", ctypes.c_uint32),
                ("heads", ctypes.c_uint32)]


class ContextOptions(ctypes.Structure):
    _fields_ = [("threads", ctypes.c_uint32), ("kernel", ctypes.c_char_p),
                ("resize", ctypes.c_void_p), ("user", ctypes.c_void_p)]


class OptionTable(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("struct_size", ctypes.c_size_t),
                ("count", ctypes.c_uint32), ("rows", ctypes.c_void_p)]


LIBRARY = os.path.join(os.environ.get("TANDEM_BUILD", "build"), "libtandem.so")
lib = ctypes.CDLL(LIBRARY)
lib.td_index_option_table.restype = ctypes.POINTER(OptionTable)
lib.td_search_effort_option_table.restype = ctypes.POINTER(OptionTable)
lib.td_context_kernel.restype = ctypes.c_char_p
error = ctypes.create_string_buffer(1024)


def must(status):
    if status != 0:
        raise RuntimeError(error.raw[24:].split(b"\0")[0].decode())


def vectors(array):
    return Vectors(array.ctypes.data, array.shape[0], array.shape[1], 0)


def options(table, given):
    """A struct of options as bytes: the defaults, and what is given by name."""
    values = ctypes.create_string_buffer(max(256, table.contents.struct_size))
    lib.td_options_init(table, values)
    for name, value in given.items():
        must(lib.td_options_set(table, values, name.encode(), str(value).encode(), error))
    return values


class Tandem:
    """`build`: options of td_index_build_with. `setting`: those of td_search_effort."""

    def __init__(self):
        self.contexts = {}
        self.prepared = None

    def context(self, threads):
        if threads not in self.contexts:
            made = ctypes.c_void_p()
            must(lib.td_context_create(ctypes.byref(made),
                                       ctypes.byref(ContextOptions(threads, None, None, None)),
                                       error))
            self.contexts[threads] = made
        return self.contexts[threads]

    def build(self, items, calibration, build):
        made = ctypes.c_void_p()
        given = options(lib.td_index_option_table(), build)
        must(lib.td_index_build_with(ctypes.byref(made), self.context(1),
                                     ctypes.byref(vectors(items)), None, given, None, error))
        must(lib.td_index_calibrate(made, ctypes.byref(vectors(calibration)), None, error))
        self.indexes = {1: made}
        self.searchers = {}

    def save(self, path):
        must(lib.td_index_save(self.indexes[1], path.encode(), error))

    def load(self, path):
        self.indexes = {}
        self.searchers = {}
        self.path = path
        self.searcher(1)

    def searcher(self, threads):
        """An index belongs to a context, which has the threads: one index for each number."""
        if threads not in self.indexes:
            made = ctypes.c_void_p()
            must(lib.td_index_load(ctypes.byref(made), self.context(threads), self.path.encode(),
                                   error))
            self.indexes[threads] = made
        if threads not in self.searchers:
            made = ctypes.c_void_p()
            must(lib.td_searcher_create(ctypes.byref(made), self.indexes[threads], error))
            self.searchers[threads] = made
        return self.searchers[threads]

    def prepare(self, rows, dim, k, setting, threads):
        """All that calls of one kind share, made once: a call then costs little more than in C."""
        request = ctypes.create_string_buffer(SEARCH_BYTES)
        ctypes.memmove(request, ctypes.byref(ctypes.c_uint32(k)), 4)
        effort = options(lib.td_search_effort_option_table(), setting)
        ctypes.memmove(ctypes.byref(request, EFFORT_OFFSET), effort, 64)
        self.queries = Vectors(None, rows, dim, 0)
        self.hits, self.counts = np.empty((rows, k), HIT), np.empty(rows, np.uint32)
        self.arguments = (self.searcher(threads), ctypes.byref(self.queries), request,
                          ctypes.c_void_p(self.hits.ctypes.data),
                          ctypes.c_void_p(self.counts.ctypes.data), error)
        self.positions, self.call = self.hits["position"], lib.td_searcher_search
        self.prepared = (rows, k, setting, threads)

    def search(self, queries, k, setting, threads=1):
        """The result is valid until the next search."""
        if self.prepared != (len(queries), k, setting, threads):
            self.prepare(*queries.shape, k, setting, threads)
        self.queries.data = queries.__array_interface__["data"][0]
        status = self.call(*self.arguments)
        if status != 0:
            must(status)
        return self.positions

    def version(self):
        """What an index is kept under: of another library it is built again."""
        with open(LIBRARY, "rb") as file:
            return hashlib.sha1(file.read()).hexdigest()[:10]

    def about(self):
        return "kernels " + lib.td_context_kernel(self.context(1)).decode()


class TandemExact(Tandem):
    """An index for the threads that this process has; built in no time, so never saved."""
    save = None

    def build(self, items, calibration, build):
        threads = int(os.environ["OMP_NUM_THREADS"])
        made = ctypes.c_void_p()
        given = options(lib.td_index_option_table(), build)
        must(lib.td_index_build_with(ctypes.byref(made), self.context(threads),
                                     ctypes.byref(vectors(items)), None, given, None, error))
        self.indexes, self.searchers = {threads: made}, {}
