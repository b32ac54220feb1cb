"""Our programs as users start them, and the options of those that Hydra composes."""

import contextlib
import copy
import os
import subprocess
import sys
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.singleton import Singleton

from lit_video.commands.hydra_front import offer_short_names

REPOSITORY = Path(__file__).parents[1]
OF_COMMANDS = REPOSITORY / "lit_video" / "commands" / "conf"
FOLDERS = {"train": REPOSITORY / "conf", "bias_report": OF_COMMANDS, "store_fill": OF_COMMANDS}


def run(program, *arguments, timeout=120, environment=None):
    """Run `train.py` or one of scripts/ in a process of its own, from the repository's folder."""
    # Of other packages' warnings none is ours; a real user would see them, and go on.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **(environment or {})}
    command = [sys.executable, program, *map(str, arguments)]
    return subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=timeout)


def composed(program, *overrides):
    """Return the options of `train`, `bias_report` or `store_fill` with these overrides."""
    with hydra_as_found(), initialize_config_dir(str(FOLDERS[program]), version_base="1.3"):
        if program != "train":
            offer_short_names()
        return compose(program, list(overrides))


@contextlib.contextmanager
def hydra_as_found():
    """Have Hydra forget, afterwards, what was stored: one program's short names are not another's."""
    before = copy.deepcopy(Singleton.get_state())
    try:
        yield
    finally:
        Singleton.set_state(before)
