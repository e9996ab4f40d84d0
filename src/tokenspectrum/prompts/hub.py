"""A dataset file from the Hugging Face hub.  Revision and checksum are those of the params; nothing else is taken.

Knows no format.
"""

import errno
from pathlib import Path

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import HubSource
from tokenspectrum.systems.sigterm import kills
from tokenspectrum.tokenlog.writer import sha256


def check_sha256(path: Path, expected: str, what: str) -> Path:
    """`path` if its bytes have the `expected` checksum, else a UserError that gives both."""
    found = sha256(path)
    if found != expected:
        raise UserError(f"{what}: its sha256 is {found}, params say {expected}; it is not the file that was pinned")
    return path


def fetch(source: HubSource, what: str, endpoint: str | None = None) -> Path:
    """The file's path in the hub's local cache, downloaded if it is not there yet, its checksum checked.

    `what` names the dataset in errors; `endpoint` is another hub than the usual (HF_ENDPOINT) one.
    """
    what = f"{what}: hub file {source.repo}/{source.path}"
    if source.revision is None or source.sha256 is None:
        missing = [field for field in ("revision", "sha256") if getattr(source, field) is None]
        raise UserError(
            f"{what} has no {' and no '.join(missing)}; look up the full commit hash and the file's sha256 on the hub "
            "and fill them in, so that the data cannot change under a result"
        )
    # Slow imports that only this source needs.
    from httpx import HTTPError
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        with kills():
            path = hf_hub_download(
                source.repo, source.path, repo_type="dataset", revision=source.revision, endpoint=endpoint
            )
    except (OSError, HTTPError, EntryNotFoundError) as e:
        if getattr(e, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
            raise
        reason = str(e).strip().splitlines()[0] if str(e).strip() else ""
        raise UserError(
            f"{what} at {source.revision}: not downloaded ({type(e).__name__}: {reason:.160}); check the network and "
            "the names, or download the file and use a source of kind file"
        ) from None
    return check_sha256(Path(path), source.sha256, what)
