"""`lit-video`: every command's help is quick and runs nothing, and a wrong name is answered with the nearest."""

import subprocess
import sys

import pytest

from lit_video.bench import CONTENDERS
from lit_video.bench import run as bench_run
from lit_video.commands.bench import parser as bench_parser
from lit_video.commands.index import parser as index_parser
from lit_video.commands.main import COMMANDS, main, module_of
from lit_video.commands.parsing import nearest
from tests.programs import REPOSITORY, run

BY_ARGPARSE = ["bench", "doctor", "fuzz", "index", "plan-capacity", "proxy", "sweep"]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_runs_nothing_and_needs_no_torch(name):
    code = (
        "import sys; from lit_video.commands.main import main\n"
        f"sys.argv = ['lit-video', {name!r}, '--help']\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code, ended\n"
        "assert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout or "Hydra" in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_script_too(name):
    modules = {path.read_text().partition("lit_video.commands.")[2].split()[0] for path in SCRIPTS}
    assert module_of(name).__name__.rpartition(".")[2] in modules


SCRIPTS = [path for path in (REPOSITORY / "scripts").glob("*.py") if "lit_video.commands." in path.read_text()]


def test_an_unknown_command_is_answered_with_the_nearest(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["lit-video", "indx"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "no command 'indx'; did you mean index?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parser", "words", "told"),
    [
        (index_parser, ["FOLDER", "--verfy"], "--verfy; did you mean --verify?"),
        (bench_parser, ["rum", "FOLDER"], "did you mean run?"),
        (bench_parser, ["run", "FOLDER", "--round", "2"], "did you mean --rounds?"),
        (bench_parser, ["run", "FOLDER", "--contenders", "chunkd"], "did you mean chunked?"),
    ],
)
def test_a_wrong_name_is_answered_with_the_nearest(parser, words, told, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


def test_nothing_is_offered_for_what_is_like_nothing():
    assert nearest("xyzzy", COMMANDS) == ""


def test_defaults_are_shown(capsys):
    with pytest.raises(SystemExit):
        bench_parser().parse_args(["run", "--help"])
    assert "(default: 128)" in " ".join(capsys.readouterr().out.split())


def test_the_contenders_are_those_that_there_are():
    assert all(bench_run.contender(name).__name__ == name for name in CONTENDERS)


def test_the_reference_of_options_is_checked_and_not_written():
    assert run("scripts/configuration.py", "--check").returncode == 0
    before = (REPOSITORY / "docs" / "configuration.md").stat().st_mtime_ns
    assert run("scripts/configuration.py", "--help").returncode == 0
    assert (REPOSITORY / "docs" / "configuration.md").stat().st_mtime_ns == before


def test_the_front_door_puts_verify_on_the_index(videos, tmp_path):
    from lit_video import VideoIndex

    assert VideoIndex.scan(videos, tmp_path, progress=False).verify(0).ok


def test_an_index_that_a_data_module_has_can_be_verified_too(videos, tmp_path):
    code = (
        "from lit_video import VideoDataModule\n"
        f"data = VideoDataModule({str(videos)!r}, index_dir={str(tmp_path)!r}, progress=False)\n"
        "data.setup()\n"
        "assert data.index.verify(0).ok"
    )
    (tmp_path / "program.py").write_text(code)
    done = run(tmp_path / "program.py")
    assert done.returncode == 0, done.stderr
