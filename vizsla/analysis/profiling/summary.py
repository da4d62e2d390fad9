"""Everything that a job's records say about its time, read once: for the report, its JSON twin and `vizsla profile`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vizsla.analysis.profiling import attempts, operators, phases, steps, usage
from vizsla.analysis.profiling.attempts import Timeline
from vizsla.analysis.profiling.bound import Diagnosis, Verdict
from vizsla.analysis.profiling.meter import Figures
from vizsla.analysis.profiling.operators import Operators
from vizsla.analysis.profiling.phases import Phases
from vizsla.analysis.profiling.steps import Steps
from vizsla.analysis.profiling.usage import Usage
from vizsla.records import Record


@dataclass(frozen=True, slots=True)
class Summary:
    """What was not recorded is None."""

    usage: Usage | None
    phases: Phases | None
    steps: Steps | None
    operators: Operators | None
    figures: Figures | None
    """Of the loop once it was going, without the steps that were profiled; what the verdict was taken from."""
    verdict: Verdict | None
    breaks: tuple[float, ...]
    """Seconds that the job had run when it was gone on with."""
    execution: Mapping[str, object]
    """How the last attempt was run: threads, loader workers, size of a batch."""

    def document(self) -> dict[str, Any]:
        """As JSON has it: four parts and the verdict, null for what was not recorded."""
        return {
            "system": self.usage.document() if self.usage else None,
            "phases": self.phases.document() if self.phases else None,
            "operators": self.operators.document() if self.operators else None,
            "steps": self.steps.document() if self.steps else None,
            "verdict": self.verdict.document() if self.verdict else None,
        }


def read(
    records: Iterable[Record],
    settings: Mapping[str, Any] | None,
    known: Sequence[tuple[float, float | None]] = (),
) -> Summary:
    """The summary of a job's records, in order.

    settings: the plan's by key; None for a script. known: start and end of the job's attempts, unix seconds.
    """
    timed = [record for record in records if record.kind in ("system", "phase", "attempt")]
    found = attempts.split(timed, known)
    timeline = Timeline(found)
    diagnosis = Diagnosis(settings)
    for record in timed:
        diagnosis.see(record)
    last = found[-1] if found else None
    return Summary(
        usage=usage.read(timeline, last.machine if last else {}),
        phases=phases.read(found, timeline),
        steps=steps.read(found),
        operators=operators.read(timed),
        figures=diagnosis.figures(),
        verdict=diagnosis.verdict(),
        breaks=tuple(timeline.breaks()),
        execution=last.execution if last else {},
    )
