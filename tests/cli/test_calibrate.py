"""``flowssl calibrate`` and ``sample --judge`` on a small flow, as a user runs them."""

import numpy as np
import pandas as pd
import pytest

import flowssl
from flowssl import FlowGMMClassifier
from flowssl.cli import main


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 2
    frame = pd.DataFrame(rng.normal(size=(300, 2)) + 0.9 * truth[:, None], columns=["a", "b"])
    labels = np.array(["no", "yes"])[truth]
    model = FlowGMMClassifier(max_epochs=1, random_state=0)
    model.fit(frame[:60], np.where(np.arange(60) < 20, labels[:60], None))
    model.save("m.flowssl")
    frame[60:].assign(y=labels[60:]).to_csv("val.csv", index=False)
    return tmp_path


@pytest.mark.parametrize("method", ["temperature", "variance"])
def test_calibrate_writes_the_model_that_python_would(folder, capsys, method):
    words = f"calibrate m.flowssl val.csv --target y --method {method} -o new.flowssl"
    assert main(words.split()) == 0
    out = capsys.readouterr().out
    assert "240 of 240" in out
    table = pd.read_csv("val.csv")
    expected = flowssl.load("m.flowssl").calibrate(table[["a", "b"]], table["y"], method=method)
    found = flowssl.load("new.flowssl")
    assert found.calibration_temperature_ == expected.calibration_temperature_
    assert found.calibration_variance_ == expected.calibration_variance_
    assert flowssl.load("m.flowssl").calibration_variance_ == 1.0


def test_calibrate_does_not_write_over_its_model(folder, capsys):
    before = (folder / "m.flowssl").read_bytes()
    assert main(["calibrate", "m.flowssl", "val.csv", "--target", "y", "-o", "m.flowssl"]) != 0
    assert "would be lost" in capsys.readouterr().err
    assert (folder / "m.flowssl").read_bytes() == before


def test_samples_are_judged_on_request(folder, capsys):
    words = "-n 200 --random-state 0 --judge val.csv -o s.csv"
    assert main(["sample", "m.flowssl", *words.split()]) == 0
    captured = capsys.readouterr()
    assert "two-sample AUC 0." in captured.err
    assert "200 rows of each kind" in captured.err
    assert len(pd.read_csv("s.csv")) == 200
    assert captured.out == ""
