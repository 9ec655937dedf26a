"""
Choosing parameters without counting unlabeled rows
===================================================

scikit-learn's splitters and scorers take -1 for a class. ``flowssl.model_selection`` has those
that do not.
"""

# %%
# Wine with eight labels per class. Every fold holds some of the labels of each class, and all
# unlabeled rows stay in training.

import pandas as pd
from sklearn.datasets import load_wine
from sklearn.model_selection import GridSearchCV

from flowssl import FlowGMMClassifier
from flowssl.datasets import hide_labels
from flowssl.model_selection import LabeledStratifiedKFold, make_labeled_scorer
from flowssl.plotting import plot_reliability

X, truth = load_wine(return_X_y=True)
y = hide_labels(truth, per_class=8, random_state=0)
search = GridSearchCV(
    FlowGMMClassifier(max_epochs=10, random_state=0),
    {"class_prior": [None, "uniform"]},
    cv=LabeledStratifiedKFold(3, shuffle=True, random_state=0),
    scoring=make_labeled_scorer("neg_log_loss"),
).fit(X, y)

# %%
# With this few labels the differences between the rows of this table are often within their
# standard deviations: then keep the default.

columns = ["param_class_prior", "mean_test_score", "std_test_score"]
pd.DataFrame(search.cv_results_)[columns].round(3)

# %%
# The hidden labels tell how good the choice was.

hidden = y == -1
accuracy = search.best_estimator_.score(X[hidden], truth[hidden])
print(f"accuracy on the {hidden.sum()} unlabeled rows: {accuracy:.3f}")
reliability = plot_reliability(search.best_estimator_, X[hidden], truth[hidden])
