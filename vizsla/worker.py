"""The program inside a job: `python -m vizsla.worker VERB`. Nothing above imports it; it is started as a process.

`run` supervises the attempt that its stdin names: it starts `train` as a child, passes signals on, keeps the child's
output as the job's log, and has the last word on how the attempt ended. It imports no torch, so it can watch from
outside.
`train FOLDER ATTEMPT` is the built-in classifier. The other verbs read one JSON document from stdin and answer with
one on stdout; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vizsla.errors import JobError, VizslaError
from vizsla.files import write_atomic
from vizsla.jobdir import JobDir, Outcome
from vizsla.logs import log_to_stderr


def main(arguments: list[str]) -> int:
    verb, *rest = arguments
    if verb == "run":
        from vizsla import supervise

        return supervise.supervise()
    if verb == "train":
        return train(JobDir(Path(rest[0])), int(rest[1]))
    from vizsla import answers

    return answer(getattr(answers, verb))


def train(folder: JobDir, number: int) -> int:
    """The built-in classifier in this process. Writes the attempt's outcome, whatever happens."""
    level = folder.job().launch.log.level.upper()
    log_to_stderr(level)
    try:
        from vizsla.training import classifier

        outcome = classifier.run(folder, number)
    except VizslaError as error:
        logging.getLogger("vizsla").debug("", exc_info=True)
        return _fail(folder, number, error)
    except Exception as error:  # noqa: BLE001 - a border: whatever happens inside a job gets a name and is kept whole
        return _fail(folder, number, JobError(f"{type(error).__name__}: {error}"), traceback.format_exc())
    folder.report_outcome(number, outcome)
    return 0


def answer(verb: Callable[[dict[str, Any]], Any]) -> int:
    """Answers one question: {"answer": …} or {"error": {"message", "hint", "exit_code"}} on stdout."""
    with os.fdopen(os.dup(1), "w") as out:
        os.dup2(2, 1)  # what libraries print must not end up in the document
        try:
            document: dict[str, Any] = {"answer": verb(json.load(sys.stdin))}
        except VizslaError as error:
            document = {"error": {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}}
        json.dump(document, out, allow_nan=False)
    return 0 if "answer" in document else int(document["error"]["exit_code"])


def _fail(folder: JobDir, number: int, error: VizslaError, details: str = "") -> int:
    logging.getLogger("vizsla").error("%s", error.message)
    write_atomic(folder.output / "failure", "\n".join(part for part in (str(error), details) if part))
    folder.report_outcome(number, Outcome("Failed", error.message, error.hint, error.exit_code))
    return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
