"""The memory that a job may use, with and without a limit of its control group."""

from __future__ import annotations

from pathlib import Path

import psutil

from vizsla.memory import Memory


def group(place: Path, **files: str) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (place / name.replace("__", ".")).write_text(text)


def memory(place: Path, own: str) -> Memory:
    (place / "own").write_text(own)
    return Memory(place, place / "own")


def test_without_a_limit_the_memory_is_the_machines(tmp_path: Path) -> None:
    group(tmp_path / "user", memory__max="max", memory__current="5")
    found = memory(tmp_path, "0::/user\n")
    assert found.total_bytes == psutil.virtual_memory().total
    assert 0 < found.used_bytes() < found.total_bytes


def test_a_groups_lower_limit_counts_and_files_in_memory_do_not(tmp_path: Path) -> None:
    group(tmp_path / "pod" / "job", memory__max="max")
    group(tmp_path / "pod", memory__max="1000", memory__current="700", memory__stat="anon 500\ninactive_file 200\n")
    found = memory(tmp_path, "0::/pod/job\n")
    assert (found.total_bytes, found.used_bytes()) == (1000, 500)


def test_the_first_version_of_groups_is_understood(tmp_path: Path) -> None:
    top = tmp_path / "memory"
    group(top, memory__limit_in_bytes=str(1 << 62))
    group(
        top / "docker",
        memory__limit_in_bytes="2000",
        memory__usage_in_bytes="900",
        memory__stat="cache 1\ntotal_inactive_file 100\n",
    )
    found = memory(tmp_path, "9:name=systemd:/\n4:memory,hugetlb:/docker\n")
    assert (found.total_bytes, found.used_bytes()) == (2000, 800)


def test_a_group_that_is_not_to_be_seen_from_inside_is_looked_for_at_the_top(tmp_path: Path) -> None:
    group(tmp_path, memory__max="3000", memory__current="1", memory__stat="")
    assert memory(tmp_path, "0::/docker/0123\n").total_bytes == 3000
