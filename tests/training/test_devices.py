"""Several processes under torchrun train one model, the one that a single process trains."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import make_moons

from flowssl import FlowGMMClassifier
from flowssl.objectives import Batch, Likelihood

PROGRAM = """
import os, sys
import numpy as np
from sklearn.datasets import make_moons
from flowssl import FlowGMMClassifier, ObjectiveOptions

X, y = make_moons(120, noise=0.1, random_state=0)
y[10:] = -1
rank = os.environ.get("RANK", "alone")
folder, noise = sys.argv[1], float(sys.argv[2])
model = FlowGMMClassifier(
    random_state=0, device="cpu", max_epochs=2, checkpoint=f"{folder}/checkpoint",
    objective=ObjectiveOptions(training_noise=noise),
).fit(X, y)
np.savez(
    f"{folder}/{rank}.npz",
    loss=model.history_[0]["train_loss"],
    log_prob=model.score_samples(X),
    proba=model.predict_proba(X),
)
"""

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


def run(folder, noise, n_processes):
    """Fit; return what each process keeps, by its rank."""
    program = folder / "program.py"
    program.write_text(PROGRAM)
    start = TORCHRUN if n_processes > 1 else [sys.executable]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*start, program, folder, str(noise)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (folder / "checkpoint").exists()
    return {path.stem: np.load(path) for path in folder.glob("*.npz")}


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_processes_end_with_one_model_that_of_a_single_process(tmp_path, noise):
    """Without noise the steps are the same but for rounding, which Adam magnifies a little."""
    several = run(tmp_path, noise, 2)
    assert set(several) == {"0", "1"}
    first, second = several["0"], several["1"]
    for name in ("loss", "log_prob", "proba"):
        assert (first[name] == second[name]).all()
    if noise == 0.0:
        alone = run(tmp_path, noise, 1)["alone"]
        assert first["loss"] == pytest.approx(alone["loss"], rel=1e-4)
        np.testing.assert_allclose(first["proba"], alone["proba"], atol=0.01)


@given(n=st.integers(1, 40), n_parts=st.integers(1, 5), seed=st.integers(0, 99))
def test_the_mean_of_the_parts_losses_is_the_batchs(n, n_parts, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.rand(n, generator=generator, dtype=torch.float64)
    batch = Batch(
        x=torch.randn(n, 2, generator=generator),
        targets=torch.eye(3, dtype=torch.float64)[torch.arange(n) % 3],
        labeled=torch.rand(n, generator=generator) < 0.3,
        weight=weight / weight.sum(),
        index=torch.arange(n),
        progress=0.5,
    )
    log_joint = torch.randn(n, 3, generator=generator, dtype=torch.float64)

    def loss(part):
        seen = log_joint[part.index]
        return float((part.weight * Likelihood().losses(part, seen, seen)).sum())

    parts = [batch.part(number, n_parts) for number in range(n_parts)]
    assert np.mean([loss(part) for part in parts]) == pytest.approx(loss(batch))
    assert sorted(int(i) for part in parts for i in part.index) == list(range(n))
    assert all(part.progress == 0.5 for part in parts)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "random_state is None, but 2 processes"),
        ({"device": "cpu:0", "random_state": 0}, "device is 'cpu:0', but torchrun started 2"),
    ],
)
def test_what_processes_cannot_share_is_refused(monkeypatch, options, message):
    for name, value in {
        "TORCHELASTIC_RUN_ID": "none",
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "RANK": "0",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "localhost",
        "MASTER_PORT": "1",
    }.items():
        monkeypatch.setenv(name, value)
    X, y = make_moons(40, random_state=0)
    with pytest.raises(ValueError, match=message):
        FlowGMMClassifier(**{"device": "cpu", **options}).fit(X, y)
