"""Model files with right checksums that lie: an honest model or one plain error, at little cost.

The files are those of `benchmarks.robustness`, which loads ten thousand of them.
"""

import numpy as np
import pytest
import torch
from benchmarks.robustness.forged_models import FORGERIES, forged, numbers_of, set_tensor
from benchmarks.robustness.model_mutants import Parts
from benchmarks.robustness.mutated_models import GOLDEN, MEBIBYTES, run
from tests.golden import KINDS

import flowssl
from flowssl._persistence import write_model_file
from flowssl.bijections import Chain, Checkerboard, LULinear, MonotonicSpline, Rotation
from flowssl.exceptions import ModelFileError

N_MUTANTS = 100


@pytest.fixture(scope="module")
def files():
    return {path.stem: Parts.read(path) for path in GOLDEN.glob("*.flowssl")}


@pytest.fixture(scope="module")
def outcomes():
    """What became of all hand-made files and of some mutants, in a process of their own."""
    return run(N_MUTANTS, seed=11)


def test_hand_made_files_are_refused(outcomes):
    by_hand = [outcome for outcome in outcomes if outcome.change.startswith("by hand")]
    assert len(by_hand) == len(FORGERIES) > 60
    assert [o.change for o in by_hand if o.result != "ModelFileError"] == []
    assert max(outcome.mebibytes for outcome in by_hand) < MEBIBYTES


def test_mutants_are_models_or_one_error(outcomes):
    mutants = [outcome for outcome in outcomes if not outcome.change.startswith("by hand")]
    assert len(mutants) == N_MUTANTS
    assert [(o.change, o.result, o.message) for o in mutants if o.is_wrong] == []
    # Most changes are found, and some change nothing that matters.
    assert {"ModelFileError", "loaded"} <= {outcome.result for outcome in mutants}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a zero-byte tensor beside n_components", "'x' is declared wrongly"),
        ("30,000 widths", r"'completion.extent' must .* \(2, 30000\), got .* \(2, 3\)"),
        ("an encoder of 400 million pixels", r"takes images of shape \(1, 20000, 20000\)"),
        ("a billion draws", r"'dequantization_draws' .* range \[0, 1024\]"),
        ("classes of long texts", "2 classes of 800,000,000 bytes each are more than the limit"),
        ("structured classes", "the type '<i8,<f8', which labels do not have"),
        ("a class of 31 digits", "cannot be read as int64"),
        ("a noise of 401 digits", "the number 10000.* is too large"),
        ("temperature 0", "calibration_temperature must be a finite number from 1e-09 on, got 0"),
        ("NaN in the means", "'model0.class_density.means' holds NaN or infinity"),
        ("class names twice", "must be sorted and different"),
        ("an indefinite covariance", "not symmetric and positive definite"),
        ("no permutation", "the rows of a linear map are no permutation"),
        ("a billion latents", "its network is larger than its tensors"),
        ("a layer of a billion", "its network is larger than its tensors"),
        ("one column less", "its encoder gives 2 columns.* its flow takes 3"),
        ("one tensor more", "'x' are missing or belong to nothing"),
        ("a tensor of an encoder that has none", "'encoder.x' belongs to nothing"),
        ("another density", "'model0.class_density.weight' is missing"),
        ("an architecture of images on a table", "architecture must be one of paper-synthetic"),
    ],
)
def test_the_message_names_what_is_wrong(files, tmp_path, name, message):
    path = tmp_path / "forged.flowssl"
    path.write_bytes(forged(files, name).pack())
    with pytest.raises(ModelFileError, match=message) as caught:
        flowssl.load(path)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize("kind", KINDS)
def test_the_forger_can_write_sound_files(files, tmp_path, kind):
    """What is refused is refused for its lie, not for how it was put together."""
    path = tmp_path / "same.flowssl"
    path.write_bytes(files[kind].pack())
    rows = KINDS[kind][0]()[0][:5]
    expected = flowssl.load(GOLDEN / f"{kind}.flowssl").predict_proba(rows)
    assert np.array_equal(flowssl.load(path).predict_proba(rows), expected)


def test_single_precision_is_read_as_double(files, tmp_path):
    parts = files["flowgmm"]
    name = "model0.class_density.means"
    exact = numbers_of(parts, name)
    set_tensor(parts, name, exact.astype(np.float32))
    (tmp_path / "m.flowssl").write_bytes(parts.pack())
    set_tensor(parts, name, exact)
    means = flowssl.load(tmp_path / "m.flowssl").models_[0].class_density.means
    assert means.dtype == torch.float64
    np.testing.assert_array_equal(means.detach().numpy(), exact.astype(np.float32))


def test_a_tiny_scale_gives_answers_or_an_error_without_a_warning(tmp_path):
    parts = Parts.read(GOLDEN / "m2-vae.flowssl")
    set_tensor(parts, "scale", np.full(4, 5e-324))
    (tmp_path / "m.flowssl").write_bytes(parts.pack())
    with pytest.raises(ValueError, match="row"):
        flowssl.load(tmp_path / "m.flowssl").predict(KINDS["m2-vae"][0]()[0][:5])


def test_rows_without_a_finite_density_are_an_error(files, tmp_path):
    parts = Parts.read(GOLDEN / "diglm.flowssl")
    weight = numbers_of(parts, "model0.class_density.weight")
    set_tensor(parts, "model0.class_density.weight", np.full_like(weight, 1e308))
    (tmp_path / "m.flowssl").write_bytes(parts.pack())
    with pytest.raises(ValueError, match="row"):
        flowssl.load(tmp_path / "m.flowssl").predict(KINDS["diglm"][0]()[0][:5])


@pytest.mark.parametrize("architecture", ["small", "table", "glow", "ffjord", "paper-uci"])
def test_a_model_without_memory_has_the_shapes_and_layout_of_a_built_one(architecture):
    from flowssl.architectures import ARCHITECTURES, build_flow

    def build() -> Chain:
        return build_flow(ARCHITECTURES[architecture], torch.eye(5), torch.zeros(5))

    with torch.device("meta"):
        blank = build()
    real = build()
    assert all(value.is_meta for value in blank.state_dict().values())
    assert [(k, v.shape, v.stride(), v.dtype) for k, v in blank.state_dict().items()] == [
        (k, v.shape, v.stride(), v.dtype) for k, v in real.state_dict().items()
    ]


@pytest.mark.parametrize("architecture", ["small", "paper-realnvp"])
def test_an_image_model_without_memory_has_its_layout_and_its_checkerboards(architecture):
    from flowssl.image_architectures import IMAGE_ARCHITECTURES, build_image_flow

    with torch.device("meta"):
        blank = build_image_flow(IMAGE_ARCHITECTURES[architecture], (1, 8, 8))
    real = build_image_flow(IMAGE_ARCHITECTURES[architecture], (1, 8, 8))
    assert [(k, v.shape, v.stride()) for k, v in blank.state_dict().items()] == [
        (k, v.shape, v.stride()) for k, v in real.state_dict().items()
    ]
    of_blank, of_real = (
        [
            m.split.changes
            for m in flow.modules()
            if isinstance(getattr(m, "split", None), Checkerboard)
        ]
        for flow in (blank, real)
    )
    assert all(map(torch.equal, of_blank, of_real))


SPLINE = [[0.0, 1.0, 2.0]], [[0.0, 1.0, 2.0]], [[1.0, 1.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "name", "value", "message"),
    [
        (lambda: LULinear(torch.eye(3)), "rows", 2, "no permutation"),
        (lambda: LULinear(torch.eye(3)), "rows", -1, "no permutation"),
        (lambda: LULinear(torch.eye(3)), "sign", 0.5, "1 or -1"),
        (lambda: Rotation(3), "weight", 2.0, "not orthogonal"),
        (lambda: Rotation(3), "log_det", 1.0, "not orthogonal"),
        (lambda: MonotonicSpline(*map(torch.tensor, SPLINE)), "x_knots", 1.0, "increase"),
        (lambda: MonotonicSpline(*map(torch.tensor, SPLINE)), "z_knots", 5.0, "increase"),
        (lambda: MonotonicSpline(*map(torch.tensor, SPLINE)), "slopes", 0.0, "positive"),
    ],
)
def test_fixed_numbers_without_an_inverse_are_refused(make, name, value, message):
    layer = make()
    layer.check_buffers()
    buffer = getattr(layer, name)
    buffer[(0,) * buffer.ndim] = value
    with pytest.raises(ValueError, match=message):
        layer.check_buffers()


@pytest.mark.parametrize(
    "classes",
    [
        np.array(["a", "b"], dtype="<U10000000"),
        np.array([1 + 2j, 2 + 2j]),
        np.array([b"a", b"b"]),
        np.array([("a", 1), ("b", 2)], dtype=object),
    ],
    ids=["long", "complex", "bytes", "tuples"],
)
def test_what_load_would_refuse_save_refuses(classes):
    from flowssl._model_file import classes_to_json

    with pytest.raises((TypeError, ValueError), match="classes"):
        classes_to_json(classes)


@pytest.mark.parametrize("value", [10**41, "\ud800", [[[[]]] * 2] * 2])
def test_a_manifest_that_would_be_refused_is_not_written(tmp_path, value):
    nested = value
    for _ in range(70):
        nested = [nested]
    with pytest.raises(ValueError, match="cannot be written"):
        write_model_file(
            tmp_path / "m.flowssl", {"x": nested if isinstance(value, list) else value}, {}
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["30,000 widths", "another density", "NaN in the means", "one column less"]
)
def test_info_shows_nothing_of_a_file_that_load_refuses(files, tmp_path, capsys, name):
    from flowssl.cli import main

    path = tmp_path / "forged.flowssl"
    path.write_bytes(forged(files, name).pack())
    assert main(["info", str(path)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "cannot read model file" in printed.err
    path.write_bytes(files["flowgmm"].pack())
    assert main(["info", str(path)]) == 0
    assert "FlowGMMClassifier" in capsys.readouterr().out


def test_a_continuous_flow_of_absurd_weights_gives_up():
    pytest.importorskip("torchode", reason="the solver is in the extra 'ode'")
    from flowssl.bijections import ContinuousFlow

    flow = ContinuousFlow(2, hidden_features=(8,)).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.normal_(generator=generator).mul_(1e6)
        with pytest.raises(ValueError, match="the solver failed on 3 of 3 rows"):
            flow(torch.ones(3, 2, dtype=torch.float64))


def test_sampling_of_absurd_weights_gives_up(monkeypatch):
    from flowssl.densities import LinearClasses, linear

    monkeypatch.setattr(linear, "MAX_ROUNDS", 1)
    generator = torch.Generator().manual_seed(0)
    weight = 30 * torch.randn(5, 8, generator=generator, dtype=torch.float64)
    classes = LinearClasses(weight, torch.zeros(5)).double()
    with pytest.raises(ValueError, match="too large"):
        classes.sample(torch.arange(5).repeat(100), generator=generator)
    assert classes.sample(torch.arange(5), temperature=0.0).shape == (5, 8)
