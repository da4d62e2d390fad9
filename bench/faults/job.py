"""A job of the built-in classifier in this process: pictures in a folder, a plan, its records, the default rules."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.faults.pictures import folder
from vizsla import jobdir, records
from vizsla.analysis import defaults, evaluations, rules
from vizsla.analysis.rules import Evaluation
from vizsla.errors import VizslaError
from vizsla.job import Job, partition
from vizsla.plan import resolve
from vizsla.records import Record
from vizsla.training import classifier

# Heads begin from zero: what goes wrong on the way down is what the rules are for. Nothing is measured or kept.
ALWAYS = {
    "run.threads": "1",
    "run.loader_workers": "1",
    "run.engine": "torch",
    "run.memory_format": "channels_last",
    "method": "finetune",
    "probe.stages": "none",
    "cache.max_gb": "0",
    "evaluate.test": "false",
    "image.size": "64",
}


@dataclass(frozen=True)
class Setting:
    """A training of the built-in classifier, apart from its seed. What it is not told is the classifier's default."""

    about: str
    """For a person."""
    counts: tuple[int, ...]
    """How many pictures each class has, those for validation and test among them."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """As after --set."""
    shuffled: bool = False
    """Whether labels have nothing to do with the pictures."""
    plain: float = 1.0
    """See `pictures.folder`; below 1 the pictures are hard."""
    weights: Callable[[Path], Path] | None = None
    """Writes a file of weights to begin with into a folder, and says where."""


def train(setting: Setting, seed: int, place: Path) -> list[Record]:
    """The records of one training in `place`, an empty folder; also of one that vizsla refuses for having diverged."""
    photos = folder(place / "photos", setting.counts, seed, setting.shuffled, setting.plain)
    given = {**ALWAYS, "seed": str(seed), **setting.settings}
    if setting.weights:
        given["weights"] = str(setting.weights(place))
    hyperparameters, launch = partition(given)
    job = Job(name="one", hyperparameters=hyperparameters, channels={"training": str(photos)}, launch=launch)
    made = jobdir.create(place / "training" / "one", job, resolve(job))
    with _own_signals():
        try:
            outcome = classifier.run(made, 1)
        except VizslaError as error:
            if "diverged" not in error.message:
                raise
        else:
            if outcome.state == "Stopped":  # it took the signal for its own
                raise KeyboardInterrupt
    return records.read(made.records)


def judged(place: Path, found: list[Record]) -> dict[str, Evaluation]:
    """How the six default rules come out on the records of the job in `place`, by their class names."""
    made = jobdir.JobDir(place / "training" / "one")
    context = evaluations.context(made, made.plan())
    return {request.rule: rules.evaluate(request, found, True, context) for request in defaults.requests()}


@contextmanager
def _own_signals() -> Iterator[None]:
    """A job takes SIGINT and SIGTERM for itself; afterwards they are whose they were."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)
