"""A CSV of image and label, and the photos below its folder: the layout that competitions and annotators hand out.

Called by `layouts.read`. Every row either finds exactly one photo, or is named as bad with the reason.
"""

from __future__ import annotations

import csv
import io
import os
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from vizsla.errors import UserError
from vizsla.training.listing import (
    PHOTO_SUFFIXES,
    SPLIT_NAMES,
    Bad,
    Listing,
    Photo,
    Split,
    Walked,
    require_folder,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The likeliest first: a file with an `id` and a `filename` means the latter.
_IMAGE_COLUMNS = (
    "image",
    "filename",
    "file_name",
    "file",
    "filepath",
    "file_path",
    "path",
    "image_path",
    "image_name",
    "image_file",
    "img",
    "img_path",
    "img_name",
    "photo",
    "picture",
    "name",
    "image_id",
    "img_id",
    "id",
)
_LABEL_COLUMNS = (
    "label",
    "class",
    "breed",
    "category",
    "class_name",
    "label_name",
    "category_name",
    "target",
    "species",
    "variety",
    "tag",
    "y",
    "class_id",
    "label_id",
)
_ANY = "\0"  # stands for any ending in an index; no file name can hold it
_SPLIT_COLUMNS = ("split", "subset", "partition")
_HEADER_HINT = "Call the two columns image and label; a column split (train, valid, test) may follow."


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    image: str
    label: str
    split: str


@dataclass(frozen=True, slots=True)
class _Columns:
    """Where to look in each row; `named` when the first row can only be a header."""

    image: int
    label: int
    split: int | None
    named: bool


class _Index:
    """Photos by path, by path without the ending, by name and by stem: how a row finds its file."""

    def __init__(self, walked: Walked) -> None:
        self._folders = frozenset(walked.folders)
        self._by_path: dict[str, list[str]] = defaultdict(list)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        for file in walked.photos:
            path = PurePosixPath(file)
            for table, key in ((self._by_path, path), (self._by_name, PurePosixPath(path.name))):
                table[str(key)].append(file)
                table[f"{key.with_suffix('')}{_ANY}"].append(file)

    def find(self, image: str) -> list[str]:
        """The files that `image` may mean, after the first way of looking that finds any.

        A path into a folder that is there means that folder: cats/1.jpg is never found as dogs/1.jpg.
        """
        for wanted in dict.fromkeys((image, image.replace("\\", "/"))):
            path = PurePosixPath(wanted)
            found = self._look(self._by_path, path)
            if not found and str(path.parent) not in self._folders:
                found = self._look(self._by_name, PurePosixPath(path.name))
            if found:
                return found
        return []

    @staticmethod
    def _look(table: dict[str, list[str]], path: PurePosixPath) -> list[str]:
        if str(path) in table:
            return table[str(path)]
        bare = path.with_suffix("") if path.suffix.lower() in PHOTO_SUFFIXES else path
        return table.get(f"{bare}{_ANY}", [])


def read(root: Path, labels: str) -> Listing:
    """List the photos below `root` that the CSV `root`/`labels` names; raises UserError where it cannot be used."""
    require_folder(root)
    sheet = _locate(root, labels)
    walked = walk(root)
    index = _Index(walked)
    rows = _rows(sheet, index)
    claims, bad = _match(root, rows, walked, index)
    photos, disputed = _settle(root, claims)
    bad += disputed + list(walked.bad)
    if not photos:
        raise UserError(
            f"None of the {len(rows)} rows of {labels} names a photo with a label below {root}.",
            f"The first that failed: {bad[0].file!r}, {bad[0].reason}." if bad else _HEADER_HINT,
        )
    ignored = sum(root / file != sheet for file in walked.others)
    unlabelled = len(walked.photos) - len(claims)
    ordered = sorted(photos, key=lambda photo: photo.file), sorted(bad, key=lambda each: each.file)
    return Listing(tuple(ordered[0]), tuple(ordered[1]), ignored, "labels file", unlabelled)


def _locate(root: Path, labels: str) -> Path:
    sheet = root / labels
    if _says_outside(labels) or _leads_outside(root, labels):
        raise UserError(f"data.labels is {labels!r}, which is outside {root}.", "Copy the CSV into the folder.")
    if not sheet.is_file():
        there = sorted(path.name for path in root.iterdir() if path.suffix.lower() in {".csv", ".tsv"})
        hint = f"There is {', '.join(there)}." if there else f"There is no CSV in {root}."
        raise UserError(f"There is no file {labels} in {root}.", hint)
    return sheet


def _rows(sheet: Path, index: _Index) -> list[_Row]:
    table = _table(sheet)
    columns = _columns(sheet, table[0][1])
    has_header = columns.named or not index.find(_cell(table[0][1], columns.image))
    return [
        _Row(line, _cell(cells, columns.image), _cell(cells, columns.label), _cell(cells, columns.split))
        for line, cells in table[int(has_header) :]
    ]


def _table(sheet: Path) -> list[tuple[int, list[str]]]:
    """The rows that are not blank, each with the line it ends on."""
    try:
        raw = sheet.read_bytes()
    except OSError as error:
        raise UserError(f"{sheet} cannot be read: {error.strerror}.", "Make it readable for this user.") from error
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{sheet} is in UTF-16.", "Save it as CSV in UTF-8.")
    text = raw.decode("utf-8-sig", errors="surrogateescape")  # as file names that are not UTF-8 are decoded
    first = text.lstrip().partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except csv.Error as error:
        raise UserError(f"{sheet} is no CSV: {error} (line {reader.line_num}).", _HEADER_HINT) from error
    rows = [(line, cells) for line, cells in rows if any(cells)]
    if not rows:
        raise UserError(f"{sheet} is empty.", _HEADER_HINT)
    return rows


def _columns(sheet: Path, header: Sequence[str]) -> _Columns:
    """Columns by their names; without any name we know, the first is the image and the second the label."""
    names = [cell.lower().replace(" ", "_").replace("-", "_") for cell in header]
    split = _first(names, _SPLIT_COLUMNS)
    image, label = _first(names, _IMAGE_COLUMNS), _first(names, _LABEL_COLUMNS)
    rest = [place for place, name in enumerate(names) if name and place not in (image, label, split)]
    if image is None and label is None and len(rest) > 1:
        return _Columns(rest[0], rest[1], split, named=split is not None)
    if (image is None) != (label is None) and len(rest) == 1:
        return _Columns(rest[0] if image is None else image, rest[0] if label is None else label, split, named=False)
    if image is None or label is None:
        missing = " and ".join(word for word, place in (("image", image), ("label", label)) if place is None)
        raise UserError(f"{sheet} has the columns {', '.join(header)}: which is the {missing}?", _HEADER_HINT)
    return _Columns(image, label, split, named=True)


def _first(names: Sequence[str], known: Sequence[str]) -> int | None:
    return next((names.index(name) for name in known if name in names), None)


def _cell(cells: Sequence[str], column: int | None) -> str:
    return cells[column] if column is not None and column < len(cells) else ""


def _match(
    root: Path, rows: Sequence[_Row], walked: Walked, index: _Index
) -> tuple[dict[str, list[tuple[_Row, Split | None]]], list[Bad]]:
    """The rows of each file, and the rows that find none."""
    claims: dict[str, list[tuple[_Row, Split | None]]] = defaultdict(list)
    bad: list[Bad] = []
    others = frozenset(walked.others)
    uses_splits = any(row.split for row in rows)
    for row in rows:
        found = index.find(row.image) if row.image else []
        _refuse_outside(root, row, found)
        split = _split(row)
        reason = _why_bad(row, found, row.image in others, uses_splits)
        if reason:
            bad.append(Bad(row.image or f"line {row.line}", reason))
        else:
            claims[found[0]].append((row, split))
    return claims, bad


def _refuse_outside(root: Path, row: _Row, found: Sequence[str]) -> None:
    seen = [name for name in found if (root / name).is_symlink()]
    if "/" in row.image and row.image not in found:
        seen.append(row.image)  # it may lie behind a link to a folder, where the walk did not go
    if _says_outside(row.image) or any(_leads_outside(root, name) for name in seen):
        raise UserError(
            f"Line {row.line} of the labels names {row.image!r}, which is outside {root}.",
            "Write paths relative to the folder, and copy photos that lie elsewhere into it.",
        )


def _why_bad(row: _Row, found: Sequence[str], is_other: bool, uses_splits: bool) -> str:
    if not row.image:
        return "no image is named"
    if not found:
        return "not a photo, by name or content" if is_other else f"no such photo (line {row.line})"
    if len(found) > 1:
        return f"could be {found[0]} or {found[1]} (line {row.line})"
    if not row.label:
        return f"no label (line {row.line})"
    if uses_splits and not row.split:
        return f"no split, where other rows have one (line {row.line})"
    return ""


def _split(row: _Row) -> Split | None:
    if row.split and row.split.lower() not in SPLIT_NAMES:
        raise UserError(
            f"Line {row.line} of the labels has the split {row.split!r}.", "A split is train, valid or test."
        )
    return SPLIT_NAMES[row.split.lower()] if row.split else None


def _settle(root: Path, claims: Mapping[str, Sequence[tuple[_Row, Split | None]]]) -> tuple[list[Photo], list[Bad]]:
    """One photo for each file; a file with two labels or two splits is nobody's."""
    photos, bad = [], []
    for file, rows in claims.items():
        first, split = rows[0]
        other = next((row for row, its in rows if row.label != first.label or its != split), None)
        if other is None:
            photos.append(Photo(root / file, file, first.label, split))
        elif other.label != first.label:
            reason = f"two labels: {first.label!r} (line {first.line}) and {other.label!r} (line {other.line})"
            bad.append(Bad(file, reason))
        else:
            bad.append(Bad(file, f"two splits: line {first.line} and line {other.line}"))
    return photos, bad


def _says_outside(name: str) -> bool:
    """Whether a path, by its words alone, leaves the folder it is relative to."""
    path = PureWindowsPath(name)  # knows both slashes, and drives
    return path.is_absolute() or name.startswith(("/", "\\")) or ".." in path.parts


def _leads_outside(root: Path, name: str) -> bool:
    """Whether links on the way take `root`/`name` out of `root`."""
    if "\0" in name:
        return False  # no file can be called so
    return not Path(os.path.realpath(root / name)).is_relative_to(os.path.realpath(root))
