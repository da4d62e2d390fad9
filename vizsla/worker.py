"""The program inside a job: `python -m vizsla.worker VERB`. Nothing above imports it; it is started as a process.

`run FOLDER ATTEMPT` supervises one attempt: it starts `train` as a child, passes signals on, keeps the child's output
as the job's log, and has the last word on how the attempt ended. It imports no torch, so it can watch from outside.
`train FOLDER ATTEMPT` is the built-in classifier. The other verbs read one JSON document from stdin and answer with
one on stdout; whatever libraries print goes to stderr.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from vizsla import answers
from vizsla.errors import JobError, VizslaError
from vizsla.files import write_atomic
from vizsla.jobdir import JobDir, Outcome
from vizsla.segments import Segments

# glibc gives large blocks back to the system after every layer and faults them in again for the next one. Keeping
# them makes a forward pass of the default backbone 2.9 times as fast at batch 64 (bench/allocator.py).
KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "1000000000000", "MALLOC_TOP_PAD_": "67108864"}
LAST_LINES = 20
STOPPING = (signal.SIGTERM, signal.SIGINT)


def main(arguments: list[str]) -> int:
    verb, *rest = arguments
    if verb == "run":
        return supervise(JobDir(Path(rest[0])), int(rest[1]))
    if verb == "train":
        return train(JobDir(Path(rest[0])), int(rest[1]))
    return answer(VERBS[verb])


def supervise(folder: JobDir, number: int) -> int:
    """One attempt from start to end. Returns the exit code of the child."""
    if sys.stdin.readline() != "go\n":
        return 0  # whoever started us was killed before the attempt was written down
    child = subprocess.Popen(
        [sys.executable, "-m", "vizsla.worker", "train", str(folder.path), str(number)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, **KEEP_MEMORY, "VIZSLA_SUPERVISOR": str(os.getpid())},
    )
    for each in STOPPING:
        signal.signal(each, lambda number, _frame: child.send_signal(number))
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    last = _keep_log(child.stdout, folder, number)
    code = child.wait()
    if folder.outcome(number) is None:
        if -code in STOPPING:  # the first seconds, while torch is imported: nobody in there listens yet
            by = f"stopped by {signal.Signals(-code).name}"
            folder.report_outcome(number, Outcome("Stopped", f"{by}, before the training began"))
        else:
            _fail(folder, number, JobError(_how_it_died(code, last), f"The whole log is in {folder.logs}."))
    return code


def train(folder: JobDir, number: int) -> int:
    """The built-in classifier in this process. Writes the attempt's outcome, whatever happens."""
    _end_with_parent()
    level = folder.job().launch.log.level.upper()
    _log_to_stderr(level)
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


def _keep_log(output: IO[bytes], folder: JobDir, number: int) -> deque[str]:
    last: deque[str] = deque(maxlen=LAST_LINES)
    log = Segments(folder.logs / "job", number, ".log")
    for line in output:
        text = line.decode(errors="replace").rstrip("\r\n")
        last.append(text)
        with contextlib.suppress(OSError):  # a full disk costs lines of the log, not the training
            log.write(text)
    with contextlib.suppress(OSError):
        log.close()
    return last


def _how_it_died(code: int, last: deque[str]) -> str:
    how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
    return f"The training process {how}: {last[-1]}" if last else f"The training process {how}."


def _fail(folder: JobDir, number: int, error: VizslaError, details: str = "") -> int:
    logging.getLogger("vizsla").error("%s", error.message)
    write_atomic(folder.output / "failure", "\n".join(part for part in (str(error), details) if part))
    folder.report_outcome(number, Outcome("Failed", error.message, error.hint, error.exit_code))
    return error.exit_code


def _log_to_stderr(level: str) -> None:
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(logging.Formatter(LOG_FORMAT, "%Y-%m-%dT%H:%M:%S"))
    logging.Formatter.converter = time.gmtime
    logging.basicConfig(level=level, handlers=[to_stderr])
    logging.captureWarnings(capture=True)


def _end_with_parent() -> None:
    """Linux: this process gets SIGKILL when the supervisor dies, so that nobody trains on unseen."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
        if str(os.getppid()) != os.environ.get("VIZSLA_SUPERVISOR"):  # it died before the line above
            os.kill(os.getpid(), signal.SIGKILL)


LOG_FORMAT = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s"
VERBS = {"predict": answers.predict, "evaluate": answers.evaluate, "check": answers.check, "models": answers.models}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
