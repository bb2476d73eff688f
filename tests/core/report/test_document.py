"""The page: what a reader sees on it, in both kinds the same, and the same bytes at any time."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pypdfium2
import pytest

from cinema_core.anatomy import Structure
from cinema_core.cards import ModelCard
from cinema_core.cine import Patient
from cinema_core.errors import InputError, StorageError
from cinema_core.measure import ReportChoices, study_measures
from cinema_core.phantom import PhantomStudy
from cinema_core.report import Approval, Origin, Status, StudyResult
from cinema_core.report.content import ReportContent
from cinema_core.report.document import report_html, report_pdf, write_document
from cinema_core.report.figures import bullseye_drawing, svg_of

ORIGIN = Origin("1.2.3", "2026-01-02T03:04:05+00:00", ModelCard(name="reader-1", sha256="f" * 64), 3, 20, 123)
PERSON = ReportChoices(sex="F", age_years=52, height_cm=168, weight_kg=64)
APPROVED = Approval(Status.APPROVED, "Reader 7", "2026-01-02T03:00:00.000Z", "")


def result_of(phantom: PhantomStudy, labels: np.ndarray | None = None, approval: Approval = APPROVED) -> StudyResult:
    cine = replace(phantom.cine, patient=Patient())
    measures = study_measures(phantom.labels if labels is None else labels, cine, choices=PERSON)
    return StudyResult("study-1", cine, measures, ORIGIN, approval)


def pages(pdf: bytes) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    texts = []
    for page in document:
        text = page.get_textpage()
        texts.append(" ".join(text.get_text_bounded().split()))
        text.close()
        page.close()
    document.close()
    return texts


def words(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


@pytest.fixture(scope="module")
def result(phantom_study: PhantomStudy) -> StudyResult:
    return result_of(phantom_study)


@pytest.fixture(scope="module")
def pdf(result: StudyResult, phantom_study: PhantomStudy) -> list[str]:
    return pages(report_pdf(result, phantom_study.labels))


def test_the_summary_is_one_page_and_details_follow(pdf: list[str]) -> None:
    assert len(pdf) == 2
    assert "Approved by Reader 7" in pdf[0]
    assert "Every figure" in pdf[1] and "Every figure" not in pdf[0]


def test_every_page_says_what_it_is_not_for(pdf: list[str]) -> None:
    assert all("Research use only" in page for page in pdf)
    assert all("APPROVED" in page for page in pdf)


def test_the_order_is_that_of_the_guideline(pdf: list[str]) -> None:
    blocks = ("Sex, age", "Convention", "Left ventricle", "Right ventricle", "Wall at ED", "ED, basal", "Quality")
    places = [pdf[0].index(block) for block in blocks]
    assert places[:4] == sorted(places[:4]) and places[-1] == max(places)


def test_figures_ranges_and_their_source_are_on_the_first_page(pdf: list[str], result: StudyResult) -> None:
    page = pdf[0]
    assert f"{result.value('lv_edv_ml'):.1f} ml" in page and f"{result.value('rv_ef_pct'):.1f} %" in page
    verdict = result.measures.verdicts["lv_edv_ml"]
    assert verdict.range is not None
    assert f"{verdict.range.lower:g}–{verdict.range.upper:g}" in page
    for words_of_table in ("Healthy Hearts Consortium", "50 to 59 years", "9,088 in all", "transcribed"):
        assert words_of_table in page


def test_details_have_every_figure_as_in_the_table(pdf: list[str], result: StudyResult) -> None:
    assert not [value.name for value in result.values.values() if value.text and value.text not in pdf[1]]
    assert "f" * 64 in pdf[1].replace(" ", "") and result.cine.content_sha256[:40] in pdf[1].replace(" ", "")


def test_html_says_the_same(result: StudyResult, pdf: list[str], phantom_study: PhantomStudy) -> None:
    html = report_html(result, phantom_study.labels)
    said = words(html)
    for value in result.values.values():
        assert value.title in said and value.text in said
    assert "Approved by Reader 7" in said and "Research use only" in said
    assert html.count("data:image/png;base64,") == 6 and html.count("<svg") == 3
    assert not re.search(r"(src|href)=.?https?:", html)  # it needs no other file and asks nobody


def test_the_same_result_gives_the_same_bytes_but_for_the_time(phantom_study: PhantomStudy) -> None:
    first, again = (result_of(phantom_study) for _ in range(2))
    assert report_pdf(first, phantom_study.labels) == report_pdf(again, phantom_study.labels)
    later = replace(first, origin=replace(ORIGIN, created_utc="2027-01-02T03:04:05+00:00"))
    pair = [report_html(found, phantom_study.labels).splitlines() for found in (first, later)]
    different = [line for line, other in zip(*pair, strict=True) if line != other]
    assert len(different) == 1 and "made 2026-01-02 03:04:05 UTC" in different[0]


def test_a_draft_says_so_and_why(phantom_study: PhantomStudy) -> None:
    draft = Approval(reason="Reader 7 approved; since then slice 3 of phase 1 was edited. Approve again.")
    page = pages(report_pdf(result_of(phantom_study, approval=draft), phantom_study.labels))[0]
    assert "DRAFT" in page and "APPROVED" not in page
    assert "slice 3 of phase 1 was edited" in page


def test_faults_stand_on_the_first_page_in_words(phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    labels[:, 2, 2:12, 2:14] = Structure.RV_CAVITY
    found = pages(report_pdf(result_of(phantom_study, labels), labels))
    assert len(found) >= 2
    assert "Quality: !! RED" in found[0]
    assert "A piece of the RV lies away from the heart: slice 3 at ED" in found[0]
    assert "Approved by" in found[0]


def test_what_is_not_known_is_told_and_nothing_is_made_up(phantom_study: PhantomStudy) -> None:
    labels = phantom_study.labels.copy()
    labels[labels != Structure.RV_CAVITY] = 0
    cine = replace(phantom_study.cine, patient=Patient())
    result = StudyResult("study-1", cine, study_measures(labels, cine), ORIGIN)
    page, *_ = pages(report_pdf(result, labels))
    assert "not entered, not entered" in page and "No LV volume at ED and ES" in page
    assert "no verdict without the patient's sex" in page
    assert report_html(result, labels)


def test_markup_in_a_name_is_text(phantom_study: PhantomStudy) -> None:
    result = result_of(phantom_study, approval=replace(APPROVED, reader="<b>Dr & Co</b>"))
    assert "Approved by <b>Dr & Co</b>" in pages(report_pdf(result, phantom_study.labels))[0]
    assert "<b>Dr" not in report_html(result, phantom_study.labels)


def test_the_ending_tells_the_kind(result: StudyResult, phantom_study: PhantomStudy, tmp_path: Path) -> None:
    write_document(tmp_path / "a.PDF", result, phantom_study.labels)
    write_document(tmp_path / "a.html", result, phantom_study.labels)
    assert (tmp_path / "a.PDF").read_bytes().startswith(b"%PDF")
    assert (tmp_path / "a.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    with pytest.raises(InputError, match=r"a\.doc is no report.*\.html, \.pdf"):
        write_document(tmp_path / "a.doc", result, phantom_study.labels)
    with pytest.raises(StorageError, match="choose another place"):
        write_document(tmp_path / "none" / "a.pdf", result, phantom_study.labels)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.PDF", "a.html"]


def test_a_bullseye_has_its_numbers_where_the_model_puts_them() -> None:
    values = np.arange(1.0, 18.0)
    svg = svg_of(bullseye_drawing(values, "Wall", 120))
    found = {
        float(text): (float(x), float(y))
        for x, y, text in re.findall(r'<text x="[^"]*" y="([^"]*)"[^>]*translate\(0,([^)]*)\)[^>]*>(\d+\.\d)<', svg)
        if x
    }
    assert set(found) == set(np.arange(1.0, 17.0))  # the cap has no ring of its own
    assert found[1.0][0] > found[4.0][0]  # anterior above inferior


def test_content_names_the_slices_that_drive_the_ejection_fraction(
    result: StudyResult, phantom_study: PhantomStudy
) -> None:
    [lv, _rv] = ReportContent(result, phantom_study.labels).drivers
    assert lv.startswith("LV EF rests most on slice ") and "Basal slice" in lv
