"""
A table with categories, dates and missing values
=================================================

A pandas table is fitted as it is. Missing values are integrated out, in training and in prediction.
"""

# %%
# Made-up orders of three kinds. An empty label marks an unlabeled row: 30 of 800 have one.

import numpy as np
import pandas as pd

from flowssl import FlowGMMClassifier
from flowssl.plotting import plot_latent_space


def make_orders(n: int, seed: int) -> pd.DataFrame:
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


table, test = make_orders(800, seed=0), make_orders(500, seed=1)
y = table.pop("kind").where(np.arange(len(table)) < 30)
y_test = test.pop("kind")
table.head()

# %%
# No encoding, no imputation, no scaling.

model = FlowGMMClassifier(max_epochs=40, random_state=0).fit(table, y)
print(f"accuracy on {len(test)} test rows: {model.score(test, y_test):.3f}")

# %%
# Each class is a Gaussian, or a few, in latent space.

latents = plot_latent_space(model, test, y_test)

# %%
# Any value of a row may be missing; here all but the amount.

row = test.head(1)
amount_alone = row.assign(items=np.nan, country=None, placed=pd.NaT)
amount_alone["country"] = amount_alone["country"].astype(row["country"].dtype)
pd.DataFrame(
    model.predict_proba(pd.concat([row, amount_alone])),
    index=["whole row", "amount alone"],
    columns=model.classes_,
).round(2)

# %%
# Samples are tables with the same columns and types.

rows, kinds = model.sample(3, random_state=0)
rows.assign(kind=kinds)
