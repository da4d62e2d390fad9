"""What a user wants done when a rule finds something: a command of theirs, started beside the training."""

from __future__ import annotations

import json
import logging
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

log = logging.getLogger("vizsla.rules")

TIMEOUT_S = 60.0
SHOWN = 500  # letters of what a failed command said


class Commands:
    """Starts programs in the background; the training waits for none, `close` for all that still run."""

    def __init__(self, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._running: list[tuple[threading.Thread, float]] = []

    def start(self, command: Sequence[str], document: Mapping[str, Any]) -> None:
        """Runs `command`, a program and its arguments, with `document` as one line of JSON on its stdin.

        One that cannot be started, fails, or runs longer than its time is named in the log, and nothing else happens.
        """
        line = json.dumps(document, allow_nan=False) + "\n"
        thread = threading.Thread(target=_run, args=(list(command), line, self._timeout_s), daemon=True)
        thread.start()
        self._running.append((thread, time.monotonic() + self._timeout_s))

    def close(self) -> None:
        """Returns when every command has ended or its time is over."""
        for thread, until in self._running:
            thread.join(max(0.0, until - time.monotonic()) + 1)


def _run(command: list[str], line: str, timeout_s: float) -> None:
    """Waits for the program alone: what it leaves running may keep its output open, so that is a file and no pipe."""
    named = command[0]
    try:
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(
                command, input=line.encode(), stdout=output, stderr=subprocess.STDOUT, timeout=timeout_s, check=False
            )
            output.seek(0)
            said = output.read()
    except subprocess.TimeoutExpired:
        log.warning("the command %s ran for %g s and was ended", named, timeout_s)
    except OSError as error:
        log.warning("the command %s could not be started: %s", named, error)
    else:
        if done.returncode:
            words = said.decode("utf-8", "backslashreplace").strip()[-SHOWN:]
            log.warning("the command %s ended with %d: %s", named, done.returncode, words)
