"""brute_force.safetensors: top-k search with ties, with and without ids and exclusions."""

import numpy as np

from golden_common import GoldenFile, dyadic, rng_for
from golden_tf import tf, tfrs, versions

COUNT = 13      # candidates

# exclude: "normal" ids of the corpus, "absent" ids that are not in it, "best" the top hits.
SEARCHES = {
    **{f"k{k:02}": {"k": k} for k in range(1, COUNT + 1)},
    "ids_k05": {"k": 5, "ids": "distinct"},
    "ids_k13": {"k": 13, "ids": "distinct"},
    "repeated_ids_k06": {"k": 6, "ids": "repeated"},
    "streaming_k05": {"k": 5, "batch": 4},
    "streaming_ids_k09": {"k": 9, "batch": 4, "ids": "distinct"},
    "streaming_k20": {"k": 20, "batch": 4, "note": "k is clipped to the number of candidates."},
    "k14": {"k": 14, "throws": True,
            "defect": "k above the number of candidates throws InvalidArgumentError; no outputs."},
    "exclude_k05": {"k": 5, "ids": "distinct", "exclude": "normal"},
    "exclude_rows_k05": {"k": 5, "exclude": "normal"},
    "exclude_best_k04": {"k": 4, "ids": "distinct", "exclude": "best"},
    "exclude_absent_k04": {"k": 4, "ids": "distinct", "exclude": "absent"},
    "exclude_limit_k10": {"k": 10, "ids": "distinct", "exclude": "normal",
                          "note": "k plus the exclusions is the number of candidates."},
    "exclude_streaming_k06": {"k": 6, "ids": "distinct", "batch": 4, "exclude": "normal"},
    "exclude_repeated_ids_k08": {
        "k": 8, "ids": "repeated", "exclude": "best",
        "defect": "One excluded id stands for several candidates, so fewer than k of the k + E "
                  "fetched remain; excluded ones fill the end with their real scores."},
    "exclude_streaming_k13": {
        "k": 13, "ids": "distinct", "batch": 4, "exclude": "normal",
        "defect": "Fewer than k candidates are not excluded; excluded ones fill the end with "
                  "their real scores."},
    "exclude_beyond_k11": {
        "k": 11, "ids": "distinct", "exclude": "normal", "throws": True,
        "defect": "k plus the exclusions exceeds the number of candidates: throws ValueError; "
                  "no outputs."},
}

EXCLUDED = 3    # exclusions per query


def search_inputs(name, case):
    rng = rng_for(name)
    candidates = dyadic(rng, COUNT, 3)
    candidates[[5, 9]] = candidates[2]                  # exact duplicates, so sure ties
    tensors = {"query": dyadic(rng, 6, 3), "candidate": candidates}
    tensors["query"][0] = 0                             # everything ties
    ids = rng.permutation(COUNT).astype(np.int64) * 17 + 10**11
    if case.get("ids") == "repeated":
        ids = (np.arange(COUNT, dtype=np.int64) // 3) * 17 + 10**11
    if "ids" in case:
        tensors["candidate_id"] = ids
    else:
        ids = np.arange(COUNT, dtype=np.int64)
    if "exclude" in case:
        tensors["exclusion"] = pick_exclusions(rng, case["exclude"], tensors, ids)
    return tensors


def pick_exclusions(rng, kind, tensors, ids):
    queries = len(tensors["query"])
    if kind == "absent":
        return np.full((queries, EXCLUDED), -1, np.int64)
    if kind == "best":
        scores = tensors["query"] @ tensors["candidate"].T
        return ids[np.argsort(-scores, axis=1, kind="stable")[:, :EXCLUDED]]
    return np.stack([rng.choice(ids, EXCLUDED, replace=False) for _ in range(queries)])


def run_search(tensors, case):
    layers = tfrs.layers.factorized_top_k
    candidates, ids = tensors["candidate"], tensors.get("candidate_id")
    if "batch" in case:
        data = candidates if ids is None else (ids, candidates)
        dataset = tf.data.Dataset.from_tensor_slices(data).batch(case["batch"])
        index = layers.Streaming().index_from_dataset(dataset)
    else:
        index = layers.BruteForce().index(tf.constant(candidates),
                                          None if ids is None else tf.constant(ids))
    query = tf.constant(tensors["query"])
    if "exclusion" in tensors:
        # Row numbers are int32 in the real index.
        exclusion = tf.constant(tensors["exclusion"], tf.int32 if ids is None else tf.int64)
        scores, found = index.query_with_exclusions(query, exclusion, k=case["k"])
    else:
        scores, found = index(query, k=case["k"])
    return {"score": scores.numpy(), "id": found.numpy().astype(np.int64)}


def make_brute_force():
    golden = GoldenFile(versions())
    for name, case in SEARCHES.items():
        tensors = search_inputs(name, case)
        try:
            outputs = run_search(tensors, case)
        except (ValueError, tf.errors.InvalidArgumentError):
            if not case.get("throws"):
                raise
            outputs = {}
        options = {"k": case["k"], "index": "streaming" if "batch" in case else "brute_force"}
        options.update({key: case[key] for key in ("batch", "note", "defect") if key in case})
        golden.add(name, {**tensors, **outputs}, options)
    golden.save("brute_force")
