"""Logistic regression on the labeled rows, with a cross-fitted penalty and temperature."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from flowssl._typing import Floats, Integers
from flowssl.initialization.crossfit import CrossFit
from flowssl.initialization.known_labels import KnownLabels
from flowssl.initialization.pooling import label_log_likelihood, raise_to, temper
from flowssl.initialization.spaces import Space

INVERSE_PENALTIES = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0)
PENALTY_LABELS = 2_000


def fit_logistic(
    X: Floats, codes: Integers, weight: Floats, C: float, inverse_temperature: float = 1.0
) -> LogisticRegression:
    """Fit logistic regression to the rows with a code; at least two classes are needed."""
    rows = np.flatnonzero(codes >= 0)
    model = LogisticRegression(C=C, max_iter=300, tol=1e-3)
    model.fit(X[rows], codes[rows], sample_weight=weight[rows])
    model.coef_ *= inverse_temperature
    model.intercept_ *= inverse_temperature
    return model


def tune_logistic(space: Space, labels: KnownLabels, crossfit: CrossFit) -> KnownLabels:
    """Choose penalty and temperature by the cross-fitted label likelihood.

    Both together: a strong penalty often finds the best direction (AG News, 200 labels: test
    accuracy .845, and .827 with the `C` that is best at temperature one) but leaves the log-odds
    small. At most 2,000 labels are used. Where a fold would train on one class only, the defaults
    stay.
    """
    if not crossfit.left_out.any():
        return labels
    # A random subset: neighbors in the table may be of one class.
    order = np.random.default_rng(0).permutation(len(crossfit.folds))
    crossfit = crossfit.subset(np.sort(order[:PENALTY_LABELS]))
    folds = list(crossfit)
    if any(len(np.unique(f.codes[f.codes >= 0])) < 2 or not len(f.rows) for f in folds):
        return labels
    evaluated, given, Z = crossfit.left_out, crossfit.codes[crossfit.rows], space.coordinates
    found: list[tuple[float, float, float]] = []
    for C in INVERSE_PENALTIES:
        predictions = []
        for fold in folds:
            model = fit_logistic(Z, fold.codes, space.weight, C)
            P = np.zeros((len(fold.rows), labels.n_classes))
            P[:, model.classes_] = model.predict_proba(Z[fold.rows])
            predictions.append(P)
        cross_fitted = crossfit.gather(predictions, (len(given), labels.n_classes))[evaluated]
        b = temper(cross_fitted, given[evaluated])
        score = label_log_likelihood(raise_to(cross_fitted, b), given[evaluated])
        found.append((score, C, b))
    _, C, b = max(found)
    return replace(labels, inverse_penalty=C, inverse_temperature=b)


def fit_baseline(X: Floats, labels: KnownLabels, weight: Floats) -> Pipeline:
    """Fit logistic regression to the labels alone, on columns standardized with all rows.

    With a single class it predicts that class.
    """
    scaler = StandardScaler().fit(X)
    Z = scaler.transform(X)
    if labels.n_seen < 2:
        model: LogisticRegression | DummyClassifier = DummyClassifier(strategy="prior")
        model.fit(Z[labels.rows], labels.given)
    else:
        model = fit_logistic(
            Z, labels.codes, weight, labels.inverse_penalty, labels.inverse_temperature
        )
    pipeline = make_pipeline(scaler, model)
    return pipeline
