"""From a listing to the photos that can be used: each one is decoded once, and what is bad is named with its reason.

After `layouts.read`, before `data.py` makes batches. `divide` puts the good photos into splits, `refuse_hopeless` stops
a training that cannot be one, and `report` is the document `data_report.json`.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter, defaultdict, deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from vizsla.errors import UserError
from vizsla.training.layouts import refuse_untrainable
from vizsla.training.listing import Bad, Listing, Photo, Split
from vizsla.training.remembered import Look, Remembered, Verdict
from vizsla.training.split import SPLITS, assign, keep_fraction
from vizsla.vision.preprocess import BadImage, Preprocessing, pixels

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

_IN_FLIGHT_PER_THREAD = 4


@dataclass(frozen=True, slots=True)
class CheckedPhoto(Photo):
    """A photo that can be decoded; `sha256` is that of the file's bytes, in hex."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class Checked:
    """The good photos in the order of the listing, and all that is bad, the listing's own included, by file name."""

    photos: tuple[CheckedPhoto, ...]
    bad: tuple[Bad, ...]


def check(
    listing: Listing,
    spec: Preprocessing,
    threads: int,
    progress: Callable[[int, int], None],
    memory: Remembered | None = None,
) -> Checked:
    """Read and decode every photo once; `progress` is told (done, of how many) after each, in this thread.

    With `memory`, one that has not changed since it was last decoded this way is neither read nor decoded.
    """
    photos: list[CheckedPhoto] = []
    bad = list(listing.bad)
    total = len(listing.photos)
    for done, outcome in enumerate(
        _in_order(listing.photos, partial(_check_one, spec=spec, memory=memory), threads), start=1
    ):
        if isinstance(outcome, Bad):
            bad.append(outcome)
        else:
            photos.append(outcome)
        progress(done, total)
    return Checked(tuple(photos), tuple(sorted(bad, key=lambda each: each.file)))


def _in_order(
    photos: Sequence[Photo], look: Callable[[Photo], CheckedPhoto | Bad], threads: int
) -> Iterator[CheckedPhoto | Bad]:
    waiting: deque[Future[CheckedPhoto | Bad]] = deque()  # short, so that neither memory nor Ctrl-C waits on it
    with ThreadPoolExecutor(threads, thread_name_prefix="check") as pool:
        for photo in photos:
            if len(waiting) >= threads * _IN_FLIGHT_PER_THREAD:
                yield waiting.popleft().result()
            waiting.append(pool.submit(look, photo))
        while waiting:
            yield waiting.popleft().result()


def _check_one(photo: Photo, spec: Preprocessing, memory: Remembered | None) -> CheckedPhoto | Bad:
    try:
        look = Look.at(photo.path)
        if look.size_bytes > _most_bytes(spec):
            return Bad(photo.file, f"{look.size_bytes / 1e6:.0f} MB is too large for a photo")
        if memory and (known := memory.recall(look, spec)):
            return _outcome(photo, known, look.size_bytes)
        data = photo.path.read_bytes()
    except OSError as error:
        return Bad(photo.file, f"cannot be read: {error.strerror or error}")
    verdict, lasting = _judged(data, spec)
    if memory and lasting:
        memory.keep(look, spec, verdict)
    return _outcome(photo, verdict, len(data))


def _judged(data: bytes, spec: Preprocessing) -> tuple[Verdict, bool]:
    """What a file's bytes are, and whether they will be that next time too: memory may have been short."""
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        pixels(data, spec)
    except BadImage as error:
        return Verdict(sha256, str(error)), not isinstance(error.__cause__, MemoryError)
    return Verdict(sha256), True


def _outcome(photo: Photo, verdict: Verdict, size_bytes: int) -> CheckedPhoto | Bad:
    if verdict.reason:
        return Bad(photo.file, verdict.reason)
    return CheckedPhoto(photo.path, photo.file, photo.label, photo.split, verdict.sha256, size_bytes)


def _most_bytes(spec: Preprocessing) -> int:
    """No photo within max_pixels is larger: four channels of 16 bit, uncompressed, and room for what comes along."""
    return 8 * spec.max_pixels + 16_000_000


def refuse_hopeless(checked: Checked, listing: Listing, max_bad: float) -> None:
    """Raise UserError where training would be of no use: too much is bad (`max_bad` is a share), or a class is gone."""
    total = len(checked.photos) + len(checked.bad)
    if len(checked.bad) > max_bad * total:
        first = "; ".join(f"{each.file!r}: {each.reason}" for each in checked.bad[:3])
        enough = math.ceil(100 * len(checked.bad) / total) / 100
        or_allow = f", or allow as many: --set data.max_bad={enough:.2f}" if enough < 1 else ""
        raise UserError(
            f"{len(checked.bad)} of {total} photos are bad, over the {100 * max_bad:g} % of data.max_bad: {first}.",
            f"Repair or remove them (vizsla data check names all){or_allow}.",
        )
    left = {photo.label for photo in checked.photos}
    for name in listing.classes:
        if name not in left:
            raise UserError(
                f"The class {name!r} has nothing left: all its photos are bad.",
                "Repair its photos (vizsla data check names them), or remove the class.",
            )
    refuse_untrainable(checked.photos, listing.empty)


def divide(
    checked: Checked, shares: tuple[float, float, float], seed: int, fraction: float = 1.0
) -> dict[Split, tuple[CheckedPhoto, ...]]:
    """Put the photos into train, valid and test, each in the order of file names.

    Splits that are given are kept; train without valid gives some of its photos to valid. `fraction` is the share of
    train that is kept. Photos of identical bytes go where the first of them goes, unless their splits were given.
    """
    photos = sorted(checked.photos, key=lambda photo: photo.file)
    given = {photo.split for photo in photos} - {None}
    parts: dict[Split, list[CheckedPhoto]] = {split: [] for split in SPLITS}
    train_share, valid_share, _ = shares
    without_test = (train_share / (train_share + valid_share), valid_share / (train_share + valid_share), 0.0)
    if "valid" in given:
        placed: Iterable[tuple[CheckedPhoto, Split]] = ((photo, photo.split or "train") for photo in photos)
    elif "test" in given:
        parts["test"] = [photo for photo in photos if photo.split == "test"]
        placed = _cut([photo for photo in photos if photo.split != "test"], without_test, seed)
    else:
        placed = _cut(photos, shares, seed)
    for photo, split in placed:
        parts[split].append(photo)
    if fraction < 1:
        train = parts["train"]
        kept = keep_fraction([p.label for p in train], fraction, seed, [p.sha256 for p in train])
        parts["train"] = [train[place] for place in kept]
    return {split: tuple(parts[split]) for split in SPLITS}


def _cut(
    photos: Sequence[CheckedPhoto], shares: tuple[float, float, float], seed: int
) -> list[tuple[CheckedPhoto, Split]]:
    """Assign each distinct photo, and let its copies go along; no class is left without train by that."""
    firsts = {photo.sha256: photo for photo in reversed(photos)}
    keys = list(firsts)
    splits = dict(zip(keys, assign([firsts[key].label for key in keys], shares, seed, keys), strict=True))
    in_train = {photo.label for photo in photos if splits[photo.sha256] == "train"}
    for photo in photos:  # a class whose every photo is a copy of another class's
        if photo.label not in in_train:
            splits[photo.sha256] = "train"
            in_train |= {each.label for each in photos if each.sha256 == photo.sha256}
    return [(photo, splits[photo.sha256]) for photo in photos]


def fingerprint(photos: Iterable[CheckedPhoto]) -> str:
    """One hash for a data set: sha256 over the sorted pairs of label and photo hash, a JSON line each."""
    lines = sorted(json.dumps([photo.label, photo.sha256]) for photo in photos)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def report(listing: Listing, checked: Checked, splits: Mapping[Split, Sequence[CheckedPhoto]]) -> dict[str, Any]:
    """The document `data_report.json`; docs/data.md says what each entry means."""
    used = [photo for split in SPLITS for photo in splits[split]]
    counts = {split: Counter(photo.label for photo in splits[split]) for split in SPLITS}
    copies = _copies(checked.photos)
    where = {photo.file: split for split in SPLITS for photo in splits[split]}
    return {
        "layout": listing.layout,
        "classes": list(listing.classes),
        "counts": {split: len(splits[split]) for split in SPLITS},
        "per_class": {label: {split: counts[split][label] for split in SPLITS} for label in listing.classes},
        "bad": [{"file": each.file, "reason": each.reason} for each in checked.bad],
        "ignored": listing.ignored,
        "unlabelled": listing.unlabelled,
        "left_out": len(checked.photos) - len(used),
        "duplicates": [[photo.file for photo in group] for group in copies],
        "conflicts": [
            [{"file": photo.file, "class": photo.label} for photo in group]
            for group in copies
            if len({photo.label for photo in group}) > 1
        ],
        "leaks": [
            [{"file": photo.file, "split": where[photo.file]} for photo in group if photo.file in where]
            for group in copies
            if len({where[photo.file] for photo in group if photo.file in where}) > 1
        ],
        "fingerprint": fingerprint(used),
    }


def _copies(photos: Iterable[CheckedPhoto]) -> list[list[CheckedPhoto]]:
    """Groups of two or more photos of identical bytes, in the order of their first file."""
    groups: dict[str, list[CheckedPhoto]] = defaultdict(list)
    for photo in sorted(photos, key=lambda photo: photo.file):
        groups[photo.sha256].append(photo)
    return [group for group in groups.values() if len(group) > 1]
