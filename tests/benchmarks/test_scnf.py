"""The semi-conditional flow's benchmark of images, on scikit-learn's small digits."""

import json

import numpy as np
import pytest
from benchmarks.images.data import Images
from benchmarks.scnf import mnist
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

from flowssl.inspection import obfuscation


@pytest.fixture
def digits(monkeypatch):
    """Stand in for the image files: zeros and ones, 8 x 8, trained on for an instant."""
    X, y = load_digits(n_class=2, return_X_y=True)
    X = (X.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    monkeypatch.setattr(mnist, "load", lambda name: Images(X[:200], y[:200], X[200:], y[200:]))
    monkeypatch.setattr("flowssl.estimators._image_domain.STEPS", 400)
    monkeypatch.setattr(obfuscation, "attackers", lambda seed: {"linear": LogisticRegression()})


@pytest.mark.usefixtures("digits")
def test_runs_are_kept_not_repeated_and_their_models_can_be_attacked(tmp_path):
    models = tmp_path / "models"
    asked = ["--widths", "48", "--labels", "20", "--results", str(tmp_path), "--save", str(models)]
    mnist.main(asked)
    mnist.main(asked)
    (saved,) = models.iterdir()
    mnist.main(["--audit", str(saved), "--audit-rows", "90", "--results", str(tmp_path)])
    rows = [json.loads(line) for line in (tmp_path / "mnist.jsonl").read_text().splitlines()]
    assert [row["class_features"] for row in rows] == [48, 48]
    assert rows[0]["test_error"] < 20
    assert rows[-1]["rows"] == 90
    assert rows[-1]["accuracy"].keys() == {"z_f", "z_h"}
    assert rows[-1]["accuracy"]["z_f"]["linear"] > 0.9
    text = (tmp_path / "mnist.md").read_text()
    assert "| scnf-glow | 20 | 48 | 1 | 1 |" in text
    assert "mnist, 20 | 48 | held out | z_h" in text


@pytest.mark.usefixtures("digits")
def test_the_auto_encoder_sees_the_same_draw(tmp_path):
    asked = ["--method", "m1m2", "--labels", "20", "--epochs", "40", "--results", str(tmp_path)]
    mnist.main(asked)
    row = json.loads((tmp_path / "mnist.jsonl").read_text())
    assert row["test_error"] < 20
    assert row["width"] == "auto"
