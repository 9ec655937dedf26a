"""
First fit
=========

Handwritten digits from ten labels per class: fit, predict, score, sample, save and explain.
"""

# %%
# Two thirds of the 1,797 images are training rows. All but ten labels of each class are hidden;
# -1 marks an unlabeled row.

from pathlib import Path
from tempfile import mkdtemp

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels
from flowssl.plotting import plot_reliability
from flowssl.report import write_report

X, X_test, truth, y_test = train_test_split(
    *load_digits(return_X_y=True), test_size=1 / 3, random_state=0
)
y = hide_labels(truth, per_class=10, random_state=0)
print(f"{np.sum(y != -1)} labeled rows, {np.sum(y == -1)} unlabeled ones")

# %%
# One call fits the model. Labels-only logistic regression is fitted next to it, and where the
# unlabeled rows do harm the model falls back to it with a warning.

model = FlowGMMClassifier(random_state=0).fit(X, y)
print(f"accuracy on {len(X_test)} test rows: {model.score(X_test, y_test):.3f}")

# %%
# Class probabilities are calibrated without validation labels. A confidence of 0.9 should be
# right nine times out of ten.

reliability = plot_reliability(model, X_test, y_test)

# %%
# ``score_samples`` is log p(x) in nats.

proba, log_density = model.predict_proba(X_test), model.score_samples(X_test)
unsure, unusual = proba.max(axis=1).argmin(), log_density.argmin()
print(f"least certain: row {unsure}, one of {np.argsort(-proba[unsure])[:2].tolist()}")
print(f"least likely: row {unusual}, a {y_test[unusual]}, {log_density[unusual]:.1f} nats")

# %%
# New rows of one class; below temperature 1 they are more typical.

threes, _ = model.sample(5, y=3, temperature=0.5, random_state=0)
print(f"five sampled threes, predicted as {model.predict(threes).tolist()}")

# %%
# A model file is JSON and tensors: loading it runs no code from the file. The report is one HTML
# page for the people who will use the model.

folder = Path(mkdtemp())
model.save(folder / "digits.flowssl")
same = flowssl.load(folder / "digits.flowssl")
print(f"the loaded model predicts the same: {np.array_equal(same.predict_proba(X_test), proba)}")
write_report(
    model, X, y, folder / "digits.html", X_test=X_test, y_test=y_test, title="Handwritten digits"
)
