"""Every sample file of pydicom, of pydicom-data and of the nasty collection ends in a typed outcome."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.data.data_manager import DATA_ROOT

from tests.data import SHARED_DATA, shared
from tests.fuzz.run import examine_all

ENDS = ("read", "set aside", "refused: ", "ignored: ", "find: ")


def pydicom_data() -> Path | None:
    """The package pydicom-data, where it is installed; nothing is downloaded."""
    found = importlib.util.find_spec("data_store")
    return None if found is None or found.origin is None else Path(found.origin).parent / "data"


FOLDERS = {
    "pydicom": Path(DATA_ROOT) / "test_files",
    "pydicom-data": pydicom_data(),
    "dicom_nasty": SHARED_DATA / "dicom_nasty",
}


@pytest.mark.parametrize("name", FOLDERS)
def test_each_file_ends_typed(name):
    folder = FOLDERS[name]
    if folder is None or not folder.is_dir():
        pytest.skip(f"the files of {name} are not here")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    assert files
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for file in files:
            for end in examine_all(file):
                assert end.startswith(ENDS), f"{file.name}: {end}"


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_them_accounts_for_every_file(name):
    from imaging import find_series

    folder = FOLDERS[name]
    if folder is None or not folder.is_dir():
        pytest.skip(f"the files of {name} are not here")
    found = find_series(folder)
    used = {path for series in found.series for path in series.paths}
    listed = used | set(found.ignored)
    archives = {path.parent for path in listed if not path.exists()}
    assert {path for path in folder.rglob("*") if path.is_file()} <= listed | archives


def test_one_enhanced_ct_in_ten_encodings(tmp_path):
    """A perfusion map, which is refused; under another name its frames are the same in every encoding."""
    from imaging import ReadParams, find_series, read_volume

    folder = shared("dicom_nasty/dicomparser/encapsulated/multi-frame")
    volumes = {}
    for file in sorted(folder.glob("CT0012*.dcm")):
        (only,) = find_series(file).series
        assert only.problem is not None
        assert only.problem.reason == "not_hu"
        copy = tmp_path / file.name
        copy.write_bytes(file.read_bytes().replace(b"PERFUSION\\RCBF", b"VOLUME\\NEITHER"))
        (series,) = find_series(copy).series
        volumes[file.name] = read_volume(series, ReadParams(assume_hu=True))
    plain = volumes.pop("CT0012.explicit_little_endian.dcm")
    assert len(volumes) == 9
    for name, volume in volumes.items():
        off = np.abs(volume.array.astype(float) - plain.array).max()
        if ".51." in name:  # its encoder lifted all values by about 1010; SimpleITK reads the same
            assert (volume.array.min(), volume.array.max()) == (-14, 1199)
        else:
            assert off <= (3 if ".81." in name else 0), name
        np.testing.assert_allclose(volume.affine, plain.affine, atol=1e-6)
