"""What is shown while a job runs: its lines, and on a terminal a bar. Elsewhere nothing heavy is loaded for that."""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from vizsla.console.text import safe

if TYPE_CHECKING:
    from vizsla.console.bar import Bar

LINE = re.compile(r"\S+Z (?P<level>[A-Z]+) vizsla\S*\[\d+\] (?P<message>.*)")
UNSHOWN = ("DEBUG", "ERROR")  # an error is what the command itself ends with


class Live:
    """Context manager. With `to_stderr`, stdout is left to a document; with `raw`, every line is a script's own.

    With `plain` there is no bar anywhere: a notebook's kernel may say of itself that it is a terminal.
    """

    def __init__(self, to_stderr: bool, raw: bool = False, plain: bool = False) -> None:
        self._raw = raw
        self._to_stderr = to_stderr
        self._bar = None if plain or not self._stream.isatty() else _bar(to_stderr)

    def line(self, raw: str) -> None:
        """Shows a line of the log if vizsla wrote it; what libraries print stays in the file."""
        if self._raw:
            self._show(safe(raw), warns=False)
            return
        found = LINE.fullmatch(raw)
        if found and found["level"] not in UNSHOWN:
            self._show(safe(found["message"]), found["level"] == "WARNING")

    def progress(self, said: Mapping[str, Any]) -> None:
        """Moves the bar to what progress.json says."""
        if self._bar:
            self._bar.progress(said)

    @property
    def _stream(self) -> Any:
        """Looked up each time: a notebook and a test put their own in its place."""
        return sys.stderr if self._to_stderr else sys.stdout

    def _show(self, text: str, warns: bool) -> None:
        shown = "warning: " * warns + text
        if self._bar:
            self._bar.line(shown, warns)
        else:
            print(shown, file=self._stream, flush=True)

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar:
            self._bar.stop()


def _bar(to_stderr: bool) -> Bar:
    from vizsla.console.bar import Bar

    return Bar(to_stderr)
