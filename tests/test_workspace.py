"""Where runs live: names are taken once, found again, and never mixed up."""

from __future__ import annotations

import errno
import os
import subprocess
from pathlib import Path

import pytest

from tests.races import race
from vizsla.errors import UserError
from vizsla.job import MAX_NAME_LENGTH
from vizsla.workspace import KINDS, MARKER, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.at(tmp_path / "runs")


def test_runs_live_where_the_user_says_else_the_environment_else_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VIZSLA_WORKSPACE", "elsewhere")
    assert Workspace.at(Path("mine")).path == tmp_path / "mine"
    assert Workspace.at().path == tmp_path / "elsewhere"
    monkeypatch.delenv("VIZSLA_WORKSPACE")
    assert Workspace.at().path == tmp_path / "vizsla-runs"


def test_looking_around_writes_nothing(workspace: Workspace) -> None:
    assert [workspace.names(kind) for kind in KINDS] == [[], [], []]
    with pytest.raises(UserError):
        workspace.find("dogs")
    assert not workspace.path.exists()


@pytest.mark.parametrize("name", ["dogs", "Dogs-2", "x" * MAX_NAME_LENGTH])
def test_a_name_is_a_new_empty_folder_below_its_kind(workspace: Workspace, name: str) -> None:
    folder = workspace.take("training", name)
    assert folder == workspace.path / "training" / name
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", "-dogs", "dogs-", "my dogs", "dogs.1", "../dogs", "a/b", "x" * 64])
def test_a_name_that_aws_would_refuse_leaves_nothing_behind(workspace: Workspace, name: str) -> None:
    with pytest.raises(UserError, match="cannot be a name"):
        workspace.take("training", name)
    assert not workspace.path.exists()


def test_git_ignores_the_workspace(workspace: Workspace) -> None:
    workspace.take("training", "dogs")
    subprocess.run(["git", "init", "--quiet", workspace.path.parent], check=True)
    said = subprocess.run(
        ["git", "status", "--porcelain"], cwd=workspace.path.parent, capture_output=True, text=True, check=True
    )
    assert said.stdout == ""
    assert (workspace.path / ".gitignore").read_text() == "*\n"


def test_the_workspace_is_marked_so_that_it_is_never_data(workspace: Workspace) -> None:
    workspace.take("training", "dogs")
    assert (workspace.path / MARKER).is_file()


def test_a_gitignore_that_the_user_changed_stays(workspace: Workspace) -> None:
    workspace.take("training", "dogs")
    (workspace.path / ".gitignore").write_text("training/*/checkpoints\n")
    workspace.take("training", "cats")
    assert (workspace.path / ".gitignore").read_text() == "training/*/checkpoints\n"


def test_a_taken_name_is_refused_and_what_is_there_stays(workspace: Workspace) -> None:
    (workspace.take("training", "dogs") / "job.json").write_text("{}")
    with pytest.raises(UserError, match="already a training job called dogs") as caught:
        workspace.take("training", "dogs")
    assert "another name" in caught.value.hint
    assert (workspace.find("dogs") / "job.json").exists()


def test_a_name_that_differs_in_capitals_only_is_taken(workspace: Workspace) -> None:
    workspace.take("training", "Dogs")
    with pytest.raises(UserError, match="already a training job called Dogs, in other capitals"):
        workspace.take("training", "dogs")
    assert workspace.names("training") == ["Dogs"]


def test_one_name_may_be_used_once_a_kind(workspace: Workspace) -> None:
    workspace.take("training", "dogs")
    assert workspace.take("endpoint", "dogs").is_dir()


def test_of_many_processes_one_gets_the_name(workspace: Workspace) -> None:
    setup = "from vizsla.errors import UserError\nfrom vizsla.workspace import Workspace"
    code = (
        "try: print(Workspace(Path(sys.argv[1])).take('training', 'dogs').name)\n"
        "except UserError as error: print(error.message)\n"
    )
    said = sorted(race(setup, code, workspace.path))
    assert said == ["There is already a training job called dogs.\n"] * 3 + ["dogs\n"]


def test_of_many_processes_each_gets_a_name_we_make(workspace: Workspace) -> None:
    setup = "from vizsla.workspace import Workspace"
    code = "print(Workspace(Path(sys.argv[1])).take_like('training', 'dogs').name)"
    assert sorted(each.strip() for each in race(setup, code, workspace.path)) == ["dogs", "dogs-2", "dogs-3", "dogs-4"]


def test_names_we_make_are_numbered(workspace: Workspace) -> None:
    assert [workspace.take_like("training", "dogs").name for _ in range(3)] == ["dogs", "dogs-2", "dogs-3"]


def test_names_we_make_keep_clear_of_names_in_capitals(workspace: Workspace) -> None:
    workspace.take("training", "Dogs")
    assert workspace.take_like("training", "dogs").name == "dogs-2"


def test_numbers_fit_into_the_length_of_a_name(workspace: Workspace) -> None:
    stem = "x" * 60 + "-yz"
    assert [workspace.take_like("training", stem).name for _ in range(2)] == [stem, "x" * 60 + "-2"]


def test_a_name_that_is_cut_does_not_end_in_a_dash(workspace: Workspace) -> None:
    assert workspace.take_like("training", "x" * 62 + "-y").name == "x" * 62


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_is_found_with_its_kind_and_without(workspace: Workspace, kind: str) -> None:
    folder = workspace.take(kind, "dogs")
    assert [workspace.find("dogs"), workspace.find("dogs", kind), workspace.find(f"{kind}/dogs")] == [folder] * 3


def test_a_name_of_two_things_offers_both(workspace: Workspace) -> None:
    workspace.take("training", "dogs")
    workspace.take("endpoint", "dogs")
    with pytest.raises(UserError, match="dogs is the name of more than one thing") as caught:
        workspace.find("dogs")
    assert caught.value.hint == "Say training/dogs or endpoint/dogs."
    assert workspace.find("endpoint/dogs").parent.name == "endpoint"
    assert workspace.find("dogs", "training").parent.name == "training"


def test_who_asks_for_one_kind_never_gets_another(workspace: Workspace) -> None:
    workspace.take("tuning", "dogs")
    with pytest.raises(UserError, match="no job called dogs"):
        workspace.find("dogs", "training")
    with pytest.raises(UserError, match="cannot be a name"):
        workspace.find("tuning/dogs", "training")


def test_an_unknown_name_says_which_names_there_are(workspace: Workspace) -> None:
    for name in ("dogs", "cats"):
        workspace.take("training", name)
    with pytest.raises(UserError, match="no job called birds") as caught:
        workspace.find("birds")
    assert caught.value.hint == "There are: cats, dogs."


def test_an_empty_workspace_says_how_to_begin(workspace: Workspace) -> None:
    with pytest.raises(UserError, match="no job called dogs") as caught:
        workspace.find("dogs")
    assert "vizsla train DIR" in caught.value.hint


@pytest.mark.parametrize("name", ["../dogs", "training/../dogs", "..", "training/.."])
def test_a_name_never_leads_out_of_the_workspace(workspace: Workspace, name: str) -> None:
    workspace.take("training", "cats")
    (workspace.path / "dogs").mkdir()
    with pytest.raises(UserError, match="cannot be a name"):
        workspace.find(name)


@pytest.mark.parametrize("place", ["file", "file/runs"])
def test_a_file_where_the_workspace_should_be_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    workspace = Workspace(tmp_path / place)
    for take in (workspace.take, workspace.take_like):
        with pytest.raises(UserError, match=f"Cannot write to {tmp_path / place}: ") as caught:
            take("training", "dogs")
        assert "--workspace" in caught.value.hint


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workspace_that_may_not_be_written_says_so(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match=r"Cannot write to .*: Permission denied"):
        Workspace(tmp_path / "runs").take("training", "dogs")
    tmp_path.chmod(0o700)


def test_who_misspells_a_name_is_shown_the_newest_of_all_kinds(workspace: Workspace) -> None:
    for number in range(9):
        os.utime(workspace.take("tuning", f"sweep-{number}"), (number, number))
    workspace.take("training", "dogs")
    with pytest.raises(UserError) as refused:
        workspace.find("nope")
    assert refused.value.hint.startswith("There are: dogs, sweep-8, sweep-7, ")
    assert refused.value.hint.endswith("sweep-2 and 2 more.")


def test_what_fails_while_a_folder_is_filled_leaves_its_name_free(workspace: Workspace) -> None:
    folder = workspace.take("training", "dogs")
    (folder / "half").touch()
    with pytest.raises(UserError, match="dogs may not be written"), workspace.filling(folder):
        raise PermissionError(errno.EACCES, "Permission denied")
    assert workspace.take("training", "dogs") == folder
