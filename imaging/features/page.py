"""The page of the documentation that lists every feature, made from the registry."""

from __future__ import annotations

import re
import sys
from itertools import groupby

from ..pages import Section, page
from .registry import FEATURES, Feature

TITLE = "What is measured"
INTRODUCTION = """\
One row per finding in `findings.csv`; every column below is one documented function in `imaging/features/`. Lengths are
mm, in the geometry of the scan (unequal spacing, oblique and tilted grids included); intensity is HU.

A finding has two masks. The **detection mask** holds what exceeds the detection threshold: it counts voxels, HU and
scores, as the literature does, and swells with partial volume. The **half-maximum mask** ends half-way between the
background and the level inside: it gives size and form. A segmentation of your own stands for both.

What a finding cannot tell is missing, never 0: form below 4 voxels, extent along an axis that it does not have, HU
inside where every voxel lies at the surface, the integrated volume without a plateau (flag `no_plateau`). Flags
`few_voxels`, `below_resolution` and `single_slice_finding` say where sizes are upper bounds.
[measurement.md](measurement.md) says how true the values are, and where they differ from other programs. IBSI codes are
those of the reference manual of the [Image Biomarker Standardisation Initiative](https://ibsi.readthedocs.io)."""
PICTURES = {
    "size": ("pictures/size.png", "Two masks of a 6 mm ball in 0.7 mm voxels, and diameters in a slice"),
    "density": (
        "pictures/form.png",
        "A section through a finding, its convex hull, box and ellipsoid of equal moments",
    ),
    "shell": (
        "pictures/shell.png",
        "Broken shell with the fitted sphere, and the directions that meet the mask near it",
    ),
    "intensity": ("pictures/hu.png", "Depth in a finding, HU by depth, and a sharp and a blurred edge of equal HU"),
}
"""Module of features -> picture, caption."""


ORDER = ("size", "shape", "density", "shell", "intensity", "place", "anatomy")
"""Modules of features that come first, in this order; others follow by name."""


def features_page() -> str:
    """The page in Markdown: `calcimap features --markdown`."""
    sections = []
    for module, entries in groupby(sorted(FEATURES, key=_rank), key=_home):
        head, _, rest = (sys.modules[module].__doc__ or "").partition("\n\n")
        first, _, more = " ".join(head.split()).partition(". ")
        text = "\n\n".join(filter(None, (more, rest.strip())))
        picture, caption = PICTURES.get(module.rpartition(".")[2], ("", ""))
        rows = [_row(f) for f in entries]
        sections.append(
            Section(first.rstrip("."), text, ("column", "unit", "definition", "source", "IBSI"), rows, picture, caption)
        )
    return page(TITLE, INTRODUCTION, "calcimap features --markdown", sections)


def _home(f: Feature) -> str:
    return f.compute.__module__


def _rank(f: Feature) -> tuple[int, str]:
    name = _home(f).rpartition(".")[2]
    return ORDER.index(name) if name in ORDER else len(ORDER), name


def _row(f: Feature) -> tuple[str, str, str, str, str]:
    codes = re.findall(r"IBSI ([0-9A-Z]{4})\b", f.source)
    _, _, notes = (f.compute.__doc__ or "").partition("\n\n")
    definition = " ".join(filter(None, (f.definition, " ".join(notes.split()))))
    unit = f.unit or ("count" if f.name.startswith("n_") or f.name.endswith("_voxels") else "")
    return f"`{f.name}`", unit, definition, f.source, ", ".join(codes)
