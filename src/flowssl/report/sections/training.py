"""Section "Training": likelihood and cross-entropy of each epoch."""

from __future__ import annotations

from flowssl.plotting import plot_history
from flowssl.report.blocks import Section, note
from flowssl.report.facts import Facts
from flowssl.report.markup import Html, figure, join, paragraph

PLACE = 80


def write(facts: Facts) -> Section:
    """Draw the history of the training."""
    return Section("training", "Training", _history(facts))


def _history(facts: Facts) -> Html:
    history, noun = facts.estimator.history_, facts.noun
    if not history:
        return note("Training was interrupted before the end of the first epoch.")
    seconds = sum(record["seconds"] for record in history)
    interrupted = " Training was interrupted." if facts.estimator.interrupted_ else ""
    return join(
        paragraph(f"{len(history):,} epochs in {seconds:.1f} s.{interrupted}"),
        figure(
            lambda theme: plot_history(facts.estimator, theme=theme),
            f"Log-density and cross-entropy over {len(history):,} epochs.",
            f"Evaluated on held-out {noun} if there are enough unlabeled {noun}, else on the "
            f"training {noun}. The dashed line is the epoch whose weights were kept.",
        ),
    )
