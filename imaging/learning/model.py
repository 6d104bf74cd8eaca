"""`Model`: what training gives and prediction takes. It is a `imaging.Classifier`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import Column
from ..errors import UsageError
from .estimators import calibrated
from .schema import Schema

TENDENCY_NOT_STATED = "indeterminate"


@dataclass(frozen=True, eq=False)
class Model:
    """A trained classifier.

    Parameters
    ----------
    labels : tuple of str
        What rows can be, sorted.
    target : str
        Name of the labels' column at training.
    schema : Schema
        Features and how the table was made.
    family : str
        ``linear`` or ``boosting``.
    setting : dict
        The chosen hyper-parameters.
    estimator, calibrator
        scikit-learn estimators.
    tendencies : dict of str to str, optional
        benign, concern or indeterminate for a label; indeterminate where nothing is stated.
    versions : dict of str to str
        Of calcimap, scikit-learn and numpy at training.
    """

    labels: tuple[str, ...]
    target: str
    schema: Schema
    family: str
    setting: Mapping[str, float]
    estimator: Any
    calibrator: Any
    tendencies: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def probabilities(
        self,
        table: pd.DataFrame,
        *,
        columns: Mapping[str, Column] | None = None,
        made: Mapping[str, str] | None = None,
        unverified: bool = False,
    ) -> NDArray[np.float64]:
        """Calibrated probability of every label, (n, labels).

        Raises
        ------
        RefusedError
            The table was not made as the training table was (`Schema.check`).
        """
        self.schema.check(table, columns, made, unverified=unverified)
        if not len(table):
            return np.empty((0, len(self.labels)))
        return calibrated(self.estimator, self.calibrator, self.schema.matrix(table))

    def scores(self, findings: pd.DataFrame) -> NDArray[np.float64]:
        """The same, as `imaging.classify` calls it: on a table measured by this calcimap, settings not verified."""
        return self.probabilities(findings, unverified=True)

    def tendency(self, label: str) -> str:
        """What was stated for a label at training; indeterminate otherwise."""
        return self.tendencies.get(label, TENDENCY_NOT_STATED)


def predict(
    model: Model,
    table: pd.DataFrame,
    *,
    columns: Mapping[str, Column] | None = None,
    made: Mapping[str, str] | None = None,
    unverified: bool = False,
) -> pd.DataFrame:
    """`table` with ``predicted`` and one ``probability_<label>`` per label. Research use only.

    Parameters
    ----------
    model : Model
    table : DataFrame
        One row per finding.
    columns : mapping of str to Column, optional
        The table's data dictionary; `imaging.FINDINGS` by default.
    made : mapping of str to str, optional
        Settings that the table was made with.
    unverified : bool
        Take a table that does not say with which settings it was made.

    Raises
    ------
    RefusedError
        Other features, or another definition than at training; the message names them.
    UsageError
        The table has columns of these names already.
    """
    names = ["predicted", *(f"probability_{label}" for label in model.labels)]
    taken = [n for n in names if n in table]
    if taken:
        raise UsageError(f"the table already has {', '.join(taken)}; give the table without predictions")
    p = model.probabilities(table, columns=columns, made=made, unverified=unverified)
    best = np.array(model.labels, object)[p.argmax(axis=1)] if len(p) else []
    values = {"predicted": pd.Series(best, index=table.index, dtype="string")}
    values |= {n: pd.Series(p[:, k], index=table.index) for k, n in enumerate(names[1:])}
    return pd.concat([table, pd.DataFrame(values)], axis=1)
