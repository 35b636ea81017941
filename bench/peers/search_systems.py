"""The systems that are compared, each behind the same few calls.

A system has `build(items, calibration, build)`, `save(path)`, `load(path)`, `search(queries, k,
setting, threads)`, which returns ids [queries, k], and `about()`, which says what its kernels are.
GRIDS has what each is tuned over: ways to build and, for each k, ways to search. Sizes of the data
give the number of leaves; the rest follows each project's own advice for inner products.
"""

import json
import os

import numpy as np


def integers(pair):
    """The ids of (ids, scores) or (scores, ids)."""
    return pair[0] if pair[0].dtype.kind in "iu" else pair[1]


QUERIES_AT_A_TIME = 64  # whose scores of a million items are 256 MB; all at once is no faster


class Numpy:
    def build(self, items, calibration, build):
        self.transposed = np.ascontiguousarray(items.T)

    def search(self, queries, k, setting, threads=1):
        out = np.empty((len(queries), k), np.int64)
        for first in range(0, len(queries), QUERIES_AT_A_TIME):
            part = slice(first, first + QUERIES_AT_A_TIME)
            scores = queries[part] @ self.transposed
            best = np.argpartition(scores, -k, axis=1)[:, -k:]
            order = np.argsort(-np.take_along_axis(scores, best, 1), axis=1, kind="stable")
            out[part] = np.take_along_axis(best, order, 1)
        return out

    def about(self):
        return "numpy " + np.__version__ + ", OpenBLAS of its wheel"


class Torch:
    def build(self, items, calibration, build):
        import torch
        self.torch = torch
        self.transposed = torch.from_numpy(items).T.contiguous()

    def search(self, queries, k, setting, threads=1):
        if self.torch.get_num_threads() != threads:
            self.torch.set_num_threads(threads)
        with self.torch.no_grad():
            parts = [(part @ self.transposed).topk(k, 1).indices
                     for part in self.torch.from_numpy(queries).split(QUERIES_AT_A_TIME)]
            return self.torch.cat(parts).numpy()

    def about(self):
        return "torch " + self.torch.__version__ + ", " + self.torch.backends.cpu.get_cpu_capability()


class Faiss:
    """`build`: "factory", a string of index_factory. `setting`: names of ParameterSpace."""

    def __init__(self):
        import faiss
        self.faiss = faiss

    def build(self, items, calibration, build):
        self.faiss.omp_set_num_threads(1)
        self.index = self.faiss.index_factory(items.shape[1], build["factory"],
                                              self.faiss.METRIC_INNER_PRODUCT)
        if "efConstruction" in build:
            self.index.hnsw.efConstruction = build["efConstruction"]
        self.index.train(items)
        self.index.add(items)

    def save(self, path):
        self.faiss.write_index(self.index, path)

    def load(self, path):
        self.index = self.faiss.read_index(path)

    def search(self, queries, k, setting, threads=1):
        if self.faiss.omp_get_max_threads() != threads:
            self.faiss.omp_set_num_threads(threads)
        if setting != getattr(self, "setting", None):
            space = self.faiss.ParameterSpace()
            for name, value in setting.items():
                space.set_index_parameter(self.index, name, value)
            self.setting = setting
        return self.index.search(queries, k)[1]

    def about(self):
        options = getattr(self.faiss, "get_compile_options", lambda: "options unknown")().strip()
        return f"faiss {self.faiss.__version__}, {options}"


class FaissFlat(Faiss):
    """Nothing to be saved: built in no time."""
    save = None


class Hnswlib:
    def __init__(self):
        import hnswlib
        self.hnswlib = hnswlib

    def build(self, items, calibration, build):
        self.dim = items.shape[1]
        self.index = self.hnswlib.Index(space="ip", dim=self.dim)
        self.index.init_index(len(items), M=build["M"], ef_construction=build["ef"])
        self.index.add_items(items, num_threads=1)

    def save(self, path):
        self.index.save_index(path)
        with open(path + ".dim", "w") as file:
            file.write(str(self.dim))

    def load(self, path):
        with open(path + ".dim") as file:
            self.index = self.hnswlib.Index(space="ip", dim=int(file.read()))
        self.index.load_index(path)

    def search(self, queries, k, setting, threads=1):
        self.index.set_ef(max(setting["ef"], k))
        return self.index.knn_query(queries, k, num_threads=threads)[0]

    def about(self):
        return "hnswlib, compiled here (its setup takes -march=native)"


class Usearch:
    def build(self, items, calibration, build):
        from usearch.index import Index
        self.index = Index(ndim=items.shape[1], metric="ip", dtype=build["dtype"],
                           connectivity=build["M"], expansion_add=build["ef"])
        self.index.add(np.arange(len(items), dtype=np.uint64), items, threads=1)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        from usearch.index import Index
        self.index = Index.restore(path)

    def search(self, queries, k, setting, threads=1):
        self.index.expansion_search = max(setting["ef"], k)
        return self.index.search(queries, k, threads=threads).keys.reshape(len(queries), k)

    def about(self):
        import usearch
        return f"usearch {usearch.__version__}, {self.index.hardware_acceleration}"


class Lorann:
    def build(self, items, calibration, build):
        from lorann import IP, LorannIndex
        self.index = LorannIndex(items, build["clusters"], build["global_dim"],
                                 rank=build["rank"], distance=IP)
        self.index.build(training_queries=calibration if build["users"] else None, n_threads=1)

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        from lorann import LorannIndex
        self.index = LorannIndex.load(path)

    def search(self, queries, k, setting, threads=1):
        arguments = (k, setting["clusters"], max(setting["rerank"], k))
        if len(queries) == 1:
            return self.index.search(queries[0], *arguments).reshape(1, k)
        return self.index.search(queries, *arguments, n_threads=threads)

    def about(self):
        return "lorann, compiled here"


class Scann:
    """Both `scann` and `scann-core`: they share the name of the module, so each has its own
    environment. search_batched runs on the calling thread."""

    def build(self, items, calibration, build):
        import scann
        builder = scann.scann_ops_pybind.builder(items, 10, "dot_product")
        builder = builder.set_n_training_threads(1)
        if build.get("brute_force"):
            self.index = builder.score_brute_force().build()
            return
        tree = dict(num_leaves=build["leaves"], num_leaves_to_search=10,
                    training_sample_size=min(len(items), 250000))
        if build.get("soar"):
            tree.update(soar_lambda=1.5, overretrieve_factor=2)
        if build.get("avq"):
            tree["avq"] = build["avq"]
        if len(items) < 100000:
            tree["training_sample_size"] = len(items)
        self.index = (builder.tree(**tree)
                      .score_ah(build["block"], anisotropic_quantization_threshold=build["threshold"])
                      .reorder(100).build())

    def save(self, path):
        os.makedirs(path, exist_ok=True)
        self.index.serialize(path)

    def load(self, path):
        import scann
        self.index = scann.scann_ops_pybind.load_searcher(path)

    def search(self, queries, k, setting, threads=1):
        rest = {}
        if "leaves" in setting:
            rest = dict(leaves_to_search=setting["leaves"],
                        pre_reorder_num_neighbors=max(setting["reorder"], k))
        if len(queries) == 1:
            return self.index.search(queries[0], final_num_neighbors=k, **rest)[0].reshape(1, -1)
        if threads == 1:
            return self.index.search_batched(queries, final_num_neighbors=k, **rest)[0]
        self.index.set_num_threads(threads)
        return self.index.search_batched_parallel(queries, final_num_neighbors=k, **rest)[0]

    def about(self):
        from importlib import metadata
        for name in ("scann-core", "scann"):
            try:
                return f"{name} {metadata.version(name)}"
            except metadata.PackageNotFoundError:
                pass


class ScannExact(Scann):
    save = None


class Rabitq:
    """The inverted file of RaBitQLib; one query a call inside a loop of its own."""

    def build(self, items, calibration, build):
        import rabitqlib
        means = rabitqlib.RaBitQKMeans(items.shape[1], build["leaves"], num_threads=1)
        means.train(items)
        self.index = rabitqlib.IvfIndex(items.shape[1], len(items), build["leaves"],
                                        nbits=build["bits"], metric="ip")
        self.index.build(items, means.centroids, means.assignments)
        self.leaves = build["leaves"]

    def save(self, path):
        self.index.save(path)

    def load(self, path):
        import rabitqlib
        self.index = rabitqlib.IvfIndex.load(path)

    def search(self, queries, k, setting, threads=1):
        return integers(self.index.search(queries, k, setting["leaves"]))

    def about(self):
        return "rabitqlib"


class Vsag:
    """HGraph of VSAG with 8-bit codes and exact reordering. One query a call: it has no batches."""

    def parameters(self, dim, build):
        return json.dumps({"dtype": "float32", "metric_type": "ip", "dim": dim, "index_param": {
            "base_quantization_type": build["codes"], "max_degree": build["M"],
            "ef_construction": build["ef"], "use_reorder": True, "build_thread_count": 1,
            "precise_quantization_type": "fp32"}})

    def build(self, items, calibration, build):
        import pyvsag
        self.shape = (items.shape[1], build)
        self.index = pyvsag.Index("hgraph", self.parameters(*self.shape))
        self.index.build(vectors=items, ids=np.arange(len(items), dtype=np.int64),
                         num_elements=len(items), dim=items.shape[1])

    def save(self, path):
        self.index.save(path)
        with open(path + ".json", "w") as file:
            json.dump(self.shape, file)

    def load(self, path):
        import pyvsag
        with open(path + ".json") as file:
            self.index = pyvsag.Index("hgraph", self.parameters(*json.load(file)))
        self.index.load(path)

    def search(self, queries, k, setting, threads=1):
        text = json.dumps({"hgraph": {"ef_search": max(setting["ef"], k)}})
        return np.stack([integers(self.index.knn_search(vector=query, k=k, parameters=text))
                         for query in queries])

    def about(self):
        return "pyvsag, chosen by the processor at run time"


class Ngt:
    """ONNG-less ANNG of NGT on inner products."""

    def build(self, items, calibration, build):
        import ngtpy
        self.path = build["path"]
        ngtpy.create(self.path, items.shape[1], distance_type="Inner Product",
                     edge_size_for_creation=build["edges"])
        self.index = ngtpy.Index(self.path)
        self.index.batch_insert(items, num_threads=1)
        self.index.save()

    def save(self, path):
        pass

    def load(self, path):
        import ngtpy
        self.index = ngtpy.Index(path, read_only=True)

    def search(self, queries, k, setting, threads=1):
        out = np.full((len(queries), k), -1, np.int64)
        for row, query in enumerate(queries):
            found = self.index.search(query, k, epsilon=setting["epsilon"], with_distance=False)
            out[row, :len(found)] = found
        return out

    def about(self):
        return "ngt, compiled for AVX2 in its wheel"


def tandem():
    from search_tandem import Tandem
    return Tandem()


def tandem_exact():
    from search_tandem import TandemExact
    return TandemExact()


SYSTEMS = {
    "tandem": tandem, "tandem-fp32": tandem_exact, "tandem-int8": tandem_exact, "numpy": Numpy,
    "torch": Torch, "faiss-flat": FaissFlat, "faiss-debian": FaissFlat, "scann-exact": ScannExact,
    "scann-core-exact": ScannExact,
    "scann": Scann, "scann-core": Scann, "faiss-ivf": Faiss, "faiss-hnsw": Faiss,
    "hnswlib": Hnswlib, "usearch": Usearch, "lorann": Lorann, "rabitq": Rabitq, "vsag": Vsag,
    "ngt": Ngt,
}

TARGETS = (0.8, 0.85, 0.88, 0.9, 0.92, 0.94, 0.95, 0.96, 0.97, 0.98, 0.985, 0.99, 0.993, 0.995)
WIDTHS = (10, 14, 20, 30, 40, 60, 80, 120, 160, 240, 320, 480, 640, 960, 1400, 2000)


def powers(low, high, count):
    return sorted({int(round(low * (high / low) ** (i / (count - 1)))) for i in range(count)})


def builds(name, rows, dim):
    """Ways to build, the most promising first."""
    root = int(round(rows ** 0.5))
    leaves = max(16, root if rows >= 500000 else root // 2)
    power = 2 ** max(4, (4 * root).bit_length() - 1 if rows >= 500000 else (2 * root).bit_length() - 1)
    if name == "tandem":
        return [{"kind": "tree"}, {"kind": "tree", "num-leaves": 2 * leaves},
                {"kind": "tree", "num-leaves": leaves}, {"kind": "tree", "dimensions-per-block": 1}]
    if name in ("tandem-fp32", "tandem-int8"):
        return [{"kind": "exact", "prefilter": "int8" if name == "tandem-int8" else "none"}]
    if name in ("scann", "scann-core"):
        plain = [{"leaves": n, "block": block, "threshold": 0.2}
                 for n in (leaves, 2 * leaves) for block in (2, 1)]
        return plain + [{"leaves": leaves, "block": 2, "threshold": 0.2, "soar": True}]
    if name in ("scann-exact", "scann-core-exact"):
        return [{"brute_force": True}]
    if name in ("faiss-flat", "faiss-debian"):
        return [{"factory": "Flat"}]
    if name == "faiss-ivf":
        return [{"factory": f"IVF{n},PQ{dim // 2}x4fs,Refine({fine})"}
                for n in (power // 2, power) for fine in ("SQfp16", "Flat")]
    if name == "faiss-hnsw":
        return [{"factory": f"HNSW{m}", "efConstruction": 200} for m in (32, 16)]
    if name == "hnswlib":
        return [{"M": m, "ef": ef} for m, ef in (((24, 200), (16, 200)) if rows < 500000
                                                 else ((16, 100), (24, 200)))]
    if name == "usearch":
        return [{"M": 16, "ef": 200, "dtype": kind} for kind in ("f32", "i8")]
    if name == "lorann":
        return [{"clusters": n, "global_dim": None if dim < 200 else 128, "rank": 32, "users": users}
                for n in (leaves, 2 * leaves) for users in (False, True)]
    if name == "rabitq":
        return [{"leaves": n, "bits": bits} for n in (leaves, 4 * leaves) for bits in (6, 9)]
    if name == "vsag":
        return [{"codes": codes, "M": 32, "ef": 200} for codes in ("sq8_uniform", "fp32")]
    if name == "ngt":
        return [{"edges": 20}]
    return [{}]


def settings(name, rows, build, k):
    """Ways to search: walks, each of settings whose first number rises, and the effort with it."""
    wide = [w for w in WIDTHS if w >= k]
    factors = (8, 4, 16, 2, 32, 64, 128)  # of k: items that are scored again; likely ones first
    points = 16
    if rows >= 500000:  # each run takes seconds
        factors, points = (32, 64, 128) if k <= 10 else (8, 16, 32), 11
    if name == "tandem":
        leaves = build.get("num-leaves", round(rows ** 0.5) // 2)
        counts = [[{"num-leaves-to-search": count, "reordering-num-neighbors": factor * k}
                   for count in powers(2, max(8, leaves // 2), 16)] for factor in factors[:4]]
        return [[{"target-recall": target} for target in TARGETS]] + (counts if rows < 500000 else [])
    if name in ("scann", "scann-core"):
        return [[{"leaves": leaves, "reorder": factor * k}
                 for leaves in powers(2, max(8, build["leaves"] // 2), points)]
                for factor in factors if factor * k <= 3200]
    if name == "faiss-ivf":
        lists = int(build["factory"].split(",")[0][3:])
        return [[{"nprobe": probes, "k_factor_rf": factor}
                 for probes in powers(2, max(8, lists // 3), points)]
                for factor in factors if factor * k <= 3200]
    if name == "faiss-hnsw":
        return [[{"efSearch": width} for width in wide]]
    if name in ("hnswlib", "usearch", "vsag"):
        return [[{"ef": width} for width in wide if name != "vsag" or width <= 1000]]
    if name == "lorann":
        return [[{"clusters": clusters, "rerank": factor * k}
                 for clusters in powers(2, max(8, build["clusters"] // 3), points)]
                for factor in factors if factor * k <= 3200]
    if name == "rabitq":
        return [[{"leaves": leaves} for leaves in powers(2, build["leaves"], 24)]]
    if name == "ngt":
        return [[{"epsilon": epsilon / 100} for epsilon in range(-10, 41, 5)]]
    return [[{}]]
