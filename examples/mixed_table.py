"""A pandas table with numbers, categories, dates and holes, and text labels of which few are known.

python examples/mixed_table.py
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from flowssl import FlowGMMClassifier
from flowssl.report import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument(
        "--fast", action="store_true", help="few rows, one epoch: to see that it runs"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)

    table = orders(200 if arguments.fast else 1500, seed=0)
    test = orders(100 if arguments.fast else 1000, seed=1)
    # An empty label marks an unlabeled row.
    y = table.pop("kind").where(np.arange(len(table)) < 30)
    y_test = test.pop("kind")
    print(table.head(), f"\n{y.notna().sum()} of {len(y)} rows have a label\n")

    model = FlowGMMClassifier(random_state=0, max_epochs=1 if arguments.fast else "auto")
    model.fit(table, y)
    print(f"accuracy on {len(test)} test rows: {model.score(test, y_test):.3f}")

    # Holes are integrated out: a row may miss anything, here all but its first column.
    hole = test.head(1).copy()
    hole[["items", "country", "placed"]] = [np.nan, None, pd.NaT]
    for name, row in (("whole", test.head(1)), ("amount alone", hole)):
        proba = ", ".join(f"{p:.2f}" for p in model.predict_proba(row)[0])
        print(f"{name}: probabilities of {model.classes_.tolist()}: {proba}")

    # Samples are tables of the same columns and types.
    rows, kinds = model.sample(3, random_state=0)
    print(rows.assign(kind=kinds).to_string(index=False))

    page = arguments.output / "orders.html"
    write_report(model, table, y, page, X_test=test, y_test=y_test, title="Orders")
    print(f"written: {page}")


def orders(n: int, seed: int) -> pd.DataFrame:
    """Make up orders of three kinds."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    country = np.where(rng.random(n) < 0.7, kind, rng.integers(3, size=n))
    day = rng.normal(np.array([30, 90, 150])[kind], 25).round()
    table = pd.DataFrame(
        {
            "amount": np.exp(rng.normal(np.array([3.0, 4.2, 5.0])[kind], 0.5)).round(2),
            "items": rng.poisson(np.array([2, 6, 3])[kind]) + 1.0,
            "country": pd.Categorical.from_codes(country, ["CH", "FR", "IT"]),
            "placed": pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D"),
            "kind": np.array(["gift", "business", "repeat"])[kind],
        }
    )
    table.loc[rng.random(n) < 0.15, "items"] = np.nan
    table.loc[rng.random(n) < 0.10, "country"] = None
    return table


if __name__ == "__main__":
    main()
