"""Lets every Hydra program of this environment compose the options in `lit_video/conf`.

Hydra 1.3 finds plugins only in the namespace package `hydra_plugins`, where the wheel puts a copy of this file; Hydra
1.4 finds it by its entry point. Having both is harmless.
"""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class LitVideoSearchPathPlugin(SearchPathPlugin):
    """Appends the package's options to the search path: a project's own files come first."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append `pkg://lit_video.conf`."""
        search_path.append(provider="lit-video", path="pkg://lit_video.conf")
