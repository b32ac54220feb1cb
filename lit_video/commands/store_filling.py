"""What `lit-video store fill` does, and shows meanwhile."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from jaxtyping import Bool
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lit_video.datamodule import VideoDataModule
from lit_video.decoders.form import with_form
from lit_video.decoders.geometry import parse_size
from lit_video.index import Population, VideoIndex
from lit_video.index.stages import STAGES
from lit_video.store.elsewhere import INCOMING, fill_elsewhere
from lit_video.store.fill import Filled, fill_videos, look_of
from lit_video.store.folder import store_folder
from lit_video.store.frames import FrameStore, StoreWarning
from lit_video.support.errors import DataError, StoreError
from lit_video.support.machine import num_cores

OF_STORE = ("store", "store_bytes", "store_packing", "jpeg_quality")  # options of the data that are about the store
_MORE = "Give it more, or null for what the disk has: data.store_bytes"
BLOCK = 2**18  # samples whose frames are looked up together


def fill(cfg: DictConfig) -> None:
    """Decode what a store lacks of all samples of the run that `cfg` describes, of all its stages."""
    warnings.simplefilter("ignore", StoreWarning)  # of which all is said by what is raised
    options = {name: cfg.data.get(name) for name in OF_STORE}
    if options["store"] is None:
        raise DataError("There is no store to fill.\nName its folder, or the user's cache: data.store=FOLDER or auto")
    datamodule = _data_without_store(cfg)
    datamodule.setup()
    size, make_decoder = parse_size(cfg.data.size), hydra.utils.instantiate(cfg.data.decoder)
    make_decoder = with_form(make_decoder, cfg.data.dtype, cfg.data.channels)
    for index, wanted in _wanted(datamodule):
        decoder = make_decoder(index, size)
        decoder.close()
        store = _make_store(options, index, look_of(decoder), size)
        video_ids = _videos_with(index, wanted)
        fill_them = partial(fill_videos, store, index, make_decoder, size, video_ids, wanted, _threads(cfg))
        if cfg.get("engine") is not None:
            engine = hydra.utils.instantiate(cfg.engine)
            folder = Path(engine.folder or store.folder).expanduser() / INCOMING
            fill_them = partial(
                fill_elsewhere, store, index, make_decoder, look_of(decoder), size, video_ids, wanted, engine, folder
            )
        _tell(store, _fill_with_bar(store, index, video_ids, wanted, fill_them), wanted)
        store.close()


def _data_without_store(cfg: DictConfig) -> VideoDataModule:
    data = OmegaConf.create(OmegaConf.to_container(cfg.data, resolve=True))
    assert isinstance(data, DictConfig)
    with open_dict(data):
        for name in OF_STORE:
            data.pop(name, None)
    return hydra.utils.instantiate(data)


def _threads(cfg: DictConfig) -> int:
    return num_cores() if cfg.data.threads == "auto" else int(cfg.data.threads)


def _make_store(options: dict[str, Any], index: VideoIndex, look: str, size: tuple[int, int]) -> FrameStore:
    """Return a store that takes frames.

    Raises:
        StoreError: It does not.
    """
    store = FrameStore(
        store_folder(options["store"]),
        index,
        look,
        size,
        options["store_packing"],
        options["store_bytes"],
        options["jpeg_quality"],
    )
    room = store.room
    if store.problem is not None:
        raise StoreError(store.problem)
    if not room:
        raise StoreError(f"{options['store']}: the store's {options['store_bytes']:,} bytes are used up.\n{_MORE}")
    return store


def _wanted(datamodule: VideoDataModule) -> Iterator[tuple[VideoIndex, Bool[np.ndarray, " frames"]]]:
    """Yield each index of a run, and which of its frames are in a sample of any stage."""
    masks, refusals = dict[int, tuple[VideoIndex, np.ndarray]](), list[DataError]()
    for stage in STAGES:
        try:
            population = datamodule.population(stage)
        except DataError as error:  # nothing is for this stage
            refusals.append(error)
            continue
        index = population.index
        _, mask = masks.setdefault(id(index), (index, np.zeros(index.num_frames, bool)))
        _mark(population, mask)
    if not masks:
        raise refusals[0]
    yield from masks.values()


def _mark(population: Population, mask: Bool[np.ndarray, " frames"]) -> None:
    for first in range(0, population.num_samples, BLOCK):
        samples = np.arange(first, min(first + BLOCK, population.num_samples))
        mask[population.frames_of(samples)[0]] = True


def _videos_with(index: VideoIndex, wanted: Bool[np.ndarray, " frames"]) -> list[int]:
    return np.unique(index.locate(np.flatnonzero(wanted))[0]).tolist()


def _fill_with_bar(
    store: FrameStore,
    index: VideoIndex,
    video_ids: list[int],
    wanted: Bool[np.ndarray, " frames"],
    fill_them: Callable[..., Filled],
) -> Filled:
    missing = wanted & ~store.has()
    for video_id, runs in index.damaged_videos.items():
        for run in runs:
            missing[index.offset[video_id] + run.first : index.offset[video_id] + run.last + 1] = False
    print(f"{int(wanted.sum())} frames of {len(video_ids)} videos, {int(missing.sum())} of them to decode")
    with bar("frames") as progress:
        task = progress.add_task("Filling", total=int(missing.sum()))
        tell = lambda number: progress.advance(task, number)  # noqa: E731
        return fill_them(tell=tell)


def bar(unit: str) -> Progress:
    """Return a progress bar that counts in `unit`."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit)
    return Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)


def _tell(store: FrameStore, filled: Filled, wanted: Bool[np.ndarray, " frames"]) -> None:
    """Say what was done, and what is there now; end the program with the reason where it could not be finished."""
    there = int((wanted & store.has()).sum())
    lost = f"; {filled.damaged} could not be decoded and are left out" if filled.damaged else ""
    for line in filled.given_up:
        print(line)
    print(f"{filled.kept} frames kept{lost}; {there} of {len(np.flatnonzero(wanted))} are there now")
    if filled.is_full:
        assert store.problem is not None, "a store that takes no more says why"
        raise StoreError(store.problem)
