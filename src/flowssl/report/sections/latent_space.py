"""Section "Latent space": where the flow maps the rows, and the class densities."""

from __future__ import annotations

from flowssl.plotting.latent import LatentRows, latent_figure
from flowssl.report.blocks import Section
from flowssl.report.facts import Facts
from flowssl.report.markup import figure

PLACE = 50


def write(facts: Facts) -> Section:
    """Draw the latents and the class densities in two dimensions."""
    estimator, noun = facts.estimator, facts.noun
    n_latents = len(estimator.encoder_.output_columns_)
    view = (
        f"Of {n_latents:,} dimensions, the plane is shown in which the class centers differ most; "
        "classes that overlap here may be separate in the other dimensions."
        if n_latents > 2
        else "This is the whole latent space."
    )
    rows = LatentRows.of(estimator, facts.encoded, facts.all_codes, facts.traits.max_points)
    body = figure(
        lambda theme: latent_figure(estimator, rows, theme=theme),
        f"The {noun} in the latent space of the flow, with the centers of "
        f"{len(estimator.classes_):,} classes.",
        "Ellipses are one standard deviation of the components of the class densities; a name marks "
        f"the component nearest to the class center. Triangles are labeled {noun}; dots are unlabeled {noun} in the color of the predicted "
        f"class. {view} {facts.points_note()}",
    )
    return Section("latent", "Latent space", body)
