"""
Why probabilities saturate, and what repairs it
===============================================

In many dimensions a flow is certain of every row, also of those that it gets wrong. One number,
fitted to some validation labels, repairs that (Izmailov et al. 2020, section 6.1 and appendix G).
"""

# %%
# **The reason.** Take two classes whose latents are N(m, I), with means m drawn from N(0, I) in D
# dimensions, as FlowGMM starts. A latent of the first class is at squared distance D of its own mean,
# on average, and at 3 D of the other one, so its log-odds grow by one nat with each dimension. Its
# probability is 1 to many digits long before images' hundreds of dimensions.

import numpy as np
from scipy.special import expit
from sklearn.datasets import load_digits

from flowssl import FlowGMMClassifier
from flowssl.calibration import expected_calibration_error
from flowssl.datasets import hide_labels
from flowssl.plotting import plot_reliability

rng = np.random.default_rng(0)
for dim in (2, 8, 32, 128, 512):
    own, other = rng.normal(size=(2, 2000, dim))
    latent = own + rng.normal(size=(2000, dim))
    log_odds = (((latent - other) ** 2).sum(1) - ((latent - own) ** 2).sum(1)) / 2
    print(
        f"{dim:3d} dimensions: log-odds {np.mean(log_odds):6.1f} nats on average, "
        f"{np.mean(expit(log_odds) > 0.99):4.0%} of the rows have a probability above .99"
    )

# %%
# Nothing is wrong with these probabilities where the Gaussians are right. Fitted Gaussians are not,
# and each dimension adds its error to the log-odds as it adds its evidence: a model that is right
# about nine rows in ten is still certain of nearly all of them.
#
# **A model of digits** in 64 dimensions, after the paper: trained by likelihood alone, with one
# Gaussian for each class, the same covariance for all and equal class probabilities. Of the rows, 100
# have labels in training, 300 others are for validation, and the rest is for the figures. ``fit``
# would find a temperature from unlabeled rows by default; here it does not.

X, truth = load_digits(return_X_y=True)
order = rng.permutation(len(X))
X, truth = X[order], truth[order]
y = hide_labels(truth[:900], per_class=10, random_state=0)
X_val, y_val, X_test, y_test = X[900:1200], truth[900:1200], X[1200:], truth[1200:]

model = FlowGMMClassifier(
    objective="likelihood",
    n_components=1,
    covariance_type="tied",
    class_prior="uniform",
    temperature_scaling=False,
    max_epochs=15,
    random_state=0,
).fit(X[:900], y)


def describe(name):
    """Print how well the probabilities of test rows are calibrated."""
    log_proba = model.predict_log_proba(X_test)
    likelihood = -log_proba[np.arange(len(y_test)), y_test].mean()
    error = expected_calibration_error(np.exp(log_proba), y_test)
    accuracy = np.mean(log_proba.argmax(1) == y_test)
    print(
        f"{name:20s} negative log-likelihood {likelihood:.3f}, calibration error {error:.3f}, "
        f"accuracy {accuracy:.3f}"
    )


describe("as fitted")
raw = plot_reliability(model, X_test, y_test)

# %%
# Most rows are in the last bin, whose confidence is higher than its accuracy. Now the repair: a factor
# of the variances of all class Gaussians, or a divisor of the log-odds, that maximizes the likelihood
# of the validation labels. For such equal Gaussians both are the same number, and neither changes the
# density p(x). Where the Gaussians differ, as they do by default, the temperature is the better one:
# it leaves the predictions as they are.

log_density = model.score_samples(X_test)
for method in ("variance", "temperature"):
    model.calibrate(X_val, y_val, method=method)
    factor = max(model.calibration_variance_, model.calibration_temperature_)
    describe(f"{method} {factor:.2f}")
print(f"p(x) has changed: {np.any(model.score_samples(X_test) != log_density)}")

tempered = plot_reliability(model, X_test, y_test)
