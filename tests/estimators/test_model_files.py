"""Saved estimators: the same bits back, and nothing else than an estimator is taken for one."""

import numpy as np
import pandas as pd
import pytest

import flowssl
from flowssl._persistence import read_model_file, write_model_file
from flowssl.exceptions import ModelFileError

# Tiny tables: whether their unlabeled rows help is a matter of chance.


@pytest.fixture(scope="module")
def saved(fitted, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "moons.flowssl"
    fitted.save(path)
    return path


def test_loaded_model_answers_with_the_same_bits(fitted, saved, moons):
    X, _, _ = moons
    loaded = flowssl.load(saved)
    assert np.array_equal(loaded.predict_proba(X), fitted.predict_proba(X))
    assert np.array_equal(loaded.score_samples(X), fitted.score_samples(X))
    assert np.array_equal(loaded.transform(X), fitted.transform(X))
    assert np.array_equal(loaded.ood_score(X), fitted.ood_score(X))
    assert np.array_equal(
        loaded.sample(20, random_state=3)[0], fitted.sample(20, random_state=3)[0]
    )
    assert np.array_equal(loaded.baseline_.predict_proba(X), fitted.baseline_.predict_proba(X))
    assert loaded.get_params() == fitted.get_params()
    assert loaded.history_ == fitted.history_
    assert loaded.initialization_ == fitted.initialization_


def test_frames_categories_and_ensembles_come_back(quick, mixed, tmp_path):
    frame, _, labels = mixed
    model = quick(n_estimators=2, unlabeled_value=np.nan, class_prior=[0.3, 0.7]).fit(frame, labels)
    model.save(tmp_path / "a.flowssl")
    loaded = flowssl.load(tmp_path / "a.flowssl")
    assert np.array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    pd.testing.assert_frame_equal(
        loaded.sample(9, random_state=0)[0], model.sample(9, random_state=0)[0]
    )
    assert np.isnan(loaded.unlabeled_value)


@pytest.mark.parametrize("learned", [False, True])
def test_what_training_may_move_comes_back(quick_flowgmm, quick, moons, tmp_path, learned):
    X, _, y = moons
    prior = "learned" if learned else None
    for model in (
        quick(class_prior=prior),
        quick_flowgmm(learn_gaussians=learned, class_prior=prior),
    ):
        model.fit(X, y).save(tmp_path / "m.flowssl")
        free, again = (
            {name: parameter.requires_grad for name, parameter in m.models_[0].named_parameters()}
            for m in (model, flowssl.load(tmp_path / "m.flowssl"))
        )
        assert again == free
        assert learned in free.values()


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["cat", "dog"]),
        np.array([True, False]),
        np.array([2.0, 7.0]),
        np.array([10, 20], dtype=np.int16),
        np.array(["2020-01-01", "2021-06-01"], dtype="datetime64[D]"),
        np.array(["a", "b"], dtype=object),
    ],
    ids=lambda classes: classes.dtype.name,
)
def test_labels_keep_their_type(quick_flowgmm, classes, tmp_path):
    X = np.random.default_rng(0).normal(size=(30, 2))
    model = quick_flowgmm(unlabeled_value=None).fit(X, classes[np.arange(30) % 2])
    model.save(tmp_path / "a.flowssl")
    predicted = flowssl.load(tmp_path / "a.flowssl").predict(X)
    assert predicted.dtype == model.predict(X).dtype
    assert np.array_equal(predicted, model.predict(X))


def test_an_interrupted_save_keeps_the_old_file(saved, fitted, monkeypatch):
    from flowssl import _model_file

    before = saved.read_bytes()
    monkeypatch.setattr(_model_file, "parameters_to_json", lambda _: {"device": object()})
    with pytest.raises((TypeError, ValueError)):
        fitted.save(saved)
    assert saved.read_bytes() == before


@pytest.mark.parametrize("seed", range(27))
def test_manifests_that_were_edited_by_hand_are_refused(saved, seed, tmp_path):
    """With right checksums, so that only the meaning is wrong."""
    file = read_model_file(saved)
    reserved = {"schema_version", "created", "versions", "tensors_sha256"}
    manifest = {key: value for key, value in file.manifest.items() if key not in reserved}
    tensors = dict(file.tensors)
    edits = [
        lambda: manifest.update(kind="checkpoint"),
        lambda: manifest.update(estimator="os.system"),
        lambda: manifest.pop("encoder"),
        lambda: manifest.update(encoder="{}"),
        lambda: manifest["model"].update(architecture="unheard of"),
        lambda: manifest["model"].update(class_features=10**9),
        lambda: manifest["model"]["options"].update(n_components=10**9),
        lambda: manifest["model"]["options"].update(n_components=1.5),
        lambda: manifest["model"].update(class_density="os.system"),
        lambda: manifest["model"].update(n_classes=3),
        lambda: manifest["model"].pop("learn_prior"),
        lambda: manifest["parameters"].update(images=[1, 20_000, 20_000]),
        lambda: manifest["parameters"].update(objective={"kind": "em", "unheard": 1}),
        lambda: manifest["parameters"].update(objective=3),
        lambda: manifest["parameters"].update(device=3),
        lambda: manifest["parameters"].update(max_epochs=[1]),
        lambda: manifest.update(history="x"),
        lambda: manifest.update(initialization=3),
        lambda: manifest.update(calibration_temperature=-1),
        lambda: manifest.update(training_noise="much"),
        lambda: manifest.update(classes={"dtype": "<i8", "values": [1, 0]}),
        lambda: manifest.update(classes={"dtype": "<i8", "values": [1, 1]}),
        lambda: manifest.update(classes={"dtype": "<i8", "values": [0, 10**30]}),
        lambda: manifest.update(encoder=manifest["encoder"].replace('"table"', '"image"')),
        lambda: tensors.pop("completion.widths"),
        lambda: tensors.update({"model0.class_density.means": np.zeros((3, 1, 7), np.float64)}),
        lambda: manifest.update(classes={"dtype": "O", "values": "nonsense"}),
    ]
    edits[seed]()
    path = tmp_path / "forged.flowssl"
    write_model_file(path, manifest, tensors)
    with pytest.raises(ModelFileError):
        flowssl.load(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        flowssl.load(tmp_path / "none.flowssl")
