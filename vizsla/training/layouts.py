"""From channels to a listing: which photos there are, of which class, and in which split if that is given.

The second step after `listing.walk`, by names alone. A channel is a folder handed to the job: `training` holds any
layout, or `train`, `valid` (or `validation`) and `test` come as channels of their own, class folders each. `check.py`
decodes what is listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vizsla.errors import UserError
from vizsla.training import labels as labels_file
from vizsla.training.listing import SPLIT_NAMES, Bad, Listing, Photo, Split, Walked, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["Bad", "Listing", "Photo", "read", "refuse_untrainable"]

_CHANNELS_HINT = "Give one channel called training, or train with valid (or validation) and test beside it."
_CLASS_FOLDERS_HINT = "Put the photos of each class in a folder named after it"
_NOT_IN_A_CLASS = "not in a class folder"


@dataclass(frozen=True)
class _Part:
    """What one folder of class folders holds."""

    photos: list[Photo]
    bad: list[Bad]
    empty: set[str]


def read(channels: Mapping[str, Path], labels: str | None = None) -> Listing:
    """List the photos of a data set; `labels` is a CSV in the folder of its one channel.

    Raises UserError where no layout can be read. What is listed may still be unfit for training, though not for
    evaluation, as a single class is: see `refuse_untrainable`.
    """
    splits = _splits_of(channels)
    if len(channels) > 1:
        if labels:
            raise UserError(
                "data.labels goes with one folder, and there are several channels.",
                "Give one training channel that holds the photos and the CSV; a split column says what is for what.",
            )
        return _read_channels(channels, splits)
    (root,) = channels.values()
    return labels_file.read(root, labels) if labels else _read_folder(root)


def refuse_untrainable(photos: Sequence[Photo], empty: Iterable[str] = ()) -> None:
    """Raise UserError where no classifier can be made of these photos; cheap, so worth asking before decoding."""
    for name in sorted(empty):
        raise UserError(f"The class folder {name!r} is empty.", "Put photos in it, or remove the folder.")
    classes = sorted({photo.label for photo in photos})
    if len(classes) < 2:
        raise UserError(
            f"There is only one class, {classes[0]!r}." if classes else "There is no photo to train on.",
            f"A classifier needs two or more. {_CLASS_FOLDERS_HINT}{_deeper(photos)}.",
        )
    given = [photo for photo in photos if photo.split]
    in_train = {photo.label for photo in given if photo.split == "train"}
    for photo in given:
        if photo.label not in in_train:
            raise UserError(
                f"The class {photo.label!r} has photos in {photo.split}, but none in train.",
                f"Put photos of {photo.label!r} into train, or remove the class from {photo.split}.",
            )


def _splits_of(channels: Mapping[str, Path]) -> dict[str, Split]:
    names = set(channels)
    own = {"train", "valid", "validation", "test"}
    if names != {"training"} and ("train" not in names or not names <= own or {"valid", "validation"} <= names):
        raise UserError(f"There are no such channels as {', '.join(sorted(names)) or 'none at all'}.", _CHANNELS_HINT)
    return {name: SPLIT_NAMES[name] for name in channels}


def _read_channels(channels: Mapping[str, Path], splits: Mapping[str, Split]) -> Listing:
    parts: list[_Part] = []
    ignored = 0
    for name, root in channels.items():
        walked = walk(root)
        _refuse_without_class_folders(root, walked)
        parts.append(_class_folders(root, walked, f"{name}/", splits[name]))
        ignored += len(walked.others)
    return _listing(parts, ignored, "channels")


def _read_folder(root: Path) -> Listing:
    walked = walk(root)
    _refuse_without_class_folders(root, walked)
    if not _is_split_laid(root, walked):
        return _listing([_class_folders(root, walked, "", None)], len(walked.others), "class folders")
    stray = [Bad(file, _NOT_IN_A_CLASS) for file in walked.photos if "/" not in file]
    parts = [_Part([], stray + list(walked.bad), set())]
    unlabelled = 0
    for name in _tops(walked.photos):
        below = _below(walked, name)
        if any("/" in file for file in below.photos):
            parts.append(_class_folders(root / name, below, f"{name}/", SPLIT_NAMES[name.lower()]))
        else:  # competitions hand out their test photos like this
            unlabelled += len(below.photos)
    return _listing(parts, len(walked.others), "split folders", unlabelled)


def _is_split_laid(root: Path, walked: Walked) -> bool:
    """Whether the folders are splits. A class may be called train too: then it stands beside others, or is flat."""
    tops = _tops(walked.photos)
    if not all(name.lower() in SPLIT_NAMES for name in tops):
        return False
    with_classes = {PurePosixPath(file).parts[0] for file in walked.photos if file.count("/") > 1}
    if with_classes == set(tops) and not any(SPLIT_NAMES[name.lower()] == "train" for name in tops):
        raise UserError(
            f"{root} has photos for {' and '.join(sorted(tops))}, but no folder train.",
            f"Add a folder train with the same class folders, or name {root / tops[0]} itself.",
        )
    return any(SPLIT_NAMES[name.lower()] == "train" for name in with_classes)


def _class_folders(root: Path, walked: Walked, prefix: str, split: Split | None) -> _Part:
    photos, bad = [], [Bad(prefix + each.file, each.reason) for each in walked.bad]
    for file in walked.photos:
        label, _, rest = file.partition("/")
        if rest:
            photos.append(Photo(root / file, prefix + file, label, split))
        else:
            bad.append(Bad(prefix + file, _NOT_IN_A_CLASS))
    filled = set(_tops(walked.photos + walked.others + tuple(f"{each.file}/" for each in walked.bad)))
    return _Part(photos, bad, {name for name in walked.folders if "/" not in name} - filled)


def _listing(parts: Sequence[_Part], ignored: int, layout: str, unlabelled: int = 0) -> Listing:
    photos = sorted((photo for part in parts for photo in part.photos), key=lambda photo: photo.file)
    bad = sorted((bad for part in parts for bad in part.bad), key=lambda bad: bad.file)
    empty = {name for part in parts for name in part.empty} - {photo.label for photo in photos}
    return Listing(tuple(photos), tuple(bad), ignored, layout, unlabelled, tuple(sorted(empty)))


def _refuse_without_class_folders(root: Path, walked: Walked) -> None:
    if not walked.photos:
        holds = f"only {len(walked.others)} other files" if walked.others else "nothing"
        raise UserError(
            f"There are no photos in {root}: it holds {holds}.",
            f"{_CLASS_FOLDERS_HINT}; archives have to be unpacked first, and links to folders are not followed.",
        )
    if not _tops(walked.photos):
        sheets = [file for file in walked.others if file.lower().endswith((".csv", ".tsv"))]
        or_sheet = (
            f", or say --set data.labels={sheets[0]}" if sheets else ", or name a CSV with --set data.labels=FILE"
        )
        raise UserError(
            f"{root} holds {len(walked.photos)} photos, but nothing says which class each belongs to.",
            f"{_CLASS_FOLDERS_HINT}{or_sheet}.",
        )


def _tops(files: Iterable[str]) -> list[str]:
    """The first folders of these files, sorted."""
    return sorted({file.partition("/")[0] for file in files if "/" in file})


def _below(walked: Walked, name: str) -> Walked:
    """The part of a walk that lies below one folder; its `bad` stays with the whole."""

    def cut(files: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(file.removeprefix(f"{name}/") for file in files if file.startswith(f"{name}/"))

    return Walked(cut(walked.photos), cut(walked.others), cut(walked.folders), ())


def _deeper(photos: Sequence[Photo]) -> str:
    """A hint for the folder above the right one: DIR/photos/cat/1.jpg, where DIR/photos was meant."""
    inner = {photo.path.parent for photo in photos}
    parents = {folder.parent for folder in inner}
    if len(inner) > 1 and len(parents) == 1:
        return f"; if the folders in {parents.pop()} are the classes, name that folder"
    return ""
