"""The report: complete, honest about what was not analysed, safe against what stands in the tables, self-contained."""

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from imaging import EXCLUDED, FINDINGS, GROUPS, NOTICE, burden, conform
from pipelines.results import SCANS, ScanResult, StudyResult
from pipelines.scan import analyze
from pipelines.schemas import SCHEMAS, store
from pipelines.writers.pictures import write_overview
from pipelines.writers.report import DASH, count, number, text, words, write_report

from .phantoms import phantom

ID = "0123456789abcdef"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
VOID = {"meta", "img", "line", "rect"}


class Page(HTMLParser):
    """Tags, attributes and text of a page, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def result() -> ScanResult:
    return analyze(phantom(), scan_id=ID)


def study_of(out: Path, results: list[ScanResult], others: list[dict] | None = None, ignored=None) -> StudyResult:
    def table(name: str, columns) -> pd.DataFrame:
        tables = [getattr(r, name) for r in results]
        return pd.concat(tables, ignore_index=True) if tables else conform(pd.DataFrame(), columns)

    rows = [dict(r.record) for r in results] + (others or [])
    scans = conform(pd.DataFrame(rows, columns=None if rows else list(SCANS)), SCANS)
    tables = {"findings": table("findings", FINDINGS), "excluded": table("excluded", EXCLUDED)}
    tables |= {"scans": scans, "burden": burden(tables["findings"], scans)}
    store(out, tables | {"groups": table("groups", GROUPS)})
    return StudyResult(out, out, ignored or {})


def written(study: StudyResult) -> str:
    store(study.out, {name: getattr(study, name) for name in SCHEMAS})  # a test may have changed its tables
    write_report(study)
    return (study.out / "report.html").read_text(encoding="utf-8")


def section(html: str, scan_id: str) -> str:
    return next(s for s in re.findall(r"<section.*?</section>", html, re.S) if scan_id in s)


REFUSED = {"scan_id": "f" * 16, "status": "refused", "reason": "gap", "message": "export the series again"}


def test_every_finding_and_the_picture_are_in_it(result, tmp_path):
    folder = tmp_path / "scans" / ID
    folder.mkdir(parents=True)
    write_overview(result, folder)
    html = written(study_of(tmp_path, [result]))
    rows = re.findall(r'<tr><th scope="row" class="n">(\d+)</th>', section(html, ID))
    assert [int(r) for r in rows] == result.findings["finding_id"].tolist()
    for row in result.findings.itertuples():
        assert number(row.volume_mm3) in html
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', html)
    assert base64.b64decode(data)[8:12] == b"WEBP"
    assert NOTICE in html
    assert Page(html).open == []


def test_it_is_self_contained_and_runs_nothing(result, tmp_path):
    html = written(study_of(tmp_path, [result], [REFUSED]))
    page = Page(html)
    policies = [a for tag, a in page.tags if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0]["content"].startswith("default-src 'none'; img-src data:; style-src 'unsafe-inline'")
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in html
    assert "@import" not in html
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on")]
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#").startswith("#")


def test_links_lead_to_sections(result, tmp_path):
    page = Page(written(study_of(tmp_path, [result], [REFUSED])))
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    for _, attributes in page.tags:
        if "href" in attributes:
            assert attributes["href"][1:] in names


def test_text_of_tables_is_escaped(result, tmp_path):
    study = study_of(tmp_path, [result], [REFUSED | {"message": HOSTILE, "reason": HOSTILE, "flags": HOSTILE}])
    for column in ("pattern", "pattern_reason", "hypothesis", "flags", "margin"):
        study.findings[column] = pd.Series([HOSTILE] * len(study.findings), dtype="string")
    study.excluded["reason"] = pd.Series([HOSTILE] * len(study.excluded), dtype="string")
    html = written(study)
    page = Page(html)
    assert "<script" not in html
    assert "script" not in {tag for tag, _ in page.tags}
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


@pytest.mark.parametrize("status", ["refused", "failed"])
def test_a_scan_that_was_not_analysed_does_not_look_clean(result, tmp_path, status):
    # Even where a table says 0, which it must not.
    row = REFUSED | {"status": status, "n_findings": 0, "total_volume_mm3": 0.0}
    html = written(study_of(tmp_path, [result], [row]))
    there = section(html, "f" * 16)
    assert f'class="scan {status}"' in there
    words_there = Page(there).text
    assert "not analysed" in words_there
    assert "export the series again" in words_there
    assert "slices are missing between others" in words_there
    assert "No findings" not in words_there
    table_row = next(r for r in re.findall(r"<tr>.*?</tr>", html, re.S) if "f" * 16 in r and "#scan-2" in r)
    numbers = re.findall(r'<td class="n">([^<]*)</td>', table_row)
    assert numbers
    assert set(numbers) == {DASH}
    assert "1 scan was not analysed" in Page(html).text


def test_a_clean_scan_says_so(tmp_path):
    clean = analyze(phantom(balls=()), scan_id=ID)
    there = Page(section(written(study_of(tmp_path, [clean])), ID)).text
    assert len(clean.findings) == 0
    assert "No findings. The scan was analysed" in there
    assert "bone" in there


def test_missing_values_are_dashes_not_zeros(result, tmp_path):
    study = study_of(tmp_path, [result])
    study.findings["max_diameter_mm"] = float("nan")
    study.findings["pattern"] = pd.Series([pd.NA] * len(study.findings), dtype="string")
    study.findings["group_id"] = pd.Series([pd.NA] * len(study.findings), dtype="Int64")
    html = written(study)
    row = next(r for r in re.findall(r"<tr>.*?</tr>", section(html, ID), re.S) if 'scope="row"' in r)
    assert row.count(DASH) >= 3
    assert not re.search(r"\b(nan|NaN|None|NaT)\b|&lt;NA&gt;", html)


def test_an_empty_study_is_no_clean_study(tmp_path):
    html = written(study_of(tmp_path, []))
    assert "nothing is known about calcification" in html
    assert Page(html).open == []


def test_paths_never_appear(result, tmp_path):
    ignored = {Path("/data/Mustermann^Max/a.txt"): "not_dicom", Path("/data/Mustermann^Max/b.txt"): "not_dicom"}
    html = written(study_of(tmp_path, [result], ignored=ignored))
    assert "Mustermann" not in html
    assert str(tmp_path) not in html
    assert "not_dicom" in html


def test_a_broken_or_absent_picture_is_told(result, tmp_path):
    study = study_of(tmp_path, [result])
    assert "No picture was written" in written(study)
    folder = tmp_path / "scans" / ID
    folder.mkdir(parents=True)
    (folder / "overview.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    assert "No picture was written" in written(study)


def test_a_scan_id_that_is_a_path_is_not_followed(result, tmp_path):
    (tmp_path / "scans").mkdir()
    write_overview(result, tmp_path)
    study = study_of(tmp_path, [result])
    study.scans["scan_id"] = pd.Series([".."], dtype="string")
    assert "data:image" not in written(study)


def test_an_upper_bound_is_marked_only_where_it_is_one(result, tmp_path):
    study = study_of(tmp_path, [result])
    study.findings["flags"] = pd.Series(["below_resolution"] * len(study.findings), dtype="string")
    study.findings["max_diameter_mm"] = [2.0] + [40.0] * (len(study.findings) - 1)
    there = section(written(study), ID)
    assert "≤ 2.00" in there
    assert "≤ 40.0" not in there


def test_the_same_tables_give_the_same_report(result, tmp_path):
    study = study_of(tmp_path, [result], [REFUSED])
    assert written(study) == written(study)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"), (0.01234, "0.0123"), (12.345, "12.3"), (1234567.0, "1\u202f234\u202f567"), (-3.5, "\u22123.50"),
        (float("nan"), DASH), (None, DASH), (pd.NA, DASH), (float("inf"), DASH),
    ],
)  # fmt: skip
def test_numbers(value, shown):
    assert number(value) == shown


def test_counts_and_words():
    assert count(0) == "0"
    assert count(pd.NA) == DASH
    assert text("") == DASH
    assert words("bone_adjacent") == "bone adjacent"
