"""Settings and result of a training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training.

    Attributes
    ----------
    max_epochs : int
        Largest number of epochs.
    steps_per_epoch : int
        Optimizer steps between two evaluations of the held-out rows.
    batch_size : int, default=256
        Rows in a batch, not counting the labeled rows that are added.
    labeled_fraction : float or None, default=None
        Weight of the labeled rows together in the objective; None counts every row once.
    learning_rate : float, default=5e-3
        Peak learning rate of AdamW.
    weight_decay : float, default=1e-4
        Of AdamW, for the parameters in ``JointModel.decayed_parameters``.
    center_rate : float, default=1.0
        Learning rate of ``JointModel.center_parameters``, relative to ``learning_rate``.
    warmup : float, default=0.05
        Fraction of the steps in which the rate rises linearly.
    gradient_clip : float, default=5.0
        Largest norm of the gradient.
    patience : int, default=10
        Epochs without a better held-out loss before training stops.
    patience_from : int, default=0
        Epoch from which patience counts. From a random start, the held-out loss rises above its
        first values while the learning rate is high, and falls later.
    seed : int, default=0
        All random numbers of the training follow from it.
    device : str, default="auto"
        "auto", "cpu", "cuda", "mps" or "cuda:1".
    precision : str, default="32-true"
        "32-true" or, for the training steps only, "bf16-mixed" (Fabric's names).
    evaluation_rows : int, default=4096
        Rows that go through the model at once after each epoch.
    compile : bool, default=False
        Whether to run the model through ``torch.compile``, which needs a C++ compiler on a CPU.
        Steps take about 0.7 to 0.9 of the time, after a minute of compiling: worthwhile for
        trainings of many minutes only. Results differ in rounding.

    Examples
    --------
    >>> from flowssl.training import TrainingConfig
    >>> TrainingConfig(max_epochs=10, steps_per_epoch=100).learning_rate
    0.005
    """

    max_epochs: int
    steps_per_epoch: int
    batch_size: int = 256
    labeled_fraction: float | None = None
    learning_rate: float = 5e-3
    weight_decay: float = 1e-4
    center_rate: float = 1.0
    warmup: float = 0.05
    gradient_clip: float = 5.0
    patience: int = 10
    patience_from: int = 0
    seed: int = 0
    device: str = "auto"
    precision: str = "32-true"
    evaluation_rows: int = 4096
    compile: bool = False


@dataclass(frozen=True)
class TrainingResult:
    """Outcome of a training.

    Attributes
    ----------
    history : list of dict
        For each epoch: ``epoch``, ``train_loss``, ``loss`` (held-out), ``nats_per_dim``
        (held-out mean log p(x) / D), ``cross_entropy`` (held-out, to the targets),
        ``label_accuracy`` (on the labeled rows), ``learning_rate``, ``seconds``.
    best_epoch : int
        Epoch whose averaged weights the model has now; 0 is the initialization.
    interrupted : bool
        Whether Ctrl-C ended the training early.

    Examples
    --------
    >>> from flowssl.training import TrainingResult
    >>> TrainingResult(history=[], best_epoch=0, interrupted=False).interrupted
    False
    """

    history: list[dict[str, float]]
    best_epoch: int
    interrupted: bool
