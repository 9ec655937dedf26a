"""The accuracy benchmark: committed draws, honest metrics, a run that resumes and survives failures."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks.accuracy import data, draws, methods, metrics, results, worker
from benchmarks.accuracy.__main__ import cells, main
from benchmarks.accuracy.draws import Budget
from sklearn.metrics import balanced_accuracy_score, log_loss

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = json.loads(draws.CHECKSUM_FILE.read_text())


# --- draws


@pytest.mark.parametrize("name", data.LOADERS)
def test_draws_are_the_committed_ones(name):
    try:
        table = data.load(name)
    except FileNotFoundError:
        pytest.skip(f"the {name} data are not on this machine")
    assert draws.checksum(table) == COMMITTED[name]


def _table(counts, own_test=False):
    y = np.repeat(np.arange(len(counts)), counts)
    X = np.arange(len(y), dtype=float)[:, None]
    return data.Table("made", X, y, X[:5] if own_test else None, y[:5] if own_test else None)


def test_a_draw_holds_out_a_third_of_each_class_and_labels_others():
    table = _table([30, 60, 91])
    chosen = draws.draw(table, Budget(4), 0)
    assert np.bincount(table.y[chosen.test]).tolist() == [10, 20, 31]
    assert np.bincount(table.y[chosen.labeled]).tolist() == [4, 4, 4]
    assert set(chosen.labeled) <= set(chosen.train)
    assert sorted([*chosen.train, *chosen.test]) == list(range(181))


def test_a_test_set_of_the_datas_own_leaves_all_rows_for_training():
    chosen = draws.draw(_table([30, 60], own_test=True), Budget(4), 0)
    assert len(chosen.test) == 0
    assert len(chosen.train) == 90


def test_a_larger_budget_keeps_the_labels_of_a_smaller_one_and_the_test_rows():
    table = _table([300, 60, 91])
    small, large = (draws.draw(table, Budget(n), 3) for n in (2, 10))
    assert set(small.labeled) < set(large.labeled)
    np.testing.assert_array_equal(small.test, large.test)
    other = draws.draw(table, Budget(2), 4)
    assert set(small.labeled) != set(other.labeled)


def test_labels_in_all_are_dealt_evenly():
    table = _table([300, 60, 91])
    counts = [
        np.bincount(table.y[draws.draw(table, Budget(20, in_total=True), n).labeled])
        for n in range(8)
    ]
    assert all(sorted(c) == [6, 7, 7] for c in counts)
    assert len({tuple(c) for c in counts}) > 1  # which class gets less is part of the draw


def test_too_large_a_budget_is_refused():
    table = _table([30, 60])
    assert draws.fits(table, Budget(19))
    assert not draws.fits(table, Budget(20))
    with pytest.raises(ValueError, match="class 0 has 20 training rows, too few for 20"):
        draws.draw(table, Budget(20), 0)


@pytest.mark.parametrize("text", ["5", "total:20"])
def test_budgets_are_read_as_they_are_written(text):
    assert str(Budget.parse(text)) == text


@pytest.mark.parametrize("text", ["0", "-1", "five", "total:", "total:x"])
def test_other_budgets_are_refused(text):
    with pytest.raises(ValueError, match="a budget must be"):
        Budget.parse(text)


def test_a_total_that_divides_evenly_is_a_budget_a_class():
    assert Budget.parse("total:20").for_classes(2) == Budget(10)
    assert Budget.parse("total:20").for_classes(3) == Budget(20, in_total=True)


# --- metrics


def test_metrics_agree_with_scikit_learn():
    rng = np.random.default_rng(0)
    proba, y = rng.dirichlet(np.ones(4), 500), rng.integers(0, 4, 500)
    found = metrics.scores(proba, y)
    guess = proba.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.mean(guess == y))
    assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(y, guess))
    assert found["nll"] == pytest.approx(log_loss(y, np.clip(proba, 1e-6, None)), abs=1e-3)


def test_calibration_error_on_cases_worked_by_hand():
    # Two bins: confidence .7 of which half are right, confidence 1 of which all are.
    proba = np.array([[0.7, 0.3]] * 10 + [[0.0, 1.0]] * 30)
    y = np.array([0] * 5 + [1] * 5 + [1] * 30)
    assert metrics.expected_calibration_error(proba, y) == pytest.approx(0.2 * 10 / 40)
    # A value on the edge of a bin belongs to the lower one: (0, 1/15] ... (14/15, 1].
    edge = np.array([[0.6, 0.4], [0.65, 0.35]])
    expected = (abs(1 - 0.6) + abs(0 - 0.65)) / 2
    assert metrics.expected_calibration_error(edge, np.array([0, 1])) == pytest.approx(expected)


def test_a_certain_mistake_costs_the_floor():
    proba = np.array([[1.0, 0.0]])
    found = metrics.negative_log_likelihood(proba, np.array([1]))
    assert found == pytest.approx(-np.log(metrics.FLOOR))


# --- what is run


@pytest.mark.parametrize(
    ("suite", "names", "budgets", "expected"),
    [
        (None, ["hepmass"], None, [("hepmass", ["total:20"])]),
        (None, ["digits"], None, [("digits", ["2", "10"])]),
        (None, ["circles"], None, [("circles", ["1", "2", "5", "10", "50", "total:20"])]),
        ("full", ["ag_news"], None, [("ag_news", ["1", "2", "5", "10", "50", "total:200"])]),
        ("small", ["wine", "moons"], ["7"], [("wine", ["7"]), ("moons", ["7"])]),
    ],
)
def test_data_sets_and_budgets_of_a_command(suite, names, budgets, expected):
    asked = [Budget.parse(text) for text in budgets] if budgets else None
    found = [(name, [str(b) for b in each]) for name, each in cells(suite, names, asked)]
    assert found == expected


def test_the_papers_files_run_with_a_root(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("1000_train.csv", "1000_test.csv"):
        y = np.arange(80) % 2
        rows = np.column_stack([y, rng.normal(size=(80, 27)) + y[:, None]])
        header = "# label," + ",".join(f"f{j}" for j in range(27))
        np.savetxt(tmp_path / name, rows, delimiter=",", header=header, comments="")
    table = data.load("hepmass", tmp_path)
    record = worker.run(worker.Job("logreg", "hepmass", "10", (0,)), table, 0)
    assert record["status"] == "ok"
    assert (record["n_train"], record["n_labeled"], record["n_test"]) == (80, 20, 80)
    assert record["accuracy"] > 0.9
    with pytest.raises(FileNotFoundError, match="hepmass needs --root"):
        data.load("hepmass")


# --- runs


@pytest.fixture
def command(tmp_path, capsys):
    """Run the benchmark on 120 rows of moons, workers in real processes; results in `tmp_path`."""

    def run(*arguments):
        fixed = ("--dataset", "moons", "--max-rows", "120", "--budget", "3", "--jobs", "1")
        main([*fixed, "--results", str(tmp_path), *arguments])
        return capsys.readouterr().out

    return run


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_writes_cells_and_table_and_resumes_where_it_was_cut(command, tmp_path):
    assert "2 cells to run in 1 jobs" in command("--method", "logreg", "--draws", "2")
    path = tmp_path / "logreg.jsonl"
    first = _lines(path)
    assert [(r["method"], r["budget"], r["draw"], r["status"]) for r in first] == [
        ("logreg", "3", 0, "ok"),
        ("logreg", "3", 1, "ok"),
    ]
    assert all(0.5 < r["accuracy"] <= 1 and r["n_labeled"] == 6 for r in first)
    assert all(r["n_train"] + r["n_test"] == 120 and r["peak_mib"] > 10 for r in first)
    page = (tmp_path / "table.md").read_text()
    assert "### moons, 3 per class, 120 rows" in page
    assert "| logreg | 2 |" in page

    # As after a crash in the middle of a line: the second draw is missing.
    path.write_text(path.read_text()[:-40])
    assert "2 cells to run in 1 jobs" in command("--method", "logreg", "--draws", "3")
    again = _lines(path)
    assert [r["draw"] for r in again] == [0, 1, 2]
    assert again[0] == first[0]
    assert again[1]["accuracy"] == first[1]["accuracy"]
    assert "0 cells to run" in command("--method", "logreg", "--draws", "3")


class _Broken:
    def fit(self, X, y):
        raise RuntimeError("no luck\ntoday")


class _NotANumber:
    def fit(self, X, y):
        return self

    def predict_proba(self, X):
        proba = np.full((len(X), 2), 0.5)
        proba[3] = np.nan
        return proba


@pytest.mark.parametrize(
    ("model", "error"),
    [(_Broken, "RuntimeError: no luck"), (_NotANumber, "2 rows without finite probabilities")],
)
def test_a_failing_method_becomes_a_line(model, error, monkeypatch):
    monkeypatch.setitem(methods.METHODS, "broken", lambda situation: model())
    job = worker.Job("broken", "moons", "3", (0,))
    record = worker.run(job, data.load("moons", max_rows=60), 0)
    assert (record["status"], record["error"]) == ("failed", error)
    summary = results.summarize([record])[0]
    assert summary.failed == 1.0
    assert "| broken | 1 |" in results.table([summary])


def test_a_worker_that_dies_leaves_its_draws_as_failed(monkeypatch, tmp_path):
    from benchmarks.accuracy import runner
    from rich.console import Console

    job = worker.Job("logreg", "no_such_data", "3", (0, 1))
    with Path(os.devnull).open("w") as nowhere:
        runner.run([job], tmp_path, 1, Console(file=nowhere))
    lines = _lines(tmp_path / "logreg.jsonl")
    assert [line["status"] for line in lines] == ["failed", "failed"]
    assert "KeyError: 'no_such_data'" in lines[0]["error"]


def test_a_run_that_is_stopped_records_no_failure_and_leaves_no_worker(tmp_path):
    command = [sys.executable, "-m", "benchmarks.accuracy", "--results", str(tmp_path)]
    asked = ["--dataset", "wine", "--budget", "3", "--method", "random-forest"]
    with subprocess.Popen(
        [*command, *asked, "--draws", "1000", "--jobs", "1"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        while not process.stdout.readline().startswith("random-forest"):
            pass  # until the first cell is finished
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
    assert process.returncode == 0
    assert "stopped; the same command continues from here" in rest
    lines = _lines(tmp_path / "random-forest.jsonl")
    assert 1 <= len(lines) < 1000
    assert {line["status"] for line in lines} == {"ok"}


def test_methods_never_see_hidden_labels(monkeypatch):
    seen = {}

    class Spy:
        def fit(self, X, y):
            seen["y"] = y
            return self

        def predict_proba(self, X):
            return np.full((len(X), 2), 0.5)

    monkeypatch.setitem(methods.METHODS, "spy", lambda situation: Spy())
    table = data.load("moons", max_rows=90)
    record = worker.run(worker.Job("spy", "moons", "4", (1,)), table, 1)
    assert np.bincount(seen["y"] + 1).tolist() == [len(seen["y"]) - 8, 4, 4]
    assert record["n_train"] == len(seen["y"])


def test_the_summary_counts_a_lost_draw_as_the_worst():
    base = {"method": "m", "dataset": "moons", "budget": "3", "max_rows": None, "peak_mib": 1}
    good = {**base, "status": "ok", **dict.fromkeys(results.AVERAGED, 0.9)}
    lost = {**base, "status": "failed", "error": "x"}
    summary = results.summarize([{**good, "draw": 0}, {**lost, "draw": 1}])[0]
    assert summary.mean["accuracy"] == pytest.approx(0.9)
    assert (summary.worst, summary.failed) == (0.0, 0.5)


SUPERVISED = ("logreg", "logreg-quantile", "knn", "random-forest", "hist-gradient-boosting")
SEMI = ("self-training", "label-spreading-knn", "label-spreading-rbf")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("per_class", [1, 6])
@pytest.mark.parametrize("name", [*SUPERVISED, *SEMI])
def test_every_library_method_handles_one_label_and_several(name, per_class):
    table = data.load("wine")
    job = worker.Job(name, "wine", str(per_class), (0,))
    record = worker.run(job, table, 0)
    assert record["error"] == ""
    # Boosting has no split to make with one label per class.
    assert record["accuracy"] > (0.2 if name == "hist-gradient-boosting" else 0.7)
