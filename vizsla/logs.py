"""How vizsla's own processes log: a line with time, level and process on stderr, which their supervisor keeps."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vizsla.segments import Segments

LINE = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s[%(process)d] %(message)s"


def log_to_stderr(level: str) -> None:
    """Sets up logging of this process; times are UTC."""
    to_stderr = logging.StreamHandler(sys.stderr)
    to_stderr.setFormatter(_formatter())
    logging.basicConfig(level=level, handlers=[to_stderr])
    logging.captureWarnings(capture=True)


class JobLog:
    """The log of an attempt: what its process writes and, while `hearing`, what its supervisor logs. For all threads.

    A disk that refuses costs lines of the log, and nothing else.
    """

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._lock = threading.Lock()

    def write(self, line: str) -> None:
        with self._lock, contextlib.suppress(OSError):
            self._segments.write(line)

    @contextmanager
    def hearing(self, level: str) -> Iterator[None]:
        """Lines of this process' own from `level` on are in the log too. Seals it at the end."""
        handler = _Kept(self)
        handler.setFormatter(_formatter())
        logger = logging.getLogger("vizsla")
        logger.setLevel(level)
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            with self._lock, contextlib.suppress(OSError):
                self._segments.close()


class _Kept(logging.Handler):
    def __init__(self, log: JobLog) -> None:
        super().__init__()
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.write(self.format(record))


def _formatter() -> logging.Formatter:
    formatter = logging.Formatter(LINE, "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    return formatter
