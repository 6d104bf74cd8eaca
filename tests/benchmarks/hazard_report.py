"""The hazard corpus of the tests through calcimap, SimpleITK's series reader and dcm2niix: a Markdown table and counts.

    python tests/benchmarks/hazard_report.py [--cases NAME ...] [--brief]

SimpleITK is used as its documentation shows: GetGDCMSeriesIDs on each folder that holds files, GetGDCMSeriesFileNames,
Execute. dcm2niix is run once on the input with its default options; files that it adds with spacing or tilt corrected
(_Eq, _Tilt) count as a warning. What they make is compared with the same truth, axes in any order. "Silently wrong":
volumes of which the true ones are not all, without an exception, a failing exit code or a line on the terminal. Where
nobody can know the truth (values that are not HU), reading is called "read, unflagged" and not wrong.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "sample_data")]

from tests.hazards import CASES  # noqa: E402
from tests.hazards.corpus import Expected  # noqa: E402
from tests.hazards.judge import best, judge, judge_ultrasound  # noqa: E402
from tests.hazards.peers import Made, dcm2niix_images, dcm2niix_program, itk_images  # noqa: E402

SILENT, SAID, RIGHT, NOTHING, OPEN = "silently wrong", "wrong, says so", "right", "nothing read", "read, unflagged"
VALUES = {"not_hu", "no_rescale"}


def of_peer(made: Made, expected: Expected) -> tuple[str, str]:
    """How another loader ended, and with what."""
    truths = [*(expected.physical or expected.volumes)]
    if not made.images:
        return NOTHING, ""
    if not truths and VALUES.intersection(expected.refused):
        return OPEN, ""
    fault, others = best(made.images, truths) if truths else ("a volume where none can be right", 0)
    if not fault:
        notes = [f"{others} more image(s)" if others else "", "a corrected copy" if made.corrected else ""]
        return RIGHT, " and ".join(filter(None, notes))
    said = made.failed or made.corrected or bool(made.words.strip())
    return (SAID if said else SILENT), fault


def row(name: str, root: Path, peers: bool) -> list[tuple[str, str]]:
    """Ours, SimpleITK, dcm2niix."""
    case = CASES[name]
    expected = case.make(root)
    if case.kind == "us":
        verdict = judge_ultrasound(root, expected)
        return [(verdict.outcome, verdict.text)]
    verdict = judge(root, expected)
    ours = verdict.outcome, verdict.text
    return [ours, of_peer(itk_images(root), expected), of_peer(dcm2niix_images(root), expected)] if peers else [ours]


def cell(outcome: str, text: str) -> str:
    """One cell of the table."""
    if outcome == "refused":
        return f"refused: {text.replace('refused: ', '')}"
    shown = f"**{outcome}**" if "wrong" in outcome.lower() else outcome
    return f"{shown}: {text.replace('mm3 instead of', 'mm3, not')}" if text else shown


CHAPTERS = {"ct_geometry": "CT: place", "ct_values": "CT: values", "ct_files": "CT: files", "ultrasound": "Ultrasound"}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--brief", action="store_true", help="only calcimap")
    options = parser.parse_args()
    peers = not options.brief and dcm2niix_program() is not None
    counts = [Counter[str](), Counter[str](), Counter[str]()]
    ultrasound: Counter[str] = Counter()
    for chapter, title in CHAPTERS.items():
        names = [name for name in options.cases if CASES[name].chapter.endswith(chapter)]
        with_peers = peers and chapter != "ultrasound"
        heads = ["case", "calcimap", *(["SimpleITK", "dcm2niix"] if with_peers else [])]
        print(f"### {title}\n\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                cells = row(name, Path(folder), with_peers)
            for count, (outcome, _) in zip([ultrasound] if chapter == "ultrasound" else counts, cells, strict=False):
                count[outcome] += 1
            print(f"| {CASES[name].about} | {' | '.join(cell(*c) for c in cells)} |", flush=True)
        print()
    for who, count in zip(("calcimap", "SimpleITK", "dcm2niix"), counts, strict=True):
        if count:
            print(f"CT, {who}: {', '.join(f'{n} {outcome}' for outcome, n in count.most_common())}")
    if ultrasound:
        print(f"ultrasound, calcimap: {', '.join(f'{n} {outcome}' for outcome, n in ultrasound.most_common())}")


if __name__ == "__main__":
    main()
