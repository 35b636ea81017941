"""retrieval.safetensors: tfrs.tasks.Retrieval, its loss and gradients.

A case is a row of options: what data to draw (by kind, see the tables) and what to switch
on. build_retrieval_inputs turns it into arrays, run_retrieval calls the real task.
"""

import itertools

import numpy as np

from golden_common import GoldenFile, check_sound, dyadic, normal, rng_for, some_weights
from golden_tf import keras, tf, tfrs, versions

# name: (queries B, candidates C, width d)
SHAPES = {
    "square": (7, 7, 5),
    "wide": (16, 23, 8),
    "one": (1, 1, 3),
    "one_wide": (1, 4, 3),
    "narrow": (6, 4, 5),
}

PROBABILITIES = {
    "plain": lambda rng, c: rng.uniform(0.001, 0.2, c),
    # Below the floor of 1e-6, exactly zero, and above the ceiling of 1.
    "clipped": lambda rng, c: rng.choice([0.0, 1e-9, 5e-7, 1e-6, 0.01, 1.0, 1.5, 40.0], c),
}


def duplicate_ids(rng, c):
    """Ids beyond 32 bits; columns 0, 2 and the last are one item, others repeat by chance."""
    ids = rng.integers(0, max(2, c // 2), c)
    ids[[0, min(2, c - 1), c - 1]] = 1
    return ids * 7919 + 10**12


def distinct_ids(rng, c):
    return rng.permutation(c) * 7919 + 10**12


IDS = {"duplicate": duplicate_ids, "distinct": distinct_ids}


def random_mask(rng, b, c):
    """About 30 % false; the positive of every row stays."""
    return (rng.random((b, c)) > 0.3) | np.eye(b, c, dtype=bool)


def mask_with_false_row(rng, b, c):
    mask = random_mask(rng, b, c)
    mask[1] = False
    return mask


def mask_without_positive(rng, b, c):
    mask = random_mask(rng, b, c)
    mask[1, 1] = False
    return mask


MASKS = {
    "random": random_mask,
    "false_row": mask_with_false_row,
    "no_positive": mask_without_positive,
}

WEIGHTS = {
    "random": lambda rng, b: rng.uniform(0.1, 3.0, b),
    "zeros": some_weights,
    "all_zero": lambda rng, b: np.zeros(b),
}

HARD_NEGATIVES = {"all": lambda c: c - 1, "beyond": lambda c: c + 5}


def build_retrieval_inputs(name, case):
    rng = rng_for(name)
    b, c, d = SHAPES[case["shape"]]
    scale = case.get("scale", 0.8)
    heads = case.get("heads")
    query_shape = (b, d) if heads is None else (b, heads, d)
    inputs = {"query": normal(rng, *query_shape, scale=scale),
              "candidate": normal(rng, c, d, scale=scale)}
    if case.get("tied_heads"):
        # Exact arithmetic, and head 1 repeats head 0: the maximum is reached twice.
        inputs = {"query": dyadic(rng, *query_shape), "candidate": dyadic(rng, c, d)}
        inputs["query"][:, 1] = inputs["query"][:, 0]
    if "weights" in case:
        inputs["sample_weight"] = WEIGHTS[case["weights"]](rng, b).astype(np.float32)
    if "probability" in case:
        probability = PROBABILITIES[case["probability"]](rng, c)
        inputs["sampling_probability"] = probability.astype(np.float32)
    if "ids" in case:
        inputs["candidate_id"] = IDS[case["ids"]](rng, c).astype(np.int64)
    if "mask" in case:
        inputs["score_mask"] = MASKS[case["mask"]](rng, b, c).astype(np.uint8)
    return inputs


def retrieval_options(case):
    """The options as they are stored beside the tensors."""
    options = {"reduction": case.get("reduction", "sum")}
    if "temperature" in case:
        options["temperature"] = case["temperature"]
    if "ids" in case or case.get("hits"):
        options["remove_accidental_hits"] = True
    if "hard" in case:
        hard = case["hard"]
        columns = SHAPES[case["shape"]][1]
        options["num_hard_negatives"] = (
            HARD_NEGATIVES[hard](columns) if hard in HARD_NEGATIVES else hard)
    if "smoothing" in case:
        options["label_smoothing"] = case["smoothing"]
    for remark in ("note", "defect"):
        if remark in case:
            options[remark] = case[remark]
    return options


def run_retrieval(inputs, options):
    loss = keras.losses.CategoricalCrossentropy(
        from_logits=True, reduction=options["reduction"],
        label_smoothing=options.get("label_smoothing", 0.0))
    task = tfrs.tasks.Retrieval(
        loss=loss, temperature=options.get("temperature"),
        num_hard_negatives=options.get("num_hard_negatives"),
        remove_accidental_hits=options.get("remove_accidental_hits", False))
    query, candidate = tf.constant(inputs["query"]), tf.constant(inputs["candidate"])
    mask = inputs.get("score_mask")
    with tf.GradientTape() as tape:
        tape.watch([query, candidate])
        loss_value = task(
            query, candidate,
            sample_weight=inputs.get("sample_weight"),
            candidate_sampling_probability=inputs.get("sampling_probability"),
            candidate_ids=inputs.get("candidate_id"),
            score_mask=None if mask is None else mask.astype(bool))
        total = tf.reduce_sum(loss_value)
    d_query, d_candidate = tape.gradient(total, [query, candidate])
    return {"loss": loss_value.numpy(), "d_query": d_query.numpy(),
            "d_candidate": d_candidate.numpy()}


# What each option may be set to when it is combined with others.
COMBINED = {
    "temperature": [("temperature", t) for t in (0.2, 0.5, 1.7)],
    "probability": [("probability", kind) for kind in PROBABILITIES],
    "hits": [("ids", "duplicate")],
    "mask": [("mask", "random")],
    "hard": [("hard", n) for n in (1, 3, "all", "beyond")],
    "heads": [("heads", 3)],
    "weights": [("weights", kind) for kind in ("random", "zeros")],
    "smoothing": [("smoothing", e) for e in (0.1, 0.3)],
    "mean": [("reduction", "sum_over_batch_size")],
    "none": [("reduction", "none")],
}

# Two reductions at once make no sense; smoothing spreads weight over removed columns,
# which costs 3.4e36 each (the defect cases show it).
IMPOSSIBLE = [{"mean", "none"}, {"smoothing", "hits"}, {"smoothing", "mask"}]

# Each option alone, once per value that matters.
ALONE = {
    "plain": {},
    "temperature_low": {"temperature": 0.05},
    "temperature_half": {"temperature": 0.5},
    "temperature_high": {"temperature": 3.0},
    "probability_plain": {"probability": "plain"},
    "probability_clipped": {"probability": "clipped"},
    "hits_duplicate": {"ids": "duplicate"},
    "hits_distinct": {"ids": "distinct"},
    "mask_random": {"mask": "random"},
    "hard_1": {"hard": 1},
    "hard_3": {"hard": 3},
    "hard_all": {"hard": "all"},
    "hard_beyond": {"hard": "beyond"},
    "heads_3": {"heads": 3},
    "weights_random": {"weights": "random"},
    "weights_zeros": {"weights": "zeros"},
    "weights_all_zero": {"weights": "all_zero"},
    "reduction_mean": {"reduction": "sum_over_batch_size"},
    "reduction_none": {"reduction": "none"},
    "smoothing_0.1": {"smoothing": 0.1},
    "smoothing_1.0": {"smoothing": 1.0},
    "large_scores": {"scale": 8.0},
}

EVERYTHING = {"temperature": 0.4, "probability": "clipped", "ids": "duplicate", "mask": "random",
              "hard": 5, "heads": 3, "weights": "zeros"}

SPECIAL = {
    "one_plain": {"shape": "one"},
    "one_wide_plain": {"shape": "one_wide"},
    "one_wide_mean_weighted": {"shape": "one_wide", "weights": "random", "temperature": 0.5,
                               "reduction": "sum_over_batch_size", "hard": 2},
    "heads_tied": {
        "shape": "square", "heads": 3, "tied_heads": True,
        "note": "Two heads reach the same maximum; the gradient is split evenly between them."},
    "mask_false_row": {
        "shape": "square", "mask": "false_row",
        "note": "Row 1 is masked as a whole: its loss is ln C and its gradient zero."},
    "mask_false_row_hard": {
        "shape": "square", "mask": "false_row", "hard": 2,
        "note": "Row 1 is masked as a whole: its loss is ln 3 and its gradient zero."},
    "hard_0": {
        "shape": "square", "hard": 0,
        "note": "Documented as keeping all negatives; keeps only the positive, so the loss is 0."},
    "mask_no_positive": {
        "shape": "square", "mask": "no_positive", "reduction": "none",
        "defect": "The positive of row 1 is masked: its loss is about 3.4e36."},
    "mask_no_positive_hard": {
        "shape": "square", "mask": "no_positive", "hard": 2, "reduction": "none",
        "defect": "The positive of row 1 is masked, ranks as score 0 in the mining and is kept or "
                  "dropped by chance; dropped, the row has loss 0 but gradient P."},
    "hits_smoothing": {
        "shape": "square", "ids": "duplicate", "smoothing": 0.1,
        "defect": "Smoothing gives removed columns weight, about 3.4e36 * smoothing / C each, and "
                  "lets gradient through them."},
    "mask_smoothing": {
        "shape": "square", "mask": "random", "smoothing": 0.1,
        "defect": "Smoothing gives masked columns weight, about 3.4e36 * smoothing / C each."},
    "narrow_plain": {
        "shape": "narrow", "reduction": "none",
        "defect": "Fewer candidates than queries: rows without a label have loss 0 but "
                  "gradient P."},
    "narrow_hits": {
        "shape": "narrow", "ids": "duplicate", "reduction": "none",
        "defect": "Rows without a label take column 0 for their positive and remove it and its "
                  "duplicates."},
    "hard_minus_1": {
        "shape": "square", "hard": -1,
        "defect": "Documented as keeping all negatives; keeps no column, loss and gradient are 0."},
    "hard_minus_2": {
        "shape": "square", "hard": -2, "throws": True,
        "defect": "Throws InvalidArgumentError (need k >= 0); no outputs."},
    "hits_without_ids": {
        "shape": "square", "hits": True, "throws": True,
        "defect": "Throws ValueError (candidate ids must be supplied); no outputs."},
    "temperature_0": {
        "shape": "square", "temperature": 0.0,
        "defect": "A temperature of 0 is not rejected: loss and gradient are NaN."},
}


def combinations(size, shapes):
    """Names and cases of all sensible combinations of `size` options."""
    for i, keys in enumerate(itertools.combinations(COMBINED, size)):
        if any(pair <= set(keys) for pair in IMPOSSIBLE):
            continue
        for shape in shapes if size < 3 else [shapes[i % len(shapes)]]:
            name = "_".join(keys) + f"_{shape}"
            rng = rng_for("values of " + name)
            case = {"shape": shape}
            for key in keys:
                option, value = COMBINED[key][rng.integers(len(COMBINED[key]))]
                case[option] = value
            yield name, case


def retrieval_cases():
    shapes = ["square", "wide"]
    for name, case in ALONE.items():
        for shape in shapes:
            yield f"{name}_{shape}", {"shape": shape, **case}
    yield from combinations(2, shapes)
    yield from combinations(3, shapes)
    for shape in shapes:
        for reduction in ("sum", "sum_over_batch_size", "none"):
            yield f"all_{reduction}_{shape}", {"shape": shape, "reduction": reduction, **EVERYTHING}
    yield from SPECIAL.items()


def make_retrieval():
    golden = GoldenFile(versions())
    for name, case in retrieval_cases():
        inputs, options = build_retrieval_inputs(name, case), retrieval_options(case)
        try:
            outputs = run_retrieval(inputs, options)
        except (ValueError, tf.errors.InvalidArgumentError):
            if not case.get("throws"):
                raise
            outputs = {}
        if "defect" not in case:
            check_sound(name, outputs)
        golden.add(name, {**inputs, **outputs}, options)
    golden.save("retrieval")
