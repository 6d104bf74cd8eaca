"""The report of a comparison: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import io
from typing import Any

import pandas as pd

from imaging import BURDEN_CHANGES, CHANGES, NOTICE, STATES, Comparison

from ..results import FollowupResult
from .followup_pictures import draw_pair, draw_timeline
from .html import write_page

MOST_PICTURES = 40
"""Rows with pictures, over all comparisons: the file stays within what browsers and mail take."""
ORDER = ("new", "increased", "decreased", "split", "merged", "resolved", "not_comparable", "not_seen", "stable")


def write_followup_report(result: FollowupResult) -> None:
    """``report.html``: what changed, the limit that decided, both scans side by side, how comparable they are.

    And ``timeline.png``. No scripts, no references to anything outside the file, no paths, dates or identifiers.
    """
    from PIL import Image

    picture = Image.fromarray(draw_timeline(result.timeline))
    picture.save(result.out / "timeline.png", format="PNG")
    comparisons = result.timeline.comparisons
    room = MOST_PICTURES // len(comparisons)
    contents: dict[str, Any] = {
        "notice": NOTICE,
        "pairs": [_pair(c, k, room) for k, c in enumerate(comparisons, start=1)],
        "timeline": data_uri(picture),
        "states": STATES,
        "definitions": {n: c.definition for n, c in (CHANGES | BURDEN_CHANGES).items()},
        "units": {n: c.unit.replace("mm3", "mm³") for n, c in (CHANGES | BURDEN_CHANGES).items()},
    }
    write_page(result.out / "report.html", "followup", contents)


def data_uri(image: Any) -> str:
    """A Pillow image as the source of an <img>."""
    buffer = io.BytesIO()
    image.save(buffer, format="WEBP", quality=88, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _pair(c: Comparison, number: int, room: int) -> dict[str, Any]:
    rank = c.changes["state"].map({state: k for k, state in enumerate(ORDER)})
    table = c.changes.assign(rank=rank).sort_values(
        ["rank", "volume_after_mm3"], ascending=[True, False], kind="stable"
    )
    rows = [{str(k): v for k, v in row.items()} | {"picture": None} for _, row in table.iterrows()]
    if c.before.image is not None and c.after.image is not None:
        detections = c.before.detection(), c.after.detection()
        for row, (_, values) in zip(rows[:room], table.head(room).iterrows(), strict=True):
            row["picture"] = _drawn(c, values, detections)
    counts = c.counts
    return {
        "number": number,
        "baseline": c.before.scan_id,
        "followup": c.after.scan_id,
        "interval": c.interval_days,
        "counts": [(state, counts[state]) for state in ORDER if state in counts],
        "rows": rows,
        "pictured": sum(row["picture"] is not None for row in rows),
        "has_images": c.before.image is not None and c.after.image is not None,
        "burden": [{str(k): v for k, v in row.items()} for _, row in c.burden.iterrows()],
        "aspects": c.comparability.aspects,
        "comparable": c.comparability.comparable,
        "unknown": [a.name for a in c.comparability.unknown],
        "why_not": c.comparability.reason,
        "method": c.registration.method.replace("_", " "),
        "rigid": c.registration.before,
        "final": c.registration.after,
        "needed": c.params.agreeing_share,
        "limits": c.limits,
    }


def _drawn(c: Comparison, row: pd.Series, detections: Any) -> str:
    from PIL import Image

    return data_uri(Image.fromarray(draw_pair(c, row, detections)))
