"""Writes the expected values of `tests/statistics.rs` with SciPy and statsmodels.

pip install scipy==1.17.1 statsmodels==0.15.0
python tests/parity/statistics.py
"""

import json
from pathlib import Path

import numpy as np
import scipy
import statsmodels
from scipy import stats
from statsmodels.stats.multitest import multipletests

rng = np.random.default_rng(20261125)


def signed_rank(values, axis=-1):
    """Returns the sum of the ranks of positive differences; ties have the mean of their ranks."""
    ranks = stats.rankdata(np.abs(values), axis=axis)
    return np.sum(ranks * (values > 0), axis=axis)


def wilcoxon(differences):
    """Returns SciPy's p-value: exact without ties, by permutation with ties, and asymptotic above 50 differences."""
    used = differences[differences != 0]
    has_ties = len(np.unique(np.abs(used))) < len(used)
    if len(used) > 50:
        result = stats.wilcoxon(differences, zero_method="wilcox", correction=False, method="asymptotic")
        return "wilcoxon, asymptotic", result.pvalue
    if not has_ties:
        return "wilcoxon, exact", stats.wilcoxon(used, method="exact").pvalue
    result = stats.permutation_test(
        (used,), signed_rank, permutation_type="samples", n_resamples=np.inf, alternative="two-sided", vectorized=True
    )
    return "permutation_test, all sign changes", result.pvalue


cases = []
for size in [1, 2, 3, 5, 6, 8, 13, 20, 26, 40, 50, 51, 77, 200]:
    cases.append(rng.normal(0.02, 0.05, size))
for size in [3, 5, 8, 11, 14]:
    cases.append(rng.integers(-4, 6, size) / 8)
cases.append(rng.integers(-20, 30, 120) / 64)
tests = []
for differences in cases:
    if not np.any(differences):
        continue
    how, p = wilcoxon(differences)
    tests.append({"differences": differences.tolist(), "how": how, "p": float(p)})

corrections = []
for size in [1, 3, 10, 45]:
    p = rng.uniform(0, 1, size) ** 3
    corrections.append({"p": p.tolist(), "holm": multipletests(p, method="holm")[1].tolist()})

intervals = []
for size in [6, 26, 131]:
    scores = np.clip(rng.normal(0.7, 0.2, size), 0, 1)
    result = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=200_000, rng=rng)
    low, high = result.confidence_interval
    intervals.append({"scores": scores.tolist(), "low": float(low), "high": float(high)})

student = [{"degrees": n, "quantile": float(stats.t.ppf(0.975, n))} for n in [1, 2, 3, 10, 60]]

numbers = {
    "scipy": scipy.__version__,
    "statsmodels": statsmodels.__version__,
    "wilcoxon": tests,
    "holm": corrections,
    "bootstrap": intervals,
    "student": student,
}
folder = Path(__file__).parent / "statistics"
folder.mkdir(exist_ok=True)
(folder / "numbers.json").write_text(json.dumps(numbers) + "\n")
