"""metrics.safetensors: TopKCategoricalAccuracy and FactorizedTopK, the result after each update.

Tensors of update u are stored as "u/...". All scores are exact in float32, so ties are
ties whatever the order of summation.
"""

import itertools

import numpy as np

from golden_common import GoldenFile, dyadic, rng_for, some_weights
from golden_tf import keras, tf, tfrs, versions

UPDATES = (9, 4, 1)     # rows of each update call


def accuracy_updates(rng, classes, weighted, spoil):
    for rows in UPDATES:
        y_true = np.eye(classes, dtype=np.float32)[rng.integers(0, classes, rows)]
        y_pred = dyadic(rng, rows, classes)
        if spoil is not None and rows > 1:
            spoil(y_true, y_pred)
        update = {"y_true": y_true, "y_pred": y_pred}
        if weighted:
            update["sample_weight"] = some_weights(rng, rows)
        yield update


def spoil_with_non_finite(y_true, y_pred):
    """NaN, +inf and -inf, once in the target's column and once in another."""
    for row, value in enumerate((np.nan, np.inf, -np.inf)[:len(y_pred) // 2]):
        target = y_true[2 * row].argmax()
        y_pred[2 * row, target] = value
        y_pred[2 * row + 1, (y_true[2 * row + 1].argmax() + 1) % y_pred.shape[1]] = value


def spoil_with_odd_labels(y_true, y_pred):
    """A row without label counts as class 0; of two labels the first largest counts."""
    y_true[0] = 0
    y_true[1] = 1
    y_true[2] = 0.25
    y_true[2, 1:3] = 0.75


SPOILS = {None: None, "non_finite": spoil_with_non_finite, "odd_labels": spoil_with_odd_labels}


def accuracy_cases():
    for k, weighted in itertools.product((1, 2, 3, 5, 8), (False, True)):
        yield k, 8, weighted, None
    yield 12, 8, True, None          # more than there are classes
    yield 5, 100, True, None         # the default k
    for spoil in ("non_finite", "odd_labels"):
        for k in (1, 3, 8):
            yield k, 8, True, spoil


def add_accuracy_case(golden, k, classes, weighted, spoil):
    parts = [f"accuracy_k{k}_c{classes}"] + ["weighted"] * weighted + [spoil] * (spoil is not None)
    name = "_".join(parts)
    metric = keras.metrics.TopKCategoricalAccuracy(k=k)
    tensors, results = {}, []
    updates = accuracy_updates(rng_for(name), classes, weighted, SPOILS[spoil])
    for u, update in enumerate(updates):
        metric.update_state(**update)
        results.append(metric.result().numpy())
        tensors.update({f"{u}/{key}": value for key, value in update.items()})
    tensors["result"] = np.array(results, np.float32)
    golden.add(name, tensors, {"metric": "top_k_categorical_accuracy", "k": k,
                               "updates": len(UPDATES)})


# FactorizedTopK. source: brute_force or streaming (batches of `batch` candidates);
# truth: rows of the corpus, or embeddings outside it; duplicates: corpus rows repeat.
FACTORIZED = {
    "score_brute": {},
    "score_brute_weighted": {"weighted": True},
    "score_brute_duplicates": {"duplicates": True},
    "score_brute_outside": {"truth": "outside"},
    "score_streaming": {"source": "streaming", "batch": 7},
    "score_streaming_default_ks": {"source": "streaming", "batch": 16, "count": 130,
                                   "ks": [1, 5, 10, 50, 100], "weighted": True},
    "score_streaming_few": {"source": "streaming", "batch": 7, "count": 9, "ks": [1, 5, 10],
                            "note": "The largest k exceeds the number of candidates."},
    "score_one_k": {"ks": [4]},
    "score_unsorted_ks": {"ks": [6, 1, 3], "duplicates": True},
    "score_nan_query": {"spoil": "nan_query"},
    "score_inf_candidate": {"spoil": "inf_candidate",
                            "note": "A row that retrieves the infinite score is always a miss."},
    "score_minus_inf_candidate": {"spoil": "minus_inf_candidate"},
    "score_minus_inf_all": {"spoil": "minus_inf_candidate", "source": "streaming", "batch": 7,
                            "ks": [1, 5, 40],
                            "note": "All candidates are retrieved, so the infinite score makes "
                                    "every row a miss."},
    "id_brute": {"mode": "id"},
    "id_brute_weighted": {"mode": "id", "weighted": True},
    "id_brute_duplicates": {"mode": "id", "duplicates": True},
    "id_brute_outside": {"mode": "id", "truth": "outside"},
    "id_streaming": {"mode": "id", "source": "streaming", "batch": 7},
    "id_streaming_default_ks": {"mode": "id", "source": "streaming", "batch": 16, "count": 130,
                                "ks": [1, 5, 10, 50, 100], "weighted": True},
    "id_streaming_few": {"mode": "id", "source": "streaming", "batch": 7, "count": 9,
                         "ks": [1, 5, 10]},
    "id_one_k": {"mode": "id", "ks": [4], "duplicates": True},
    "id_nan_query": {"mode": "id", "spoil": "nan_query"},
    "id_inf_candidate": {"mode": "id", "spoil": "inf_candidate"},
}


def factorized_corpus(rng, case):
    count, width = case.get("count", 40), 4
    candidates = dyadic(rng, count, width)
    ids = (rng.permutation(count) * 31 + 10**10).astype(np.int64)
    if case.get("duplicates"):
        # The last third repeats the first, embedding and id.
        third = count // 3
        candidates[-third:], ids[-third:] = candidates[:third], ids[:third]
    spoil = case.get("spoil", "")
    if spoil.endswith("inf_candidate"):
        candidates[3, 0] = -np.inf if spoil.startswith("minus") else np.inf
    return candidates, ids


def factorized_updates(rng, case, candidates, ids):
    for rows in UPDATES:
        query = dyadic(rng, rows, candidates.shape[1])
        if case.get("spoil"):
            # Not 0 where a candidate is infinite, or the score were NaN; both signs occur.
            query[:, 0] = (np.abs(query[:, 0]) + 0.25) * (-1.0) ** np.arange(rows)
        # The true candidate is one of the eight best, so that every k has hits and misses.
        best = np.argsort(-(query @ candidates.T), axis=1, kind="stable")
        rank = best[np.arange(rows), rng.integers(0, 8, rows)]
        if case.get("spoil") == "nan_query":
            query[0, 1] = np.nan
        update = {"query": query, "true_candidate": candidates[rank], "true_id": ids[rank]}
        if case.get("truth") == "outside":
            update["true_candidate"] = dyadic(rng, rows, candidates.shape[1])
            update["true_id"] = update["true_id"] + rng.integers(0, 2, rows)
        if case.get("weighted"):
            update["sample_weight"] = some_weights(rng, rows)
        if case.get("mode") != "id":
            del update["true_id"]
        yield update


def factorized_source(case, candidates, ids):
    with_ids = case.get("mode") == "id"
    if case.get("source") == "streaming":
        data = (ids, candidates) if with_ids else candidates
        return tf.data.Dataset.from_tensor_slices(data).batch(case["batch"])
    return tfrs.layers.factorized_top_k.BruteForce().index(
        tf.constant(candidates), tf.constant(ids) if with_ids else None)


def add_factorized_case(golden, name, case):
    rng = rng_for(name)
    ks = case.get("ks", [1, 2, 5, 10])
    candidates, ids = factorized_corpus(rng, case)
    metric = tfrs.metrics.FactorizedTopK(factorized_source(case, candidates, ids), ks=ks)
    tensors, results = {"candidate": candidates}, []
    if case.get("mode") == "id":
        tensors["candidate_id"] = ids
    for u, update in enumerate(factorized_updates(rng, case, candidates, ids)):
        metric.update_state(
            tf.constant(update["query"]), tf.constant(update["true_candidate"]),
            true_candidate_ids=tf.constant(update["true_id"]) if "true_id" in update else None,
            sample_weight=update.get("sample_weight"))
        results.append([float(value) for value in metric.result()])
        tensors.update({f"{u}/{key}": value for key, value in update.items()})
    tensors["result"] = np.array(results, np.float32)
    options = {"metric": "factorized_top_k", "mode": case.get("mode", "score"),
               "source": case.get("source", "brute_force"), "ks": ks, "updates": len(UPDATES)}
    options.update({key: case[key] for key in ("batch", "note") if key in case})
    golden.add(name, tensors, options)


def make_metrics():
    golden = GoldenFile(versions())
    for row in accuracy_cases():
        add_accuracy_case(golden, *row)
    for name, case in FACTORIZED.items():
        add_factorized_case(golden, name, case)
    golden.save("metrics")
