"""`lit-video COMMAND`: what scripts/ holds, for those who have the package without the repository."""

from __future__ import annotations

import sys
from importlib import import_module

COMMANDS = {
    "index": ("lit_video.commands.index", "index videos, and check the index: lit-video index FOLDER --verify"),
    "bench": ("lit_video.bench.compare", "compare ways to load random frames: lit-video bench run FOLDER"),
    "bias": ("lit_video.report.command", "which sampler for these videos, and why: lit-video bias data.root=FOLDER"),
    "doctor": ("lit_video.checks.doctor", "what works on this machine: lit-video doctor"),
}


def main() -> None:
    """Run the command that the first argument names, with the arguments that follow; exit as it does."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name not in COMMANDS:
        asked = name in ("-h", "--help")
        print(
            usage() if asked else f"lit-video: no command {name!r}\n{usage()}", file=sys.stdout if asked else sys.stderr
        )
        raise SystemExit(0 if asked else 2)
    sys.argv = [f"lit-video {name}", *sys.argv[2:]]
    import_module(COMMANDS[name][0]).main()


def usage() -> str:
    """Return what there is."""
    lines = [f"  {name:8}{what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(["usage: lit-video COMMAND ...", "", *lines])
