"""Where the files of a job lie, as far as they are there."""

from __future__ import annotations

from markupsafe import Markup

from vizsla.analysis import page
from vizsla.analysis.facts import JobFacts
from vizsla.analysis.page import Section, Table

_PLACES = (
    ("job.json", "what was asked"),
    ("plan.json", "the same with every default filled in"),
    ("attempts", "each run of the job's process, and how it ended"),
    ("model", "the bundle: the model to ship"),
    ("output/data/evaluation.json", "the held-out result, and the answer to each photo"),
    ("output/data/data_report.json", "the photos: classes, splits, what is bad"),
    ("output/data/splits.csv", "which photo is in which split"),
    ("output/failure", "why the job failed"),
    ("checkpoints/vizsla/records", "the measurements"),
    ("checkpoints/vizsla/profile", "traces of the profiled steps, for ui.perfetto.dev"),
    ("checkpoints/vizsla/logs", "the log"),
    ("checkpoints/vizsla/execution.json", "what was chosen for this machine"),
)


def section(facts: JobFacts) -> Section:
    """The job's folder, its channels, and links to what is in it."""
    folder = facts.folder.path
    rows = [[_link(place), meaning] for place, meaning in _PLACES if (folder / place).exists()]
    values = {
        "folder": str(folder),
        "channels": facts.job.channels,
        "table": page.table(Table(("In it", "Holds"), rows)),
    }
    return Section("files", "Files", page.render("places.html.j2", values))


def _link(place: str) -> Markup:
    return page.render("link.html.j2", {"href": place, "text": place})
