"""What is measured: sameness of predictions, training speed, two processes."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from benchmarks.gpu.cases import FULL, QUICK, Case, Size, untrained
from benchmarks.memory import peak_mib
from numpy.typing import NDArray
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from flowssl.estimators import FlowClassifier
from flowssl.models import JointModel
from flowssl.objectives import CrossEntropy, Objective, SoftLabelLikelihood
from flowssl.training import TrainingConfig, TrainingRows, train
from flowssl.training.compilation import compile_model

Row = dict[str, object]

ROOT = Path(__file__).parents[2]
POSTERIOR_TOLERANCE = 1e-3
NATS_TOLERANCE = 1e-2
COMPARED_ROWS = 2_000


def sameness(name: str, case: Case, device: str, epochs: int) -> Row:
    """Compare the predictions of one fitted model on the device and on the CPU.

    These differ by rounding only. Fits on either differ by their random numbers, so only their
    accuracy is comparable; long ones are not repeated on the CPU.
    """
    model, seconds = _timed_fit(case, device, epochs)
    parameter = next(model.models_[0].parameters())
    on_device, on_cpu = evaluated(model, case.X), evaluated(moved(model, "cpu"), case.X)
    nats, posterior = differences(on_device, on_cpu)
    row: Row = {
        "case": name,
        "rows": len(case.X),
        "predicts_on": parameter.device.type,
        "dtype": str(parameter.dtype).removeprefix("torch."),
        "nats": nats,
        "posterior": posterior,
        "same": is_same(nats, posterior),
        "fit_seconds": round(seconds, 1),
        "accuracy": round(model.score(case.X, case.truth), 4),
        "fit_seconds_cpu": None,
        "accuracy_cpu": None,
        "predicted_rows_per_second": _prediction_speed(model, case.X),
    }
    if case.fit_on_cpu and device != "cpu":
        repeated, seconds = _timed_fit(case, "cpu", epochs)
        row["fit_seconds_cpu"] = round(seconds, 1)
        row["accuracy_cpu"] = round(repeated.score(case.X, case.truth), 4)
    return row


def _timed_fit(case: Case, device: str, epochs: int) -> tuple[FlowClassifier, float]:
    began = time.perf_counter()
    model = case.make(device, epochs).fit(case.X, case.labels())
    return model, time.perf_counter() - began


def _prediction_speed(model: FlowClassifier, X: NDArray[np.generic]) -> int:
    began = time.perf_counter()
    model.predict(X)  # returns an array of NumPy, so the device has finished
    return round(len(X) / (time.perf_counter() - began))


def evaluated(
    model: FlowClassifier, X: NDArray[np.generic]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log p(x) (n,) and class probabilities (n, C) of the first rows."""
    matrix = model.encoder_.transform(X[:COMPARED_ROWS])
    log_prob, log_proba = model.density_.evaluate(matrix)
    return log_prob, np.exp(log_proba)


def moved(model: FlowClassifier, device: str) -> FlowClassifier:
    """Return a copy of a fitted classifier whose models are on a device."""
    copied = copy.copy(model)
    copied.models_ = [copy.deepcopy(member).to(device) for member in model.models_]
    return copied


def differences(
    one: Iterable[NDArray[np.float64]], other: Iterable[NDArray[np.float64]]
) -> tuple[float, float]:
    """Return the largest differences of log p(x), nats, and of class probabilities."""
    nats, posterior = (float(np.abs(a - b).max()) for a, b in zip(one, other, strict=True))
    return nats, posterior


def is_same(nats: float, posterior: float) -> bool:
    """Return whether two evaluations agree; NaN does not."""
    return nats <= NATS_TOLERANCE and posterior <= POSTERIOR_TOLERANCE


def speed(name: str, device: str, precision: str, *, compiled: bool, size: Size) -> Row:
    """Time the training steps of a case's model.

    The first of two epochs warms up (and compiles), the second is timed. It ends with an evaluation
    of 64 held-out rows and of the labeled rows.
    """
    row: Row = {
        "case": name,
        "precision": precision,
        "compile": compiled,
        "steps_per_second": None,
        "busy": None,
        "peak_device_mib": None,
        "peak_host_mib": None,
        "loss": None,
        "seconds": None,
        "note": "",
    }
    if precision == "bf16-mixed" and not has_bfloat16(device):
        return row | {"note": "no bfloat16 here"}
    model, rows = untrained(name, size)
    model.to(device)
    if compiled and compile_model(model) is model:
        return row | {"note": "torch.compile does not work here"}
    began = time.perf_counter()
    config = TrainingConfig(
        max_epochs=2,
        steps_per_epoch=size.steps,
        batch_size=size.image_batch if name == "images" else 256,
        device=device,
        precision=precision,
        compile=compiled,
        evaluation_rows=512,
    )
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    last = _last_epoch(model, rows, config)
    row["steps_per_second"] = round(size.steps / last["seconds"], 1)
    row["loss"] = round(last["train_loss"], 4)
    row["peak_host_mib"] = round(peak_mib())
    if device != "cpu":
        row["peak_device_mib"] = torch.cuda.max_memory_allocated() // 2**20
        if not compiled:  # each further training might compile again
            short = replace(config, steps_per_epoch=size.profiled_steps)
            row["busy"] = round(_busy(model, rows, short), 3)
    row["seconds"] = round(time.perf_counter() - began, 1)
    return row


def has_bfloat16(device: str) -> bool:
    """Return whether a device computes in bfloat16 itself."""
    return device == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)


def _last_epoch(model: JointModel, rows: TrainingRows, config: TrainingConfig) -> dict[str, float]:
    """Train a model; return the figures of the last epoch."""
    objective = Objective([SoftLabelLikelihood(), CrossEntropy(float(rows.x.shape[1]))])
    return train(model, objective, rows, rows.take(torch.arange(64)), config).history[-1]


def _busy(model: JointModel, rows: TrainingRows, config: TrainingConfig) -> float:
    """Return the fraction of an epoch in which the card runs kernels or copies.

    The time of the kernels is that of a profiled training of two epochs without that of one, so
    setup and first evaluation drop out. The epoch's seconds are taken without the profiler.
    """
    seconds = _last_epoch(model, rows, config)["seconds"]
    kernels = []
    for epochs in (1, 2):
        with profile(activities=[ProfilerActivity.CUDA]) as found:
            _last_epoch(model, rows, replace(config, max_epochs=epochs))
        kernels.append(kernel_seconds(found.key_averages()))
    return (kernels[1] - kernels[0]) / seconds


def kernel_seconds(events: Iterable[torch.autograd.profiler_util.FunctionEventAvg]) -> float:
    """Return the time that a profile's kernels and copies took on the card.

    The calls that started them and marked regions around them, which the profile attributes the
    same time to, are left out.
    """
    return sum(
        event.self_device_time_total * 1e-6
        for event in events
        if event.device_type == DeviceType.CUDA and not event.is_user_annotation
    )


def processes(device: str, *, quick: bool) -> Row:
    """Train in this process and in two under torchrun, and compare the held-out losses."""
    began = time.perf_counter()
    one = held_out_losses(device, quick=quick)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "losses.json"
        command = [
            *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
            *("-m", "benchmarks.gpu.worker", device, str(int(quick)), str(out)),
        ]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"torchrun ended with {done.returncode}:\n{done.stderr[-2000:]}")
        two = json.loads(out.read_text())
    return {
        "processes": 2,
        "epochs": len(one),
        "largest_difference": float(np.abs(np.subtract(one, two)).max()),
        "seconds": round(time.perf_counter() - began, 1),
    }


def held_out_losses(device: str, *, quick: bool) -> list[float]:
    """Train the model of digits; return the loss of each epoch, nats."""
    size = QUICK if quick else FULL
    model, rows = untrained("digits", size)
    for module in model.modules():  # each process draws dropout of its own
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    config = TrainingConfig(max_epochs=2, steps_per_epoch=size.steps, batch_size=128, device=device)
    result = train(model, Objective([SoftLabelLikelihood()]), rows, rows, config)
    return [epoch["loss"] for epoch in result.history]
