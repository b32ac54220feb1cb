"""What the commands share that Hydra composes from the package alone: `sampler=chunked` without a folder of options."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files

import hydra
from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig

from lit_video.support.errors import told_in_a_sentence

GROUPS = ("sampler", "decoder", "transform")


def offer_short_names() -> None:
    """Let `sampler=chunked` mean the package's option, as the files in conf/ of the repository do for train.py.

    When a command runs and not on import: a process that composes train.py's options too would have each short name
    twice.
    """
    for group in GROUPS:
        for option in files("lit_video.conf").joinpath("lit_video", group).iterdir():
            name = option.name.removesuffix(".yaml")
            alias = {"defaults": [f"/lit_video/{group}/{name}@_here_"]}
            ConfigStore.instance().store(name, alias, group=group, package=f"data.{group}")


def compose_and_run(config_name: str, run: Callable[[DictConfig], None]) -> None:
    """Compose a command's options from conf/ beside this file and the command line, and run it with them."""

    @hydra.main(version_base="1.3", config_path="conf", config_name=config_name)
    def front(cfg: DictConfig) -> None:
        with told_in_a_sentence():
            run(cfg)

    offer_short_names()
    front()
