"""Writes table.tsv: what the statistics of the analysis crate must give, computed with SciPy from textbook distributions and not from the
formulas of the crate.

    python3 -m venv venv && venv/bin/pip install scipy && venv/bin/python generate.py > table.tsv
"""

import json
import random

import numpy as np
from scipy import stats
from scipy.special import logsumexp

WORSE = [1.2, 1.5, 2.0, 3.0, 5.0, 10.0, 25.0, 100.0]
BETTER = [0.9, 0.8, 0.65, 0.5, 0.3, 0.1]
rng = random.Random(20_240_315)


def row(kind, given, expected):
    print(kind, json.dumps(given), json.dumps(expected), sep="\t")


def conditional(blocks, ratio, alternatives):
    """The canary's failures given all failures are binomial; each alternative's likelihood against that of what is tolerated."""
    logs = []
    for worse in alternatives:
        log = 0.0
        for failed, total, stable_failed, stable_total in blocks:
            share = lambda r: r * total / (r * total + stable_total)
            given = failed + stable_failed
            log += stats.binom.logpmf(failed, given, share(ratio * worse)) - stats.binom.logpmf(failed, given, share(ratio))
        logs.append(log)
    return float(logsumexp(logs) - np.log(len(logs)))


def absolute(blocks, tolerated):
    """The canary's failures are Poisson."""
    logs = []
    for worse in WORSE:
        expected = [total * tolerated for _, total, _, _ in blocks]
        logs.append(
            sum(
                stats.poisson.logpmf(block[0], mean * worse) - stats.poisson.logpmf(block[0], mean)
                for block, mean in zip(blocks, expected)
            )
        )
    return float(logsumexp(logs) - np.log(len(logs)))


for p in [1e-12, 1e-9, 1e-6, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.4, 0.5, 0.6, 0.75, 0.9, 0.95, 0.975, 0.99, 0.999, 0.999999]:
    row("normal-quantile", p, float(stats.norm.ppf(p)))
for x in [-8, -6, -4, -3, -2, -1.5, -1, -0.5, -0.1, 0, 0.1, 0.5, 1, 1.96, 2.5, 3, 4, 6]:
    row("normal-cdf", x, float(stats.norm.cdf(x)))

for _ in range(60):
    blocks = []
    for _ in range(rng.choice([1, 1, 2, 5, 20])):
        total, stable_total = rng.randint(10, 5_000), rng.randint(10, 20_000)
        rate, effect = rng.choice([0.0, 0.001, 0.01, 0.1]), rng.choice([0.5, 1, 2, 5])
        failed = min(total, sum(rng.random() < rate * effect for _ in range(total)))
        stable_failed = sum(rng.random() < rate for _ in range(stable_total))
        blocks.append([failed, total, stable_failed, stable_total])
    ratio, tolerated = rng.choice([1.0, 1.25, 2.0]), rng.choice([0.001, 0.01])
    row(
        "evidence",
        {"blocks": blocks, "ratio": ratio, "absolute": tolerated},
        [conditional(blocks, ratio, WORSE), absolute(blocks, tolerated), conditional(blocks, ratio, BETTER)],
    )

for _ in range(20):
    pods, blocks = rng.randint(2, 8), rng.randint(12, 30)
    counts = [[[rng.choice([0, 0, 1, 2, 7]), rng.randint(20, 90)] for _ in range(pods)] for _ in range(blocks)]
    square, freedom = 0.0, 0
    for block in counts:
        failed, total = np.array(block, dtype=float).T
        if failed.sum() > 0:
            square += float(stats.chisquare(failed, failed.sum() * total / total.sum()).statistic)
            freedom += pods - 1
    row("dispersion", counts, max(1.0, square / freedom))

for _ in range(30):
    x = [rng.randint(0, 30) / 2 for _ in range(rng.randint(1, 15))]
    y = [rng.randint(0, 30) / 2 for _ in range(rng.randint(1, 15))]
    row("common-language-effect", [x, y], float(stats.mannwhitneyu(x, y).statistic) / (len(x) * len(y)))
