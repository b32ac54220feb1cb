"""Every option file composes, its alias stays in step with it, and its comment says what choosing it means."""

from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

import lit_video
from tests.programs import REPOSITORY, composed

SHIPPED = Path(lit_video.__file__).parent / "conf" / "lit_video"
GROUPS = ("sampler", "decoder", "transform")
OPTIONS = [(group, path.stem) for group in GROUPS for path in sorted((SHIPPED / group).glob("*.yaml"))]
OWN = [
    (path.parent.name, path.stem)
    for path in sorted((REPOSITORY / "conf").glob("*/*.yaml"))
    if path.parent.name not in GROUPS
]


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_alias_chooses_the_shipped_option(group, name):
    config = composed("train", f"{group}={name}")
    with initialize_config_dir(str(SHIPPED / group), version_base="1.3"):
        assert config.data[group] == compose(name)


@pytest.mark.parametrize("group", GROUPS)
def test_no_alias_without_an_option(group):
    assert {path.stem for path in (REPOSITORY / "conf" / group).glob("*.yaml")} == {n for g, n in OPTIONS if g == group}


@pytest.mark.parametrize(("group", "name"), OWN)
def test_composes(group, name):
    composed("train", f"{group}={name}")


@pytest.mark.parametrize(("group", "name"), OPTIONS)
def test_first_line_says_what_choosing_it_means(group, name):
    first = (SHIPPED / group / f"{name}.yaml").read_text().splitlines()[0]
    assert first.startswith("# ")
    assert first.endswith((".", ";", ","))


def test_the_data_module_is_made_of_the_defaults():
    datamodule = instantiate(composed("train").data)
    assert type(datamodule).__name__ == "VideoDataModule"


def test_defaults_in_yaml_are_the_defaults_in_python():
    import inspect

    from lit_video.datamodule import VideoDataModule

    python = {p.name: p.default for p in inspect.signature(VideoDataModule).parameters.values()}
    yaml = dict(composed("train").data)
    for name in ("sampler", "decoder", "transform", "_target_", "_convert_"):
        yaml.pop(name)
        python.pop(name, None)
    assert yaml == python


def test_options_are_found_by_other_programs():
    from hydra.core.plugins import Plugins
    from hydra.plugins.search_path_plugin import SearchPathPlugin

    names = [plugin.__name__ for plugin in Plugins.instance().discover(SearchPathPlugin)]
    assert "LitVideoSearchPathPlugin" in names
