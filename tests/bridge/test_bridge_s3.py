"""A remote in S3: a server on this machine that speaks its protocol, and push, pull and restore by the real clients."""

import pytest
from bridge_kit import Toy

pytest.importorskip("dvc_s3")
pytest.importorskip("moto")
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def endpoint(monkeypatch):
    """The address of an empty server with the bucket `shared`."""
    from boto3 import client
    from moto.server import ThreadedMotoServer

    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    client("s3", endpoint_url=address).create_bucket(Bucket="shared")
    yield address
    server.stop()


def with_remote(toy: Toy, address: str) -> None:
    toy.command("dvc", "remote", "add", "-d", "store", "s3://shared/results")
    toy.command("dvc", "remote", "modify", "store", "endpointurl", address)


def test_results_go_to_s3_and_come_back_in_another_clone(toy, tmp_path, endpoint):
    with_remote(toy, endpoint)
    score = "artifacts/t/evaluate/full-s1/score.json"
    assert "run records" in toy.snakedvc("push").stdout
    assert toy.snakedvc("push").stdout.split()[3] == "0"
    clone = toy.clone(tmp_path / "clone")
    (clone.root / "dvc.lock").unlink()
    assert set(clone.make("artifacts/t/evaluate/full-s1").values()) == {"restored"}
    assert clone.text(score) == toy.text(score)
    pulled = toy.clone(tmp_path / "pulled")
    pulled.command("dvc", "pull")
    assert pulled.outputs() == toy.outputs()


def test_a_bucket_that_is_not_there_is_one_line(toy, endpoint):
    with_remote(toy, endpoint)
    toy.command("dvc", "remote", "modify", "store", "url", "s3://nowhere/results")
    done = toy.snakedvc("push", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
