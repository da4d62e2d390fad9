"""The trials of a tuning job as rows, in the columns of SDK v2's HyperparameterTuningJobAnalytics."""

from __future__ import annotations

from datetime import datetime
from importlib.util import find_spec
from typing import Any

from vizsla.api import tuning
from vizsla.errors import UserError
from vizsla.jobdir import JobDir
from vizsla.tuning import space
from vizsla.tuning.space import Continuous, Integer, Range
from vizsla.tuning.trials import Trial


class HyperparameterTuningJobAnalytics:
    """What has come of a tuning job's trials, as of when it is asked."""

    def __init__(self, folder: JobDir) -> None:
        self._folder = folder

    def rows(self) -> list[dict[str, Any]]:
        """A row a trial: its hyperparameters (numbers where the range has numbers), then AWS's columns."""
        ranges = space.from_json(tuning.spec(self._folder).ranges)
        return [_row(trial, ranges) for trial in tuning.look(self._folder)]

    def dataframe(self) -> Any:
        """The rows as a pandas.DataFrame. Raises UserError if pandas is not installed."""
        if find_spec("pandas") is None:
            raise UserError(
                "The package pandas is not installed.",
                'Install it with: pip install "vizsla[pandas]". Without it, .rows() has the same figures.',
            )
        import pandas

        return pandas.DataFrame(self.rows())


def _row(trial: Trial, ranges: space.Space) -> dict[str, Any]:
    attempt = trial.attempt
    return {
        **{name: _value(ranges[name], given) for name, given in trial.hyperparameters.items()},
        "TrainingJobName": trial.folder.name,
        "TrainingJobStatus": trial.status,
        "FinalObjectiveValue": trial.objective,
        "TrainingStartTime": datetime.fromisoformat(attempt.created) if attempt else None,
        "TrainingEndTime": datetime.fromisoformat(attempt.ended) if attempt and attempt.ended else None,
        "TrainingElapsedTimeSeconds": trial.seconds,
    }


def _value(span: Range, given: str) -> float | int | str:
    if isinstance(span, Continuous):
        return float(given)
    return int(given) if isinstance(span, Integer) else given
