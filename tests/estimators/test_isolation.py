"""A fit depends on its arguments alone, and leaves the caller's settings and streams as they were."""

import logging
import random
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from joblib import Parallel, delayed
from sklearn.datasets import load_digits

from flowssl import (
    DIGLMClassifier,
    FlowGMMClassifier,
    ImageOptions,
    SemiConditionalFlowClassifier,
)
from flowssl.baselines import DropoutMLPClassifier, M2VAEClassifier, PiModelClassifier
from flowssl.datasets import hide_labels, make_moons


def _table():
    """Rows with text and missing numbers; the preset has dropout."""
    X, truth = make_moons(60, random_state=0)
    frame = pd.DataFrame(X, columns=["a", "b"])
    frame["c"] = np.where(truth == 1, "x", "y")
    frame.loc[::5, "b"] = np.nan
    frame.loc[::7, "c"] = "z"
    y = hide_labels(truth, per_class=5, random_state=0)
    return FlowGMMClassifier(architecture="table", max_epochs=1, random_state=0), frame, y


def _moons(model):
    X, truth = make_moons(60, random_state=0)
    return model, X, hide_labels(truth, per_class=5, random_state=0)


def _images():
    images, truth = load_digits(n_class=2, return_X_y=True)
    y = hide_labels(truth[:60], per_class=5, random_state=0)
    options = ImageOptions((1, 8, 8), views="translate-flip")
    model = FlowGMMClassifier(images=options, max_epochs=1, batch_size=30, random_state=0)
    return model, images[:60] / 16, y


def _small(kind):
    return kind(hidden_layer_sizes=(8,), n_steps=3, random_state=0)


FITS = {
    "table": _table,
    "images": _images,
    "scnf": lambda: _moons(SemiConditionalFlowClassifier(max_epochs=1, random_state=0)),
    "diglm": lambda: _moons(DIGLMClassifier(max_epochs=1, random_state=0)),
    "mlp": lambda: _moons(_small(DropoutMLPClassifier)),
    "pi": lambda: _moons(_small(PiModelClassifier)),
    "vae": lambda: _moons(_small(M2VAEClassifier)),
}


def answers(name):
    """Everything that a fit decides, as one array."""
    model, X, y = FITS[name]()
    model.fit(X, y)
    found = [model.predict_proba(X)]
    if hasattr(model, "sample"):
        rows = pd.DataFrame(np.reshape(model.sample(5, random_state=0)[0], (5, -1)))
        found.append(rows.select_dtypes("number").to_numpy())
    if hasattr(model, "score_samples"):
        found += [model.score_samples(X), model.ood_score(X, method="distance")]
        found.append(np.asarray(model.transform(X)))
    return np.concatenate([np.ravel(each).astype(float) for each in found])


@pytest.fixture(scope="module", autouse=True)
def _without_cross_fitting():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flowssl.initialization.propagation.FOLDS_UP_TO", ())
        patch.setattr("flowssl.estimators._image_domain.NETWORK_STEPS", 10)
        patch.setattr("flowssl.estimators._image_domain.STEPS", 40 * 5)
        yield


@pytest.fixture(scope="module")
def alone():
    """The answers of a fit that nobody disturbs."""
    found = {}

    def lookup(name):
        if name not in found:
            found[name] = answers(name)
        return found[name]

    return lookup


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


SETTINGS = {
    "no grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "errors of NumPy": lambda: np.errstate(all="raise"),
    "float64": lambda: default_dtype(torch.float64),
    "float16": lambda: default_dtype(torch.float16),
    "device meta": lambda: torch.device("meta"),
    "deterministic": deterministic,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "pandas out": lambda: sklearn.config_context(transform_output="pandas"),
    "routing": lambda: sklearn.config_context(enable_metadata_routing=True),
}


def state():
    """What belongs to the thread or to the process, as far as it can be compared."""
    loggers = {
        name: (logger.level, logger.propagate, list(logger.handlers))
        for name, logger in logging.root.manager.loggerDict.items()
        if isinstance(logger, logging.Logger)
    }
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": repr(np.random.get_state()),  # noqa: NPY002  # the stream must not move
        "python": random.getstate(),
        "filters": list(warnings.filters),
        "loggers": loggers,
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "errors": np.geterr(),
        "sklearn": sklearn.get_config(),
    }


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("setting", SETTINGS)
def test_the_callers_settings_change_nothing_and_stay(name, setting, alone):
    expected = alone(name)
    with SETTINGS[setting]():
        before = state()
        found = answers(name)
        after = state()
    np.testing.assert_array_equal(found, expected)
    for what, value in before.items():
        assert after[what] == value, what


@pytest.mark.parametrize("name", ["table", "images", "vae"])
def test_the_same_seed_gives_the_same_bits_wherever_the_global_streams_are(name, alone):
    expected = alone(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        before = torch.get_rng_state()
        np.testing.assert_array_equal(answers(name), expected)
        assert torch.equal(torch.get_rng_state(), before)


def _draws(stop):
    """Draw from the global streams of PyTorch and NumPy until told to stop."""
    drawn = []
    while not stop.is_set() or len(drawn) < 50:
        drawn.append((float(torch.rand(())), np.random.random()))  # noqa: NPY002  # the global one
    return drawn


def test_fits_in_threads_give_the_bits_of_one_alone_and_leave_a_drawing_thread_alone(alone):
    names = ["table", "scnf", "table", "diglm"]
    expected = [alone(name) for name in names]
    stream = np.random.get_state()  # noqa: NPY002  # restored at the end
    try:
        with torch.random.fork_rng(devices=[]), ThreadPoolExecutor(5) as pool:
            torch.manual_seed(7)
            np.random.seed(7)  # noqa: NPY002
            stop = threading.Event()
            drawing = pool.submit(_draws, stop)
            fits = [pool.submit(answers, name) for name in names]
            found = [fit.result() for fit in fits]
            stop.set()
            drawn = drawing.result()
            torch.manual_seed(7)
            np.random.seed(7)  # noqa: NPY002
            stop.set()
            undisturbed = [
                (float(torch.rand(())), np.random.random())  # noqa: NPY002
                for _ in drawn
            ]
    finally:
        np.random.set_state(stream)  # noqa: NPY002
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert drawn == undisturbed


def test_threads_of_joblib_give_the_bits_of_one_alone(alone):
    before = state()
    found = Parallel(4, backend="threading")(delayed(answers)("table") for _ in range(4))
    for ours in found:
        np.testing.assert_array_equal(ours, alone("table"))
    assert state() == before


def test_images_in_threads_give_the_bits_of_one_alone(alone):
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(answers, ["images", "images"]))
    for ours in found:
        np.testing.assert_array_equal(ours, alone("images"))


def test_a_model_of_a_fit_in_inference_mode_can_be_trained_further():
    model, X, y = FITS["table"]()
    with torch.inference_mode():
        model.set_params(warm_start=True).fit(X, y)
    assert np.isfinite(model.fit(X, y).score_samples(X)).all()


def _views(function):
    X, y = _images()[1:]
    options = ImageOptions((1, 8, 8), views=function)
    model = FlowGMMClassifier(images=options, max_epochs=1, batch_size=30, random_state=0)
    return model.fit(X, y).predict_proba(X)


def test_a_users_view_is_handed_the_generator_of_the_training():
    devices = set()

    def view(images, generator):
        devices.add(generator.device)
        noise = torch.empty_like(images).uniform_(0, 3, generator=generator)
        return (images + noise.floor()).clamp(max=255)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(_views, [view, view])
    np.testing.assert_array_equal(first, second)
    assert devices == {torch.device("cpu")}


def test_a_users_view_without_a_generator_draws_the_same_and_leaves_the_stream_alone():
    def view(images):
        return (images + torch.randint_like(images, 3)).clamp(max=255)

    first, before = _views(view), torch.get_rng_state()
    np.testing.assert_array_equal(_views(view), first)
    assert torch.equal(torch.get_rng_state(), before)
