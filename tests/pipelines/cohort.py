"""A folder of many small series, some of them bad in a known way: what a night's run gets."""

import hashlib
import re
from pathlib import Path

from dicom_writer import write_dicom_series

from imaging.synthetic import Ball, Thing, render

from ..hazards import ct_files, ct_geometry, ct_values  # noqa: F401  # they register their cases
from ..hazards.corpus import CASES

ROOT = rb"1\.2\.826\.0\.1\.3680043\.8\.498\.(\d+)"
BAD = (
    "gap_of_one", "nothing_but_padding", "truncated_in_the_pixels", "every_second_slice_in_one_half",
    "variable_spacing", "drift_in_the_plane", "duplicate_that_differs", "two_acquisitions_without_a_difference",
    "bolus_tracking",
    "two_slices_turned", "no_positions", "position_not_a_number", "no_pixel_spacing", "matrix_changes",
    "rescale_absent_and_stored_hu_plus_1024", "slope_zero", "rescale_that_is_none", "unknown_syntax", "no_pixels",
    "colour",
)  # fmt: skip
"""Hazards that are refused as one series, and whose files all belong to it."""


def write_cohort(folder: Path, n: int, bad_share: float = 0.05) -> dict[str, str]:
    """`n` series in folders of their own; returns the reason of every bad one by the name of its folder."""
    reasons: dict[str, str] = {}
    every = round(1 / bad_share)
    for k in range(n):
        name = f"case{k:05d}"
        if k % every == every // 2:
            expected = CASES[BAD[len(reasons) % len(BAD)]].make(folder / name)
            (reasons[name],) = expected.refused
            for file in (folder / name).rglob("*"):
                if file.is_file():
                    file.write_bytes(_renamed(file.read_bytes(), name))
            continue
        things = [Thing(Ball((-12.0 + 8 * b, 0, 0), 2.0), 800.0, f"ball {b}") for b in range(1 + k % 3)]
        shape = (10 + k % 5, 40, 40)
        volume = render(45.0, things, shape, (1.5, 1.0, 1.0), origin=(-20, -20, -8), noise_sd=10, seed=k).volume
        write_dicom_series(volume, folder / name, name=name)
    return reasons


def _renamed(data: bytes, name: str) -> bytes:
    """A file with UIDs of its own, of the same length."""

    def other(match: re.Match[bytes]) -> bytes:
        digits = str(int(hashlib.sha512(match[1] + name.encode()).hexdigest(), 16))
        return match[0][: -len(match[1])] + b"1" + digits[: len(match[1]) - 1].encode()

    return re.sub(ROOT, other, data)
