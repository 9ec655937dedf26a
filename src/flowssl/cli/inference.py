"""The commands that ask a fitted model: ``predict``, ``score`` and ``sample``."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, cast

import flowssl
from flowssl.cli.columns import matching_features, require_column, split_names
from flowssl.cli.pictures import pictures_for
from flowssl.exceptions import DataError
from flowssl.pictures import holds_pictures, write_pictures
from flowssl.tables import check_writable, read_table, write_csv, write_table

if TYPE_CHECKING:
    import argparse

    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from flowssl.cli.console import Console
    from flowssl.estimators import Classifier, FlowClassifier


def predict(arguments: argparse.Namespace, console: Console) -> int:
    """Write the predicted class of each row and, if asked for, probabilities and scores."""
    if arguments.output:
        check_writable(arguments.output)
    estimator = flowssl.load(arguments.model)
    X, table = _inputs(estimator, arguments, console)
    predictions = prediction_table(
        estimator,
        X,
        proba=arguments.proba,
        log_density=arguments.log_density,
        ood_score=arguments.ood_score,
    )
    _write(_with_id(predictions, table, arguments.id), arguments.output, console)
    return 0


def score(arguments: argparse.Namespace, console: Console) -> int:
    """Write the log-density of each row, in nats."""
    import pyarrow as pa

    if arguments.output:
        check_writable(arguments.output)
    estimator = flow_in(flowssl.load(arguments.model), "score")
    X, table = _inputs(estimator, arguments, console)
    scores = pa.table({"log_density": estimator.score_samples(X)})
    _write(_with_id(scores, table, arguments.id), arguments.output, console)
    return 0


def sample(arguments: argparse.Namespace, console: Console) -> int:
    """Draw rows from a model and write them with their classes; images as PNG files."""
    import numpy as np

    estimator = flowssl.load(arguments.model)
    if arguments.output and estimator.image_shape is None:
        check_writable(arguments.output)
    label = None if arguments.label is None else named_label(estimator, arguments.label)
    X, y = estimator.sample(arguments.number, label, arguments.temperature, arguments.random_state)
    if estimator.image_shape is not None:
        if not arguments.output:
            raise DataError("samples of images need -o FOLDER, where the PNG files go.")
        images = np.asarray(estimator.encoder_.transform(X)).reshape(-1, *estimator.image_shape)
        classes = [re.sub(r"[^\w.-]", "_", str(label)) for label in y.tolist()]
        names = [f"{place:05d}_{label}" for place, label in enumerate(classes)]
        write_pictures(arguments.output, images, names)
        console.remark(f"{len(y):,} pictures written to {arguments.output}")
        return 0
    _write(_sample_table(estimator, X, y), arguments.output, console)
    return 0


def flow_in(estimator: Classifier, wanted: str) -> FlowClassifier:
    """Return a loaded model if it has an exact density, as all flows do.

    Raises
    ------
    DataError
        If it has none, which the wanted command or option asks for.
    """
    if not hasattr(estimator, "score_samples"):
        raise DataError(
            f"{wanted} is for flows, which have an exact density; the model is of "
            f"{type(estimator).__name__}, which has none."
        )
    return cast("FlowClassifier", estimator)


def _inputs(
    estimator: Classifier, arguments: argparse.Namespace, console: Console
) -> tuple[pa.Table | npt.NDArray[np.uint8], pa.Table]:
    """Return what the model takes, and the table from which ``--id`` copies a column."""
    import pyarrow as pa

    if holds_pictures(arguments.data):
        pictures = pictures_for(estimator, arguments.data, arguments, console)
        arguments.id = arguments.id or "file"
        return pictures.images, pa.table({"file": pictures.names})
    table = read_table(arguments.data)
    return model_inputs(estimator, table, arguments.features), table


def model_inputs(estimator: Classifier, table: pa.Table, features: str | None) -> pa.Table:
    """Select a model's columns; see `columns.matching_features`.

    A column that was text in fit is text again, even if this file has only digits in it.
    """
    import numpy as np
    import pyarrow as pa

    names = getattr(estimator, "feature_names_in_", None)
    X = matching_features(
        table,
        None if names is None else [str(name) for name in names],
        estimator.n_features_in_,
        split_names(features),
    )
    encoder = estimator.encoder_
    like_fit = encoder.inverse_transform(np.empty((0, len(encoder.output_columns_))))
    if isinstance(like_fit, pa.Table):
        for place, (now, then) in enumerate(zip(X.schema, like_fit.schema, strict=True)):
            if pa.types.is_integer(now.type) and pa.types.is_string(then.type):
                X = X.set_column(place, now.name, X.column(place).cast(pa.string()))
    return X


def prediction_table(
    estimator: Classifier,
    X: pa.Table | npt.NDArray[np.uint8],
    *,
    proba: bool = False,
    log_density: bool = False,
    ood_score: bool = False,
) -> pa.Table:
    """Predict the class of each row.

    Returns
    -------
    pyarrow.Table
        ``prediction`` and, as asked for, ``proba_CLASS`` for each class, ``log_density`` in nats
        and ``ood_score``.
    """
    import pyarrow as pa

    columns: dict[str, object] = {}
    if proba:
        probabilities = estimator.predict_proba(X)
        columns["prediction"] = estimator.classes_[probabilities.argmax(axis=1)]
        for place, label in enumerate(estimator.classes_):
            columns[f"proba_{label}"] = probabilities[:, place]
    else:
        columns["prediction"] = estimator.predict(X)
    if log_density:
        columns["log_density"] = flow_in(estimator, "--log-density").score_samples(X)
    if ood_score:
        columns["ood_score"] = flow_in(estimator, "--ood-score").ood_score(X)
    return pa.table(columns)


def named_label(estimator: Classifier, text: str) -> object:
    """Give the class of a model whose text is `text`.

    Raises
    ------
    DataError
        If there is none.
    """
    named: dict[str, object] = {str(label): label for label in estimator.classes_}
    if text not in named:
        raise DataError(f"--label: there is no class {text!r}; the model has {', '.join(named)}.")
    return named[text]


def _sample_table(estimator: Classifier, X: object, y: npt.NDArray[np.generic]) -> pa.Table:
    import narwhals as nw
    import numpy as np
    import pyarrow as pa

    frame = nw.from_native(X, eager_only=True, pass_through=True)
    if isinstance(frame, nw.DataFrame):
        table = frame.to_arrow()
    else:
        matrix = np.asarray(X)
        names = getattr(estimator, "feature_names_in_", None)
        names = [f"x{place}" for place in range(matrix.shape[1])] if names is None else list(names)
        table = pa.table([pa.array(column.tolist()) for column in matrix.T], names=names)
    heading = "label"
    while heading in table.column_names:
        heading += "_"
    return table.append_column(heading, pa.array(y))


def _with_id(results: pa.Table, table: pa.Table, name: str | None) -> pa.Table:
    if name is None:
        return results
    require_column(table, name, "--id")
    if name in results.column_names:
        raise DataError(
            f"--id: the result has a column {name!r} of its own; rename it in the file."
        )
    return results.add_column(0, name, table.column(name))


def _write(table: pa.Table, output: str | None, console: Console) -> None:
    if output:
        write_table(table, output)
        console.remark(f"{table.num_rows:,} rows written to {output}")
    else:
        sys.stdout.flush()
        write_csv(table, sys.stdout.buffer)
