"""Options of our Hydra programs, composed in this process as each program composes them in its own."""

import contextlib
import copy
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.singleton import Singleton

from lit_video.report.command import offer_short_names

REPOSITORY = Path(__file__).parents[1]
FOLDERS = {"train": REPOSITORY / "conf", "bias_report": REPOSITORY / "lit_video" / "report" / "conf"}


def composed(program, *overrides):
    """Return the options of `train` or `bias_report` with these overrides."""
    with hydra_as_found(), initialize_config_dir(str(FOLDERS[program]), version_base="1.3"):
        if program == "bias_report":
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
