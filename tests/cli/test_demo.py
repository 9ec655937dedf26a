from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_digits

Run = Callable[..., tuple[int, str, str]]


def test_demo_writes_what_it_says(
    run: Run, standin: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen = []

    def fit(self: object, X: object, y: np.ndarray) -> object:
        seen.append((X.num_rows, np.bincount(y[y != -1]).tolist()))
        return original(self, X, y)

    original = standin.FlowGMMClassifier.fit
    monkeypatch.setattr(standin.FlowGMMClassifier, "fit", fit)
    report = ModuleType("flowssl.report")
    report.write_report = lambda e, X, y, path, **_: Path(path).write_text(f"{X.num_rows}")
    monkeypatch.setitem(__import__("sys").modules, "flowssl.report", report)
    folder = tmp_path / "new" / "demo"
    code, out, err = run("demo", "-o", folder)
    assert code == 0, err
    assert "1,198 images" in err
    assert seen == [(1198, [10] * 10)]
    assert {p.name for p in folder.iterdir()} == {
        "model.flowssl",
        "held_out.csv",
        "predictions.csv",
        "report.html",
    }
    held_out = pd.read_csv(folder / "held_out.csv")
    assert held_out.shape == (599, 65)
    # The rows are rows of the data set, with their labels.
    digits = load_digits()
    known = {tuple(row): label for row, label in zip(digits.data, digits.target, strict=True)}
    rows = held_out.drop(columns="label").to_numpy(dtype=float)
    assert [known[tuple(row)] for row in rows] == held_out["label"].tolist()
    predictions = pd.read_csv(folder / "predictions.csv")["prediction"]
    errors = int((predictions != held_out["label"]).sum())
    assert f"{errors} of 599" in out
    assert "logistic regression, labels only" in out

    (tmp_path / "file").write_text("")
    code, _, err = run("demo", "-o", tmp_path / "file")
    assert code == 2
    assert "is a file" in err
