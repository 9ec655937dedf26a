"""Section "Parameters": the constructor's parameters, groups of options included."""

from __future__ import annotations

from inspect import signature

from sklearn.base import BaseEstimator

from flowssl.report.blocks import Section
from flowssl.report.facts import Facts
from flowssl.report.markup import join, paragraph, shortened, table

PLACE = 100


def write(facts: Facts) -> Section:
    """List the constructor's parameters, and the size of the model."""
    estimator = facts.estimator
    n_weights = sum(p.numel() for model in estimator.models_ for p in model.parameters())
    flows = "1 flow" if len(estimator.models_) == 1 else f"{len(estimator.models_):,} flows"
    body = join(
        paragraph(
            f"{type(estimator).__name__}: {flows} with {n_weights:,} trainable parameters and "
            f"{len(estimator.encoder_.output_columns_):,} latent dimensions."
        ),
        table(
            "Parameters",
            ("parameter", "value", ""),
            parameter_rows(estimator),
            text_columns=(0, 1, 2),
        ),
    )
    return Section("parameters", "Parameters", body)


def parameter_rows(owner: BaseEstimator, prefix: str = "") -> list[tuple[str, str, str]]:
    """Return name, value and whether it is the default, in the order of the signature.

    The parameters of a group of options follow the group, under the names that ``set_params``
    takes: ``objective__kind``.
    """
    values = owner.get_params(deep=False)
    rows = []
    for name, declared in signature(type(owner)).parameters.items():
        value = values[name]
        text, is_group = _text(value), isinstance(value, BaseEstimator)
        is_default = not is_group and text == _text(declared.default)
        rows.append((prefix + name, shortened(text), "default" if is_default else "changed"))
        if is_group:
            rows += parameter_rows(value, f"{prefix}{name}__")
    return rows


def _text(value: object) -> str:
    if isinstance(value, BaseEstimator):
        return type(value).__name__
    # The repr of a function has its address, which says nothing.
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else repr(value)
