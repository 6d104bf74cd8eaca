"""Canaries: unique texts wherever a header, a file or a folder can hold one; none comes out but in key.csv.

The corpus has CT and ultrasound, loose and in archives, series that are analysed, refused and that fail, and files that
are ignored. Paths come out on the terminal and in key.csv; nothing else does.
"""

import gzip
import io
import itertools
import json
import os
import re
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pydicom
import pytest
from PIL import Image
from pydicom.datadict import DicomDictionary

from imaging import FACTS
from pipelines.schemas import SCHEMAS

from ..dicom_files import dataset, save
from .cohort import write_cohort

ROOT = Path(__file__).parents[2]
TEXT = frozenset("AE CS LO LT PN SH ST UC UR UT".split())
"""Value representations of text."""
SAMPLE = ROOT / "sample_data" / "us_still" / "us_still.dcm"
NEEDED = {
    "SpecificCharacterSet", "ImageType", "Modality", "PatientPosition", "PhotometricInterpretation", "RescaleType",
    "SOPClassUID",
}  # fmt: skip
"""Code strings that reading depends on; with a canary in one of these nothing would be analysed."""
DATES = {"DA": "19031213", "TM": "031415.926535", "DT": "19031213031415.926535"}


class Canaries:
    """Unique texts, and whether bytes hold one of them."""

    def __init__(self) -> None:
        self.numbers = itertools.count(10_000)
        self.pattern = re.compile(rb"CNRY\d{5}|cnry\d{5}|19031213|1903-12-13|031415|2\.25\.77\d{6}77")

    def text(self) -> str:
        return f"CNRY{next(self.numbers)}"

    def uid(self) -> str:
        return f"2.25.77{next(self.numbers):06d}77"

    def elements(self) -> pydicom.Dataset:
        """One in every text element of the standard, in private ones and in a nested one."""
        ds = pydicom.Dataset()
        for tag, (vr, _, _, retired, keyword) in DicomDictionary.items():
            if not keyword or retired or tag >> 16 in (0x0000, 0x0002) or keyword in NEEDED:
                continue
            if vr in TEXT:
                ds.add_new(tag, vr, self.text())
            elif vr in DATES:
                ds.add_new(tag, vr, DATES[vr])
            elif vr == "UI":
                ds.add_new(tag, vr, self.uid())
        block = ds.private_block(0x0099, self.text(), create=True)
        block.add_new(0x01, "LO", self.text())
        block.add_new(0x02, "OB", self.text().encode() + b"\0")
        item = pydicom.Dataset()
        item.CodeMeaning, item.CodeValue, item.PersonName = self.text(), self.text(), self.text()
        ds.RequestAttributesSequence = [item]
        ds.PatientAge = "047Y"
        return ds


def write_corpus(folder: Path, canaries: Canaries) -> None:
    """One patient's night."""

    def series(place: str, leave_out=(), damage=None, **elements) -> list[Path]:
        common, files = canaries.elements(), []
        for k in range(12):
            hu = np.full((40, 40), 45) + np.random.default_rng(k).integers(-8, 9, (40, 40))
            if 4 <= k < 8:
                hu[18:22, 18:22] = 700
            ds = dataset(hu, (0, 0, 1.5 * k), instance=str(k), number=k + 1)
            ds.update(common)
            ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = canaries.uid()
            for name, value in elements.items():
                setattr(ds, name, value)
            if k not in leave_out:
                files.append(save(ds, folder / place / f"{canaries.text()}.dcm"))
                if damage:
                    files[-1].write_bytes(damage(files[-1].read_bytes()))
        return files

    series(f"{canaries.text()} good")
    series(f"{canaries.text()} gap/{canaries.text()}", leave_out=(5,))
    series(f"{canaries.text()} not hu", RescaleType="OD")
    series(f"{canaries.text()} cut", damage=lambda data: data[:-900])
    series(f"{canaries.text()} syntax", damage=other_syntax)
    series(f"{canaries.text()} other modality", Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    files = series("zipped")
    with zipfile.ZipFile(folder / f"{canaries.text()}.zip", "w") as archive:
        for file in files:
            archive.write(file, f"{canaries.text()}/{file.name}")
            file.unlink()
    (folder / "zipped").rmdir()
    still = pydicom.dcmread(SAMPLE)
    still.update(canaries.elements())
    (folder / f"{canaries.text()} us").mkdir()
    still.save_as(next(folder.glob("* us")) / f"{canaries.text()}.dcm")
    (folder / f"{canaries.text()}.txt").write_text(canaries.text())
    (folder / f"{canaries.text()}.dcm").write_bytes(b"\0" * 128 + b"DICM" + canaries.text().encode() * 40)


def other_syntax(data: bytes) -> bytes:
    return data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.9.9.9\0")


def archived(base: Path) -> set[str]:
    """Canaries in names of archived files."""
    with zipfile.ZipFile(next((base / "in").glob("*.zip"))) as archive:
        return set(re.findall(r"CNRY\d{5}", " ".join(archive.namelist())))


def described(base: Path) -> set[str]:
    """Descriptions of series, which `inspect` shows to the person before it and writes nowhere."""
    loose = [pydicom.dcmread(f, force=True).get("SeriesDescription", "") for f in (base / "in").rglob("*/*.dcm")]
    with zipfile.ZipFile(next((base / "in").glob("*.zip"))) as archive:
        packed = [pydicom.dcmread(io.BytesIO(archive.read(n))).SeriesDescription for n in archive.namelist()[:1]]
    return {*loose, *packed}


def unpacked(file: Path) -> bytes:
    """What a file holds, decompressed, with the texts in tables and pictures."""
    data = file.read_bytes()
    if file.suffix == ".gz":
        data += gzip.decompress(data)
    if file.suffix == ".parquet":
        table = pq.read_table(file)
        data += table.to_pandas().to_csv().encode() + str(table.schema.to_string(show_field_metadata=True)).encode()
        data += repr(table.schema.metadata).encode()
    if file.suffix == ".png":
        with Image.open(io.BytesIO(data)) as image:
            data += repr(image.info).encode() + repr(dict(image.getexif())).encode()
    return data


@pytest.fixture(scope="module", params=[1, 2], ids=["serial", "workers"])
def night(request, tmp_path_factory):
    """Folder, canaries and what the command said, with everything switched on and the most talkative log."""
    base, canaries = tmp_path_factory.mktemp(f"night{request.param}"), Canaries()
    with warnings.catch_warnings():  # canaries are no valid values of many elements
        warnings.simplefilter("ignore")
        write_corpus(base / "in", canaries)
    arguments = ["run", "in", "--out", "out", "--jobs", str(request.param), "--keep-identifiers"]
    arguments += ["--log-level", "debug", "--log-file", "more.log"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-m", "pipelines", *arguments], cwd=base, env=environment,
                          capture_output=True, check=False)  # fmt: skip
    return base, canaries, done


def test_the_corpus_is_what_it_should_be(night):
    base, canaries, done = night
    assert done.returncode == 8, done.stderr
    scans = pd.read_csv(base / "out" / "scans.csv")
    assert sorted(scans["status"]) == ["analysed"] * 3 + ["ignored"] + ["refused"] * 4
    assert set(scans["reason"].dropna()) == {"gap", "not_hu", "truncated", "codec", "other_modality"}
    assert set(scans["modality"].dropna()) >= {"CT", "US"}
    assert scans["n_findings"].sum() >= 2
    assert len(canaries.pattern.findall(next((base / "in").rglob("CNRY*.dcm")).read_bytes())) > 0
    assert next(canaries.numbers) > 20_000  # so many were set


def test_no_canary_comes_out_but_in_key_csv(night):
    base, canaries, _ = night
    files = [f for f in [*(base / "out").rglob("*"), base / "more.log"] if f.is_file() and f.name != "key.csv"]
    assert {f.name for f in files} >= {"report.html", "overview.png", "labels.nii.gz", "run.log", "events.jsonl",
                                       "run.json", "findings.csv", "scans.parquet", "columns.json"}  # fmt: skip
    for file in files:
        assert canaries.pattern.findall(unpacked(file)) == [], file
        assert not canaries.pattern.search(str(file.relative_to(base)).encode()), file
        assert str(base).encode() not in unpacked(file), file


def test_key_csv_is_its_owner_s(night):
    base, canaries, _ = night
    key = base / "out" / "key.csv"
    assert key.stat().st_mode & 0o777 == 0o600
    assert canaries.pattern.search(key.read_bytes())
    assert (base / "out" / ".work").stat().st_mode & 0o777 == 0o700


def test_the_terminal_shows_paths_and_nothing_else(night):
    base, canaries, done = night
    names = {part for f in (base / "in").rglob("*") for part in re.findall(r"CNRY\d{5}", str(f))}
    names |= archived(base)
    said = [m.decode() for m in canaries.pattern.findall(done.stdout + done.stderr)]
    assert said
    assert set(said) <= names


def test_header_facts_are_an_allow_list_of_listed_words(night):
    base, *_ = night
    scans = pd.read_parquet(base / "out" / "scans.parquet")
    assert set(FACTS) <= set(SCHEMAS["scans"])
    assert scans["patient_age_band"].dropna().unique().tolist() == ["40-49"]
    for name in ("manufacturer", "convolution_kernel", "body_part"):  # canaries are no words of the standard
        assert scans[name].isna().all(), name


def test_inspect_names_paths_only(night):
    base, canaries, _ = night
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "pipelines", "inspect", "in", "--json"], cwd=base, env=environment,
                          capture_output=True, check=True)  # fmt: skip
    assert json.loads(done.stdout)
    assert done.stderr == b""
    places = {part for f in (base / "in").rglob("*") for part in re.findall(r"CNRY\d{5}", str(f))}
    unknown = {m.decode() for m in canaries.pattern.findall(done.stdout)} - places - archived(base)
    assert unknown <= described(base), unknown


def test_salted_keys_join_rows_of_a_patient_and_change_with_the_salt(tmp_path):
    import pipelines

    write_cohort(tmp_path / "in", 2)
    keys = []
    for salt in ("", "pepper one", "pepper one", "pepper two"):
        config = pipelines.Config.load(None, [f"privacy.salt={salt!r}"])
        out = tmp_path / f"out{len(keys)}"
        study = pipelines.run(tmp_path / "in", out, formats=("csv",), config=config)
        keys.append(tuple(study.scans["patient_key"]) + tuple(study.scans["study_key"]) + tuple(study.scans["scan_id"]))
        assert salt == "" or salt not in (out / "run.json").read_text()
    assert keys[1] == keys[2]
    assert len({k for run in keys for k in run}) == 3 * len(keys[0])
