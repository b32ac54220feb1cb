"""What the commands share that Hydra composes from the package alone: `sampler=chunked` without a folder of options."""

from __future__ import annotations

from importlib.resources import files

from hydra.core.config_store import ConfigStore

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
