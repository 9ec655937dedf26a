"""Weights, class fractions and rows in every container of numbers: read right, or refused."""

import json
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.datasets import load_iris

import flowssl
from flowssl import FlowGMMClassifier
from flowssl._class_prior import given_prior
from flowssl._labels import encode_labels
from flowssl._model_file import (
    classes_from_json,
    classes_to_json,
    parameters_from_json,
    parameters_to_json,
)
from flowssl._plain_values import plain_values
from flowssl._weights import read_weight
from flowssl.baselines import M2VAEClassifier
from flowssl.datasets import hide_labels
from flowssl.exceptions import FlowSSLWarning
from flowssl.model_selection import labeled_accuracy
from flowssl.preprocessing import ImageEncoder, TableEncoder

X, TRUTH = (array[::3] for array in load_iris(return_X_y=True))
Y = hide_labels(TRUTH, per_class=6, random_state=0)


@pytest.fixture(autouse=True)
def cheap(cheap_start):
    """Compare few candidates for the start."""


@pytest.fixture(scope="module")
def fit(quick_flowgmm):
    """Fit a classifier whose training is a formality."""
    return lambda rows=X, labels=Y, weight=None, **parameters: quick_flowgmm(**parameters).fit(
        rows, labels, weight
    )


# -- Tensors.

TENSORS = {
    "gradient": lambda: torch.tensor(X, requires_grad=True),
    "negative bit": lambda: torch._neg_view(torch.tensor(-X)),
    "rows with gradient": lambda: [torch.tensor(row, requires_grad=True) for row in X],
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors_are_read_like_arrays(name):
    np.testing.assert_array_equal(TableEncoder().fit_transform(TENSORS[name]()), X)


def test_a_fit_to_tensors_is_that_to_arrays(fit):
    rows = torch.tensor(X, requires_grad=True)
    model = fit(rows, torch.tensor(Y), torch.ones(len(Y), requires_grad=True))
    np.testing.assert_array_equal(model.predict_proba(rows), fit().predict_proba(X))
    assert model.score(rows, torch.tensor(TRUTH)) > 0.8


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e5m2, torch.float16])
def test_numbers_that_numpy_lacks_are_read(dtype):
    np.testing.assert_array_equal(plain_values(torch.tensor([1.5, -2.0], dtype=dtype)), [1.5, -2])


@pytest.mark.parametrize(
    "tensor",
    [
        torch.eye(4).to_sparse(),
        torch.empty(4, 4, device="meta"),
        torch.nested.nested_tensor([torch.ones(2), torch.ones(3)], layout=torch.jagged),
    ],
    ids=["sparse", "meta", "nested"],
)
def test_tensors_without_a_plain_array_are_refused(fit, tensor):
    with pytest.raises(ValueError, match=r"a tensor that is sparse, nested.*tensor\.to_dense\(\)"):
        fit(tensor, [0, 1, 0, 1])


def test_a_tensor_of_images():
    images = torch.arange(32).reshape(2, 16).float() / 255
    encoded = ImageEncoder((1, 4, 4)).fit(images).transform(images.requires_grad_())
    np.testing.assert_array_equal(encoded, np.arange(32).reshape(2, 16))


# -- Numbers beyond float64.

BEYOND = {
    "integer": 10**400,
    "fraction": Fraction(-(10**400)),
    "decimal": Decimal("1e400"),
    "text": "1e400",
}


@pytest.mark.parametrize("name", BEYOND)
@pytest.mark.parametrize("of", [np.asarray, pd.DataFrame], ids=["array", "frame"])
def test_a_number_beyond_float64_does_not_make_a_column_of_categories(name, of):
    rows = X.astype(object)
    rows[2, 1] = BEYOND[name]
    if not (name == "text" and of is pd.DataFrame):  # there, texts are categories
        with pytest.raises(ValueError, match=r"infinity or a value too large.* column 1\."):
            TableEncoder().fit(of(rows))
    with pytest.raises(ValueError, match=r"infinity or a value too large.* column 1\."):
        TableEncoder().fit(of(X)).transform(of(rows))


@pytest.mark.skipif(np.finfo(np.longdouble).max == np.finfo(float).max, reason="no long doubles")
def test_a_long_double_beyond_float64_is_refused():
    rows = X.astype(np.longdouble)
    encoder = TableEncoder().fit(rows)
    np.testing.assert_array_equal(encoder.transform(rows), X)
    rows[2, 3] = np.longdouble("1e4000")
    for read in (TableEncoder().fit, encoder.transform):
        with pytest.raises(ValueError, match=r"infinity or a value too large.* column 3\."):
            read(rows)


# -- Weights.

ONES = [1] * len(Y)
WEIGHTS = {
    "list": ONES,
    "bools": [True] * len(Y),
    "decimals": [Decimal(1)] * len(Y),
    "categories": pd.Categorical(ONES),
    "nullable": pd.array(ONES, dtype="Int64"),
    "series": pd.Series(ONES, index=range(len(Y), 0, -1)),
    "polars": pl.Series(ONES),
    "arrow": pa.array(ONES),
    "text": ["1"] * len(Y),
    "one for all": np.array(1.0),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_every_container(name):
    weight = read_weight(WEIGHTS[name])
    assert weight.dtype.kind in "biuf"
    np.testing.assert_array_equal(weight, 1 if name == "one for all" else ONES)


def test_a_series_of_weights_belongs_to_the_rows_by_position(fit):
    weight = pd.Series(ONES, index=range(len(Y), 0, -1))
    np.testing.assert_array_equal(fit(weight=weight).predict_proba(X), fit().predict_proba(X))


REFUSED_WEIGHTS = {
    "None": ([None, *ONES[1:]], "sample_weight contains NaN"),
    "NA": (pd.Series([pd.NA, *ONES[1:]], dtype=object), "sample_weight contains NaN"),
    "null": (pa.array([None, *ONES[1:]]), "sample_weight contains NaN"),
    "masked zero": (
        np.ma.array([0, *ONES[1:]], mask=[True] + [False] * (len(Y) - 1)),
        "sample_weight contains NaN",
    ),
    "dates": (np.arange(len(Y)).astype("M8[D]"), "sample_weight must hold numbers.*datetime64"),
    "durations": (np.arange(len(Y)).astype("m8[s]"), "sample_weight must hold numbers"),
    "complex": (np.ones(len(Y)) * 1j, "sample_weight must hold numbers.*complex"),
    "words": (["heavy", *ONES[1:]], "sample_weight must hold numbers: 'heavy' in row 0"),
    "balanced": ("balanced", "sample_weight must hold numbers: 'balanced'"),
    "dict": (dict(enumerate(ONES)), "sample_weight must hold numbers"),
}


@pytest.mark.parametrize("name", REFUSED_WEIGHTS)
def test_weights_that_are_no_numbers_are_refused(fit, name):
    weight, message = REFUSED_WEIGHTS[name]
    with pytest.raises(ValueError, match=message):
        fit(weight=weight)


@pytest.mark.parametrize("weight", [np.arange(3).astype("M8[D]"), ["heavy", 1, 1], [None, 1, 1]])
def test_scores_refuse_weights_that_are_no_numbers(weight):
    with pytest.raises(ValueError, match="sample_weight"):
        labeled_accuracy([0, 1, -1], np.array([0, 0, 0]), sample_weight=weight)


def test_labels_that_are_long_doubles_can_be_written():
    classes = encode_labels(np.array([0, 1, -1], dtype=np.longdouble)).classes
    assert classes_from_json(classes_to_json(classes)).tolist() == [0.0, 1.0]


def test_a_text_of_zero_is_a_weight_of_zero(fit):
    weight = np.where(Y == 2, "0", "1")
    assert fit(weight=weight.tolist()).classes_.tolist() == [0, 1]


# -- Class fractions.

FRACTIONS = [0.2, 0.3, 0.5]
PRIORS = {
    "tensor": torch.tensor(FRACTIONS, dtype=torch.float64, requires_grad=True),
    "arrow": pa.array(FRACTIONS),
    "polars": pl.Series(FRACTIONS),
    "tuple": tuple(FRACTIONS),
    "arrow series": pd.Series(FRACTIONS[::-1], index=[2, 1, 0], dtype="double[pyarrow]"),
    "floats as labels": pd.Series(FRACTIONS[::-1], index=[2.0, 1.0, 0.0]),
    "categories as labels": pd.Series(FRACTIONS[::-1], index=pd.CategoricalIndex([2, 1, 0])),
}


@pytest.mark.parametrize("name", PRIORS)
def test_class_fractions_of_every_container_are_read_and_written(name):
    classes = np.arange(3)
    np.testing.assert_allclose(given_prior(PRIORS[name], classes), FRACTIONS)
    record = json.loads(json.dumps(parameters_to_json(FlowGMMClassifier(class_prior=PRIORS[name]))))
    again = parameters_from_json(record, {})["class_prior"]
    np.testing.assert_allclose(given_prior(again, classes), FRACTIONS)


def test_a_model_with_a_tensor_of_class_fractions_is_written(fit, tmp_path):
    model = fit(class_prior=PRIORS["tensor"])
    model.save(tmp_path / "m.flowssl")
    np.testing.assert_allclose(flowssl.load(tmp_path / "m.flowssl").class_prior_, FRACTIONS)


REFUSED_PRIORS = {
    "set": set(FRACTIONS),
    "view": dict(enumerate(FRACTIONS)).values(),
    "masked": np.ma.array(FRACTIONS, mask=[False, False, True]),
    "missing": pd.Series([0.2, pd.NA, 0.5], index=[2, 1, 0], dtype="Float64"),
    "frame": pd.DataFrame({"f": FRACTIONS}),
    "label that is missing": pd.Series([*FRACTIONS, 0.1], index=[0, 1, 2, np.nan]),
}


@pytest.mark.parametrize("name", REFUSED_PRIORS)
def test_class_fractions_that_name_no_number_a_class_are_refused(fit, name):
    with pytest.raises(ValueError, match=r"'?class_prior'? (needs 3|must name|parameter)"):
        fit(class_prior=REFUSED_PRIORS[name])


# -- Samples.


@pytest.fixture(scope="module", params=["flow", "m2"])
def fitted(request, quick_flowgmm):
    model = quick_flowgmm() if request.param == "flow" else M2VAEClassifier(n_steps=1)
    return model.fit(X, Y)


@pytest.mark.parametrize(
    "labels", [np.ma.masked, np.ma.array([0, 1], mask=[True, False]), [0, None]]
)
def test_a_class_that_is_masked_is_no_class_to_sample(fitted, labels):
    with pytest.raises(ValueError, match=r"(None|nan) is not one of the classes \[0, 1, 2\]"):
        fitted.sample(2, y=labels)


@pytest.mark.parametrize(
    ("number", "error"), [(0, ValueError), (-1, ValueError), (2.5, TypeError), ("3", TypeError)]
)
def test_the_number_of_samples_is_positive_and_whole(fitted, number, error):
    with pytest.raises(error, match="n_samples"):
        fitted.sample(number)


# -- What messages show.


def test_messages_show_labels_as_they_are_written(fit):
    with pytest.warns(FlowSSLWarning, match="are of class 0\\. If"):
        fit(labels=np.where(TRUTH == 0, 0, -1))
    words = [np.str_("ab"[code % 2]) if code >= 0 else np.str_("?") for code in Y]
    with pytest.warns(FlowSSLWarning, match=r"of the labels \('\?'\) count as unlabeled"):
        fit(labels=words)
