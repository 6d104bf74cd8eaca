"""What a model was trained on: features with unit and definition, and how the table was made. Checked at prediction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..columns import FINDINGS, Column
from ..errors import RefusedError, UsageError

SCHEMA_VERSION = 1
WORDS = ("margin", "pattern", "distribution", "side")
"""Text columns that are features by default."""
NO_FEATURE = frozenset(
    "scan_id finding_id centroid_x_mm centroid_y_mm centroid_z_mm slice_index row_index column_index group_id frame "
    "pattern_confidence".split()
)
"""Numbers that say where or which, not what."""
DEFINING = ("modality", "intensity_unit", "agatston_definition", "calibrated")
"""Columns whose values say how the others were measured: a model takes only values that it was trained on."""
SHOWN = 6


@dataclass(frozen=True)
class FeatureSpec:
    """One feature as it was at training.

    Parameters
    ----------
    name, unit, dtype : str
    definition : str
        First 12 hexadecimal digits of SHA-256 of definition and source; empty where the column has none.
    levels : tuple of str
        Words that were seen, for text; empty for numbers.
    """

    name: str
    unit: str
    dtype: str
    definition: str
    levels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Schema:
    """Features in their order, and how the training table was made.

    Parameters
    ----------
    features : tuple of FeatureSpec
    made : dict of str to tuple of str
        Defining columns and settings (``detection.threshold_mode``) with the values seen at training.
    version : int
    """

    features: tuple[FeatureSpec, ...]
    made: Mapping[str, tuple[str, ...]]
    version: int = SCHEMA_VERSION

    @classmethod
    def of(
        cls,
        table: pd.DataFrame,
        names: Iterable[str] | None = None,
        columns: Mapping[str, Column] | None = None,
        made: Mapping[str, str] | None = None,
    ) -> Schema:
        """Schema of a table.

        Parameters
        ----------
        table : DataFrame
        names : iterable of str, optional
            Features; by default every measured number of the findings table, and `WORDS`.
        columns : mapping, optional
            The table's own data dictionary; `imaging.FINDINGS` by default.
        made : mapping, optional
            Settings that the table was made with.

        Raises
        ------
        UsageError
            A feature that the table does not have, or none at all.
        """
        columns = FINDINGS if columns is None else columns
        wanted = list(default_features(table)) if names is None else list(dict.fromkeys(names))
        absent = [n for n in wanted if n not in table]
        if absent:
            raise UsageError(f"the table has no column {', '.join(absent[:SHOWN])}; choose among its columns")
        kept = [n for n in wanted if table[n].notna().any()]
        if not kept:
            raise UsageError("the table has no feature with a value; give a findings table, or name features")
        specs = tuple(_spec(table[n], columns.get(n), n) for n in kept)
        return cls(specs, _made(table, made))

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns of `matrix`: numbers as they are, one per word of a text feature."""
        return tuple(c for f in self.features for c in ([f"{f.name}={w}" for w in f.levels] or [f.name]))

    @property
    def owner(self) -> NDArray[np.int64]:
        """Index of the feature that each column of `matrix` belongs to."""
        return np.repeat(np.arange(len(self.features)), [max(len(f.levels), 1) for f in self.features])

    def matrix(self, table: pd.DataFrame) -> NDArray[np.float64]:
        """The features as numbers, (n, columns); missing is NaN, never filled."""
        parts: list[NDArray[np.float64]] = []
        for f in self.features:
            column = table[f.name]
            if f.levels:
                words = column.astype("string")
                hot = np.stack([(words == w).to_numpy(dtype=float, na_value=np.nan) for w in f.levels], axis=1)
                parts.append(hot.astype(np.float64))
            else:
                values = column.to_numpy(dtype=float, na_value=np.nan)
                parts.append(np.where(np.isfinite(values), values, np.nan)[:, None])
        return np.concatenate(parts, axis=1)

    def check(
        self,
        table: pd.DataFrame,
        columns: Mapping[str, Column] | None = None,
        made: Mapping[str, str] | None = None,
        *,
        unverified: bool = False,
    ) -> None:
        """Refuse a table that was not made as the training table was.

        Parameters
        ----------
        table, columns, made
            As for `of`.
        unverified : bool
            Take a table that does not say how it was made; what it does say is checked all the same.

        Raises
        ------
        RefusedError
            ``other_features``: columns absent, or with another unit, type or definition, by name.
            ``other_definition``: made with other settings, or not known to be made with the same.
        """
        columns = FINDINGS if columns is None else columns
        absent = [f.name for f in self.features if f.name not in table]
        if absent:
            text = f"the model was trained with features that the table lacks: {_list(absent)}"
            raise RefusedError("other_features", f"{text}; measure them, or train a model on this table")
        other = [text for f in self.features if (text := _differs(f, table[f.name], columns.get(f.name)))]
        if other:
            raise RefusedError("other_features", f"features differ from those at training: {_list(other)}")
        now = _made(table, made)
        for name, values in self.made.items():
            if name not in now:
                if name in DEFINING and name in table:
                    continue  # the column is there and all missing: so are the values it defines
                if not unverified:
                    text = f"the table does not say {name}, which was {' or '.join(values)} at training"
                    hint = "give the table in the output folder of its run, or pass unverified (--unverified)"
                    raise RefusedError("other_definition", f"{text}; {hint}")
                continue
            new = sorted(set(now[name]) - set(values))
            if new:
                text = f"{name} is {_list(new)} in the table and was {' or '.join(values)} at training"
                raise RefusedError("other_definition", f"{text}; measure the scans again with the same settings")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {
            "version": self.version,
            "features": [asdict(f) for f in self.features],
            "made": {k: list(v) for k, v in self.made.items()},
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Schema:
        """The schema that `to_dict` gave.

        Raises
        ------
        RefusedError
            Another version of the schema (``other_features``).
        """
        if raw.get("version") != SCHEMA_VERSION:
            text = f"the model has feature schema {raw.get('version')!r}, this calcimap reads {SCHEMA_VERSION}"
            raise RefusedError("other_features", f"{text}; train it again")
        features = tuple(FeatureSpec(**{**f, "levels": tuple(f["levels"])}) for f in raw["features"])
        return cls(features, {str(k): tuple(v) for k, v in raw["made"].items()})


def default_features(table: pd.DataFrame) -> list[str]:
    """Measured numbers of the findings table and `WORDS`, as far as the table has them."""
    numbers = [c.name for c in FINDINGS.values() if c.dtype in ("float64", "Int64") and c.name not in NO_FEATURE]
    return [n for n in (*numbers, *WORDS) if n in table]


def _spec(column: pd.Series, known: Column | None, name: str) -> FeatureSpec:
    levels: tuple[str, ...] = ()
    if not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)):
        levels = tuple(sorted(column.dropna().astype(str).unique()))
    return FeatureSpec(name, known.unit if known else "", "string" if levels else "number", _definition(known), levels)


def _definition(known: Column | None) -> str:
    if known is None:
        return ""
    return hashlib.sha256(f"{known.definition}|{known.source}".encode()).hexdigest()[:12]


def _differs(spec: FeatureSpec, column: pd.Series, known: Column | None) -> str:
    """What is different about a feature, or empty."""
    text = not (pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column))
    if text != (spec.dtype == "string") and column.notna().any():
        return f"{spec.name} (was {spec.dtype})"
    if (known is None) != (spec.definition == ""):
        return f"{spec.name} (definition {'not known now' if known is None else 'not known then'})"
    if known is not None and known.unit != spec.unit:
        return f"{spec.name} (unit {known.unit or 'none'}, was {spec.unit or 'none'})"
    if _definition(known) != spec.definition:
        return f"{spec.name} (another definition)"
    return ""


def _made(table: pd.DataFrame, made: Mapping[str, str] | None) -> dict[str, tuple[str, ...]]:
    found = {n: tuple(sorted(table[n].dropna().astype(str).unique())) for n in DEFINING if n in table}
    return {k: v for k, v in found.items() if v} | {k: (str(v),) for k, v in (made or {}).items()}


def _list(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
