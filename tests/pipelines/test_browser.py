"""Report and viewer in a browser: they open from a file, sort, filter, switch, scroll, and ask nobody for anything."""

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest

import pipelines
from imaging import conform
from pipelines.results import SCANS, StudyResult
from pipelines.scan import analyze
from pipelines.schemas import store
from pipelines.writers import report
from pipelines.writers.gallery import write_gallery
from pipelines.writers.report import write_report
from pipelines.writers.viewer import write_viewer

from .browser import Browser
from .htmlpage import check_policy
from .phantoms import phantom

ID = "0123456789abcdef"
HOSTILE = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">\"'>"
BALLS = ((10, -25, 10), (20, -30, -25), (30, 20, -30), (40, -10, 30))


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = Browser(tmp_path_factory.mktemp("browser"))
    yield program
    program.close()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("out")
    result = analyze(phantom(BALLS), scan_id=ID)
    assert len(result.findings) == 4
    folder = out / "scans" / ID
    folder.mkdir(parents=True)
    write_gallery(result, folder)
    write_viewer(result, folder)
    refused = {"scan_id": "f" * 16, "status": "refused", "reason": HOSTILE, "message": HOSTILE, "flags": HOSTILE}
    scans = conform(pd.DataFrame([dict(result.record), refused]), SCANS)
    findings = result.findings.assign(pattern_reason=HOSTILE, volume_mm3=[3.0, 10.0, np.nan, 2.0])
    findings["pattern"] = pd.Series(["punctate", HOSTILE, "solid", "punctate"], dtype="string")
    tables = {"findings": findings, "scans": scans, "excluded": result.excluded, "groups": result.groups}
    store(out, tables | {"hypotheses": result.hypotheses})
    study = StudyResult(out, out)
    write_report(study)
    return study


SHOWN = "[...document.querySelectorAll('#findings tbody tr')].map(r => Number(r.cells[1].textContent))"
FITS = "document.documentElement.scrollWidth <= window.innerWidth"


def test_the_report_sorts_and_filters(browser, study):
    volume = "[...document.querySelectorAll('#findings thead button')].find(b => b.textContent === 'Volume').click(); "
    fill = (
        "(() => {{ const i = document.querySelector('[name={}]'); i.value = '{}'; "
        "i.dispatchEvent(new Event('input', {{bubbles: true}})); }})(); "
    )
    visit = browser.visit(
        (study.out / "report.html").as_uri(),
        [
            SHOWN, volume + SHOWN, volume + SHOWN, fill.format("pattern", "punctate") + SHOWN,
            fill.format("pattern", "") + SHOWN,
            fill.format("words", "solid") + SHOWN, "document.querySelector('#findings output').textContent",
            fill.format("words", "") + fill.format("least", "1e6") + SHOWN, "document.title", FITS,
        ],
    )  # fmt: skip
    down, up = [2, 1, 4, 3], [4, 1, 2, 3]  # what is missing stays last
    assert visit.values[:6] == [[1, 2, 3, 4], down, up, [4, 1], up, [3]]
    assert visit.values[6] == "1 of 4 shown"
    assert visit.values[7] == []
    assert visit.values[8] == "calcimap report"
    assert visit.values[9] is True
    assert visit.complaints == []


def test_a_hostile_header_shows_as_text(browser, study):
    visit = browser.visit(
        (study.out / "report.html").as_uri(),
        [
            "document.body.innerText.includes(\"<script>document.title='run'\")",
            "document.images.length",
            "document.title",
        ],
    )
    assert visit.values == [True, 0, "calcimap report"]
    assert visit.complaints == []


def test_outlines_switch_and_keys_go_from_card_to_card(browser, study):
    seen = "getComputedStyle(document.querySelector('.overview .{}')).display"
    at = "document.activeElement.id"
    visit = browser.visit(
        (study.out / "report.html").as_uri(),
        [
            seen.format("finding"),
            ("key", "o"),
            seen.format("finding"),
            ("key", "o"),
            ("key", "n"),
            at,
            ("key", "n"),
            at,
            ("key", "p"),
            at,
        ],
    )
    assert visit.values == ["inline", "none", "f-1-1", "f-1-2", "f-1-1"]
    assert visit.complaints == []


@pytest.mark.parametrize("width", [360, 800])
def test_pages_are_no_wider_than_the_screen(browser, study, width):
    assert browser.visit((study.out / "report.html").as_uri(), [FITS], width).values == [True]
    visit = browser.visit((study.out / "scans" / ID / "viewer.html").as_uri(), [FITS], width)
    assert visit.values == [True]
    assert visit.complaints == []


def test_folded_cards_and_rows_come_when_they_are_scrolled_to(browser, study, tmp_path, monkeypatch):
    many = pd.concat([study.findings.assign(scan_id=ID)] * 100, ignore_index=True)
    many["finding_id"] = range(1, len(many) + 1)
    monkeypatch.setattr(report, "MOST_STATIC", 10)
    store(tmp_path, {"findings": many, "scans": study.scans, "hypotheses": study.hypotheses})
    write_report(StudyResult(tmp_path, tmp_path))
    rows = "document.querySelectorAll('#findings tbody tr').length"
    box = (
        "(() => { const b = document.querySelector('#findings .scroll'); b.scrollTop = b.scrollHeight; })(); "
        "new Promise(r => setTimeout(() => r(1), 200))"
    )
    card = """(() => { const c = document.querySelectorAll('.card')[350], folded = c.querySelector('dl') === null;
      c.scrollIntoView();
      return new Promise(r => setTimeout(() => r([folded, c.querySelector('dl') !== null]), 400)); })()"""
    printed = f"window.dispatchEvent(new Event('beforeprint')); [{rows}, document.querySelectorAll('.card dl').length]"
    visit = browser.visit((tmp_path / "report.html").as_uri(), [rows, box, rows, card, printed])
    first, _, second, unfolded, everything = visit.values
    assert first < second < 400
    assert unfolded == [True, True]
    assert everything == [400, 400]
    assert visit.complaints == []


def test_the_viewer_scrolls_jumps_and_draws(browser, study):
    where = "document.getElementById('where').textContent"
    colours = """(() => { const c = document.querySelector('canvas');
      const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
      let orange = 0, grey = 0;
      for (let k = 0; k < d.length; k += 4) {
        if (d[k] > 230 && d[k + 1] > 110 && d[k + 1] < 170 && d[k + 2] < 90) orange++;
        if (d[k] === d[k + 1] && d[k] > 60) grey++;
      }
      return [orange > 50, grey > 5000]; })()"""
    address = (study.out / "scans" / ID / "viewer.html").as_uri() + "#finding=3"
    visit = browser.visit(
        address,
        [
            where, colours, ("wheel", 120), where, ("key", "n"), where, "location.hash",
            ("key", "o"), colours, ("key", "o"), ("key", "w"), where,
            ("key", "Home"), where,
        ],
    )  # fmt: skip
    complaints = [text for text in visit.complaints if "readback" not in text]  # of reading the canvas here
    first, drawn, scrolled, jumped, hash_, bare, windowed, home = visit.values
    assert "finding 3" in first
    assert drawn == [True, True]
    assert bare == [False, True]
    number = [int(text.split()[1]) for text in (first, scrolled)]
    assert number[1] - number[0] == 3
    assert hash_ == "#finding=4"
    assert "finding 4" in jumped
    assert "W 700 L 200" in first
    assert "W 1\u202f500 L 550" in windowed
    assert home.startswith("slice 0 ")
    assert complaints == []
    row = study.findings.iloc[2]
    assert abs(number[0] - row["slice_index"]) <= 2


def test_a_row_of_the_report_leads_to_its_place_in_the_viewer(browser, study):
    visit = browser.visit(
        (study.out / "report.html").as_uri(),
        [
            "document.querySelector('#f-1-2 a.viewer').getAttribute('href')",
            "document.querySelector('#findings tbody a').getAttribute('href')",
        ],
    )
    assert visit.values == [f"scans/{ID}/viewer.html#finding=2", "#f-1-1"]


def test_a_scan_with_a_script_in_every_text_element_runs_nothing(browser, tmp_path):
    source = Path(__file__).parents[2] / "sample_data" / "ct_thigh"
    (tmp_path / "in").mkdir()
    texts = {"LO": 64, "SH": 16, "PN": 64, "ST": 1024, "LT": 10240, "UT": 10**6, "CS": 16}
    needed = "ImageType Modality PhotometricInterpretation PatientPosition RescaleType SpecificCharacterSet".split()
    added = (
        "PatientName PatientID StudyDescription SeriesDescription ProtocolName ImageComments InstitutionName "
        "Manufacturer ConvolutionKernel BodyPartExamined ContrastBolusAgent"
    ).split()
    for file in source.glob("*.dcm"):
        dataset = pydicom.dcmread(file)
        for keyword in added:
            element = pydicom.DataElement(keyword, pydicom.datadict.dictionary_VR(keyword), "")
            dataset.setdefault(element.tag, element)
        for element in dataset:
            if element.VR in texts and element.keyword not in needed and element.keyword:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # of values that no CS may hold
                    setattr(dataset, element.keyword, HOSTILE[: texts[element.VR]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset.save_as(tmp_path / "in" / file.name)
    study = pipelines.run(tmp_path / "in", tmp_path / "out")
    assert (study.scans["status"] == "analysed").all()
    for page in (study.out / "report.html", *study.out.glob("scans/*/viewer.html")):
        check_policy(page.read_text(encoding="utf-8"))
        visit = browser.visit(page.as_uri(), ["document.title", "document.images.length"])
        assert visit.values[0].startswith("calcimap")
        assert visit.values[1] == 0
        assert visit.complaints == []
