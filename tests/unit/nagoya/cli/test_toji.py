"""toji's command line as far as it needs no engine: what its help teaches."""

import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner, Result

from nagoya.cli import common, moromi, toji, toji_export
from nagoya.errors import EngineError, LifecycleError, UsageError


def helped(group: click.Group, *command: str) -> str:
    ended = CliRunner().invoke(group, [*command, "--help"])
    assert ended.exit_code == 0
    return ended.output


def test_help_teaches() -> None:
    assert "    toji up" in helped(toji.cli)


@pytest.mark.parametrize(
    ("group", "command"),
    [(moromi.cli, ()), (toji.cli, ()), (toji.cli, ("snapshot",)), (toji.cli, ("credentials",))],
)
def test_the_list_of_commands_shows_whole_sentences(
    group: click.Group, command: tuple[str, ...]
) -> None:
    listed = helped(group, *command).partition("\nCommands:\n")[2].splitlines()
    assert listed
    assert [line for line in listed if line.endswith("...")] == []


@pytest.mark.parametrize("command", sorted(toji.cli.commands))
def test_every_command_has_an_example(command: str) -> None:
    assert f"\n    toji {command}" in helped(toji.cli, command)


def test_documents_that_help_names_are_there(checkout: Path) -> None:
    texts = [
        helped(group, *command)
        for group in (moromi.cli, toji.cli)
        for command in [(), *((name,) for name in group.commands)]
    ]
    named = set(re.findall(r"docs/[\w./-]*\w", "\n".join(texts)))
    assert "docs/seed.md" in named
    assert [name for name in named if not (checkout / name).exists()] == []


def test_an_export_is_a_file_and_says_what_it_lacks(checkout: Path) -> None:
    arguments = ["-c", str(checkout / "moromi.yml"), "export", "compose", "--system", "some"]
    ended = CliRunner().invoke(toji.cli, arguments)
    assert ended.exit_code == 0
    document = yaml.safe_load(ended.stdout)
    assert document["name"] == "some"
    assert document["services"]["koji"]["image"] == "koji-hub"
    assert "toji: koji: Compose calls no callbacks" in ended.stderr


def test_a_stack_names_images_by_their_ids(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(common.Settings, "engine", None)
    monkeypatch.setattr(
        toji_export.images, "inspect", lambda _, name: {"Id": f"sha256:{name}", "Config": {}}
    )
    arguments = ["-c", str(checkout / "moromi.yml"), "export", "compose", "--swarm"]
    ended = CliRunner().invoke(toji.cli, arguments)
    assert ended.exit_code == 0, ended.output
    assert yaml.safe_load(ended.stdout)["services"]["koji"]["image"] == "sha256:koji-hub"
    assert "docs/swarm.md" in ended.stdout
    assert "toji: koji: Swarm calls no callbacks" in ended.stderr


@pytest.fixture
def export_kubernetes(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Result]:
    monkeypatch.setattr(common.Settings, "engine", None)
    monkeypatch.setattr(toji_export.images, "inspect", lambda _, __: {"Config": {}})
    arguments = ["-c", str(checkout / "moromi.yml"), "export", "kubernetes"]
    return lambda folder: CliRunner().invoke(toji.cli, [*arguments, str(folder)])


def test_an_export_for_kubernetes_replaces_its_base_alone(
    export_kubernetes: Callable[[Path], Result], tmp_path: Path
) -> None:
    ended = export_kubernetes(tmp_path)
    assert ended.exit_code == 0, ended.output
    assert "toji: koji: Kubernetes calls no callbacks" in ended.stderr
    kustomization = tmp_path / "base/kustomization.yaml"
    resources = yaml.safe_load(kustomization.read_text())["resources"]
    assert {*resources, "kustomization.yaml"} == {
        path.name for path in kustomization.parent.iterdir()
    }
    former = tmp_path / "base/former.yaml"
    site = tmp_path / "overlays/ingress-koji/ingress.yaml"
    for file in (former, site):
        file.write_text("changed")
    assert export_kubernetes(tmp_path).exit_code == 0
    assert not former.exists()
    assert site.read_text() == "changed"
    assert {path.name for path in tmp_path.iterdir()} == {"base", "overlays"}


def test_an_export_for_kubernetes_replaces_no_folder_of_others(
    export_kubernetes: Callable[[Path], Result], tmp_path: Path
) -> None:
    own = tmp_path / "base/kustomization.yaml"
    own.parent.mkdir()
    own.write_text("resources: []\n")
    with pytest.raises(UsageError, match="did not write it"):
        raise export_kubernetes(tmp_path).exception or AssertionError
    assert own.read_text() == "resources: []\n"


def test_an_export_for_kubernetes_that_cannot_be_written(
    export_kubernetes: Callable[[Path], Result], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LifecycleError, match="cannot be written: Not a directory") as refusal:
        raise export_kubernetes(tmp_path / "file/folder").exception or AssertionError
    assert refusal.value.hint


@pytest.mark.parametrize("value", ["abc", "-1", "nan", "inf"])
def test_a_wrong_timeout_in_plain_words(value: str) -> None:
    ended = CliRunner().invoke(toji.cli, ["wait", "--timeout", value])
    assert f"'{value}' is not a number of seconds" in ended.output


@pytest.mark.parametrize(
    ("wanted", "message"),
    [("x=1000", "'x=1000' is too many; the maximum is 999"), ("x", "is not of the form NAME=N")],
)
def test_a_wrong_count_in_plain_words(wanted: str, message: str) -> None:
    assert message in CliRunner().invoke(toji.cli, ["scale", wanted]).output


def test_the_file_that_each_program_reads_by_default() -> None:
    default = "moromi.yml in this folder, else nagoya"
    texts = [" ".join(helped(group).split()) for group in (moromi.cli, toji.cli)]
    assert f"[default: {default}]" in texts[0]
    created = "what the system was created from, but not for export and doctor"
    assert f"[default: {created}; else {default}]" in texts[1]


def test_verbose_and_quiet_exclude_each_other() -> None:
    assert "use either -q or -v" in CliRunner().invoke(toji.cli, ["-v", "-q", "status"]).output


@pytest.mark.parametrize(
    ("group", "typo", "name"), [(toji.cli, "snapshto", "snapshot"), (moromi.cli, "biuld", "build")]
)
def test_a_mistyped_command_is_corrected(group: click.Group, typo: str, name: str) -> None:
    ended = CliRunner().invoke(group, [typo])
    assert ended.exit_code != 0
    assert f"Did you mean '{name}'?" in ended.output


@pytest.mark.parametrize("command", [["snapshot", "list"], ["wait"], ["exec"]])
def test_shared_options_are_accepted_after_each_command(command: list[str]) -> None:
    assert "--system NAME" in helped(toji.cli, *command)


def test_doctor_prints_what_it_knows_before_it_asks_the_engine(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = []

    def connect() -> None:
        before.append(capsys.readouterr().out)
        raise EngineError("none answers\n    unix:///x: permission denied", "start one")

    monkeypatch.setattr(common, "connect", connect)
    with pytest.raises(SystemExit):
        toji.cli.main(["doctor"], standalone_mode=False)
    assert "\n koji client  " in before[0]
    after = capsys.readouterr().out
    assert after.startswith(" engine           error    none answers\n")
    assert "\n                               unix:///x: permission denied\n" in after
    assert after.endswith("\nengine: start one\n")
