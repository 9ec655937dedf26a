"""The training loop reaches known optima, is reproducible and recovers from errors."""

import copy
import logging
import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from flowssl.architectures import Architecture, build_flow
from flowssl.densities import COVARIANCES, ClassPrior, GaussianClasses
from flowssl.exceptions import TrainingDivergedError
from flowssl.layers import couplings
from flowssl.models import JointModel
from flowssl.objectives import (
    Batch,
    Consistency,
    ExpectationMaximization,
    GaussianNoise,
    Likelihood,
    Objective,
    Term,
)
from flowssl.training import TrainingConfig, TrainingRows, train

CONFIG = TrainingConfig(
    max_epochs=3, steps_per_epoch=4, batch_size=32, labeled_fraction=0.2, device="cpu"
)


def make_rows(n: int = 96, *, n_labeled: int = 6, seed: int = 0) -> TrainingRows:
    """Two Gaussian classes at +-2 in two dimensions."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    x = torch.randn(n, 2, generator=generator) + (4.0 * y - 2.0)[:, None]
    return TrainingRows(x, torch.eye(2)[y], torch.arange(n) < n_labeled, torch.ones(n))


def make_model(
    n_couplings: int = 2, *, covariance: str = "tied", dropout: float = 0.2
) -> JointModel:
    generator = torch.Generator().manual_seed(0)
    architecture = Architecture(couplings(n_couplings, (8,), dropout=dropout))
    flow = build_flow(architecture, torch.eye(2), torch.zeros(2), generator=generator)
    means = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    return JointModel(
        flow, GaussianClasses(means, ClassPrior(torch.ones(2)), covariance=covariance)
    )


def weights(model: JointModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


def fit(config: TrainingConfig = CONFIG, objective: Objective | None = None) -> dict[str, Tensor]:
    model = make_model()
    train(model, objective or Objective([Likelihood()]), make_rows(), make_rows(seed=1), config)
    return weights(model)


class Saboteur(Likelihood):
    """The likelihood, with something happening at chosen calls in training."""

    def __init__(self, calls: Sequence[int]) -> None:
        super().__init__()
        self.pending = set(calls)
        self.count = 0

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        losses = super().losses(batch, log_joint, view)
        self.count += 1
        return self.happen(losses) if self.count - 1 in self.pending else losses

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        return super().losses(batch, log_joint, log_joint)

    def happen(self, losses: Tensor) -> Tensor:
        return losses * math.nan


def test_affine_flow_reaches_the_entropy_of_two_gaussians():
    """Of a Gaussian given the class, plus log 2: at distance 8 the classes do not overlap."""
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(6000) % 2
    mixing = torch.tensor([[1.5, 0.0], [0.7, 0.4]])
    x = (torch.randn(6000, 2, generator=generator) + (8.0 * y - 4.0)[:, None]) @ mixing.T
    entropy = (1 + math.log(2 * math.pi)) + math.log(mixing.det()) + math.log(2)
    x = TrainingRows(x, torch.eye(2)[y], torch.arange(6000) < 10, torch.ones(6000))

    model = make_model(0)
    config = TrainingConfig(
        max_epochs=15, steps_per_epoch=20, learning_rate=0.05, device="cpu", patience=25
    )
    result = train(
        model,
        Objective([Likelihood()]),
        x.take(torch.arange(4000)),
        x.take(torch.arange(4000, 6000)),
        config,
    )
    losses = [epoch["loss"] for epoch in result.history]
    assert losses[-1] < losses[0]
    assert 2 * result.history[-1]["nats_per_dim"] == pytest.approx(-entropy, abs=0.05)
    assert result.history[-1]["label_accuracy"] == 1.0
    with torch.no_grad():
        assert -model.log_prob(x.x[4000:]).mean().item() == pytest.approx(entropy, abs=0.05)


def test_history_describes_the_epochs_and_the_model_is_that_of_the_best_one():
    model, held_out = make_model(), make_rows(seed=1)
    result = train(model, Objective([Likelihood()]), make_rows(), held_out, CONFIG)

    assert not model.training
    assert not result.interrupted
    assert [epoch["epoch"] for epoch in result.history] == [1, 2, 3]
    best = result.history[result.best_epoch - 1]
    assert best["loss"] == min(epoch["loss"] for epoch in result.history)
    with torch.no_grad():
        log_joint = model(held_out.x)
        batch = held_out.batch(torch.arange(len(held_out)), CONFIG.labeled_fraction)
        loss = (Likelihood().losses(batch, log_joint, log_joint) * batch.weight).sum() / 2
        unlabeled = log_joint.logsumexp(1)[~held_out.labeled].mean() / 2
    assert best["loss"] == pytest.approx(loss.item(), rel=1e-6)
    assert best["nats_per_dim"] == pytest.approx(unlabeled.item(), rel=1e-6)


def test_same_seed_gives_the_same_bits_and_another_seed_does_not():
    first = fit()
    torch.manual_seed(123)  # the global stream must not matter
    assert same(first, fit())
    assert not same(first, fit(replace(CONFIG, seed=1)))


def test_global_random_stream_is_handed_back():
    before = torch.get_rng_state()
    model = make_model()
    terms = [Likelihood(), Consistency(model.class_density.log_prior)]
    train(model, Objective(terms, GaussianNoise(0.1)), make_rows(), make_rows(), CONFIG)
    assert torch.equal(torch.get_rng_state(), before)


def test_global_random_stream_is_handed_back_after_an_error():
    class Broken(Saboteur):
        def happen(self, losses: Tensor) -> Tensor:
            raise OSError("disk full")

    before = torch.get_rng_state()
    with pytest.raises(OSError, match="disk full"):
        fit(objective=Objective([Broken([5])]))
    assert torch.equal(torch.get_rng_state(), before)


def test_one_nan_halves_the_rate_and_says_so(caplog):
    model = make_model()
    with caplog.at_level(logging.WARNING, logger="flowssl"):
        result = train(model, Objective([Saboteur([5])]), make_rows(), make_rows(seed=1), CONFIG)
    assert len(result.history) == 3
    assert all(value.isfinite().all() for value in weights(model).values())
    (record,) = caplog.records
    assert "not finite in epoch 2" in record.getMessage()
    assert "rate times 0.5 (strike 1 of 3)" in record.getMessage()
    usual = train(
        make_model(), Objective([Likelihood()]), make_rows(), make_rows(seed=1), CONFIG
    ).history
    assert result.history[0]["loss"] == usual[0]["loss"]
    for epoch in (1, 2):
        expected = usual[epoch]["learning_rate"] / 2
        assert result.history[epoch]["learning_rate"] == pytest.approx(expected)


def test_recovery_goes_back_to_the_last_good_state():
    """The repeated epoch at half the rate is that of a run that begins there at half the rate."""
    recovered = fit(objective=Objective([Saboteur([0])]))
    halved = fit(replace(CONFIG, learning_rate=CONFIG.learning_rate / 2))
    assert same(recovered, halved)


def test_recovery_forgets_responsibilities_of_the_broken_epoch():
    class OnceBroken(ExpectationMaximization):
        broken = False

        def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
            losses = super().losses(batch, log_joint, view)
            if not self.broken:
                self.broken = True
                return losses * math.nan
            return losses

    result = train(
        make_model(),
        Objective([OnceBroken(refresh=3)]),
        make_rows(),
        make_rows(seed=1),
        CONFIG,
    )
    assert len(result.history) == 3


def test_nan_at_every_step_ends_in_an_error_and_finite_weights():
    model = make_model()
    initial = weights(model)
    with pytest.raises(TrainingDivergedError, match=r"epoch 1 for the third time.*0\.00125"):
        train(model, Objective([Saboteur(range(1000))]), make_rows(), make_rows(seed=1), CONFIG)
    assert same(weights(model), initial)


def test_divergence_after_good_epochs_leaves_the_best_of_them():
    model, reference = make_model(), make_model()
    with pytest.raises(TrainingDivergedError):
        train(model, Objective([Saboteur(range(4, 99))]), make_rows(), make_rows(seed=1), CONFIG)
    term = Saboteur([4])
    term.happen = _interrupt
    train(reference, Objective([term]), make_rows(), make_rows(seed=1), CONFIG)
    assert same(weights(model), weights(reference))


def _interrupt(losses: Tensor) -> Tensor:
    raise KeyboardInterrupt


def test_interrupt_returns_the_best_so_far(caplog):
    model = make_model()
    term = Saboteur([9])  # in the third epoch
    term.happen = _interrupt
    with caplog.at_level(logging.WARNING, logger="flowssl"):
        result = train(model, Objective([term]), make_rows(), make_rows(seed=1), CONFIG)

    assert result.interrupted
    assert len(result.history) == 2
    assert "keeping the best of 2 epochs" in caplog.text
    assert not model.training
    held_out = make_rows(seed=1)
    with torch.no_grad():
        nats = model.log_prob(held_out.x)[~held_out.labeled].mean().item() / 2
    assert result.history[result.best_epoch - 1]["nats_per_dim"] == pytest.approx(nats, rel=1e-6)


def test_interrupt_before_the_first_epoch_leaves_the_initial_model():
    model = make_model()
    initial = weights(model)
    term = Saboteur([0])
    term.happen = _interrupt
    result = train(model, Objective([term]), make_rows(), make_rows(seed=1), CONFIG)
    assert result.interrupted
    assert result.best_epoch == 0
    assert same(weights(model), initial)


def test_training_stops_when_nothing_gets_better():
    class Worsening(Likelihood):
        evaluations = 0

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            type(self).evaluations += 1
            # The first evaluation is of the untrained model; the second, after epoch 1, is best.
            return torch.full_like(batch.weight, float(self.evaluations != 2))

    result = train(
        make_model(),
        Objective([Worsening()]),
        make_rows(),
        make_rows(seed=1),
        replace(CONFIG, max_epochs=20, patience=4),
    )
    assert result.best_epoch == 1
    assert len(result.history) == 1 + 4


def test_a_training_that_only_harms_returns_the_initial_model():
    class Harm(Likelihood):
        evaluations = 0

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            type(self).evaluations += 1
            return torch.full_like(batch.weight, float(self.evaluations))

    model = make_model()
    initial = weights(model)
    result = train(model, Objective([Harm()]), make_rows(), make_rows(seed=1), CONFIG)
    assert result.best_epoch == 0
    assert same(weights(model), initial)


class Recorder(Term):
    """Records what training and evaluation are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.trained: list[Batch] = []
        self.held_out: list[Batch] = []

    def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
        self.trained.append(batch)
        return -log_joint.logsumexp(1)

    def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
        self.held_out.append(batch)
        return -log_joint.logsumexp(1)


def test_noise_is_fresh_in_each_step_and_added_in_training_only():
    seen: list[tuple[bool, Tensor]] = []
    model, rows, held_out = make_model(), make_rows(), make_rows(seed=1)
    model.flow.register_forward_pre_hook(lambda flow, given: seen.append((flow.training, given[0])))
    recorder = Recorder()
    train(model, Objective([recorder], noise=GaussianNoise(0.5)), rows, held_out, CONFIG)
    trained = [x for training, x in seen if training]
    noise = [x - batch.x for x, batch in zip(trained, recorder.trained, strict=True)]
    assert torch.cat(noise).std().item() == pytest.approx(0.5, rel=0.1)
    assert not any(torch.allclose(noise[0], other) for other in noise[1:])
    evaluated = [x for training, x in seen if not training]
    clean = [rows.x[rows.labeled], held_out.x]
    assert evaluated
    assert all(any(torch.equal(x, known) for known in clean) for x in evaluated)


def test_weight_decay_pulls_on_conditioner_matrices_only():
    """With a loss of zero, AdamW changes the decayed parameters only."""

    class Silent(Likelihood):
        evaluations = 0

        def losses(self, batch: Batch, log_joint: Tensor, view: Tensor) -> Tensor:
            return 0.0 * super().losses(batch, log_joint, view)

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            type(self).evaluations += 1
            return torch.full_like(batch.weight, -float(self.evaluations))  # the last is best

    model = make_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()).view_as(parameter))
    initial = weights(model)

    config = replace(CONFIG, weight_decay=0.5, learning_rate=0.1)
    train(model, Objective([Silent()]), make_rows(), make_rows(seed=1), config)
    moved = {
        name for name, value in weights(model).items() if not torch.equal(value, initial[name])
    }
    expected = {
        name for name, p in model.named_parameters() if "conditioner" in name and p.ndim == 2
    }
    assert moved == expected
    assert all((weights(model)[name] < initial[name]).all() for name in moved)


def test_class_centers_have_a_rate_of_their_own():
    """AdamW's first step is as long as its rate, whatever the gradient's size."""

    class Better(Likelihood):
        evaluations = 0

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            type(self).evaluations += 1
            return torch.full_like(batch.weight, -float(self.evaluations))  # the last is best

    model = make_model(n_couplings=1)
    initial = weights(model)
    config = replace(
        CONFIG, max_epochs=1, steps_per_epoch=1, learning_rate=1e-3, center_rate=7.0, warmup=0.0
    )
    train(model, Objective([Better()]), make_rows(), make_rows(seed=1), config)
    step = {name: (value - initial[name]).abs() for name, value in weights(model).items()}
    torch.testing.assert_close(
        step["class_density.means"], torch.full((2, 1, 2), 7e-3), rtol=1e-3, atol=0.0
    )
    others = [value.max() for name, value in step.items() if name != "class_density.means"]
    assert 0.9e-3 < max(others) < 1.1e-3


def test_result_is_the_exponential_average_of_the_weights():
    """Replayed by hand: it begins with the initial weights and covers a tenth of the steps."""

    class Tracker(Likelihood):
        def __init__(self) -> None:
            super().__init__()
            self.path: list[Tensor] = []
            self.evaluations = 0

        def before_step(self, model: JointModel, x: Tensor, step: int) -> None:
            self.path.append(model.class_density.means.detach().clone())

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            self.evaluations += 1
            return torch.full_like(batch.weight, abs(self.evaluations - 2.0))  # epoch 1 is best

    # The second epoch's first step shows the weights at the end of the first epoch.
    steps = 20
    config = replace(CONFIG, max_epochs=2, steps_per_epoch=steps, learning_rate=0.05)
    model, term = make_model(), Tracker()
    assert train(model, Objective([term]), make_rows(), make_rows(seed=1), config).best_epoch == 1

    decay = 1 - 10 / (2 * steps)
    average = term.path[0]
    for means in term.path[1 : steps + 1]:
        average = decay * average + (1 - decay) * means
    torch.testing.assert_close(model.class_density.means.detach(), average)
    assert (average - term.path[steps]).abs().max() > 1e-3


def test_float64_models_are_trained_in_float64():
    rows = make_rows()
    rows = TrainingRows(rows.x.double(), rows.targets.double(), rows.labeled, rows.weight.double())
    model = make_model().double()
    result = train(model, Objective([Likelihood()]), rows, rows, CONFIG)
    assert all(v.dtype == torch.float64 for v in weights(model).values() if v.is_floating_point())
    assert math.isfinite(result.history[-1]["loss"])


@pytest.mark.parametrize("covariance", list(COVARIANCES))
def test_bfloat16_training_is_close_and_keeps_float32_weights(covariance, capfd):
    losses = []
    for precision in ("32-true", "bf16-mixed"):
        model = make_model(covariance=covariance)
        config = replace(CONFIG, precision=precision)
        result = train(model, Objective([Likelihood()]), make_rows(), make_rows(seed=1), config)
        losses.append(result.history[-1]["loss"])
        assert {v.dtype for v in weights(model).values()} == {torch.float32, torch.int64}
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("n_labeled", [0, 96])
@pytest.mark.parametrize("fraction", [None, 0.3])
def test_no_label_and_all_labels(n_labeled, fraction):
    rows = make_rows(n_labeled=n_labeled)
    config = replace(CONFIG, max_epochs=1, labeled_fraction=fraction)
    result = train(make_model(), Objective([Likelihood()]), rows, rows, config)
    assert all(math.isfinite(value) for value in result.history[0].values())


def test_zero_epochs_leave_the_model_as_it_is():
    model = make_model()
    initial = weights(model)
    result = train(
        model, Objective([Likelihood()]), make_rows(), make_rows(), replace(CONFIG, max_epochs=0)
    )
    assert result.history == []
    assert same(weights(model), initial)


@pytest.mark.parametrize(("n", "n_held_out"), [(0, 5), (5, 0)])
def test_no_rows_are_refused(n, n_held_out):
    with pytest.raises(ValueError, match=f"got {n} and {n_held_out}"):
        train(make_model(), Objective([Likelihood()]), make_rows(n), make_rows(n_held_out), CONFIG)


def test_held_out_loss_falls_with_every_objective():
    for term in (Likelihood(), ExpectationMaximization(refresh=3)):
        model = make_model(dropout=0.0)
        result = train(
            model,
            Objective([term]),
            make_rows(),
            make_rows(seed=1),
            replace(CONFIG, max_epochs=8, learning_rate=0.02),
        )
        losses = [epoch["loss"] for epoch in result.history]
        assert losses[-1] < losses[0] - 0.05


def test_rows_of_the_caller_are_not_changed():
    rows = make_rows()
    before = copy.deepcopy(rows)
    train(make_model(), Objective([Likelihood()]), rows, rows, CONFIG)
    for name in ("x", "targets", "labeled", "weight"):
        assert torch.equal(getattr(rows, name), getattr(before, name))


def test_patience_counts_from_a_later_epoch_where_that_is_asked_for():
    """The loss of a random start rises after its first epochs and falls long after patience ends."""

    class Transient(Likelihood):
        evaluations = 0

        def held_out_losses(self, batch: Batch, log_joint: Tensor) -> Tensor:
            type(self).evaluations += 1
            # Of the untrained model 2, after epoch 1 the least for long, after epoch 12 the least.
            loss = {1: 2.0, 2: 1.0, 13: 0.5}.get(type(self).evaluations, 3.0)
            return torch.full_like(batch.weight, loss)

    def epochs(patience_from: int) -> tuple[int, int]:
        Transient.evaluations = 0
        config = replace(CONFIG, max_epochs=40, patience=4, patience_from=patience_from)
        objective = Objective([Transient()])
        result = train(make_model(), objective, make_rows(), make_rows(seed=1), config)
        return result.best_epoch, len(result.history)

    assert epochs(0) == (1, 5)
    assert epochs(7) == (1, 11)
    assert epochs(10) == (12, 16)
    assert epochs(20) == (12, 24)
