"""The commands on the real estimator, in real processes where that matters."""

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import flowssl
from flowssl._persistence import read_manifest, read_model_file
from flowssl.baselines import M2VAEClassifier
from flowssl.cli import main

COLUMNS = ["height", "weight", "floor"]
FIT = ["fit", "t.csv", "--target", "kind", "--drop", "truth"]
OPTIONS = ["--random-state", "0", "--max-epochs", "6", "--propagation-weight", "1"]


def _table(rows: int, seed: int) -> pd.DataFrame:
    """Two classes; two columns of numbers, one with gaps, and one of text."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(2, size=rows)
    numbers = rng.standard_normal((rows, 2)) + 3 * truth[:, None]
    frame = pd.DataFrame(numbers, columns=["height", "weight"])
    frame.loc[::10, "weight"] = np.nan
    frame["floor"] = np.where(rng.random(rows) < 0.2 + 0.6 * truth, "1", "B")
    frame["kind"] = np.where(np.arange(rows) < 20, np.where(truth == 1, "dog", "cat"), None)
    frame["truth"] = np.where(truth == 1, "dog", "cat")
    return frame


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a table, new rows, a model fitted on the table and what fit printed."""
    folder = tmp_path_factory.mktemp("home")
    _table(200, seed=0).to_csv(folder / "t.csv", index=False)
    _table(50, seed=1).to_csv(folder / "new.csv", index=False)
    with (folder / "shown.txt").open("w") as shown, redirect_stdout(shown), chdir(folder):
        assert main([*FIT, *OPTIONS, "-o", "m.flowssl"]) == 0
    return folder


@pytest.fixture
def run(
    home: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a command in the folder and give its standard output."""
    monkeypatch.chdir(home)

    def run(*arguments: str) -> str:
        assert main(arguments) == 0
        return capfd.readouterr().out

    return run


def test_predictions_equal_those_of_the_same_fit_in_python(run: Callable[..., str]) -> None:
    table, new = _table(200, seed=0), _table(50, seed=1)
    estimator = flowssl.FlowGMMClassifier(random_state=0, max_epochs=6, propagation_weight=1.0)
    estimator.fit(table[COLUMNS], table["kind"])
    out = run("predict", "m.flowssl", "new.csv", "--proba", "--log-density", "--ood-score")
    frame = pd.read_csv(io.StringIO(out))
    X = new[COLUMNS]
    assert list(frame)[:3] == ["prediction", "proba_cat", "proba_dog"]
    np.testing.assert_array_equal(frame["prediction"], estimator.predict(X))
    probabilities = frame[["proba_cat", "proba_dog"]]
    np.testing.assert_allclose(probabilities, estimator.predict_proba(X), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(frame["log_density"], estimator.score_samples(X), rtol=1e-9)
    np.testing.assert_allclose(frame["ood_score"], estimator.ood_score(X), rtol=1e-6, atol=1e-9)
    result = json.loads(run("evaluate", "m.flowssl", "new.csv", "--target", "truth", "--json"))
    assert result["labeled"] == 50
    assert result["accuracy"] == pytest.approx(estimator.score(X, new["truth"]))
    assert result["accuracy"] > 0.9


def test_another_method_is_fitted_saved_and_described(run: Callable[..., str]) -> None:
    run(*FIT, *OPTIONS, "--method", "scnf-gmm", "--class-features", "2", "-o", "scnf.flowssl")
    loaded = flowssl.load("scnf.flowssl")
    assert isinstance(loaded, flowssl.SemiConditionalFlowClassifier)
    assert (loaded.class_density, loaded.class_features_) == ("gaussian", 2)
    result = json.loads(run("evaluate", "scnf.flowssl", "new.csv", "--target", "truth", "--json"))
    assert result["accuracy"] > 0.8
    assert "class_density='gaussian'" in run("info", "scnf.flowssl")


M2_VAE = ("--method", "m2-vae", "--kind", "m2", "--n-latents", "2", "--hidden-layer-sizes", "16,8")


def test_an_auto_encoder_does_all_but_what_needs_a_density(
    run: Callable[..., str], capfd: pytest.CaptureFixture[str]
) -> None:
    steps = ("--n-steps", "150", "--learning-rate", "0.01", "--random-state", "0")
    shown = run(*FIT, *M2_VAE, *steps, "-o", "vae.flowssl")
    assert "200: 20 labeled, 180 unlabeled" in shown
    estimator = M2VAEClassifier(
        kind="m2",
        n_latents=2,
        hidden_layer_sizes=[16, 8],
        n_steps=150,
        learning_rate=0.01,
        random_state=0,
    ).fit(_table(200, seed=0)[COLUMNS], _table(200, seed=0)["kind"])
    frame = pd.read_csv(io.StringIO(run("predict", "vae.flowssl", "new.csv", "--proba")))
    expected = estimator.predict_proba(_table(50, seed=1)[COLUMNS])
    np.testing.assert_allclose(frame["proba_dog"], expected[:, 1], rtol=1e-9)
    result = json.loads(run("evaluate", "vae.flowssl", "new.csv", "--target", "truth", "--json"))
    assert result["accuracy"] > 0.8
    assert "hidden_layer_sizes=[16, 8]" in run("info", "vae.flowssl")
    drawn = run("sample", "vae.flowssl", "-n", "200", "--label", "dog", "--random-state", "1")
    samples = pd.read_csv(io.StringIO(drawn))
    assert list(samples) == [*COLUMNS, "label"]
    assert abs(samples["height"].mean() - 3) < 0.7

    for refused in (
        ("score", "vae.flowssl", "new.csv"),
        ("predict", "vae.flowssl", "new.csv", "--log-density"),
        ("predict", "vae.flowssl", "new.csv", "--ood-score"),
        ("report", "vae.flowssl", "new.csv", "--target", "truth", "-o", "r.html"),
    ):
        assert main(refused) == 2
        assert "is for flows, which have an exact density" in capfd.readouterr().err
    for option in (["--report", "r.html"], ["--resume"]):
        assert main([*FIT, *M2_VAE, *option, "-o", "other.flowssl"]) == 2
        assert "leave it out with --method m2-vae" in capfd.readouterr().err
    assert not Path("other.flowssl").exists()


def test_text_that_looks_like_numbers_in_new_rows_is_still_text(run: Callable[..., str]) -> None:
    new = _table(50, seed=1)
    digits = new[new["floor"] == "1"]
    digits.to_csv("digits.csv", index=False)  # its column "floor" reads as integers
    out = run("predict", "m.flowssl", "digits.csv", "--proba")
    expected = flowssl.load("m.flowssl").predict_proba(digits[COLUMNS])
    frame = pd.read_csv(io.StringIO(out))
    np.testing.assert_allclose(frame["proba_dog"], expected[:, 1], rtol=1e-9)


def test_samples_are_rows_of_the_same_kind(run: Callable[..., str]) -> None:
    arguments = ("sample", "m.flowssl", "-n", "200", "--label", "dog", "--random-state", "1")
    out = run(*arguments)
    frame = pd.read_csv(io.StringIO(out))
    assert list(frame) == [*COLUMNS, "label"]
    assert set(frame["floor"].astype(str)) == {"1", "B"}
    assert set(frame["label"]) == {"dog"}
    assert abs(frame["height"].mean() - 3) < 0.5
    assert run(*arguments) == out


def test_info_shows_what_was_learned(run: Callable[..., str]) -> None:
    out = run("info", "m.flowssl")
    assert "cat, dog" in out
    assert "3: height, weight, floor" in out
    assert "propagation_weight=1.0, max_epochs=6, random_state=0" in out


def test_fit_says_what_it_did(home: Path) -> None:
    shown = (home / "shown.txt").read_text()
    for expected in (
        "200: 20 labeled, 180 unlabeled",
        "2: cat, dog",
        "from the labels alone",
        "nats per held-out label",
    ):
        assert expected in shown


def _start(home: Path, arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "flowssl", *arguments],
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_resume_after_kill_9_ends_with_the_same_bits(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(home)
    arguments = [*FIT, *OPTIONS, "-q", "-o", "killed.flowssl"]
    checkpoint = Path("killed.flowssl.checkpoint")
    process = _start(home, arguments)
    _wait_for(checkpoint.exists, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert checkpoint.exists()
    assert not Path("killed.flowssl").exists()

    assert main([*arguments, "--resume", "--learning-rate", "1e-4"]) == 2
    assert "checkpoint" in capsys.readouterr().err
    assert main([*arguments, "--resume"]) == 0
    assert not checkpoint.exists()
    whole, resumed = (read_model_file(f"{name}.flowssl").tensors for name in ("m", "killed"))
    assert whole.keys() == resumed.keys()
    for name, tensor in whole.items():
        assert tensor.tobytes() == resumed[name].tobytes(), name


def test_ctrl_c_leaves_a_model(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    endless = ["--max-epochs", "4000", "--no-early-stopping"]
    process = _start(home, [*FIT, *OPTIONS, *endless, "-o", "stopped.flowssl"])
    _wait_for(Path("stopped.flowssl.checkpoint").exists, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130
    assert "Traceback" not in errors
    assert "stopped.flowssl holds the best model so far" in errors
    manifest = read_manifest("stopped.flowssl")
    assert manifest["interrupted"] is True
    assert len(manifest["history"]) < 4000
    assert main(["predict", "stopped.flowssl", "new.csv", "-o", "p.csv", "-q"]) == 0
    assert len(pd.read_csv("p.csv")) == 50


def test_score_compares_sets_of_rows(run: Callable[..., str], home: Path) -> None:
    far = pd.read_csv(home / "new.csv")
    far["height"] += 50
    far.to_csv(home / "far.csv", index=False)
    words = ("score", "m.flowssl", "new.csv", "--compare", "far=far.csv")
    result = json.loads(run(*words, "--json", "--plot", "f.svg", "--theme", "dark"))
    assert [rows["name"] for rows in result["sets"]] == ["new", "far"]
    model = flowssl.load("m.flowssl")
    log_prob = model.score_samples(far[COLUMNS])
    assert result["sets"][1]["median_log_prob"] == pytest.approx(np.median(log_prob))
    assert result["sets"][1]["auroc_unlikely"] == 1
    assert (home / "f.svg").read_text().startswith("<?xml")
    shown = run(*words)
    assert "1.000 / 0.000" in shown
    assert "unlikely*" in shown


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--plot", "f.png"), "add --compare"),
        (("--compare", "new.csv"), "NAME=FILE"),
        (("--compare", "new=new.csv"), "choose another"),
        (("--compare", "a=new.csv", "--plot", "new.csv"), "ends in one of"),
    ],
)
def test_a_comparison_needs_names_and_a_figure_an_ending(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(home)
    assert main(["score", "m.flowssl", "new.csv", *words]) != 0
    assert message in capfd.readouterr().err
