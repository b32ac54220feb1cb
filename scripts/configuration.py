"""Write docs/configuration.md from the option files: `python scripts/configuration.py`."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

REPOSITORY = Path(__file__).parents[1]
SHIPPED, OWN = REPOSITORY / "lit_video" / "conf" / "lit_video", REPOSITORY / "conf"
ORDER = ("data", "sampler", "decoder", "transform", "model", "trainer", "experiment", "debug")  # others follow
HEAD = """# Configuration

Every option file, and every key in it with its default. Made from the files by `python scripts/configuration.py`:
change those, not this.

Groups are chosen by name and keys are set by path: `python train.py sampler=chunked data.batch_size=64`. In another
project the groups of the package are called `lit_video/data@data`, `lit_video/sampler@data.sampler` and so on.
"""


def reference() -> str:
    """Return the document."""
    groups: dict[str, list[str]] = {}
    for path in sorted(SHIPPED.glob("*/*.yaml")):
        group = path.parent.name
        groups.setdefault(group, []).append(section(path, group, "data." if group == "data" else f"data.{group}."))
    for path in sorted(REPOSITORY.glob("lit_video/*/conf/*/*.yaml")):
        groups.setdefault(path.parent.name, []).append(section(path, path.parent.name, f"{path.parent.name}."))
    for path in sorted(OWN.glob("*/**/*.yaml")):
        group = path.parent.relative_to(OWN).as_posix()
        if not (SHIPPED / group / path.name).exists():  # else it is an alias
            groups.setdefault(group, []).append(section(path, group, f"{group.replace('/', '.')}."))
    roots = [*OWN.glob("*.yaml"), *REPOSITORY.glob("lit_video/*/conf/*.yaml")]
    parts = [HEAD, *(section(path, "", "") for path in sorted(roots, key=lambda path: (path.stem != "train", path)))]
    for group in sorted(groups, key=lambda group: (ORDER.index(group) if group in ORDER else len(ORDER), group)):
        parts += [f"## {group}\n", *groups[group]]
    return "\n".join(parts)


def section(path: Path, group: str, package: str) -> str:
    """Return what one option file says, each key behind the package that it is put in."""
    text, config = path.read_text(), OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    assert isinstance(config, dict), f"{path} holds no mapping"
    head = [line.removeprefix("#").strip() for line in re.findall(r"\A(?:#.*\n)*", text)[0].splitlines()]
    for line in head:
        if line.startswith("@package "):
            package = "" if line == "@package _global_" else f"{line.removeprefix('@package ')}."
    place = path.relative_to(REPOSITORY).as_posix()
    told = [line for line in head if line and not line.startswith("@package ")]
    told += [f"Makes `{config['_target_']}`."] if "_target_" in config else []
    is_short = SHIPPED not in path.parents or (OWN / group).is_dir()
    title = f"{group}={path.stem}" if is_short else f"lit_video/{group}@{group}: {path.stem}"
    lines = [f"### `{title}`" if group else f"## `{place}`", ""]
    lines += [" ".join([*told, f"([{path.name}](../{place}))"]), ""]
    meaning, rows = comments_of(text), [*chosen(config.pop("defaults", [])), *values(config)]
    if rows:
        lines += ["| key | value | meaning |", "|---|---|---|"]
    for key, value in rows:
        name = key.removeprefix("defaults.") if key.startswith("defaults.") else f"{package}{key}"
        cells = (f"`{name}`", value and f"`{value}`", meaning.get(key, ""))
        lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""] if rows else lines)


def chosen(defaults: list[Any]) -> Iterator[tuple[str, str]]:
    """Yield the groups of a list of defaults, and what is chosen of each."""
    for entry in defaults:
        for key, value in entry.items() if isinstance(entry, Mapping) else [(entry, "")]:
            if key != "_self_":
                yield f"defaults.{key}", value if isinstance(value, str) else show(value)


def values(config: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield every key by its dotted path, and its value, but for what only Hydra reads."""
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from values(value, f"{prefix}{key}.")
        elif key not in ("_partial_", "_convert_") and (prefix or key != "_target_"):
            yield f"{prefix}{key}", show(value)


def show(value: Any) -> str:
    """Return a value as the command line takes it, and of a list of things to make their names."""
    value = [v.get("_target_", v) if isinstance(v, Mapping) else v for v in value] if isinstance(value, list) else value
    return json.dumps(value).replace('"', "") or "''"


def comments_of(text: str) -> dict[str, str]:
    """Return the comment behind each key of an option file, by the key's dotted path."""
    path, found = [], {}
    for line in text.splitlines():
        code, _, comment = line.partition(" # ")
        if match := re.match(r"( *)(?:- )?([^\s:]+(?: [^\s:]+)?)(?:: |:?$)", code.rstrip()):
            path = [*((indent, key) for indent, key in path if indent < len(match[1])), (len(match[1]), match[2])]
            found[".".join(key for _, key in path)] = comment.strip()
    return found


def main() -> None:
    """Write the document, or with `--check` end with 1 if it is not as the files say."""
    parser = argparse.ArgumentParser(description="Write docs/configuration.md from the option files.")
    parser.add_argument("--check", action="store_true", help="write nothing; end with 1 if it would change")
    document = REPOSITORY / "docs" / "configuration.md"
    if not parser.parse_args().check:
        document.write_text(reference())
    elif document.read_text() != reference():
        raise SystemExit("docs/configuration.md is not as the option files say: python scripts/configuration.py")


if __name__ == "__main__":
    main()
