#!/usr/bin/env python3
"""Saves what scikit-learn and scipy make of difficult columns, for the statistics of deskhand/evaluate.

    python tools/save_golden_evaluate_stats.py

Needs numpy, scipy, scikit-learn (tried: 2.4.6, 1.17.1, 1.9.1). Writes tests/golden/evaluate/stats.json. What no package has (calibration error,
the precision-coverage area, average precision at k) is written out here in numpy, next to what a package says of its parts.
"""
import json
import pathlib
import warnings

import numpy as np
from scipy import optimize, special, stats
from sklearn import metrics

OUT = pathlib.Path(__file__).parent.parent / "tests/golden/evaluate/stats.json"
COSTS = [8.0, 4.0, 2.0, 1.0, 1.0]


def labels_case(name, truth, answer, labels, rows=None):
    """An answer outside 0..labels-1 is missing: a miss of its truth, a false positive of none, the farthest level."""
    rows = list(range(len(truth))) if rows is None else [int(r) for r in rows]
    t = np.array([truth[r] for r in rows])
    a = np.array([answer[r] if 0 <= answer[r] < labels else -1 for r in rows])
    present = sorted((set(t.tolist()) | set(a.tolist())) - {-1})
    farthest = np.where(2 * t >= labels - 1, 0, labels - 1)
    told = np.where(a < 0, farthest, a)
    every = list(range(labels))
    precision, recall, f1, support = metrics.precision_recall_fscore_support(t, a, labels=every, zero_division=0)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kappa = metrics.cohen_kappa_score(t, told, labels=every, weights="quadratic") if len(set(t) | set(told)) > 1 else None
    costs = (COSTS * labels)[:labels]
    over = 0.5
    cost = [max(costs[x] * (labels - 1 - x), over * x) if y < 0 else costs[x] * max(y - x, 0) + over * max(x - y, 0) for x, y in zip(t, a)]
    return {
        "name": name, "labels": labels, "truth": [int(x) for x in truth], "answer": [int(x) for x in answer], "rows": rows,
        "accuracy": metrics.accuracy_score(t, a),
        "macro_f1": metrics.f1_score(t, a, labels=present, average="macro", zero_division=0),
        "kappa": kappa, "mae": metrics.mean_absolute_error(t, told), "under": costs, "over": over, "cost": float(np.mean(cost)),
        "precision": precision.tolist(), "recall": recall.tolist(), "f1": f1.tolist(), "support": support.tolist(),
        "confusion": metrics.confusion_matrix(t, np.where(a < 0, labels, a), labels=every + [labels])[:labels].ravel().tolist(),
    }


def all_labels(random):
    n = 300
    truth = random.choice(5, n, p=[.05, .15, .5, .25, .05])
    answer = np.where(random.random(n) < .6, truth, random.integers(0, 5, n))
    missing = np.where(random.random(n) < .1, -1, answer)
    rows = random.integers(0, n, n)
    wide = random.integers(0, 40, 200)
    wide_answer = np.where(random.random(200) < .5, wide, random.integers(0, 45, 200))  # some outside the labels
    return [
        labels_case("five urgencies", truth, answer, 5),
        labels_case("some answers are missing", truth, missing, 5),
        labels_case("a resample", truth, missing, 5, rows),
        labels_case("forty categories, some answers outside", wide, wide_answer, 40),
        labels_case("one class only, all right", [2] * 6, [2] * 6, 5),
        labels_case("one class only, some wrong", [2] * 6, [2, 2, 1, 3, 2, 2], 5),
        labels_case("one true class, every answer another", [2] * 4, [0] * 4, 5),
        labels_case("every answer is missing", [0, 1, 2, 3, 4, 2], [-1] * 6, 5),
        labels_case("one ticket, right", [3], [3], 5),
        labels_case("one ticket, wrong", [3], [0], 5),
        labels_case("two tickets", [0, 4], [1, 4], 5),
        labels_case("two labels, exchanged", [0, 1, 0, 1], [1, 0, 1, 0], 2),
        labels_case("a label that is only answered", [0, 0, 1, 1], [0, 2, 1, 2], 3),
    ]


def bins_of(confidence, right):
    number = np.clip(np.ceil(confidence * 10).astype(int) - 1, 0, 9)
    bins = [(confidence[number == b].mean(), right[number == b].mean(), int((number == b).sum())) for b in range(10) if (number == b).any()]
    return bins, sum(count * abs(accuracy - mean) for mean, accuracy, count in bins) / len(right)


def calibration_case(name, p, truth):
    p, truth = np.array(p, float), np.array(truth)
    labels = p.shape[1]
    q = p / p.sum(axis=1, keepdims=True)
    confidence, right = q.max(axis=1), q.argmax(axis=1) == truth
    bins, error = bins_of(confidence, right)
    curve, area, before = [], 0, 0
    for threshold in sorted(set(confidence), reverse=True):
        taken = confidence >= threshold
        precision = metrics.precision_score(right, taken, zero_division=0)
        area += (taken.mean() - before) * precision
        before = taken.mean()
        curve.append([threshold, taken.mean(), precision])
    usable = q[np.arange(len(q)), truth] > 0

    def loss(log_t):
        with np.errstate(divide="ignore"):
            scaled = special.log_softmax(np.log(q[usable]) / np.exp(log_t), axis=1)
        return -scaled[np.arange(usable.sum()), truth[usable]].mean()

    fitted = None
    if usable.sum() >= 10 and abs(loss(np.log(.05)) - loss(np.log(20))) < 1e-12:
        fitted = 1.0  # no temperature makes a difference
    elif usable.sum() >= 10:
        found = optimize.minimize_scalar(loss, bounds=(np.log(.05), np.log(20)), method="bounded", options={"xatol": 1e-12})
        fitted = float(np.exp(found.x))
    one_hot = np.eye(labels)[truth]
    case = {
        "name": name, "probabilities": p.tolist(), "truth": truth.tolist(), "calibration_error": error, "bins": bins, "curve": curve,
        "area": area, "brier": float(((q - one_hot) ** 2).sum(axis=1).mean()),
        "log_loss": metrics.log_loss(truth, q, labels=list(range(labels))), "temperature": fitted,
    }
    if labels > 2:
        case["brier"] = metrics.brier_score_loss(truth, q, labels=list(range(labels)), scale_by_half=False)
    if fitted:
        scaled = q ** (1 / fitted)
        case["scaled"] = (scaled / scaled.sum(axis=1, keepdims=True))[:3].tolist()
        case["scaled_loss"] = loss(np.log(fitted))
    return case


def all_calibration(random):
    logits = random.normal(size=(80, 5)) * 1.5
    p = special.softmax(logits, axis=1)
    truth = np.array([random.choice(5, p=row) for row in p])
    sure = np.round(special.softmax(3 * logits, axis=1), 4)
    coarse = np.round(p, 1) + .1
    zeros = np.round(special.softmax(4 * logits, axis=1), 2)
    zeros[5], truth[5] = [0, 1, 0, 0, 0], 3
    return [
        calibration_case("as drawn", np.round(p, 6), truth),
        calibration_case("too sure", np.maximum(sure, 1e-4), truth),
        calibration_case("ties, sums other than 1", coarse, truth),
        calibration_case("zeros, also at a truth", zeros, truth),
        calibration_case("all equal", np.full((12, 5), .2), random.integers(0, 5, 12)),
        calibration_case("two labels", [[.9, .1], [.6, .4], [.2, .8], [.5, .5]], [0, 1, 1, 1]),
        calibration_case("one row", [[.7, .2, .1]], [0]),
    ]


def correlation_case(name, x, y):
    x, y = np.array(x, float), np.array(y, float)
    pearson, spearman, line = stats.pearsonr(x, y), stats.spearmanr(x, y), stats.linregress(x, y)
    return {"name": name, "x": x.tolist(), "y": y.tolist(), "pearson": [float(pearson.statistic), float(pearson.pvalue)],
            "spearman": [float(spearman.statistic), float(spearman.pvalue)], "line": [float(line.slope), float(line.intercept)]}


def all_correlation(random):
    x = np.round(random.normal(size=120), 4)
    return [
        correlation_case("three pairs", [1, 2, 4], [3, 1, 7]),
        correlation_case("four pairs", [.1, .2, .3, .9], [44, 51, 12, 80]),
        correlation_case("weak", x, np.round(.19 * x + random.normal(size=120), 4)),
        correlation_case("strong and falling", x, np.round(-2 * x + .3 * random.normal(size=120) + 5, 4)),
        correlation_case("many ties", np.round(x), np.round(x + random.normal(size=120))),
        correlation_case("far from zero", 1e6 + x, 1e-6 * np.round(random.normal(size=120), 3)),
        correlation_case("curved", x, np.round(np.exp(3 * x), 6)),
    ]


def all_retrieval(random):
    cases = []
    for found_count, relevant_count in [(10, 3), (10, 1), (4, 6), (10, 12), (3, 2), (10, 2)]:
        documents = 40
        found = random.permutation(documents)[:found_count].tolist()
        relevant = random.permutation(documents)[:relevant_count].tolist()
        if cases:  # some must be found
            relevant = sorted(set(relevant) | {found[min(2, found_count - 1)]})
        truth = np.zeros(documents)
        truth[relevant] = 1
        score = np.zeros(documents)  # those not found stand behind, relevant ones last: beyond k they add nothing
        rest = [d for d in range(documents) if d not in found]
        order = found + [d for d in rest if not truth[d]] + [d for d in rest if truth[d]]
        score[order] = np.arange(documents, 0, -1)
        at = {}
        for k in [1, 3, 5, 10]:
            hits = [1 if d in relevant else 0 for d in found[:k]]
            recall, precision = sum(hits) / len(relevant), sum(hits) / k
            if sum(hits) == 0:
                assert metrics.ndcg_score([truth], [score], k=k) < 1e-12 or found_count < k
            at[str(k)] = {
                "recall": recall, "precision": precision, "f1": 2 * precision * recall / (precision + recall) if sum(hits) else 0,
                "mrr": next((1 / (i + 1) for i, hit in enumerate(hits) if hit), 0), "ndcg": metrics.ndcg_score([truth], [score], k=k),
                "map": sum(hit * sum(hits[:i + 1]) / (i + 1) for i, hit in enumerate(hits)) / min(k, len(relevant)),
            }
        cases.append({"found": [f"C{d}" for d in found], "relevant": [f"C{d}" for d in relevant], "at": at})
    # every relevant case is found: average precision at the list's end is scikit-learn's
    truth = [0, 1, 1, 0, 0, 1, 0]
    whole = metrics.average_precision_score(truth, list(range(7, 0, -1)))
    return {"cases": cases, "whole": {"is_relevant": truth, "average_precision": whole}}


def detectable(n, q):
    """Connor 1987, solved for the difference by Brent's method."""
    z_alpha, z_beta = stats.norm.ppf(.975), stats.norm.ppf(.8)

    def surplus(d, share):
        return np.sqrt(n) * d - z_alpha * np.sqrt(share) - z_beta * np.sqrt(max(share - d * d, 0))

    if surplus(q, q) >= 0:
        return optimize.brentq(lambda d: surplus(d, q), 0, q, xtol=1e-14)
    return optimize.brentq(lambda d: surplus(d, d), q, 1, xtol=1e-14)


def all_intervals(random):
    values = np.round(random.normal(size=57), 5)
    pairs = [(0, 0), (0, 1), (0, 5), (0, 6), (3, 3), (3, 4), (2, 11), (40, 61), (150, 90), (0, 300), (1000, 1100), (5, 2000)]
    shares = [(0, 1), (1, 1), (0, 23), (23, 23), (7, 23), (258, 258), (1, 258), (5000, 10000)]
    return {
        "values": values.tolist(), "percentiles": np.percentile(values, [2.5, 97.5]).tolist(),
        "mcnemar": [[b, c, float(stats.binomtest(b, b + c, .5).pvalue) if b + c else 1.0] for b, c in pairs],
        "wilson": [[s, n, *map(float, stats.binomtest(s, n).proportion_ci(method="wilson"))] for s, n in shares],
        "beta": [[a, b, x, float(special.betainc(a, b, x))] for a in [.5, 1, 5, 128, 5000] for b in [.5, 3, 200] for x in [.001, .3, .5, .97]],
        "detectable": [[n, q, detectable(n, q)] for n, q in [(6, .2), (23, .3), (100, .3), (258, .15), (258, .01), (1000, .2), (10000, 1)]],
    }


def main():
    random = np.random.default_rng(7)
    golden = {"labels": all_labels(random), "calibration": all_calibration(random), "correlation": all_correlation(random),
              "retrieval": all_retrieval(random), "intervals": all_intervals(random)}
    OUT.parent.mkdir(parents=True, exist_ok=True)
    lines = []
    for room, cases in golden.items():
        if isinstance(cases, list):
            lines.append(f'"{room}": [\n' + ",\n".join(json.dumps(case, allow_nan=False) for case in cases) + "]")
        else:
            lines.append(f'"{room}": ' + json.dumps(cases, allow_nan=False))
    OUT.write_text("{" + ",\n".join(lines) + "}\n")


if __name__ == "__main__":
    main()
