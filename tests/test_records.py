"""What a reader gets of a job's measurements: after a kill, a resume, a damaged disk, and while the job still runs."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vizsla.records import KINDS, MODES, Record, Tail, Value, Writer, read
from vizsla.segments import Segments

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUMBERS = st.integers(-(2**60), 2**60) | st.floats()
WORDS = st.text().filter(lambda text: text not in ("nan", "inf", "-inf"))
COUNTS = st.none() | st.integers(0, 2**60)
RECORDS = st.builds(
    Record,
    t=st.floats(0, 1e11),
    kind=st.sampled_from(KINDS),
    name=st.text(),
    mode=st.none() | st.sampled_from(MODES),
    step=COUNTS,
    global_step=COUNTS,
    epoch=COUNTS,
    value=st.none() | NUMBERS | WORDS | st.dictionaries(st.text(), NUMBERS | WORDS | st.lists(NUMBERS)),
    file=st.none() | st.just("checkpoints/vizsla/tensors/a.npz"),
)


def metric(t: float, global_step: int | None = None, name: str = "train_loss") -> Record:
    return Record(t=t, kind="metric", name=name, global_step=global_step, value=0.5)


def attempt(t: float, from_global_step: int) -> Record:
    return Record(t=t, kind="attempt", name="attempt", value={"from_global_step": from_global_step})


def write(folder: Path, stream: str, number: int, *records: Record) -> None:
    with Writer(Segments(folder / stream, attempt=number)) as writer:
        for record in records:
            writer.write(record)


def open_file(folder: Path, content: bytes) -> None:
    """A segment as its writer left it when it was killed."""
    (folder / "train").mkdir(exist_ok=True)
    (folder / "train" / "0001-000000.jsonl.open").write_bytes(content)


def lines(*records: Record) -> bytes:
    return b"".join(record.to_line().encode() + b"\n" for record in records)


def same(one: Any, other: Any) -> bool:
    """Equal, with nan equal to itself and types told apart."""
    return repr(one) == repr(other)


@settings(deadline=None)
@given(record=RECORDS)
def test_any_record_comes_back_from_its_line(record: Record) -> None:
    line = record.to_line()
    assert same(Record.from_line(line), record)
    assert "\n" not in line
    assert line.isascii()


def test_a_line_is_the_documented_json() -> None:
    value: Value = {"mean": math.nan, "bins": [1, math.inf, -math.inf], "layer": "conv"}
    record = Record(t=1.5, kind="tensor", name="w", mode="train", step=3, global_step=7, epoch=1, value=value)
    assert json.loads(record.to_line(), parse_constant=pytest.fail) == {
        "v": 1,
        "t": 1.5,
        "kind": "tensor",
        "name": "w",
        "mode": "train",
        "step": 3,
        "global_step": 7,
        "epoch": 1,
        "value": {"mean": "nan", "bins": [1, "inf", "-inf"], "layer": "conv"},
        "file": None,
    }


def test_the_documented_lines_are_records_of_every_kind(request: pytest.FixtureRequest) -> None:
    page = (request.config.rootpath / "docs" / "job-folder.md").read_text()
    found = [Record.from_line(line) for line in page.splitlines() if line.startswith('{"v":1')]
    assert {record.kind for record in found if record} == set(KINDS)
    assert None not in found


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("t", math.nan),
        ("t", "now"),
        ("kind", "metrics"),
        ("mode", "test"),
        ("step", 1.0),
        ("epoch", True),
        ("value", [1.0]),
        ("value", True),
        ("value", {"a": None}),
        ("value", {"a": ["word"]}),
        ("value", {"a": [0.0] * 4097}),
        ("file", "/etc/passwd"),
        ("file", "../outside"),
        ("file", "a/../../outside"),
        ("file", ""),
    ],
)
def test_what_the_format_does_not_allow_is_refused_and_skipped(field: str, value: object) -> None:
    fields: dict[str, Any] = {"t": 1.0, "kind": "metric", "name": "loss", field: value}
    with pytest.raises(ValueError, match=field):
        Record(**fields)
    if not same(value, math.nan):  # JSON has no such number
        assert Record.from_line(json.dumps({"v": 1, **fields})) is None


@settings(deadline=None)
@given(text=st.text() | st.from_type(dict).map(str) | RECORDS.map(lambda record: record.to_line()[:-3]))
def test_any_text_is_a_record_or_nothing_or_a_value_error(text: str) -> None:
    with suppress(ValueError):
        assert isinstance(Record.from_line(text), Record | None)


def test_unknown_keys_are_ignored_and_unknown_versions_skipped(tmp_path: Path) -> None:
    newer = metric(2).to_line().replace('"v":1', '"v":2').encode()
    extended = metric(3).to_line().replace('"v":1', '"v":1,"unit":"s"').encode()
    other = b'{"v":true}\n[]\n7\n{"v":1}\n{"v":1,"t":1,"kind":"dream","name":""}'
    open_file(tmp_path, lines(metric(1)) + b"\n".join([newer, extended, other]) + b"\n" + lines(metric(4)))
    assert read(tmp_path) == [metric(1), metric(3), metric(4)]


def test_a_file_cut_at_any_byte_gives_a_beginning(tmp_path: Path) -> None:
    records = [metric(1), attempt(2, 0), metric(3, 1, "größe")]
    content = lines(*records)
    for size in range(len(content) + 1):
        open_file(tmp_path, content[:size])
        assert read(tmp_path) == records[: content[:size].count(b"\n")]


@pytest.mark.parametrize("damage", [b'{"v":1,"t":', b"\x00\x00\x00", b"\xff\xfe", b"", b'{"v":NaN}', b"[" * 100_000])
def test_damage_ends_a_segment_and_spares_the_next(tmp_path: Path, damage: bytes) -> None:
    open_file(tmp_path, lines(metric(1)) + damage + b"\n" + lines(metric(2)))
    write(tmp_path, "train", 2, metric(3))
    assert read(tmp_path) == [metric(1), metric(3)]
    tail = Tail(tmp_path)
    assert tail.poll() == [metric(1), metric(3)]
    open_file(tmp_path, lines(metric(1)) + damage + b"\n" + lines(metric(2), metric(4)))
    assert tail.poll() == []


def test_a_sealed_segment_counts_and_the_open_one_beside_it_does_not(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, metric(1), metric(2))
    open_file(tmp_path, lines(metric(1)))
    assert read(tmp_path) == [metric(1), metric(2)]


def test_records_of_a_killed_process_are_a_gapless_beginning(tmp_path: Path) -> None:
    code = (
        "import sys; from itertools import count; from pathlib import Path\n"
        "from vizsla.records import Record, Writer; from vizsla.segments import Segments\n"
        "Segments.SEAL_AFTER_BYTES = 5000\n"
        "writer = Writer(Segments(Path(sys.argv[1])))\n"
        "for step in count():\n"
        "    writer.write(Record(t=step, kind='metric', name='loss', global_step=step))\n"
        "    step == 300 and print(flush=True)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "train")], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    steps = [record.global_step for record in read(tmp_path)]
    assert len(steps) > 300
    assert steps == list(range(len(steps)))


def test_a_job_without_records_has_none(tmp_path: Path) -> None:
    assert read(tmp_path / "nothing") == []
    assert Tail(tmp_path / "nothing").poll() == []


def test_streams_are_merged_by_time_and_can_be_chosen(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, metric(1), metric(3), metric(5))
    write(tmp_path, "system", 1, metric(2, name="cpu"), metric(3, name="cpu"), metric(4, name="cpu"))
    found = [(record.name, record.t) for record in read(tmp_path)]
    assert found == [("train_loss", 1), ("cpu", 2), ("cpu", 3), ("train_loss", 3), ("cpu", 4), ("train_loss", 5)]
    assert read(tmp_path, ["train"]) == [metric(1), metric(3), metric(5)]


def test_a_phase_that_began_earlier_stays_where_it_was_written(tmp_path: Path) -> None:
    phase = Record(t=1, kind="phase", name="epoch", value=9.0)
    write(tmp_path, "train", 1, metric(8), phase, metric(11))
    write(tmp_path, "system", 1, metric(9, name="cpu"))
    assert [record.t for record in read(tmp_path)] == [8, 1, 9, 11]


def test_an_attempt_follows_the_one_before_even_when_the_clock_was_set_back(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, metric(1000))
    write(tmp_path, "train", 2, metric(5))
    write(tmp_path, "system", 2, metric(4, name="cpu"))
    assert [record.t for record in read(tmp_path)] == [1000, 4, 5]


def test_what_lies_past_the_checkpoint_of_the_next_attempt_is_dropped(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, attempt(0, 0), metric(1, 0), metric(2, 1), metric(3, 2), metric(4))
    write(tmp_path, "system", 1, metric(1, 1, "cpu"), metric(2, 2, "cpu"), metric(3, None, "cpu"))
    write(tmp_path, "train", 2, attempt(9, 2), metric(10, 2))
    kept = Counter((record.name, record.t) for record in read(tmp_path))
    system = [("cpu", 1), ("cpu", 3)]
    train = [("attempt", 0), ("train_loss", 1), ("train_loss", 2), ("train_loss", 4)]
    assert kept == Counter([*system, *train, ("attempt", 9), ("train_loss", 10)])
    assert read(tmp_path, ["system"]) == [metric(1, 1, "cpu"), metric(3, None, "cpu")]


@settings(deadline=None)
@given(runs=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=5))
def test_after_any_interruptions_each_step_is_there_once_and_is_the_one_that_counts(
    tmp_path_factory: pytest.TempPathFactory, runs: list[tuple[int, int]]
) -> None:
    """runs: for each attempt, how many of the steps done so far its checkpoint lacks, and how many it does."""
    folder = tmp_path_factory.mktemp("runs")
    history: list[tuple[int, int]] = []
    for number, (lost, done) in enumerate(runs, start=1):
        start = max(len(history) - lost, 0)
        steps = range(start, start + done)
        history = history[:start] + [(number, step) for step in steps]
        write(folder, "train", number, attempt(0, start), *(metric(number, step) for step in steps))
    found = [(int(record.t), record.global_step) for record in read(folder) if record.kind == "metric"]
    assert found == history


def test_a_tail_hands_out_what_is_new_across_streams_seals_and_attempts(tmp_path: Path) -> None:
    tail = Tail(tmp_path)
    with Writer(Segments(tmp_path / "train", clock=lambda: 0.0)) as writer:
        writer.write(metric(1, 0))
        assert tail.poll() == [metric(1, 0)]
        assert tail.poll() == []
        writer.write(metric(2, 1))
    write(tmp_path, "system", 1, metric(1.5, name="cpu"))
    assert tail.poll() == [metric(1.5, name="cpu"), metric(2, 1)]
    write(tmp_path, "train", 2, attempt(3, 1), metric(4, 1))
    assert tail.poll() == [attempt(3, 1), metric(4, 1)]
    assert tail.poll() == []


def test_a_tail_of_chosen_streams_leaves_the_others_out(tmp_path: Path) -> None:
    write(tmp_path, "train", 1, metric(1))
    write(tmp_path, "system", 1, metric(2, name="cpu"))
    assert Tail(tmp_path, ["train"]).poll() == [metric(1)]


@pytest.mark.parametrize("reader", [read, lambda folder: Tail(folder).poll()], ids=["read", "tail"])
def test_a_segment_sealed_while_it_is_looked_up_is_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: Callable[[Path], list[Record]]
) -> None:
    open_file(tmp_path, lines(metric(1)))
    opened = tmp_path / "train" / "0001-000000.jsonl.open"
    scandir = os.scandir

    def look_then_seal(folder: Path) -> Any:
        with scandir(folder) as entries:
            seen = Listing(entries)
        if opened.exists():
            opened.rename(opened.with_suffix(""))
        return seen

    monkeypatch.setattr(os, "scandir", look_then_seal)
    assert reader(tmp_path) == [metric(1)]


class Listing(list[Any]):
    """What a folder held a moment ago."""

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


# ---- tears are told


def test_who_asks_is_told_which_file_could_not_be_read_to_its_end(tmp_path: Path) -> None:
    line = Record(t=1.0, kind="metric", name="loss", value=1.0).to_line().encode() + b"\n"
    for stream, name, content in (
        ("whole", "0001-000000.jsonl", line),
        ("cut", "0001-000003.jsonl.open", line + line[:-9]),
        ("damaged", "0002-000000.jsonl", line + b"no json\n" + line),
    ):
        (tmp_path / stream).mkdir()
        (tmp_path / stream / name).write_bytes(content)
    told: list[str] = []
    assert len(read(tmp_path, on_tear=told.append)) == 3
    assert told == ["cut/0001-000003", "damaged/0002-000000"]
