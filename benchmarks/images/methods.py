"""The methods compared: flows that see more or less of the data, and usual alternatives."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from benchmarks.images.data import Codes, Images
from torch import Tensor

from flowssl import FlowGMMClassifier, ImageOptions, ObjectiveOptions
from flowssl._views import named_views
from flowssl.estimators.base import FlowClassifier
from flowssl.initialization.network import class_probabilities, train_network
from flowssl.inspection import image_bits

NETWORK_STEPS = 3_000

Predict = Callable[[npt.NDArray[np.uint8]], Codes]


def flow(
    method: str,
    images: Images,
    y: Codes,
    seed: int,
    **settings: object,
) -> FlowGMMClassifier:
    """Fit a flow with further settings of `FlowGMMClassifier`.

    "cons" is the default: soft labels, then consistency of an image and a view. "soft"
    is the same without consistency. "flow" is the likelihood of labeled and unlabeled images and
    the labels' cross-entropy, without either. "supervised" is "flow" on the labeled images alone.
    "paper" is eq. 4 and 7 from random means.
    """
    X = images.X
    if method == "supervised":
        X, y = X[y >= 0], y[y >= 0]
    objective = ObjectiveOptions()
    if method in ("flow", "supervised"):
        objective = ObjectiveOptions("likelihood", consistency_weight=0.0)
    if method == "soft":
        objective = ObjectiveOptions(consistency_weight=0.0)
    if method == "paper":
        objective = ObjectiveOptions("likelihood", consistency_weight=1.0, cross_entropy_weight=0.0)
        settings |= {"init": "random", "learn_gaussians": False, "class_prior": "uniform"}
    estimator = FlowGMMClassifier(
        images=ImageOptions(images.shape, views=views(images)),
        objective=objective,
        random_state=seed,
        **settings,
    )
    return estimator.fit(X, y)


def views(images: Images) -> str:
    """Return the views of a set: color images may be mirrored, digits and gray clothes not."""
    return "translate-flip" if images.shape[0] == 3 else "translate"


def test_bits(model: FlowClassifier, images: Images) -> dict[str, float]:
    """Return bits per dimension of 250 random test images: at level centers, and two bounds.

    ``bits_per_dimension``, which all recorded runs have, is taken at the centers of the levels;
    ``expected_bits`` is the papers' E_u log p.
    """
    bits = image_bits(model, images.X_test)
    return {
        "bits_per_dimension": round(bits.centers, 3),
        "expected_bits": round(bits.expected, 3),
        "averaged_bits": round(bits.averaged, 3),
    }


def flat(X: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return images as rows of numbers between 0 and 1."""
    return X.reshape(len(X), -1).astype(np.float32) / 255


def network(images: Images, y: Codes, seed: int) -> Predict:
    """Train the initialization's network on the labels alone, with the flow's views."""
    trained = train_network(
        _tensor(images.X[y >= 0]),
        torch.from_numpy(y[y >= 0]),
        int(y.max()) + 1,
        named_views(views(images), images.shape),
        n_steps=NETWORK_STEPS,
        seed=seed,
    )
    return lambda X: class_probabilities(trained, _tensor(X)).argmax(1)


def logistic(images: Images, y: Codes) -> Predict:
    """Fit logistic regression on the labeled images' pixel values, standardized."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
    model.fit(flat(images.X[y >= 0]), y[y >= 0])
    return lambda X: np.asarray(model.predict(flat(X)))


def spreading(images: Images, y: Codes) -> Predict:
    """Spread labels among 10,000 images on 64 principal components, 10 neighbors."""
    from sklearn.decomposition import PCA
    from sklearn.semi_supervised import LabelSpreading

    others = np.random.default_rng(0).permutation(np.flatnonzero(y < 0))
    chosen = np.concatenate((np.flatnonzero(y >= 0), others))[:10_000]
    pca = PCA(64, random_state=0).fit(flat(images.X[chosen]))
    model = LabelSpreading(kernel="knn", n_neighbors=10, alpha=0.9)
    model.fit(pca.transform(flat(images.X[chosen])), y[chosen])
    return lambda X: np.asarray(model.predict(pca.transform(flat(X))))


def _tensor(X: npt.NDArray[np.uint8]) -> Tensor:
    """Return the centers of the pixel values, channels first."""
    images = torch.from_numpy(X[:, None] if X.ndim == 3 else X.transpose(0, 3, 1, 2).copy())
    return images.float() + 0.5
