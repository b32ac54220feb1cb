"""Every decoder that has an option file keeps the promise, if what it needs is here: a new one joins by existing."""

from functools import partial
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

import lit_video
from lit_video.support.errors import DeviceError
from lit_video.testing import check_decoder

FOLDER = Path(lit_video.__file__).parent / "conf" / "lit_video" / "decoder"
CONFIGS = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1"])
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_keeps_its_promises(config, codec):
    make = instantiate(OmegaConf.load(config))
    try:
        check_decoder(make, [codec])
    except DeviceError as error:
        pytest.skip(str(error).splitlines()[0])


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_takes_index_and_size_and_opens_nothing(config, index):
    make = instantiate(OmegaConf.load(config))
    assert isinstance(make, partial)
    try:
        make(index, (64, 64)).close()
    except DeviceError as error:
        pytest.skip(str(error).splitlines()[0])
