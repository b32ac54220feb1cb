"""`lit-video COMMAND`: what scripts/ holds, for those who have the package without the repository."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from lit_video.commands.parsing import nearest

COMMANDS = {
    "index": "index videos, and check the index: lit-video index FOLDER --verify",
    "bench": "compare ways to load random frames: lit-video bench run FOLDER",
    "bias": "which sampler for these videos, and why: lit-video bias data.root=FOLDER",
    "doctor": "what works on this machine: lit-video doctor",
    "fuzz": "index and decode damaged videos: lit-video fuzz --mutants 2000",
    "plan-capacity": "what a data set asks of machines: lit-video plan-capacity --help",
    "proxy": "small copies for random access: lit-video proxy FOLDER PROXIES",
    "show-batch": "the first random batch as one picture: lit-video show-batch data.root=FOLDER",
    "store": "decode once, and keep it: lit-video store fill data.root=FOLDER data.store=auto",
    "sweep": "rank the jobs of a sweep again: lit-video sweep multirun/DATE/TIME",
}


def main() -> None:
    """Run the command that the first argument names, with the arguments that follow; exit as it does."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        asked = name in ("-h", "--help")
        told = usage() if asked else f"lit-video: no command {name!r}{nearest(name, COMMANDS)}\n{usage()}"
        print(told, file=sys.stdout if asked else sys.stderr)
        raise SystemExit(0 if asked else 2)
    sys.argv = [f"lit-video {name}", *sys.argv[2:]]
    module_of(name).main()


def module_of(name: str) -> ModuleType:
    """Return the module of a command."""
    return import_module(f"lit_video.commands.{name.replace('-', '_')}")


def usage() -> str:
    """Return what there is."""
    lines = [f"  {name:14}{what}" for name, what in COMMANDS.items()]
    return "\n".join(["usage: lit-video COMMAND ...", "", *lines])
