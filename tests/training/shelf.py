"""A shelf whose rows can be told from their items, and a process that fills it."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vizsla.training.packs import Item, Shelf, Spec

SPEC = Spec({"model": "test"}, (4, 3), "float32")
WIDE = Spec({"model": "wide"}, (8, 32, 32), "float32")  # 32 kB a row
MANY = 400
IN_A_PACK = 10


def items(count: int, start: int = 0) -> list[Item]:
    """Each photo in two views."""
    return [(hashlib.sha256(f"photo {n // 2}".encode()).hexdigest(), n % 2) for n in range(start, start + count)]


def computed(some: Sequence[Item], spec: Spec = SPEC) -> np.ndarray:
    """The rows of items: the same for the same item, and another for another."""
    rows = [np.random.default_rng([view, int(sha256[:12], 16)]).random(spec.shape, np.float32) for sha256, view in some]
    return np.stack(rows) if rows else np.empty((0, *spec.shape), np.float32)


def filled(root: Path, count: int, spec: Spec = SPEC, in_a_pack: int = IN_A_PACK) -> None:
    """Puts the first `count` items on the shelf of `spec`, so many in a pack."""
    with Shelf.open(root, spec, 10) as shelf, shelf.filling(lambda: None):
        for start in range(0, count, in_a_pack):
            some = shelf.missing(items(count)[start : start + in_a_pack])
            shelf.add(some, computed(some, spec))


FILL = """
import os, sys
from pathlib import Path
from tests.training.shelf import IN_A_PACK, MANY, WIDE, computed, items
from vizsla.training.packs import Shelf
root, diary = Path(sys.argv[1]), Path(sys.argv[2])
"""
GO = """
with Shelf.open(root, WIDE, 10) as shelf:
    while todo := shelf.missing(items(MANY)):
        with shelf.filling(lambda: None), (diary / str(os.getpid())).open("a") as done:
            todo = shelf.missing(items(MANY))
            for start in range(0, len(todo), IN_A_PACK):
                some = todo[start : start + IN_A_PACK]
                rows = computed(some, WIDE)
                shelf.add(some, rows)
                done.writelines(f"{sha256} {view}\\n" for sha256, view in some)
                done.flush()
    print(len(shelf.missing(items(MANY))))
"""


def filler(root: Path, diary: Path) -> subprocess.Popen[str]:
    """A process that says `ready`, waits for a line, and fills the shelf of WIDE; it notes what it has added."""
    code = f"{FILL}print('ready', flush=True)\nsys.stdin.readline()\n{GO}"
    command = [sys.executable, "-c", code, str(root), str(diary)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.write("go\n")
    process.stdin.flush()
