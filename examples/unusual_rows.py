"""
Scores for unusual rows
=======================

``ood_score`` says by how many robust standard deviations a row's log-density lies below that of
usual rows.
"""

# %%
# A model of scikit-learn's breast cancer data, five labels per class, scores held-out rows and
# implausible ones: each column is shuffled on its own, so every single value is plausible and the
# combination is not.

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels

X, X_test, truth, y_test = train_test_split(
    *load_breast_cancer(return_X_y=True), test_size=0.3, random_state=0
)
y = hide_labels(truth, per_class=5, random_state=0)
shuffled = np.random.default_rng(0).permuted(X_test, axis=0)

model = FlowGMMClassifier(max_epochs=60, random_state=0).fit(X, y)

# %%
# Three scores, each larger for more unusual rows.

for method in ("unlikely", "atypical", "distance"):
    scores = np.r_[model.ood_score(X_test, method=method), model.ood_score(shuffled, method=method)]
    unusual = np.repeat([0, 1], len(X_test))
    print(f"{method}: area under the ROC curve {roc_auc_score(unusual, scores):.3f}")

# %%
# The scores of both kinds of rows. Above about 4 a row deserves a look.

figure = Figure(figsize=(6, 3), layout="constrained")
axes = figure.add_subplot(
    xlabel="ood_score (robust standard deviations)", ylabel="rows", xscale="symlog"
)
bins = np.r_[-2:10:0.5, np.geomspace(10, 1000, 20)]
axes.hist(model.ood_score(X_test), bins, alpha=0.7, label="held-out rows")
axes.hist(model.ood_score(shuffled), bins, alpha=0.7, label="columns shuffled")
axes.legend(frameon=False)
