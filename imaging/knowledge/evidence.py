"""The evidence for every finding: its own columns, its group, its scan, and what is known beside the image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from ..columns import FINDINGS
from .conditions import HIGH, Evidence
from .context import BODY_PARTS, KEYS, REGIONS, Context, age_range, site_of

LIMBS = ("upper_limb", "lower_limb")
"""Where everything that is not bone is soft tissue."""
PUNCTATE = "punctate"


def gather(findings: pd.DataFrame, context: Context) -> Evidence:
    """One row per finding, in order: columns of findings, ``site``, ``group.``, ``scan.`` and ``context.`` names.

    Parameters
    ----------
    findings : DataFrame
        With patterns named; of one scan, or of several told apart by ``scan_id``.
    context : Context
    """
    table = findings.reset_index(drop=True)
    scan = table["scan_id"].astype("string").fillna("") if "scan_id" in table else pd.Series("", index=table.index)
    number = table["finding_id"].fillna(-1).astype(int) if "finding_id" in table else pd.Series(-1, index=table.index)
    known = [context.of(s, n) for s, n in zip(scan, number, strict=True)]
    parts: dict[str, Any] = _context(known)
    parts["site"] = pd.Series(
        [_site(o, k) for o, k in zip(_or_none(table, "organ"), known, strict=True)], dtype="object", index=table.index
    )
    parts |= _group(table, scan) | _scan(table, scan, parts["site"])
    parts |= _of_echoes(table, parts)
    own = table.drop(columns=[c for c in parts if c in table])
    return Evidence(pd.concat([own, pd.DataFrame(parts, table.index)], axis=1))


def _of_echoes(table: pd.DataFrame, parts: Mapping[str, Any]) -> dict[str, pd.Series]:
    """What ultrasound changes: grey is no HU, and the form of an echo is not that of what casts it.

    Columns in HU and forms are missing for its findings; a comet tail that was seen counts where nobody says else.
    """
    echo = (
        (table["modality"] == "US").fillna(False).to_numpy(bool) if "modality" in table else np.zeros(len(table), bool)
    )
    if not echo.any():
        return {}
    made = {n: table[n].astype(float).mask(echo) for n in map(str, table) if only_ct(n)}
    if "flags" in table:
        seen = table["flags"].fillna("").str.split(";").map(lambda codes: "comet_tail" in codes).to_numpy(bool) & echo
        said = pd.Series(parts.get("context.comet_tail", np.nan), index=table.index, dtype=float)
        made["context.comet_tail"] = said.where(said.notna() | ~seen, 1.0)
    return made


def only_ct(name: str) -> bool:
    """A column that says something of a calcification on CT, and on ultrasound only of its echo."""
    return (name in FINDINGS and FINDINGS[name].unit == "HU") or name in ("elongation", "solidity")


def possible_sites(known: Mapping[str, Any]) -> frozenset[str] | None:
    """Sites that the region allows; None where no region is known."""
    region = _region(known)
    return None if region is None else frozenset(REGIONS[region])


def _region(known: Mapping[str, Any]) -> str | None:
    return known.get("region") or BODY_PARTS.get(known.get("body_part", ""))


def _site(organ: str | None, known: Mapping[str, Any]) -> str | None:
    """Site by mask, else as the user says, else soft tissue in a limb."""
    if organ is not None and (found := site_of(organ)) is not None:
        return found
    if "organ" in known:
        return site_of(known["organ"])
    return "soft_tissue" if _region(known) in LIMBS else None


def _or_none(table: pd.DataFrame, name: str) -> list[str | None]:
    if name not in table:
        return [None] * len(table)
    return [v if isinstance(v, str) else None for v in table[name]]


def _context(known: list[dict[str, Any]]) -> dict[str, Any]:
    """Columns ``context.KEY``: flags as 0 and 1, words, ages by their lower and upper end; missing where not known."""
    columns: dict[str, Any] = {}
    for key in {k for facts in known for k in facts} | {"region"}:
        values = [_region(f) if key == "region" else f.get(key) for f in known]
        if KEYS[key].kind == "word":
            columns[f"context.{key}"] = np.array(values, object)
        elif key == "age":
            ends = np.array([age_range(v) if v is not None else (np.nan, np.nan) for v in values]).reshape(-1, 2)
            columns |= {"context.age": ends[:, 0], f"context.age{HIGH}": ends[:, 1]}
        else:
            columns[f"context.{key}"] = np.array([np.nan if v is None else float(v) for v in values])
    possible = [possible_sites(f) for f in known]
    columns["possible_sites"] = np.fromiter(possible, object, len(possible))
    return columns


def _group(table: pd.DataFrame, scan: pd.Series) -> dict[str, pd.Series]:
    if "group_id" not in table:
        return {}
    by = table.assign(_scan=scan).groupby(["_scan", "group_id"], dropna=False)
    count = by["group_id"].transform("size").astype(float)
    made = {"group.count": count}
    axes = [c for c in ("centroid_x_mm", "centroid_y_mm", "centroid_z_mm") if c in table]
    if axes:
        spread = pd.concat([by[c].transform("max") - by[c].transform("min") for c in axes], axis=1).max(axis=1)
        made["group.extent_mm"] = spread.where(count > 1)
    if "volume_mm3" in table:
        made["group.volume_mm3"] = by["volume_mm3"].transform("sum")
    if "pattern" in table:
        dots = (table["pattern"] == PUNCTATE).fillna(False).astype(float)
        share = dots.groupby([scan, table["group_id"]], dropna=False).transform("mean")
        made["group.punctate_share"] = share
    return made


def _scan(table: pd.DataFrame, scan: pd.Series, site: pd.Series) -> dict[str, pd.Series]:
    count = scan.groupby(scan).transform("size").astype(float)
    made: dict[str, pd.Series] = {"scan.count": count}
    if "group_id" in table:
        made["scan.groups"] = table["group_id"].groupby(scan).transform("nunique").astype(float)
    if "pattern" in table:
        pattern = table["pattern"].astype("object")
        made["scan.same_pattern"] = pattern.groupby([scan, pattern]).transform("size").astype(float)
    same = site.groupby([scan, site])
    made["scan.same_site"] = same.transform("size").astype(float)
    made["scan.sites"] = site.groupby(scan).transform("nunique").astype(float).where(site.notna())
    if "side" in table:
        side = table["side"].astype("object").where(table["side"].isin(["left", "right"]))
        sides = side.groupby([scan, site]).transform("nunique")
        both = (sides == 2).map({True: "both", False: "one"})
        made["scan.sides"] = both.where(side.notna())
    return made
