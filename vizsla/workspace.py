"""The workspace: the folder where jobs, sweeps and deployments live, one folder each, and how names find them.

`<workspace>/{training,tuning,endpoint}/<name>`; a name is taken by mkdir, so two processes never get the same one.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from vizsla.errors import UserError, VizslaError
from vizsla.files import reason, unwritable
from vizsla.job import MAX_NAME_LENGTH, check_name

KINDS = ("training", "tuning", "endpoint")
MARKER = ".vizsla-workspace"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A place for runs. Nothing is written before the first job takes a name."""

    path: Path

    @classmethod
    def at(cls, given: Path | None = None) -> Workspace:
        """The workspace the user named, else VIZSLA_WORKSPACE, else ./vizsla-runs."""
        return cls(Path(given or os.environ.get("VIZSLA_WORKSPACE") or "vizsla-runs").absolute())

    def take(self, kind: str, name: str) -> Path:
        """A new, empty folder called `name`. Raises UserError if the name is taken in any spelling."""
        check_name(name)
        folder = self.path / kind / name
        try:
            self._prepare()
            folder.parent.mkdir(exist_ok=True)
            if (taken := self._taken(kind, name)) not in (None, name):
                raise UserError(f"There is already a {kind} job called {taken}, in other capitals.", _OTHER_NAME)
            folder.mkdir()
        except OSError as error:
            if folder.is_dir():
                raise UserError(f"There is already a {kind} job called {name}.", _OTHER_NAME) from None
            raise UserError(
                f"Cannot write to {self.path}: {reason(error)}.", "Choose another place with --workspace DIR."
            ) from error
        return folder

    def take_like(self, kind: str, stem: str) -> Path:
        """A new, empty folder called `stem`, or `stem-2`, `stem-3` … where that is taken."""
        name, number = stem[:MAX_NAME_LENGTH].strip("-"), 1
        while True:
            if not self._taken(kind, name):
                try:
                    return self.take(kind, name)
                except UserError:
                    if not self._taken(kind, name):
                        raise
            number += 1
            ending = f"-{number}"
            name = stem[: MAX_NAME_LENGTH - len(ending)].strip("-") + ending

    @staticmethod
    @contextmanager
    def filling(folder: Path) -> Iterator[None]:
        """What fails in here takes the folder away again, so that its name is free. Raises what failed, named."""
        try:
            yield
        except (OSError, VizslaError) as error:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise unwritable(folder, error) from error
            raise

    def find(self, name: str, kind: str | None = None) -> Path:
        """The folder of `name`, maybe written `kind/name`. Raises UserError unless there is just one."""
        prefix, slash, rest = name.partition("/")
        if slash and prefix in KINDS and kind in (None, prefix):
            kind, name = prefix, rest
        folders = [self.path / each / name for each in ([kind] if kind else KINDS)]
        found = [folder for folder in folders if check_name(name) and folder.is_dir()]
        if len(found) > 1:
            offers = " or ".join(f"{folder.parent.name}/{name}" for folder in found)
            raise UserError(f"{name} is the name of more than one thing.", f"Say {offers}.")
        if not found:
            raise UserError(f"There is no job called {name} in {self.path}.", self._what_there_is(kind))
        return found[0]

    def names(self, kind: str) -> list[str]:
        """All names of one kind, sorted."""
        try:
            return sorted(_names_in(self.path / kind))
        except (FileNotFoundError, NotADirectoryError):
            return []

    def _taken(self, kind: str, name: str) -> str | None:
        """The name of this kind that is `name` in some spelling."""
        return next((other for other in self.names(kind) if other.casefold() == name.casefold()), None)

    def _prepare(self) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        for name, text in ((".gitignore", "*\n"), (MARKER, "This folder holds vizsla's runs; it is never data.\n")):
            if not (self.path / name).exists():
                (self.path / name).write_text(text)

    def _what_there_is(self, kind: str | None) -> str:
        found = [self.path / each / name for each in ([kind] if kind else KINDS) for name in self.names(each)]
        if not found:
            return "Nothing has run here yet. Start with: vizsla train DIR"
        newest = sorted(found, key=_age)[:8]
        more = f" and {len(found) - len(newest)} more" if len(found) > len(newest) else ""
        return f"There are: {', '.join(folder.name for folder in newest)}{more}."


def _age(folder: Path) -> float:
    """A number that is smaller the later a folder was changed; what is gone comes last."""
    try:
        return -folder.stat().st_mtime
    except OSError:
        return 0.0


def _names_in(folder: Path) -> list[str]:
    return [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]


_OTHER_NAME = "Choose another name, or leave --name out."
