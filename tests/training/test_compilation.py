"""Compiled training: the same numbers, and no need of a compiler."""

import functools

import pytest
import torch
import torch._dynamo
import torch._inductor.config

from flowssl.architectures import Architecture, build_flow
from flowssl.densities import ClassPrior, GaussianClasses
from flowssl.layers import couplings
from flowssl.models import JointModel
from flowssl.objectives import Likelihood, Objective
from flowssl.training import TrainingConfig, TrainingRows, train
from flowssl.training.compilation import compile_model

# PyTorch's compiler still uses parts of itself that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning:torch")


def _model():
    generator = torch.Generator().manual_seed(0)
    flow = build_flow(
        Architecture(couplings(2, (8,))), torch.eye(3), torch.zeros(3), generator=generator
    )
    means = torch.randn(2, 3, generator=generator)
    return JointModel(flow, GaussianClasses(means, ClassPrior(torch.ones(2))))


def _history(compile):
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    targets = torch.eye(2)[(x[:, 0] > 0).long()]
    rows = TrainingRows(x, targets, torch.arange(40) < 8, torch.ones(40))
    config = TrainingConfig(
        max_epochs=2, steps_per_epoch=3, batch_size=16, device="cpu", compile=compile
    )
    return train(_model(), Objective([Likelihood()]), rows, rows, config).history


def test_compiled_training_follows_the_same_path(monkeypatch, caplog):
    # Everything of the compiler but its C++, which takes most of a minute.
    compile = functools.partial(torch.compile, backend="aot_eager")
    monkeypatch.setattr(torch, "compile", compile)
    torch._dynamo.utils.counters.clear()
    compiled, plain = _history(True), _history(False)
    assert not [record for record in caplog.records if record.name.startswith("flowssl")]
    for ours, theirs in zip(compiled, plain, strict=True):
        assert ours["train_loss"] == pytest.approx(theirs["train_loss"], rel=1e-4)
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert plain[1]["loss"] != plain[0]["loss"]


def test_without_a_compiler_the_model_itself_is_trained(monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))  # nothing compiled earlier
    model = _model()
    with torch._inductor.config.patch({"cpp.cxx": (None, "/no/such/compiler")}):
        torch._dynamo.reset()
        assert compile_model(model) is model
    messages = [r.getMessage() for r in caplog.records if r.name.startswith("flowssl")]
    assert len(messages) == 1
    assert "torch.compile does not work here" in messages[0]
    assert "\n" not in messages[0]
