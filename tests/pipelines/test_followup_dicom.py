"""DICOM SR of a follow-up, read back by highdicom and pydicom and judged by dciodvfy."""

import highdicom as hd
import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_writer import write_dicom_series
from pydicom.dataset import Dataset

import pipelines
from imaging import BURDEN_CHANGES, CHANGES
from pipelines.cli import main
from pipelines.writers.dicom import codes
from tests.imaging.followup.phantoms import pair

from .test_dicom import complaints
from .test_followup import SAMPLES, save

DAYS = ("20200102", "20200330", "20201231")


@pytest.fixture(scope="module")
def followed(tmp_path_factory):
    """Three dates of one patient: something happens to a phantom, and then nothing."""
    folder = tmp_path_factory.mktemp("dicom followup")
    made = pair(6, count=25, turn_deg=4)
    for number, (day, volume) in enumerate(zip(DAYS, (made.before, made.after, made.after), strict=True), 1):
        dated = Dataset()
        dated.StudyDate = dated.SeriesDate = dated.AcquisitionDate = dated.ContentDate = day
        dated.StudyInstanceUID = f"2.25.{number}"
        volume = volume.replace(array=np.clip(volume.array, -1024, None))
        write_dicom_series(volume, folder / day, name="someone", series_number=number, changes=dated)
    places = [folder / day for day in DAYS]
    return places, pipelines.compare(places, folder / "out", sr=True)


def groups_of(file):
    """Measurement groups of a report, that of the whole scan first, as data sets."""
    whole = pydicom.dcmread(file).ContentSequence
    [measurements] = [i for i in whole if i.ConceptNameCodeSequence[0].CodeValue == "126010"]
    return list(measurements.ContentSequence)


def said(group, code):
    """Values of the content items of a group that have a concept name."""
    named = [(i.ConceptNameCodeSequence[0], i) for i in group.ContentSequence if "ConceptNameCodeSequence" in i]
    items = [i for name, i in named if code in (name.get("CodeValue"), name.get("LongCodeValue"))]
    for i in items:
        if i.ValueType == "NUM":
            yield float(i.MeasuredValueSequence[0].NumericValue)
        elif i.ValueType == "CODE":
            yield i.ConceptCodeSequence[0].CodeMeaning
        else:
            yield i.get("TextValue") or i.get("UID")


def test_a_report_for_each_scan_with_the_names_of_the_tables(followed):
    made = followed[1]
    table = made.timeline.table
    assert {p.name for p in made.out.glob("*.dcm")} == {"sr_01.dcm", "sr_02.dcm", "sr_03.dcm"}
    for k, day in enumerate(DAYS, 1):
        file = made.out / f"sr_{k:02}.dcm"
        report = hd.sr.srread(file)
        assert report.StudyInstanceUID == f"2.25.{k}"
        assert report.PatientID == "SYNTHETIC-someone"
        found = report.content.get_volumetric_roi_measurement_groups()
        rows = table[(table["time_point"] == k) & table["finding_ids"].notna()]
        assert {g.tracking_uid for g in found} == set(rows["tracking_uid"])
        assert len(found) == sum(len(ids.split(";")) for ids in rows["finding_ids"])
        for group in groups_of(file):
            assert list(said(group, "126073")) == [k]
            [days] = said(group, "128740")
            assert days == (pd.Timestamp(day) - pd.Timestamp(DAYS[0])).days
        assert complaints(file) == []


def test_what_became_of_a_finding_is_that_of_the_tables(followed):
    _, made = followed
    words = {state: meaning for state, (_, _, meaning) in codes.CHANGES.items()} | {
        s: codes.change(s)[2] for s in ("resolved", "not_seen", "split", "merged", "not_comparable")
    }
    told = set()
    for k, comparison in enumerate(made.timeline.comparisons, 2):
        changes = comparison.changes.assign(percent=comparison.changes["volume_change_percent"].astype(float))
        by_track = {}
        for _, row in changes.iterrows():
            by_track.setdefault(row["tracking_uid"], []).append(row)
        for group in groups_of(made.out / f"sr_{k:02}.dcm")[1:]:
            [tracking] = said(group, "112040")
            rows = by_track[tracking]
            [word] = said(group, "111021")
            assert word in {words[row["state"]] for row in rows}
            told.add(word)
            percent = list(said(group, "volume_change_relative"))
            assert all(any(np.isclose(p, row["percent"]) for row in rows) for p in percent)
            if percent:
                assert list(said(group, "volume_change_limit"))
            if word in (words["resolved"], words["split"]):
                assert set(said(group, "121106")) & {row["reason"] for row in rows}
    assert {words[s] for s in ("stable", "increased", "new", "resolved")} <= told
    assert "Increase in size" in told


def test_the_whole_scan_comes_first_with_what_it_was_measured_above(followed):
    _, made = followed
    for k, exam in enumerate(made.timeline.exams, 1):
        whole = groups_of(made.out / f"sr_{k:02}.dcm")[0]
        assert list(said(whole, "111038")) == [len(exam)]
        [total] = said(whole, "YEKZ")
        assert total == pytest.approx(exam.findings["volume_mm3"].sum())
        assert f"threshold_grow_hu={exam.number('threshold_grow_hu'):g}" in list(said(whole, "111002"))


def test_scans_without_findings_have_a_report_too_and_old_reports_go(tmp_path):
    """Nothing found is a result; and no report outlives the tables that it was made with."""
    clean = str(SAMPLES / "ct_clean")
    out = tmp_path / "out"
    assert main(["compare", clean, clean, "--out", str(out), "--sr"]) == 0
    files = [pydicom.dcmread(out / f"sr_{k:02}.dcm") for k in (1, 2)]
    assert [list(said(groups_of(out / f"sr_{k:02}.dcm")[0], "111038")) for k in (1, 2)] == [[0], [0]]
    assert files[0].SOPInstanceUID != files[1].SOPInstanceUID
    assert complaints(out / "sr_01.dcm") == []
    assert main(["compare", clean, clean, "--out", str(out), "--set", "followup.gate_mm=9", "--sr"]) == 0
    assert pydicom.dcmread(out / "sr_01.dcm").SOPInstanceUID != files[0].SOPInstanceUID
    assert main(["compare", clean, clean, "--out", str(out)]) == 0
    assert not list(out.glob("*.dcm"))


def test_it_is_written_on_request_only_and_needs_dicom(followed, tmp_path, capsys):
    places, made = followed
    first = [str(p) for p in places[:2]]
    assert main(["compare", *first, "--out", str(tmp_path / "plain")]) == 0
    assert not list((tmp_path / "plain").glob("*.dcm"))
    file = save(made.timeline.exams[0].image, tmp_path / "scan.nii.gz")
    assert main(["compare", str(file), first[0], "--out", str(tmp_path / "nifti"), "--sr"]) == 8
    assert "no DICOM" in capsys.readouterr().err
    assert not (tmp_path / "nifti" / "changes.csv").exists()
    for name in ("changes.csv", "report.html"):
        text = (made.out / name).read_text()
        assert "someone" not in text
        assert "2.25." in text or name == "report.html"
    assert set(pd.read_csv(made.out / "changes.csv")) == set(CHANGES)
    assert set(pd.read_csv(made.out / "burden_changes.csv")) == set(BURDEN_CHANGES)


def test_scans_not_in_the_order_of_their_dates_are_refused(followed, tmp_path, capsys):
    places, _ = followed
    assert main(["compare", str(places[1]), str(places[0]), "--out", str(tmp_path / "out")]) == 2
    assert "88 days before the earlier one; give the earliest first" in capsys.readouterr().err
