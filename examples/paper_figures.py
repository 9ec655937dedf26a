"""The planar pictures of the FlowGMM paper (Izmailov et al. 2020, figures 1, 2 and 4).

For each data set it writes what the flow does (NAME_flow.png), the decision boundary
(NAME_boundary.png), and the boundary of a model that was given the labeled rows alone
(NAME_labels_only.png; the dots are drawn for comparison, that model has not seen them).

    python examples/paper_figures.py
    python examples/paper_figures.py --data moons pinwheel --output pictures --theme dark
"""

import argparse
import warnings
from pathlib import Path

from flowssl import FlowGMMClassifier
from flowssl.datasets import (
    hide_labels,
    make_circles,
    make_eight_gaussians,
    make_moons,
    make_pinwheel,
)
from flowssl.exceptions import FlowSSLWarning
from flowssl.plotting import plot_decision_boundary, plot_flow

# The authors' sets and numbers of labels.
DATA = {
    "moons": (make_moons, 10),
    "circles": (make_circles, 11),
    "eight_gaussians": (make_eight_gaussians, 19),
    "pinwheel": (make_pinwheel, 13),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "output")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    parser.add_argument(
        "--fast", action="store_true", help="few rows, one epoch: to see that it runs"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    for name in arguments.data:
        draw(name, arguments.output, arguments.theme, fast=arguments.fast)


def draw(name: str, folder: Path, theme: str, *, fast: bool) -> None:
    make, n_labels = DATA[name]
    X, truth = make(200 if fast else 1000, random_state=0)
    # With this seed each of the eight Gaussians has a label; the class of one without is anyone's.
    y = hide_labels(truth, n_labeled=n_labels, random_state=1)
    X_fresh, y_fresh = make(1_000 if fast else 10_000, random_state=1)

    model = FlowGMMClassifier(random_state=0, max_epochs=1 if fast else "auto")
    semi_supervised = model.fit(X, y)
    save(plot_flow(semi_supervised, X, y, theme=theme), folder / f"{name}_flow.png")
    save(
        plot_decision_boundary(semi_supervised, X, y, theme=theme), folder / f"{name}_boundary.png"
    )
    print(
        f"{name}: {semi_supervised.score(X_fresh, y_fresh):.4f} right on {len(X_fresh):,} fresh rows"
    )

    labeled = y != -1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FlowSSLWarning)
        supervised = FlowGMMClassifier(**model.get_params()).fit(X[labeled], y[labeled])
    figure = plot_decision_boundary(supervised, X, y, theme=theme)
    save(figure, folder / f"{name}_labels_only.png")
    print(
        f"{name}: {supervised.score(X_fresh, y_fresh):.4f} from the {n_labels} labeled rows alone"
    )


def save(figure, path: Path) -> None:
    figure.savefig(path, dpi=110)
    print(f"  {path}")


if __name__ == "__main__":
    main()
