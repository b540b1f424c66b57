"""Writes tests/golden/audit/chi_square.json: tests of independence by scipy.stats.chi2_contingency and tails by scipy.stats.chi2.

Run with a Python that has numpy and scipy (tried: 2.4.6, 1.17.1): `save_golden_audit.py`.
"""
import json
from pathlib import Path

import numpy
from scipy.stats import chi2, chi2_contingency

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden" / "audit"


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    random = numpy.random.RandomState(7)
    tables = [[[10, 20], [30, 40]], [[12, 3, 0], [5, 9, 31]], [[200, 150, 50], [180, 170, 60], [20, 140, 300]]]
    tables += [random.poisson(mean, (rows, columns)).tolist() for rows, columns, mean in ((12, 5, 30), (24, 4, 8), (2, 5, 3))]
    tests = []
    for table in tables:
        statistic, p, degrees, expected = chi2_contingency(table, correction=False)
        tests.append({"table": table, "statistic": statistic, "p": p, "degrees": int(degrees), "least_expected": expected.min(),
                      "low_expected": float((expected < 5).mean()), "cramers_v": float(numpy.sqrt(statistic / (numpy.sum(table) * (min(expected.shape) - 1))))})
    tails = [{"x": x, "degrees": degrees, "p": float(chi2.sf(x, degrees))} for degrees in (1, 2, 5, 44, 200) for x in (0.01, 0.5, 3.84, 20, 60, 300)]
    (FOLDER / "chi_square.json").write_text(json.dumps({"tests": tests, "tails": tails}, indent=1) + "\n")


main()
