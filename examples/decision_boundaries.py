"""
What unlabeled rows change
==========================

The planar sets of the FlowGMM paper (Izmailov et al. 2020, figures 1, 2 and 4): the decision
boundary with the unlabeled rows and without them.
"""

# %%
# The paper's sets and numbers of labels. The model of the labeled rows alone has not seen the
# other dots; they are drawn for comparison.

import warnings

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels, make_circles, make_eight_gaussians, make_moons
from flowssl.exceptions import FlowSSLWarning
from flowssl.plotting import plot_decision_boundary


def compare(X, truth, X_new, y_new, n_labeled):
    y = hide_labels(truth, n_labeled=n_labeled, random_state=1)
    labeled = y != -1
    with_unlabeled = FlowGMMClassifier(max_epochs=25, random_state=0).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlowSSLWarning)  # few rows
        labels_only = FlowGMMClassifier(max_epochs=25, random_state=0).fit(X[labeled], y[labeled])
    for name, model in (("with", with_unlabeled), ("without", labels_only)):
        print(f"accuracy on new rows, {name} unlabeled rows: {model.score(X_new, y_new):.3f}")
    return plot_decision_boundary(with_unlabeled, X, y), plot_decision_boundary(labels_only, X, y)


# %%
# Moons, 10 labels.

moons, moons_labels_only = compare(
    *make_moons(400, random_state=0), *make_moons(2000, random_state=1), n_labeled=10
)

# %%
# Circles, 11 labels.

circles, circles_labels_only = compare(
    *make_circles(400, random_state=0), *make_circles(2000, random_state=1), n_labeled=11
)

# %%
# Eight Gaussians in three classes, 19 labels: each Gaussian has at least one.

gaussians, gaussians_labels_only = compare(
    *make_eight_gaussians(400, random_state=0),
    *make_eight_gaussians(2000, random_state=1),
    n_labeled=19,
)
