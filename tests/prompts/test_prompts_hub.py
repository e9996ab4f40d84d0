"""The hub source against a hub of our own on this machine: download, cache, checksum, and what goes wrong."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.params.prompts import Dataset, HubSource
from tokenspectrum.prompts import hub, sources

REVISION = "0123456789abcdef0123456789abcdef01234567"
CONTENT = json.dumps({"problem": "1+1?", "answer": "2"}).encode() + b"\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FakeHub(BaseHTTPRequestHandler):
    """Serves one file of one dataset at one revision, as the hub does."""

    def _head(self) -> bool:
        found = self.path == f"/datasets/owner/set/resolve/{REVISION}/data/a.jsonl"
        self.send_response(200 if found else 404)
        self.send_header("X-Repo-Commit", REVISION)
        self.send_header("ETag", f'"{SHA256}"')
        if not found:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", str(len(CONTENT) if found else 0))
        self.end_headers()
        return found

    def do_HEAD(self):
        self._head()

    def do_GET(self):
        self.server.downloads += 1
        if self._head():
            self.wfile.write(CONTENT)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), FakeHub)
    server.downloads = 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def url(server):
    return f"http://127.0.0.1:{server.server_port}"


def source(**changes):
    values = {"repo": "owner/set", "path": "data/a.jsonl", "format": "simple", "revision": REVISION, "sha256": SHA256}
    return HubSource(kind="hub", **(values | changes))


def test_a_pinned_file_is_downloaded_once(endpoint):
    path = hub.fetch(source(), "dataset d", url(endpoint))
    assert path.read_bytes() == CONTENT
    assert hub.fetch(source(), "dataset d", url(endpoint)) == path
    assert endpoint.downloads == 1


def test_another_checksum_is_refused(endpoint):
    with pytest.raises(UserError, match=f"its sha256 is {SHA256}, params say {'0' * 64}"):
        hub.fetch(source(sha256="0" * 64), "dataset d", url(endpoint))


@pytest.mark.parametrize("changes", [{"path": "data/b.jsonl"}, {"repo": "owner/other"}, {"revision": "f" * 40}])
def test_what_the_hub_lacks_is_one_line(endpoint, changes):
    with pytest.raises(UserError) as caught:
        hub.fetch(source(**changes), "dataset d", url(endpoint))
    assert str(caught.value).startswith("dataset d: hub file owner/")
    assert "not downloaded" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_network_is_one_line(endpoint, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"not downloaded .*use a source of kind file"):
        hub.fetch(source(), "dataset d", url(endpoint))


@pytest.mark.parametrize("missing", [("revision",), ("sha256",), ("revision", "sha256")])
def test_an_unpinned_source_is_refused_before_any_download(endpoint, missing):
    with pytest.raises(UserError, match=f"has no {' and no '.join(missing)}; look up"):
        hub.fetch(source(**dict.fromkeys(missing)), "dataset d", url(endpoint))
    assert endpoint.downloads == 0


def test_a_dataset_of_the_hub_is_loaded_as_any_other(endpoint, monkeypatch):
    monkeypatch.setattr(sources, "fetch", lambda s, what: hub.fetch(s, what, url(endpoint)))
    loaded = sources.load(Dataset(name="d", source=source()), None)
    assert [(p.data_source, p.text, p.answer) for p in loaded.problems] == [("d", "1+1?", "2")]
