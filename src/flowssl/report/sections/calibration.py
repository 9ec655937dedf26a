"""Section "Calibration": accuracy against confidence on test rows."""

from __future__ import annotations

import numpy as np

from flowssl.plotting.evaluation import reliability_figure
from flowssl.report.blocks import Section, note
from flowssl.report.facts import Facts
from flowssl.report.markup import Html, figure, number

PLACE = 40


def write(facts: Facts) -> Section:
    """Draw the reliability diagram of the test rows."""
    return Section("calibration", "Calibration", _diagram(facts))


def _diagram(facts: Facts) -> Html:
    test = facts.test
    if test is None:
        return note(
            f"No test {facts.noun} were given. The training labels would make the model look better "
            f"calibrated than it is; pass labeled {facts.noun} as X_test and y_test (--test on the "
            "command line) to see the reliability diagram."
        )
    proba = np.exp(test.log_proba)
    return figure(
        lambda theme: reliability_figure(proba, test.codes, theme=theme),
        f"Accuracy against confidence in 15 bins; the expected calibration error is "
        f"{number(test.model_scores.calibration_error)}.",
        "Above the dashed line the model is underconfident, below it overconfident. Bars are 95 % "
        "confidence intervals. Temperature of the calibration: "
        f"{number(facts.estimator.calibration_temperature_)}.",
    )
