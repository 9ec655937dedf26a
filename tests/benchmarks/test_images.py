"""The benchmark of images, on the 8 x 8 digits: what is recorded, kept and tabulated."""

import argparse

import numpy as np
import pytest
from benchmarks.images import __main__ as command
from benchmarks.images import methods, results
from benchmarks.images.data import Images, draw
from benchmarks.images.recorder import Recorder
from sklearn.datasets import load_digits


@pytest.fixture
def images():
    digits = load_digits()
    X = (digits.images * 255 / 16).round().astype(np.uint8)
    y = digits.target.astype(np.int64)
    return Images(X[:600], y[:600], X[600:1000], y[600:1000])


def test_weights_of_every_epoch_are_recorded_as_the_training_tested_them(images, monkeypatch):
    monkeypatch.setattr("flowssl.estimators._image_domain.STEPS", 40 * 12)
    monkeypatch.setattr("benchmarks.images.recorder.POLL_SECONDS", 0.01)
    recorder = Recorder()
    y = draw(images.y, 100, 0)
    with recorder.checkpoints() as path:
        model = methods.flow("supervised", images, y, 0, max_epochs=2, checkpoint=path)
    assert len(recorder.moments) == len(model.history_) == 2
    assert not path.exists()
    labeled = y >= 0

    def accuracy(weights):
        model.models_[0].load_state_dict(weights)
        return model.score(images.X[labeled], y[labeled])

    curve = recorder.curve(accuracy)
    recorded = [epoch["label_accuracy"] for epoch in model.history_]
    assert [point["accuracy"] for point in curve] == pytest.approx(recorded, abs=1e-4)
    times = np.array([[moment.wall, moment.cpu] for moment in recorder.moments])
    assert (np.diff(times, axis=0) > 0).all()


def test_the_network_learns_from_labels_alone(images, monkeypatch):
    monkeypatch.setattr(methods, "NETWORK_STEPS", 80)
    monkeypatch.setattr(command, "load", lambda name: images)
    asked = argparse.Namespace(set="mnist", labels=200, method="cnn", seed=0, images=None)
    run = command.measure(asked)
    assert run["accuracy"] > 0.6
    assert command.measure(asked)["accuracy"] == run["accuracy"]


def test_a_flow_of_some_images_is_recorded_with_its_settings(images, monkeypatch):
    monkeypatch.setattr("flowssl.estimators._image_domain.STEPS", 40 * 3)
    monkeypatch.setattr(command, "load", lambda name: images)
    asked = argparse.Namespace(
        set="mnist",
        labels=50,
        method="flow",
        seed=0,
        epochs=2,
        architecture="glow",
        batch=16,
        images=200,
        save=None,
        curve=False,
    )
    run = command.measure(asked)
    assert results.name(run) == "flow, glow, 2 epochs, 200 images"
    assert len(run["held_out_loss"]) == len(run["seconds_of_epochs"]) == 2
    assert run["held_out_loss"][1] < run["held_out_loss"][0]


def test_runs_are_kept_line_by_line_and_the_last_of_a_kind_counts(tmp_path):
    common = {"set": "mnist", "labels": 100, "cpu_minutes": 2.0}
    flow = {**common, "method": "cons", "max_epochs": "auto", "bits_per_dimension": 2.0}
    for seed, accuracy in ((0, 0.5), (1, 0.7), (0, 0.9)):
        results.append({**flow, "seed": seed, "accuracy": accuracy}, tmp_path)
    bound = {"expected_bits": 2.1}
    results.append({**flow, **bound, "max_epochs": 2, "seed": 0, "accuracy": 0.3}, tmp_path)
    results.append({**common, "method": "cnn", "seed": 0, "accuracy": 0.6}, tmp_path)
    results.write_table(tmp_path)
    assert (tmp_path / "table.md").read_text().splitlines()[2:] == [
        "| mnist | 100 | cnn | 0.6000 | 0.6000 | 1 | - | - | 2.00 |",
        "| mnist | 100 | cons | 0.8000 | 0.7000 | 2 | 2.000 | - | 2.00 |",
        "| mnist | 100 | cons, 2 epochs | 0.3000 | 0.3000 | 1 | 2.000 | 2.100 | 2.00 |",
    ]
