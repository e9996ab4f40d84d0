"""Read where DVC keeps this project's cache and remote: `.dvc/config`, overridden by `.dvc/config.local`."""

import configparser
import os
from dataclasses import dataclass
from pathlib import Path

from snakedvc.errors import ProjectError


@dataclass(frozen=True)
class DvcConfig:
    """The settings that the bridge needs."""

    cache_dir: Path
    # The default remote's name and address.  If it is a folder, the address is its path.
    remote: str | None
    remote_url: str | None
    # DVC's cache.type, in order of preference.
    link_types: tuple[str, ...]

    @property
    def remote_folder(self) -> Path | None:
        """The remote, if it is a folder of this machine."""
        return Path(self.remote_url) if self.remote_url and "://" not in self.remote_url else None


def _address(url: str, folder: Path) -> str:
    if url.startswith("file://"):
        url = url.removeprefix("file://")
    return url if "://" in url else os.path.normpath(folder / Path(url).expanduser())


def read_config(folder: Path = Path(".dvc")) -> DvcConfig:
    """Read the settings as DVC does: relative paths are relative to the config file's folder."""
    cache_dir, remote, urls, types = folder / "cache", None, {}, "reflink,copy"
    user = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config"), "dvc", "config")
    for path in (user, folder / "config", folder / "config.local"):
        parser = configparser.ConfigParser(interpolation=None)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as e:
            said = " ".join(str(e).split())
            raise ProjectError(f"{path}: not a valid configuration of DVC (a conflict of Git's?): {said}") from None
        if parser.has_option("cache", "dir"):
            cache_dir = path.parent / Path(parser.get("cache", "dir")).expanduser()
        remote = parser.get("core", "remote", fallback=remote)
        types = parser.get("cache", "type", fallback=types)
        for section in parser.sections():
            name = section.strip("'\"").removeprefix('remote "').removesuffix('"')
            if section.strip("'\"").startswith('remote "') and parser.has_option(section, "url"):
                urls[name] = _address(parser.get(section, "url"), path.parent)
    links = tuple(part.strip() for part in types.strip("\"'").split(","))
    return DvcConfig(cache_dir, remote, urls.get(remote) if remote else None, links)
