"""Watches one attempt at a job from outside: starts its process, keeps its log, passes signals on, says how it ended.

The part of the worker that imports no torch. The process it starts is the built-in classifier, a sweep's controller or
the user's script; all three are ended, logged and judged alike.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from vizsla import program
from vizsla.errors import JobError, VizslaError
from vizsla.files import write_atomic
from vizsla.job import CLASSIFIER, Job
from vizsla.jobdir import JobDir, Outcome, because
from vizsla.logs import JobLog
from vizsla.observers.system import sampling
from vizsla.program import Program
from vizsla.records import Record, Writer
from vizsla.segments import Segments

PIPE_BYTES = 1 << 16
BETWEEN_MS = 1000
LAST_LINES = 200
REASON_LENGTH = 1024  # of SageMaker's FailureReason

Look = Callable[[], str | None]
"""Why a job is to be stopped; None while it may go on."""


def supervise() -> int:
    """The attempt that stdin names, from start to end. Returns the exit code of its process."""
    wish = Wish()
    orders = sys.stdin.readline()
    if not orders.endswith("\n"):
        return 0  # whoever started us was killed before the attempt was written down
    order = json.loads(orders)
    folder, number = JobDir(Path(order["folder"])), int(order["attempt"])
    try:
        return _run(folder, number, wish)
    except VizslaError as error:  # before there was a process, or the disk refuses its last word
        folder.report_outcome(number, Outcome("Failed", error.message, error.hint, error.exit_code))
        return error.exit_code


def _run(folder: JobDir, number: int, wish: Wish) -> int:
    log = JobLog(Segments(folder.logs / "job", number, ".log"))
    if folder.kind == "tuning":
        with log.hearing("INFO"):
            return _watch(program.sweep(folder, number), folder, number, wish, log)
    job = folder.job()
    wish.after(job.launch.max_runtime, job.launch.stop_grace, lambda reason: _insist(folder, number, reason))
    with log.hearing(job.launch.log.level.upper()), _rules(job, folder, number) as look:
        if job.entry_point == CLASSIFIER:
            return _watch(program.classifier(job, folder, number), folder, number, wish, log, look)
        with program.script(job, folder, number) as script:
            return _watch(script, folder, number, wish, log, look)


@contextmanager
def _rules(job: Job, folder: JobDir, number: int) -> Iterator[Look]:
    """The job's rules that are asked from outside of its process."""
    if not job.outside_rules:
        yield lambda: None
        return
    from vizsla import watcher  # a job without such rules does not wait for them to load

    with watcher.watching(job, folder, number) as rules:
        yield rules.look


class Wish:
    """That the attempt should end: signals, and the job's own limit of time.

    SageMaker signals the first process of a container alone, and so does vizsla: the first wish is passed on to the
    whole group, once.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda number, _frame: self.end(f"stopped by {signal.Signals(number).name}"))

    def after(self, limit_s: float | None, grace_s: float, insist: Callable[[str], None]) -> None:
        """Wishes for the end once `limit_s` seconds have passed, and insists when a grace has passed too."""

        def over(_number: int, _frame: object) -> None:
            if self.reason:
                insist(self.reason)
            self.end(f"max_runtime of {limit_s:g} s is over")

        if limit_s is not None:
            signal.signal(signal.SIGALRM, over)
            signal.setitimer(signal.ITIMER_REAL, limit_s, grace_s)

    def end(self, reason: str) -> None:
        """Asks the group to end, once."""
        if self.reason is None:
            self.reason = reason
            os.killpg(0, signal.SIGTERM)


def _watch(what: Program, folder: JobDir, number: int, wish: Wish, log: JobLog, look: Look = lambda: None) -> int:
    child = subprocess.Popen(
        what.command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=what.folder,
        env={**os.environ, **what.environment},
        preexec_fn=partial(_end_with_parent, os.getpid()),  # noqa: PLW1509 - safe: this process has one thread so far
    )
    if wish.reason:  # it came before there was anybody to pass it on to
        child.terminate()
    with contextlib.closing(Measured(folder, number, what.metrics)) as measured, _samples(child, what, folder, number):
        for note in what.notes:
            log.write(note)
        last = _keep_log(_lines(child, lambda: _ask(look, wish)), log, measured)
    code = child.wait()
    _end_what_it_left()
    outcome = folder.outcome(number)
    if outcome is None:
        _judge(folder, number, code, wish.reason, last)
    elif outcome.state == "Stopped":  # it knows the signal only, not the limit of time behind it
        folder.report_outcome(number, replace(outcome, reason=because(outcome.reason, wish.reason or outcome.reason)))
    return code


def _samples(
    child: subprocess.Popen[bytes], what: Program, folder: JobDir, number: int
) -> AbstractContextManager[None]:
    """Measures what the child uses until it has ended; from a thread, so nothing with a `preexec_fn` may follow."""
    if what.interval_s is None:
        return contextlib.nullcontext()
    return sampling(child.pid, folder.records, number, what.interval_s)


def _ask(look: Look, wish: Wish) -> None:
    if reason := look():
        wish.end(reason)


def _insist(folder: JobDir, number: int, reason: str) -> None:
    """Kills the whole group, this process too: its last word comes first."""
    folder.report_outcome(number, Outcome("Stopped", reason))
    os.killpg(0, signal.SIGKILL)


def _judge(folder: JobDir, number: int, code: int, wish: str | None, last: Sequence[str]) -> None:
    """The outcome of a process that left none of its own: a script, or a worker that was killed."""
    if wish:
        folder.report_outcome(number, Outcome("Stopped", wish + _how_far(folder, code)))
        return
    if code == 0:
        folder.report_outcome(number, Outcome("Completed"))
        return
    failure = folder.output / "failure"
    if not failure.exists():
        write_atomic(failure, "\n".join(error_of(last)) or how_it_died(code))
    said = failure.read_text(encoding="utf-8", errors="replace")[:REASON_LENGTH].strip().splitlines()
    reason = " ".join(dict.fromkeys([how_it_died(code), *said[-1:]]))
    folder.report_outcome(number, Outcome("Failed", reason, f"The whole log is in {folder.logs}.", JobError.exit_code))


def _how_far(folder: JobDir, code: int) -> str:
    """The classifier hears SIGTERM as soon as it has loaded; one that died of it had not begun."""
    classifier = folder.kind == "training" and folder.job().entry_point == CLASSIFIER
    return ", before the training began" if classifier and code == -signal.SIGTERM else ""


def error_of(last: Sequence[str]) -> list[str]:
    """From the last traceback on, or the last lines where there is none."""
    starts = [place for place, line in enumerate(last) if line.startswith("Traceback (most recent call last)")]
    return list(last)[starts[-1] :] if starts else list(last)[-20:]


def how_it_died(code: int) -> str:
    return f"The process was ended by {signal.Signals(-code).name}." if code < 0 else f"Exit code {code}."


def _lines(child: subprocess.Popen[bytes], between: Callable[[], None]) -> Iterator[bytes]:
    """What the process writes, line by line, until it has ended: what it left running may hold the pipe open.

    `between` is called at least once a second.
    """
    assert child.stdout is not None  # noqa: S101 - a pipe was asked for
    if not hasattr(os, "pidfd_open"):  # Linux has it
        yield from child.stdout
        return
    pipe, end = child.stdout.fileno(), os.pidfd_open(child.pid)
    os.set_blocking(pipe, False)
    either = select.poll()
    either.register(pipe, select.POLLIN)
    either.register(end, select.POLLIN)
    begun, ended, data = b"", False, b""
    while not ended or data:  # what was written before the end is read after it
        ended = any(handle == end for handle, _ in either.poll(BETWEEN_MS))
        if ended:
            _end_what_it_left()  # first, or what talks on would be listened to for ever
        between()
        try:
            data = os.read(pipe, PIPE_BYTES)
        except BlockingIOError:
            data = b""
        else:
            if not data:  # everybody has closed it
                break
        *whole, begun = (begun + data).split(b"\n")
        yield from whole
    os.close(end)
    if begun:
        yield begun


def _end_what_it_left() -> None:
    """Ends the rest of this group, as the end of a container does: nothing may write into a job that has ended."""
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if pid != os.getpid() and os.getpgid(pid) == os.getpgrp():
                os.kill(pid, signal.SIGKILL)


def _keep_log(output: Iterable[bytes], log: JobLog, measured: Measured) -> deque[str]:
    """Keeps what the process writes as its log, and the numbers in it that a metric's regex finds as records."""
    last: deque[str] = deque(maxlen=LAST_LINES)
    for raw in output:
        text = raw.decode(errors="replace").rstrip("\r\n")
        last.append(text)
        log.write(text)
        measured.see(text)
    return last


class Measured:
    """A script's metrics as records: `step` counts the matches of each metric from 0.

    A full disk costs records, not the training.
    """

    def __init__(self, folder: JobDir, number: int, metrics: tuple[tuple[str, re.Pattern[str]], ...]) -> None:
        self._records = Writer(Segments(folder.records / "script", number, ".jsonl"))
        self._metrics = metrics
        self._count = dict.fromkeys((name for name, _ in metrics), 0)

    def see(self, line: str) -> None:
        """Writes a record for each metric in `line`."""
        for name, regex in self._metrics:
            found = regex.search(line)
            value = _number(found[1]) if found else None
            if value is not None:
                step = self._count[name]
                with contextlib.suppress(OSError):
                    self._records.write(Record(time.time(), "metric", name, mode="global", step=step, value=value))
                    self._count[name] = step + 1

    def close(self) -> None:
        """Seals what is open."""
        with contextlib.suppress(OSError):
            self._records.close()


def _number(text: str | None) -> float | None:
    try:
        return float(text or "")
    except ValueError:
        return None


def _end_with_parent(parent: int) -> None:
    """Linux: the process gets SIGKILL when this one dies, so that nothing goes on unseen."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before that was asked for
            os.kill(os.getpid(), signal.SIGKILL)
