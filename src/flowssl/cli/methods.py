"""The methods that ``flowssl fit --method`` offers."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from flowssl.cli.signatures import ClassPath, Parameter, read_parameters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# What the shell has no use for: each command is a new process.
_LEFT_OUT = ("warm_start",)


@dataclass(frozen=True)
class Method:
    """What a value of ``--method`` stands for.

    Attributes
    ----------
    described_by : ClassPath
        The estimator's class, whose signature and docstring list the parameters.
    fixed : mapping
        Parameters that make the estimator this method; they are no options.
    home : str
        The package that exports the estimator.
    """

    described_by: ClassPath
    fixed: Mapping[str, str | None] = field(default_factory=dict)
    home: str = "flowssl"

    @property
    def estimator(self) -> str:
        """Name of the estimator."""
        return self.described_by.name

    @property
    def is_flow(self) -> bool:
        """Whether its models have an exact density; baselines have none."""
        return self.home == "flowssl"

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters that are options, in the signature's order."""
        hidden = {*self.fixed, *_LEFT_OUT}
        return tuple(p for p in read_parameters(self.described_by) if p.name not in hidden)


_SCNF = ClassPath("flowssl.estimators.scnf", "SemiConditionalFlowClassifier")
_FLOW_CLASSES = {"class_density": "flow", "covariance_type": "auto", "covariance_rank": "auto"}

METHODS: dict[str, Method] = {
    "flowgmm": Method(ClassPath("flowssl.estimators.flowgmm", "FlowGMMClassifier")),
    "scnf": Method(_SCNF, _FLOW_CLASSES),
    "scnf-gmm": Method(_SCNF, {"class_density": "gaussian", "class_architecture": "auto"}),
    "diglm": Method(ClassPath("flowssl.estimators.diglm", "DIGLMClassifier")),
    "conditional": Method(
        _SCNF,
        {**_FLOW_CLASSES, "architecture": "affine", "class_features": "all", "images": None},
    ),
    "m2-vae": Method(
        ClassPath("flowssl.baselines.m2_vae", "M2VAEClassifier"), home="flowssl.baselines"
    ),
}
"""The methods by name; the first is the default."""

DEFAULT_METHOD = next(iter(METHODS))


def method_named(words: Sequence[str]) -> str:
    """Return the method that a command line names, which decides what its other options are.

    The default stands in for an unknown one, which the parser then refuses.
    """
    scout = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    scout.add_argument("--method", nargs="?", default="")
    name = str(scout.parse_known_args(words)[0].method)
    return name if name in METHODS else DEFAULT_METHOD
