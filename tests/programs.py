"""Our programs as users start them, and the options of those that Hydra composes."""

import contextlib
import copy
import os
import subprocess
import sys

from hydra import compose, initialize_config_dir
from hydra.core.singleton import Singleton

from lit_video.commands.hydra_front import offer_short_names
from tests.forked import REPOSITORY, Running, Start, can_be_forked, start

OF_COMMANDS = REPOSITORY / "lit_video" / "commands" / "conf"
FOLDERS = {"train": REPOSITORY / "conf", "bias_report": OF_COMMANDS, "store_fill": OF_COMMANDS}


def run(program, *arguments, folder=REPOSITORY, timeout=120, environment=None, forked=True):
    """Run `train.py` or another program in a process of its own.

    The process is a fork, which need not import torch, unless that is not wanted or a variable is for Python's start.
    """
    command, variables = [str(program), *map(str, arguments)], environment or {}
    # Of other packages' warnings none is ours; a real user would see them, and go on.
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **variables}
    if forked and can_be_forked(variables):
        return start(Start(command, folder, environment, timeout))
    command = [sys.executable, *command]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout)


def running(program, *arguments, pipe, environment=None):
    """Start a program in a fork, from the repository's folder, and go on; what it writes comes through a named pipe."""
    variables = environment or {}
    assert can_be_forked(variables)
    command = [str(program), *map(str, arguments)]
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **variables}
    return contextlib.closing(Running(Start(command, REPOSITORY, environment, 0, pipe)))


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
