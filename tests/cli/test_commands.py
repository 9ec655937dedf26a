import io
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pyarrow.csv as pa_csv
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss

import flowssl
from flowssl._persistence import read_manifest
from flowssl.estimators.options import ObjectiveOptions
from flowssl.exceptions import ModelFileError

Run = Callable[..., tuple[int, str, str]]
FIT = ("fit", "flowers.csv", "--target", "kind", "--drop", "truth,row", "-o", "m.flowssl")
COLUMNS = ["len", "width", "height"]


@pytest.fixture
def same_in_python(standin: ModuleType, flowers: pd.DataFrame) -> object:
    estimator = standin.FlowGMMClassifier()
    return estimator.fit(flowers[COLUMNS].to_numpy(), flowers["kind"].to_numpy())


def test_fit_tells_what_it_did(folder: Path, run: Run) -> None:
    code, out, err = run(*FIT)
    assert (code, err) == (0, "")
    for expected in (
        "90: 30 labeled, 60 unlabeled",
        "3: iris, lily, rose",
        "-0.500 nats per held-out label",
        "-0.250 nats per held-out label",
        "m.flowssl",
        "flowssl predict m.flowssl",
    ):
        assert expected in out
    assert read_manifest("m.flowssl")["columns"] == COLUMNS
    assert read_manifest("m.flowssl")["parameters"]["seen"] == "None"  # of the run, not the model
    assert not Path("m.flowssl.checkpoint").exists()
    code, out, err = run(*FIT, "--quiet")
    assert (code, out, err) == (0, "", "")


def test_predictions_equal_those_from_python(
    model: str, run: Run, flowers: pd.DataFrame, same_in_python: object
) -> None:
    X = flowers[COLUMNS].to_numpy()
    flags = ("--proba", "--log-density", "--ood-score", "--id", "row")
    code, out, err = run("predict", model, "flowers.csv", *flags)
    assert (code, err) == (0, "")
    frame = pa_csv.read_csv(io.BytesIO(out.encode())).to_pandas()  # exact in every version
    probabilities = [f"proba_{kind}" for kind in ("iris", "lily", "rose")]
    assert list(frame) == ["row", "prediction", *probabilities, "log_density", "ood_score"]
    np.testing.assert_array_equal(frame["row"], flowers["row"])
    np.testing.assert_array_equal(frame["prediction"], same_in_python.predict(X))
    np.testing.assert_allclose(frame[probabilities], same_in_python.predict_proba(X), rtol=1e-12)
    np.testing.assert_allclose(frame["log_density"], same_in_python.score_samples(X), rtol=1e-12)
    np.testing.assert_allclose(frame["ood_score"], same_in_python.ood_score(X), rtol=1e-12)
    for name in ("p.csv", "p.parquet"):
        code, out, err = run("predict", model, "flowers.csv", "-o", name)
        assert (code, out, err) == (0, "", f"90 rows written to {name}\n")
    assert pd.read_csv("p.csv").equals(frame[["prediction"]])
    assert pd.read_parquet("p.parquet").equals(frame[["prediction"]])


def test_columns_are_found_by_name(model: str, run: Run, flowers: pd.DataFrame) -> None:
    _, expected, _ = run("predict", model, "flowers.csv", "--proba")
    flowers[["truth", "height", "row", "len", "width"]].to_parquet("mixed.parquet")
    assert run("predict", model, "mixed.parquet", "--proba") == (0, expected, "")


def test_score_gives_log_densities(
    model: str, run: Run, flowers: pd.DataFrame, same_in_python: object
) -> None:
    code, out, _ = run("score", model, "flowers.csv")
    assert code == 0
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame) == ["log_density"]
    expected = same_in_python.score_samples(flowers[COLUMNS].to_numpy())
    np.testing.assert_allclose(frame["log_density"], expected, rtol=1e-12)


def test_evaluate_equals_scikit_learn_on_the_labeled_rows(
    model: str, run: Run, flowers: pd.DataFrame, same_in_python: object
) -> None:
    known = flowers["kind"].notna()
    y, X = flowers["kind"][known], flowers[COLUMNS].to_numpy()[known]
    code, out, err = run("evaluate", model, "flowers.csv", "--target", "kind", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    guess, probabilities = same_in_python.predict(X), same_in_python.predict_proba(X)
    assert (result["rows"], result["labeled"]) == (90, 30)
    assert result["accuracy"] == pytest.approx(accuracy_score(y, guess))
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, guess))
    assert result["negative_log_likelihood"] == pytest.approx(log_loss(y, probabilities))
    confidence, right = probabilities.max(axis=1), guess == y
    gaps = [
        abs((confidence - right)[bin_].sum())
        for low in np.arange(15) / 15
        if (bin_ := (confidence > low) & (confidence <= low + 1 / 15)).any()
    ]
    assert result["calibration_error"] == pytest.approx(sum(gaps) / len(y))
    for figures in result["classes"]:
        name = figures["name"]
        assert figures["labeled"] == (y == name).sum()
        assert figures["predicted"] == (guess == name).sum()
        assert figures["recall"] == pytest.approx((guess[y == name] == name).mean())
        assert figures["precision"] == pytest.approx((y[guess == name] == name).mean())


def test_evaluate_is_readable(model: str, run: Run) -> None:
    code, out, _ = run("evaluate", model, "flowers.csv", "--target", "kind")
    assert code == 0
    # What is asked for is a result, which --quiet leaves.
    assert run("evaluate", model, "flowers.csv", "--target", "kind", "-q")[:2] == (0, out)
    assert "iris, lily, rose" in run("-q", "info", model)[1]
    assert "30 of 90" in out
    table = out[out.index("by class") :].splitlines()
    assert table[1].split() == ["class", "labeled", "predicted", "recall", "precision"]
    assert [line.split()[0] for line in table[2:]] == ["iris", "lily", "rose"]


def test_sample(model: str, run: Run) -> None:
    arguments = ("sample", model, "-n", "40", "--random-state", "3")
    code, out, _ = run(*arguments, "--label", "rose")
    assert code == 0
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame) == [*COLUMNS, "label"]
    assert frame.shape == (40, 4)
    assert set(frame["label"]) == {"rose"}
    assert run(*arguments, "--label", "rose")[1] == out
    _, cold, _ = run(*arguments, "--label", "rose", "--temperature", "0.01")
    assert (pd.read_csv(io.StringIO(cold))[COLUMNS].std() < 0.3 * frame[COLUMNS].std()).all()
    assert run(*arguments, "-o", "s.parquet")[0] == 0
    assert set(pd.read_parquet("s.parquet")["label"]) == {"iris", "lily", "rose"}


def test_info_refuses_what_load_refuses(
    model: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: str) -> None:
        raise ModelFileError(f"cannot read model file '{path}': its model.dim must be a number")

    with monkeypatch.context() as patched:
        patched.setitem(vars(flowssl), "load", refuse)
        code, out, err = run("info", model)
    assert (code, out) == (2, "")
    assert "its model.dim must be a number" in err


def test_info_shows_the_manifest(model: str, run: Run) -> None:
    code, out, _ = run("info", model)
    assert code == 0
    assert "iris, lily, rose" in out
    code, out, _ = run("info", model, "--json")
    assert code == 0
    assert json.loads(out) == read_manifest(model)


def test_info_is_short(use_standin: None) -> None:
    from flowssl.cli.info import describe

    manifest = {
        "versions": {"flowssl": "1.0", "torch": "2.0"},
        "classes": {"dtype": "<i8", "values": list(range(20))},
        "encoder": json.dumps({"row_kind": "table", "columns": [{"name": "a"}, {"name": "b"}]}),
        "history": [{"epoch": 1}, {"epoch": 2, "nats_per_dim": -1.25, "label_accuracy": 1.0}],
        "initialization": {
            "weights": [0.123456, 1e-9],
            "candidates": [{"name": "a", "weight": 0.2}, {"name": "b", "weight": 0.8}],
        },
        "n_labeled": 5,
        "interrupted": False,
        "outlier_scale": {"median": 1.0},
        "parameters": {
            "smoothing": 1e-9,
            "kind": "slow",
            "early": True,
            "objective": {"kind": "em", "labeled_fraction": "auto", "e_step_interval": 5},
            "images": {"shape": [1, 8, 8], "views": None},
            "verbose": 7,
        },
        "forged": "x" * 10_000,
        "tensors_sha256": "0" * 64,
    }
    facts = dict(describe(manifest))
    assert facts["versions"] == "flowssl 1.0, torch 2.0"
    assert facts["classes"] == "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 10 more"
    assert facts["columns"] == "2: a, b"
    assert facts["training"].startswith("2 epochs, last nats per dim -1.25")
    assert facts["initialization: weights"] == "0.1235, 1e-09"
    assert facts["initialization: candidates"] == "b 0.80, a 0.20"
    assert facts["labeled rows"] == "5"
    assert facts["interrupted"] == "no"
    assert not any("outlier" in name for name in facts)
    assert facts["parameters"] == (
        "kind='slow', objective='em', e_step_interval=5, image_shape=[1, 8, 8], views=None"
    )
    assert len(facts["forged"]) < 300
    assert "tensors sha256" not in facts
    records = ('"columns": 5', '"columns": [{}]', '"shape": 1')
    of_tables = [f'{{"row_kind": "table", {record}}}' for record in records]
    of_images = [f'{{"row_kind": "image", {record}}}' for record in records]
    for damaged in ("damaged", "5", "[]", '{"columns": 5}', *of_tables, *of_images):
        assert dict(describe({"encoder": damaged, "n_labeled": 1}))["labeled rows"] == "1"
    assert describe({"encoder": None, "classes": None, "history": []})


def test_info_on_images(use_standin: None) -> None:
    from flowssl.cli.info import describe

    encoder = json.dumps(
        {"row_kind": "image", "shape": [3, 32, 16], "layout": "rows", "dtype": "<f8"}
    )
    facts = dict(describe({"encoder": encoder, "n_labeled": 5, "parameters": {"objective": "em"}}))
    assert facts["channels, height, width"] == "3 x 32 x 16"
    assert facts["labeled images"] == "5"
    assert facts["parameters"] == "objective='em'"
    assert dict(describe({"parameters": {"objective": "soft-labels", "images": None}})) == {
        "parameters": "all default"
    }


def test_report_gets_the_data(
    model: str, run: Run, monkeypatch: pytest.MonkeyPatch, flowers: pd.DataFrame
) -> None:
    calls = []
    fake = ModuleType("flowssl.report")
    fake.write_report = lambda *positional, **named: calls.append((positional, named))
    monkeypatch.setitem(__import__("sys").modules, "flowssl.report", fake)
    flowers.head(9).to_csv("test.csv")
    code, out, _ = run(
        *("report", model, "flowers.csv", "--target", "kind"),
        *("-o", "r.html", "--test", "test.csv", "--title", "T"),
    )
    assert (code, out) == (0, "")
    (estimator, X, y, path), named = calls[0]
    assert estimator.classes_.tolist() == ["iris", "lily", "rose"]
    assert X.column_names == COLUMNS
    assert [label for label in y if label] == flowers["kind"].dropna().tolist()
    assert path == "r.html"
    assert named["X_test"].num_rows == len(named["y_test"]) == 9
    assert named["title"] == "T"
    assert run(*FIT, "--report", "f.html")[0] == 0
    assert calls[1][0][3] == "f.html"


@pytest.mark.parametrize(
    ("column", "options", "classes", "labeled"),
    [
        ([1, 0, -1] * 30, (), [0, 1], 60),
        ([1.0, 0.0, None] * 30, (), ["0.0", "1.0"], 60),
        ([1, 0, -1] * 30, ("--unlabeled-value", "0"), [-1, 1], 60),
        ([1, 0, -1] * 30, ("--unlabeled-value", "none"), [-1, 0, 1], 90),
        ([1, None, 9] * 30, ("--unlabeled-value", "9"), [1], 30),
        (["a", "b", "?"] * 30, ("--unlabeled-value", "?"), ["a", "b"], 60),
        (["a", None, "?"] * 30, ("--unlabeled-value", "?"), ["a"], 30),
        ([True, False, None] * 30, (), ["False", "True"], 60),
        (["-1", "b", None] * 30, ("--unlabeled-value", ""), ["-1", "b"], 60),
        (["a", *["b"] * 9] + [None] * 80, (), ["a", "b"], 10),
    ],
)
def test_marks_of_unlabeled_rows(
    folder: Path,
    run: Run,
    flowers: pd.DataFrame,
    column: list[object],
    options: tuple[str, ...],
    classes: list[object],
    labeled: int,
) -> None:
    flowers.assign(kind=pd.Series(column, dtype=object)).to_csv("t.csv", index=False)
    arguments = ("fit", "t.csv", "--target", "kind", "--features", ",".join(COLUMNS))
    code, out, err = run(*arguments, "-o", "m.flowssl", *options)
    assert (code, err) == (0, "")
    assert f"90: {labeled} labeled" in out
    assert read_manifest("m.flowssl")["classes"] == classes
    code, out, err = run("evaluate", "m.flowssl", "t.csv", "--target", "kind", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["labeled"] == labeled


def test_a_class_that_looks_like_a_missing_mark_is_pointed_out(
    folder: Path, run: Run, flowers: pd.DataFrame
) -> None:
    flowers.fillna("unknown").to_csv("t.csv", index=False)
    arguments = ("fit", "t.csv", "--target", "kind", "--drop", "truth,row", "-o", "m.flowssl")
    code, _, err = run(*arguments)
    assert code == 0
    assert "'unknown' in column 'kind' is taken for a class" in err
    assert "--unlabeled-value unknown" in err
    assert run(*arguments, "--unlabeled-value", "unknown")[2] == ""


def test_parameters_reach_the_estimator(
    folder: Path, run: Run, standin: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        standin.FlowGMMClassifier, "_end", lambda self: seen.append(self.get_params())
    )
    run(*FIT)
    run(*FIT, "--smoothing", "1e-3", "--kind", "slow", "--no-early", "-q", "--checkpoint", "none")
    run(*FIT, "--kind", "7", "--random-state", "5", "--class-prior", ".5,.25,.25")
    run(*FIT, "--random-state", "none", "--early", "--verbose", "3")
    run(*FIT, "--objective", "em", "--labeled-fraction", "none", "--e-step-interval", "5")
    objective = seen.pop()["objective"]
    defaults = standin.FlowGMMClassifier().get_params()
    ours = {"checkpoint": "m.flowssl.checkpoint", "verbose": 1}
    assert seen == [
        defaults | ours,
        defaults
        | {"smoothing": 1e-3, "kind": "slow", "early": False, "verbose": 0, "checkpoint": None},
        defaults | ours | {"kind": 7, "random_state": 5, "class_prior": [0.5, 0.25, 0.25]},
        defaults | ours | {"verbose": 3},
    ]
    assert (
        objective.get_params()
        == ObjectiveOptions("em", labeled_fraction=None, e_step_interval=5).get_params()
    )


def test_a_model_without_column_names_takes_columns_by_place(
    folder: Path, run: Run, same_in_python: object, flowers: pd.DataFrame
) -> None:
    same_in_python.save("p.flowssl")
    flowers[COLUMNS].to_csv("three.csv", index=False)
    code, three, _ = run("predict", "p.flowssl", "three.csv")
    assert code == 0
    chosen = ("--features", "len,width,height")
    assert run("predict", "p.flowssl", "flowers.csv", *chosen) == (0, three, "")
    np.save("three.npy", flowers[COLUMNS].to_numpy())
    assert run("predict", "p.flowssl", "three.npy") == (0, three, "")


def test_resume(folder: Path, run: Run, standin: ModuleType, monkeypatch: object) -> None:
    checkpoint = Path("m.flowssl.checkpoint")
    code, _, err = run(*FIT, "--resume")
    assert code == 2
    assert "there is no checkpoint m.flowssl.checkpoint" in err
    resumed = []
    original = standin.FlowGMMClassifier.save
    monkeypatch.setattr(
        standin.FlowGMMClassifier,
        "save",
        lambda self, path: (resumed.append(getattr(self, "resumed_", None)), original(self, path)),
    )
    standin.write_state(checkpoint, "left over")
    standin.write_state("m.flowssl.checkpoint.1", "of a second model")
    code, _, err = run(*FIT)
    assert code == 2
    assert "m.flowssl.checkpoint is the checkpoint of a fit that was stopped" in err
    assert "add --resume to continue it" in err
    assert run(*FIT, "--resume")[0] == 0
    assert resumed.pop() == "left over"
    assert not checkpoint.exists()
    code, _, err = run(*FIT)  # would stop in the middle, at the second model
    assert code == 2
    assert "m.flowssl.checkpoint.1" in err
    Path("m.flowssl.checkpoint.1").unlink()
    assert run(*FIT)[0] == 0
    assert resumed.pop() is None
    assert run(*FIT, "--resume", "--checkpoint", "none")[0] == 2


def test_ctrl_c_saves_the_best_model_so_far(folder: Path, run: Run) -> None:
    code, _, err = run(*FIT, "--kind", "stopped")
    assert code == 130
    assert err == (
        "interrupted: m.flowssl holds the best model so far; "
        "add --resume to the same command to continue.\n"
    )
    assert run("predict", "m.flowssl", "flowers.csv")[0] == 0
    assert run(*FIT, "--resume")[0] == 0
    assert not Path("m.flowssl.checkpoint").exists()
