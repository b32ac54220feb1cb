"""What the documents say is so: links lead somewhere, files and options are there, examples and commands work.

Python is run unless `<!-- not run: reason -->` stands before it; commands are parsed, and run after `<!-- run -->`. A
block whose first line names a file, as in `# my_project/sampler.py`, is written there before what follows is run.
"""

import argparse
import ast
import inspect
import itertools
import os
import pkgutil
import re
import runpy
import shlex
import subprocess
import sys
import types
from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning import Trainer
from omegaconf import OmegaConf

from lit_video.checks.stamps import write_stamped
from lit_video.commands import main as command
from lit_video.commands.parsing import Parser
from lit_video.support import errors
from tests.programs import composed
from tests.zoo import ZOO

REPOSITORY = Path(__file__).parents[1]
DOCUMENTS = [*sorted(REPOSITORY.glob("*.md")), *sorted(REPOSITORY.glob("docs/**/*.md"))]
BLOCK = re.compile(r"(?:<!-- (?P<note>[^\n]*) -->\n+)?^```(?P<language>\w*)\n(?P<code>.*?)^```", re.M | re.S)
COMMAND = re.compile(
    r"(?:python |lit-video )(train\.py|scripts/store\.py fill|scripts/\w+\.py|"
    r"index|bench|bias|doctor|fuzz|plan-capacity|proxy|store fill|store|sweep)\b([^\n&|;>#`]*)"
)
FILE_NAME = re.compile(r"# ([\w/]+\.(?:py|yaml))\n")
HYDRA_FRONTS = {
    "train.py": "train",
    "scripts/bias_report.py": "bias_report",
    "bias": "bias_report",
    "scripts/store.py fill": "store_fill",
    "store fill": "store_fill",
}
GROUPS = {folder.name for folder in (REPOSITORY / "conf").iterdir() if folder.is_dir()}


def of_documents(language=None, note=None):
    """Parametrize by document: all, or those with a block of a language and a note."""
    found = [path for path in DOCUMENTS if language is None or blocks(path, language, note)]
    return pytest.mark.parametrize("path", found, ids=lambda path: path.relative_to(REPOSITORY).as_posix())


def blocks(path, language, note=None):
    found = [block for block in BLOCK.finditer(path.read_text()) if block["language"] == language]
    return [block for block in found if note is None or block["note"] == note]


def prose(path):
    return BLOCK.sub("", path.read_text())


def spans(path):
    return re.findall(r"`([^`\n]+)`", prose(path))


def own_files(path):
    """Names of the files that a document's own blocks write."""
    return {name[1] for block in BLOCK.finditer(path.read_text()) if (name := FILE_NAME.match(block["code"]))}


# Links, files, names.


@of_documents()
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        name, _, anchor = target.partition("#")
        if "://" not in target:
            found = path.parent / name if name else path
            assert found.exists(), target
            assert not anchor or anchor in anchors(found), target


def anchors(path):
    """Anchors of headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", prose(path), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@of_documents()
def test_files_and_names_that_are_named_are_there(path):
    for span in spans(path):
        name = span.partition("::")[0]
        if re.fullmatch(r"(lit_video|conf|scripts|tests|docs)/[\w./*-]*", name) and "NAME" not in name:
            places = (REPOSITORY, REPOSITORY / "lit_video" / "conf")  # groups of options are named lit_video/sampler
            assert name in own_files(path) or any(list(place.glob(name.rstrip("/"))) for place in places), span
        elif re.fullmatch(r"lit_video(\.\w+)+", span):
            pkgutil.resolve_name(span)


# Options.


def options(group):
    return {file.stem for file in (REPOSITORY / "conf" / group).glob("*.yaml")}


@pytest.fixture(scope="module")
def keys():
    """Every key that train.py has with some choice of options, and those of a store that is filled."""
    choices = [[f"{group}={option}"] for group in sorted(GROUPS) for option in sorted(options(group))]
    configs = [OmegaConf.to_container(composed("train", *choice)) for choice in [[], *choices]]
    configs.append(OmegaConf.to_container(composed("store_fill")))
    return {key for config in configs for key in dotted(config)}


def dotted(node, prefix=""):
    for key, value in node.items() if isinstance(node, dict) else ():
        yield f"{prefix}{key}"
        yield from dotted(value, f"{prefix}{key}.")


TRAINER = inspect.signature(Trainer).parameters.keys()


@of_documents()
def test_options_that_are_named_are_there(path, keys):
    own = {Path(name).stem for name in own_files(path)}
    for word in itertools.chain.from_iterable(span.split() for span in spans(path)):
        key, equals, value = word.partition("=")
        if re.fullmatch(r"(data|model|trainer)(\.\w+)+", key):
            assert key in keys or key.removeprefix("trainer.") in TRAINER | vars(Trainer).keys(), word
        elif key in GROUPS and equals and not re.search(r"[*(@]|^NAME$|^…$", value):
            assert set(value.split(",")) <= options(key) | own, word


def test_the_reference_of_options_is_up_to_date():
    reference = runpy.run_path(str(REPOSITORY / "scripts" / "configuration.py"))["reference"]()
    written = (REPOSITORY / "docs" / "configuration.md").read_text()
    assert written == reference, "write it anew: python scripts/configuration.py"


# Examples and commands.


@of_documents("python")
@pytest.mark.filterwarnings("ignore")  # users see warnings, and go on
def test_examples_run(path, tmp_path, monkeypatch):
    (tmp_path / "videos").mkdir()
    for number, num_frames in enumerate((50, 31, 12)):
        write_stamped(tmp_path / "videos" / f"{number}.mp4", num_frames, number, gop=10)
    example = types.ModuleType("example")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "example", example)
    GlobalHydra.instance().clear()
    for block in BLOCK.finditer(path.read_text()):
        if name := FILE_NAME.match(block["code"]):
            (tmp_path / name[1]).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name[1]).write_text(block["code"])
        if block["language"] == "python" and not (block["note"] or "").startswith("not run: "):
            lines = "\n" * path.read_text()[: block.start("code")].count("\n")  # a traceback names the document's line
            exec(compile(lines + block["code"], str(path), "exec"), vars(example))
    for name, test in list(vars(example).items()):
        if name.startswith("test_"):
            (tmp_path / name).mkdir()
            test(tmp_path / name)


@of_documents()
def test_commands_are_accepted(path, monkeypatch):
    for front, words in COMMAND.findall(path.read_text().replace("\\\n", " ")):
        words = shlex.split(words)
        if front in HYDRA_FRONTS:
            for overrides in jobs(words):
                composed(HYDRA_FRONTS[front], *overrides)
        elif words:
            of_script = front.endswith(".py") and runpy.run_path(str(REPOSITORY / front), run_name="front").get("main")
            main = of_script or command.module_of(front).main
            with monkeypatch.context() as patch:
                patch.setattr(sys, "argv", [front, *words])
                for parser in (argparse.ArgumentParser, Parser):
                    patch.setattr(parser, "parse_args", stopping(parser.parse_args))
                with pytest.raises(Parsed):
                    main()


def jobs(words):
    """Return the overrides of each job that a command line starts: with `-m`, one job for each choice."""
    said = [word for word in words if "=" in word and not re.match(r"-|hydra/|hydra\.launcher|.*(glob\(|=NAME$)", word)]
    choices = []
    for word, override in zip(said, OverridesParser.create().parse_overrides(said), strict=True):
        swept = override.sweep_string_iterator() if override.is_sweep_override() else ()
        choices.append([f"{override.get_key_element()}={value}" for value in swept] or [word])
    return map(list, itertools.product(*choices))


class Parsed(Exception):
    """The command line was accepted."""


def stopping(parse_args):
    def parse_and_stop(*arguments):
        parse_args(*arguments)
        raise Parsed

    return parse_and_stop


@of_documents("bash", "run")
def test_commands_run(path, videos):
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for block in blocks(path, "bash", "run"):
        script = block["code"].replace("FOLDER", str(videos))
        subprocess.run(["bash", "-euc", script], cwd=REPOSITORY, env=environment, check=True, timeout=120)


# Messages and formats.


def text_of(node):
    """Return the text that an expression is, with … in the place of what is filled in, or None."""
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


SOURCE = [node for file in (REPOSITORY / "lit_video").rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
MESSAGES = re.findall(r"^### `(.*)`$", (REPOSITORY / "docs" / "troubleshooting.md").read_text(), re.M)


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_still_given(message):
    assert any(message in (text_of(node) or "") for node in SOURCE)


def test_every_message_about_data_and_every_warning_is_explained():
    ours = {"warn", *(name for name in vars(errors) if name.endswith("Error") and name != "DecodeError")}
    for node in SOURCE:
        if isinstance(node, ast.Call) and node.args and (text := text_of(node.args[0])):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            assert name not in ours or text.startswith("…: …") or any(message in text for message in MESSAGES), text


def test_the_table_of_formats_has_the_whole_zoo():
    rows = {}
    for line in (REPOSITORY / "docs" / "formats.md").read_text().splitlines():
        title, *cells = line.strip("| ").split(" | ")
        rows.setdefault(title, set()).update(" ".join(cells).split())
    for name in ZOO:
        title, _, ending = name.rpartition(".")
        assert ending in rows.get(title, ()), name
