"""The report: complete, honest about what was not analysed, safe against what stands in the tables, self-contained."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from imaging import EXCLUDED, FINDINGS, GROUPS, NOTICE, burden, conform
from pipelines.results import SCANS, ScanResult, StudyResult
from pipelines.scan import analyze
from pipelines.schemas import SCHEMAS, store
from pipelines.writers import report
from pipelines.writers.gallery import FILE, write_gallery
from pipelines.writers.html import DASH, count, number, text, words
from pipelines.writers.report import write_report

from .htmlpage import Page, check_policy
from .phantoms import phantom

ID = "0123456789abcdef"
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


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
    return next(s for s in re.findall(r'<section class="scan.*?</section>', html, re.S) if scan_id in s)


REFUSED = {"scan_id": "f" * 16, "status": "refused", "reason": "gap", "message": "export the series again"}


def with_gallery(out: Path, result: ScanResult) -> Path:
    folder = out / "scans" / ID
    folder.mkdir(parents=True)
    write_gallery(result, folder)
    return folder


def test_every_finding_has_a_row_and_a_card_with_its_planes(result, tmp_path):
    with_gallery(tmp_path, result)
    html = written(study_of(tmp_path, [result]))
    numbers = result.findings["finding_id"].tolist()
    assert [int(n) for n in re.findall(r'id="f-1-(\d+)"', html)] == numbers
    assert [int(n) for n in re.findall(r'<a href="#f-1-(\d+)" class="mono">', html)] == numbers
    for card in re.findall(r'<article class="card".*?</article>', html, re.S):
        captions = re.findall(r"<figcaption>(\w+) ", card)
        assert captions == ["axial", "coronal", "sagittal"]
        assert card.count("data:image/jpeg;base64,") == 3
        assert card.count('class="finding"') == 3
        assert "10 mm" in card
        assert "W 700 L 200" in card or "W 1500 L 550" in card
    for row in result.findings.itertuples():
        assert number(row.volume_mm3) in html
    assert NOTICE in html
    assert Page(html).open == []


def test_it_is_self_contained_and_runs_nothing_but_its_script(result, tmp_path):
    with_gallery(tmp_path, result)
    html = written(study_of(tmp_path, [result], [REFUSED]))
    check_policy(html)
    assert "url(" not in html
    assert "@import" not in html
    assert "https:" not in html
    for tag, attributes in Page(html).tags:
        assert tag not in {"link", "iframe", "object", "embed", "base"}
        assert "style" not in attributes
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/jpeg;base64,"))


def test_links_lead_to_sections(result, tmp_path):
    page = Page(written(study_of(tmp_path, [result], [REFUSED])))
    names = [a["id"] for _, a in page.tags if "id" in a]
    assert len(names) == len(set(names))
    for _, attributes in page.tags:
        if attributes.get("href", "").startswith("#"):
            assert attributes["href"][1:] in names


def test_text_of_tables_is_escaped(result, tmp_path):
    study = study_of(tmp_path, [result], [REFUSED | {"message": HOSTILE, "reason": HOSTILE, "flags": HOSTILE}])
    (tmp_path / "run.json").write_text(
        json.dumps(
            {
                "versions": {"calcimap": HOSTILE},
                "started_unix_s": 0,
                "config": {HOSTILE: {HOSTILE: HOSTILE}},
                "context": {"a": HOSTILE},
            }
        )
    )
    for column in ("pattern", "pattern_reason", "hypothesis", "flags", "margin"):
        study.findings[column] = pd.Series([HOSTILE] * len(study.findings), dtype="string")
    study.excluded["reason"] = pd.Series([HOSTILE] * len(study.excluded), dtype="string")
    html = written(study)
    page = Page(html)
    check_policy(html)
    assert [tag for tag, _ in page.tags].count("script") == 1
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
    row = re.search(r"<tr data-scan.*?</tr>", html, re.S).group()
    assert row.count(DASH) >= 2
    assert 'data-size=""' in row
    assert 'data-v="nan"' not in html
    assert not re.search(r"\b(nan|NaN|None|NaT)\b|&lt;NA&gt;", html[: html.rindex("<script>")])


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


def test_a_broken_absent_or_edited_gallery_is_told_and_put_nowhere(result, tmp_path):
    study = study_of(tmp_path, [result])
    assert "No pictures were written" in written(study)
    file = with_gallery(tmp_path, result) / FILE
    whole = json.loads(file.read_text())
    for edit in (
        lambda g: g["overview"][0].update(image="https://example.org/x.png"),
        lambda g: g["overview"][0].update(image='data:image/svg+xml;base64,AAAA"><script>'),
        lambda g: g["overview"][0]["strokes"].append({"kind": "finding", "d": '"><script>alert(1)</script>'}),
        lambda g: g["overview"][0].update(width="<b>"),
        lambda g: g.pop("findings"),
    ):
        edited = json.loads(json.dumps(whole))
        edit(edited)
        file.write_text(json.dumps(edited))
        html = written(study)
        assert "No pictures were written" in html
        assert "example.org" not in html
        check_policy(html)
    for broken in ("", "[]", "{", "null"):
        file.write_text(broken)
        assert "No pictures were written" in written(study)
    whole["overview"][0]["caption"] = HOSTILE
    file.write_text(json.dumps(whole))
    html = written(study)
    assert "&lt;script&gt;alert(1)" in html
    check_policy(html)


def test_a_scan_id_that_is_a_path_is_not_followed(result, tmp_path):
    (tmp_path / "scans").mkdir()
    write_gallery(result, tmp_path)
    (tmp_path / "viewer.html").write_text("x")
    study = study_of(tmp_path, [result])
    study.scans["scan_id"] = pd.Series([".."], dtype="string")
    html = written(study)
    assert "data:image" not in html
    assert "viewer.html" not in html


def test_the_viewer_is_linked_where_there_is_one(result, tmp_path):
    study = study_of(tmp_path, [result])
    assert "viewer.html" not in written(study)
    (with_gallery(tmp_path, result) / "viewer.html").write_text("x")
    links = [a["href"] for _, a in Page(written(study)).tags if "viewer.html" in a.get("href", "")]
    assert links == [
        f"scans/{ID}/viewer.html",
        *(f"scans/{ID}/viewer.html#finding={n}" for n in result.findings["finding_id"]),
    ]


def test_pictures_beyond_the_budget_are_left_out_the_smallest_first_and_said(result, tmp_path, monkeypatch):
    with_gallery(tmp_path, result)
    study = study_of(tmp_path, [result])
    whole = written(study)
    study.findings.loc[0, "volume_mm3"] = 1e6
    monkeypatch.setattr(report, "BUDGET", len(whole) - 40_000 - 1)
    sizes = [report.Gallery.size(p) for p in report.Gallery.read(tmp_path / "scans" / ID / FILE).findings.values()]
    overview = report.Gallery.size(report.Gallery.read(tmp_path / "scans" / ID / FILE).overview)
    monkeypatch.setattr(report, "BUDGET", overview + sizes[0])
    html = written(study)
    first, second = re.findall(r'<article class="card".*?</article>', html, re.S)
    assert "data:image" in first
    assert "No picture here" in second
    assert "shown without pictures" in html


def test_cards_beyond_the_first_are_text_that_holds_the_same(result, tmp_path, monkeypatch):
    with_gallery(tmp_path, result)
    study = study_of(tmp_path, [result])
    cards = re.findall(r'<article class="card".*?</article>', written(study), re.S)
    monkeypatch.setattr(report, "MOST_STATIC", 1)
    html = written(study)
    folded = re.findall(r'<article class="card".*?</article>', html, re.S)
    assert folded[0] == cards[0]
    head, inner, tail = re.fullmatch(
        r'(<article[^>]*>)\n<script type="text/plain">\n(.*?)</script>\n(</article>)', folded[1], re.S
    ).groups()
    assert "".join((head + inner + tail).split()) == "".join(cards[1].split())
    check_policy(html)


def test_what_was_run_is_told_from_run_json(result, tmp_path):
    run = {
        "versions": {"calcimap": "9.9"}, "started_unix_s": 1_700_000_000.0, "context": {"age": 40},
        "config": {"detection": {"threshold_hu": 175.0, "keep": []}},
    }  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(run))
    said = Page(written(study_of(tmp_path, [result]))).text
    assert "calcimap 9.9, run 2023-11-14 22:13 UTC, with detection.threshold_hu = 175.0 ; all else default" in said
    assert "keep" not in said.split("all else")[0]


def test_candidates_on_bone_stand_folded_in_a_list_of_their_own(result, tmp_path):
    with_gallery(tmp_path, result)
    html = written(study_of(tmp_path, [result]))
    near = result.excluded["reason"].isin(report.LISTED)
    parts = re.findall(r'<details class="listed">.*?</details>', html, re.S)
    assert len(parts) == (1 if near.any() else 0)


def test_burden_is_shown(result, tmp_path):
    study = study_of(tmp_path, [result])
    said = Page(written(study)).text
    total = study.burden.loc[study.burden["organ"] == "(all)", "volume_mm3"].iloc[0]
    assert "Burden of each CT scan, in numbers" in said
    assert number(total) in said


def test_an_upper_bound_is_marked_only_where_it_is_one(result, tmp_path):
    study = study_of(tmp_path, [result])
    study.findings["flags"] = pd.Series(["below_resolution"] * len(study.findings), dtype="string")
    study.findings["max_diameter_mm"] = [2.0] + [40.0] * (len(study.findings) - 1)
    study.findings["resolution_mm"] = 2.0
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


def test_rows_beyond_the_first_are_text_that_holds_the_same(result, tmp_path, monkeypatch):
    study = study_of(tmp_path, [result])
    rows = re.findall(r"<tr data-scan.*?</tr>", written(study), re.S)
    monkeypatch.setattr(report, "MOST_STATIC_ROWS", 1)
    html = written(study)
    (folded,) = re.findall(r'<script type="text/plain" id="rows">(.*?)</script>', html, re.S)
    assert re.findall(r"<tr data-scan.*?</tr>", folded, re.S) == rows[1:]
    check_policy(html)
