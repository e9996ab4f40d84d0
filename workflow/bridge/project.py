"""Where DVC keeps this project's cache and whether it has a remote: `.dvc/config`, with `.dvc/config.local` over it."""

import configparser
import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DvcConfig:
    """The two settings that the bridge needs."""

    cache_dir: Path
    remote: str | None


def read_config(folder: Path = Path(".dvc")) -> DvcConfig:
    """Read them as DVC does: a relative cache.dir is relative to the config file's folder."""
    cache_dir, remote = folder / "cache", None
    user = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"), "dvc", "config")
    for path in (user, folder / "config", folder / "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        parser.read(path)
        if parser.has_option("cache", "dir"):
            cache_dir = path.parent / Path(parser.get("cache", "dir")).expanduser()
        remote = parser.get("core", "remote", fallback=remote)
    return DvcConfig(cache_dir, remote)
