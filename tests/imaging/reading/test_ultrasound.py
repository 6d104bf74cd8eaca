"""Ultrasound regions: calibrated only where they may be, clamped by one pixel, dropped beyond that."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from imaging import Region
from imaging.errors import UsageError
from imaging.reading.clips import read_clip
from imaging.reading.discover import find_series
from imaging.reading.read import read_volume
from pipelines.cli import main
from tests.data import shared
from tests.dicom_files import dataset, save

US = "1.2.840.10008.5.1.4.1.1.6.1"
ROWS, COLUMNS = 48, 64


def region(x0=4, y0=5, x1=59, y1=44, delta=(0.02, 0.03), units=(3, 3), kind=(1, 1), **more) -> Dataset:
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType = kind
    item.RegionFlags = 2
    item.RegionLocationMinX0, item.RegionLocationMinY0 = x0, y0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = x1, y1
    item.PhysicalUnitsXDirection, item.PhysicalUnitsYDirection = units
    item.PhysicalDeltaX, item.PhysicalDeltaY = delta
    for name, value in more.items():
        if value is None:
            delattr(item, name)
        else:
            setattr(item, name, value)
    return item


def write(path, *items, **elements):
    ds = dataset(np.zeros((ROWS, COLUMNS)), None, orientation=None, SOPClassUID=US, Modality="US", **elements)
    del ds.PixelSpacing
    ds.SequenceOfUltrasoundRegions = Sequence(items)
    return save(ds, path)


def found(path):
    (series,) = find_series(path).series
    return series


def test_a_calibrated_region(tmp_path) -> None:
    write(tmp_path / "us", region(ReferencePixelX0=28, ReferencePixelY0=-3))
    series = found(tmp_path)
    assert series.regions == (
        Region(1, 1, 2, 4, 5, 59, 44, 3, 3, pytest.approx(0.2), pytest.approx(0.3), False, (28, -3)),
    )
    assert series.regions[0].calibrated
    assert series.problem is None
    assert series.n_slices == 1
    assert read_clip(series).shape == (1, ROWS, COLUMNS)
    with pytest.raises(UsageError, match="read_clip"):
        read_volume(series)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": (1, 2)},
        {"kind": (1, 0)},
        {"kind": (2, 1)},
        {"kind": (3, 3)},
        {"kind": (5, 1)},
        {"units": (3, 4)},
        {"units": (0, 0)},
        {"units": (12, 3)},
        {"delta": (0, 0.03)},
        {"delta": (0.02, -0.03)},
        {"delta": (float("nan"), 0.03)},
        {"delta": (float("inf"), 0.03)},
        {"delta": (5000.0, 5000.0)},
        {"PhysicalDeltaX": None},
        {"PhysicalUnitsYDirection": None},
        {"RegionDataType": None},
        {"RegionSpatialFormat": None},
    ],
    ids=str,
)
def test_never_mm_where_the_header_does_not_say_so(tmp_path, options) -> None:
    write(tmp_path / "us", region(**options))
    (one,) = found(tmp_path).regions
    assert not one.calibrated
    assert (one.delta_x_mm, one.delta_y_mm) == (None, None)


@pytest.mark.parametrize(
    ("options", "box", "flags"),
    [
        ({"x1": 63, "y1": 47}, (4, 5, 63, 47), ()),
        ({"x1": 64, "y1": 48}, (4, 5, 63, 47), ("region_clamped",)),
        ({"x1": 64}, (4, 5, 63, 44), ("region_clamped",)),
        ({"x1": 65}, None, ("region_dropped",)),
        ({"y1": 600}, None, ("region_dropped",)),
        ({"x0": 100, "x1": 120}, None, ("region_dropped",)),
        ({"x0": 59}, None, ("region_dropped",)),
        ({"x0": 60, "x1": 50}, None, ("region_dropped",)),
        ({"x1": 4294967295}, None, ("region_dropped",)),
        ({"RegionLocationMaxX1": None}, None, ("region_dropped",)),
    ],
    ids=str,
)
def test_inside_the_frame_or_not_at_all(tmp_path, options, box, flags) -> None:
    write(tmp_path / "us", region(**options))
    series = found(tmp_path)
    assert series.flags == flags
    assert [(r.x0, r.y0, r.x1, r.y1) for r in series.regions] == ([box] if box else [])


def test_several_regions_and_images(tmp_path) -> None:
    write(tmp_path / "a", region(), region(0, 0, 63, 3, kind=(5, 13), units=(0, 0)), instance="a")
    write(tmp_path / "b", region(delta=(0.04, 0.04)), instance="b")
    one, two = find_series(tmp_path).series  # each image is a view of its own
    assert (one.split_by, two.split_by) == (("file",), ("file",))
    assert one.identity != two.identity
    assert [r.calibrated for r in one.regions] == [True, False]
    assert [r.delta_x_mm for r in two.regions] == [pytest.approx(0.4)]


def test_a_thousand_regions(tmp_path) -> None:
    write(tmp_path / "us", *[region()] * 1000)
    series = found(tmp_path)
    assert len(series.instances[0].regions) == 64
    assert "region_dropped" in series.flags


def test_without_regions_pixel_spacing_is_not_taken(tmp_path) -> None:
    ds = dataset(np.zeros((ROWS, COLUMNS)), None, orientation=None, SOPClassUID=US, Modality="US")
    save(ds, tmp_path / "us")
    series = found(tmp_path)
    assert series.regions == ()
    assert series.affine is None


def test_inspect_shows_regions(tmp_path, capsys) -> None:
    write(tmp_path / "us", region(), region(0, 0, 63, 3, kind=(5, 13), units=(0, 0)))
    assert main(["inspect", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "columns 4 to 59, rows 5 to 44, 0.2 x 0.3 mm a pixel" in out
    assert "not calibrated (format 5, data 13)" in out
    assert main(["inspect", str(tmp_path), "--json"]) == 0
    (series,) = json.loads(capsys.readouterr().out)[0]["series"]
    assert [r["calibrated"] for r in series["regions"]] == [True, False]
    assert series["regions"][0]["delta_mm"] == pytest.approx([0.2, 0.3])
    assert series["regions"][1]["delta_mm"] is None


SAMPLES = Path(pydicom.__file__).parent / "data" / "test_files"


def test_samples_of_pydicom() -> None:
    seen = {}
    for file in sorted([*SAMPLES.glob("*.dcm"), *(SAMPLES.parent / "palettes").glob("*")]):
        for series in find_series(file).series:
            if series.modality == "US":
                seen[file.name] = (len(series.regions), series.flags)
    assert len(seen) >= 2, seen
    if "examples_ybr_color.dcm" in seen:
        assert seen["examples_ybr_color.dcm"] == (0, ("derived", "region_dropped"))  # 595 x 414 on a frame of 320 x 240


def test_real_files() -> None:
    series = found(shared("us/US-YBR_FULL_422-EVRLE.dcm"))
    (one,) = series.regions
    assert (one.x0, one.y0, one.x1, one.y1) == (184, 75, 799, 554)
    assert (one.delta_x_mm, one.delta_y_mm) == (pytest.approx(0.0616, rel=1e-4), pytest.approx(0.0616, rel=1e-4))
    blank = find_series(shared("us/deid_blank")).series
    assert sorted(s.n_slices for s in blank) == [1, 27]
    assert all(s.regions[0].calibrated for s in blank)
