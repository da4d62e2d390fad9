"""The photos most confused: those the model was surest about, and wrong. A part of the held-out result."""

from __future__ import annotations

from markupsafe import Markup

from vizsla.analysis import page, thumbnails
from vizsla.analysis.facts import Evaluation, JobFacts, Prediction
from vizsla.words import count, percent

MOST_PHOTOS = 24
MOST_BYTES = 600_000  # of pictures in one page, which has to stay below 6 MB with plotly's 5 in it


def photos(facts: JobFacts, found: Evaluation) -> Markup:
    """The wrong answers with the highest confidence, as pictures; nothing where every answer was right."""
    wrong = sorted(
        (answer for answer in found.predictions if answer.predicted != answer.label),
        key=lambda answer: (-answer.confidence, answer.file),
    )
    if not wrong:
        return Markup()
    shown = wrong[:MOST_PHOTOS]
    all_of = "all" if len(shown) == len(wrong) else f"the first {len(shown)} of"
    values = {
        "sentence": f"What the model was surest about, and wrong: {all_of} {count(len(wrong), 'wrong answer')}.",
        "photos": _drawn(facts, shown),
    }
    return page.render("confused.html.j2", values)


def _drawn(facts: JobFacts, answers: list[Prediction]) -> list[dict[str, str]]:
    left = MOST_BYTES
    rows = []
    for answer in answers:
        uri = _picture(facts, answer.file)
        if len(uri) > left:
            uri = ""
        left -= len(uri)
        rows.append(
            {
                "uri": uri,
                "file": answer.file,
                "label": answer.label,
                "predicted": answer.predicted,
                "confidence": percent(answer.confidence / 100, 1),
            }
        )
    return rows


def _picture(facts: JobFacts, file: str) -> str:
    path = thumbnails.find(facts.folder, list(facts.job.channels), file)
    return (thumbnails.data_uri(path) or "") if path else ""
