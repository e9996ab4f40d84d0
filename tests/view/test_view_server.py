"""Who is let in, what bad input becomes, and that the database can only look.  Real requests, no browser."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import webbrowser
from pathlib import Path

import duckdb
import pytest
import yaml
from view_kit import HOSTILE, LENGTHS, TOKEN, ready_store, served, write_preset, write_prompts, write_tables

from tokenspectrum.cli.main import main
from tokenspectrum.cli.view import open_browser
from tokenspectrum.errors import UserError
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.tokenlog.writer import write_manifest
from tokenspectrum.view.bundle import script
from tokenspectrum.view.filters import Brush, Filters
from tokenspectrum.view.sealed import checked, open_sealed
from tokenspectrum.view.server import listen
from tokenspectrum.view.steps import complete_steps
from tokenspectrum.view.strip import attention, strip

FIRST = {"sort": "logged", "down": False, "limit": 50, "offset": 0}


def ask(address: str, path: str = "", *, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request; `host` and others as given, underscores for dashes."""
    port = int(address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, headers={"host": f"127.0.0.1:{port}"} | given)
    reply = connection.getresponse()
    answer = reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read().decode()
    connection.close()
    return answer


def test_the_page_and_its_files_are_served_behind_the_token(address):
    for path, kind in (("", "text/html"), ("main.js", "text/javascript"), ("strip.css", "text/css")):
        status, headers, body = ask(address, f"/{TOKEN}/{path}")
        assert status == 200
        assert headers["content-type"].startswith(kind)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert not re.search(r"<script(?![^>]* src=)|\son\w+=|style=|https?://(?!www\.w3\.org)", body)
    status, headers, _ = ask(address, f"/{TOKEN}")
    assert (status, headers["location"]) == (307, f"/{TOKEN}/")


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/", {}, 403),
        ("/wrong/", {}, 403),
        (f"/{TOKEN}x/api/state", {}, 403),
        (f"/{TOKEN}/api/state", {"host": "evil.example"}, 421),
        (f"/{TOKEN}/api/state", {"host": "127.0.0.1:1"}, 421),
        (f"/{TOKEN}/api/state", {"host": "127.0.0.1.evil.example:80"}, 421),
        (f"/{TOKEN}/api/state", {"origin": "http://evil.example"}, 403),
        (f"/{TOKEN}/api/state", {"origin": "null"}, 403),
        (f"/{TOKEN}/api/state", {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        (f"/{TOKEN}/api/state", {"sec_fetch_site": "same-site", "sec_fetch_mode": "cors"}, 403),
    ],
)
def test_a_request_that_is_not_ours_is_refused_in_one_line(address, path, headers, status):
    got, _, body = ask(address, path, **headers)
    assert got == status
    assert body.startswith("refused: ")
    assert body.count("\n") == 1
    assert "small" not in body


def test_localhost_and_our_own_origin_pass_and_nothing_can_be_changed(address):
    port = address.split(":")[2].split("/")[0]
    assert ask(address, f"/{TOKEN}/api/state", host=f"localhost:{port}", origin=f"http://localhost:{port}")[0] == 200
    assert ask(address, f"/{TOKEN}/", sec_fetch_site="cross-site", sec_fetch_mode="navigate")[0] == 200  # a link
    assert ask(address, f"/{TOKEN}/api/state", method="POST")[0] == 405
    assert ask(address, f"/{TOKEN}/api/state", method="DELETE")[0] == 405


@pytest.mark.parametrize("path", ["../server.py", "..%2fserver.py", "%2e%2e/guard.py", "none.js", "api/none"])
def test_no_file_but_the_pages_own_is_served(address, path):
    status, _, body = ask(address, f"/{TOKEN}/{path}")
    assert status == 404
    assert "import" not in body


def test_two_hosts_in_one_request_are_refused(address):
    port = int(address.split(":")[2].split("/")[0])
    with socket.create_connection(("127.0.0.1", port)) as wire:
        wire.sendall(f"GET /{TOKEN}/ HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nhost: evil.example\r\n\r\n".encode())
        assert wire.recv(64).split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    ("query", "line"),
    [
        ("responses?seed=one", "seed: a whole number is wanted (got 'one')"),
        ("responses?step_from=1e99", "step_from: a number is wanted (got '1e99')"),
        ("responses?length_to=99999999999", "length_to: a number is wanted (got '99999999999')"),
        ("responses?sort=text;drop", "sort: one of logged, reward, length, advantage, step, hits is wanted"),
        ("responses?correct=1", "correct: one of yes, no is wanted (got '1')"),
        ("responses?brush=1,2,3", "brush: four bins from 0 to 63 are wanted (got '1,2,3')"),
        ("responses?x=c0&y=c1&brush=0,1,0,1", "column 'c0': not logged here"),
        ("cloud?x=tokens.logprob&y=tokens.none", "column 'tokens.none': not logged here"),
        ("scale?column=", "column '': not logged here"),
        ("response?run=base&seed=0&step=0", "run, seed, step and response name a response"),
        ("response?run=base&seed=0&step=0&response=99", "run base seed 0 step 0: no response 99 is shown here"),
        ("attention?run=base&seed=0&step=0&response=3&position=9", "the attention row of token 9 was not logged"),
        ("attention?run=base&seed=0&step=0&response=3&position=x", "position: a whole number is wanted"),
    ],
)
def test_a_wrong_question_is_one_line(address, query, line):
    status, _, body = ask(address, f"/{TOKEN}/api/{query}")
    assert status == 400
    error = json.loads(body)["error"]
    assert error.startswith(line)
    assert "\n" not in error


def test_filters_are_values_and_never_sql(store):
    total = store.responses(Filters(), None, FIRST)["total"]
    for text in ("' OR 1=1 --", '"; DROP TABLE responses; --', "%", "_"):
        assert store.responses(Filters(text=text), None, FIRST)["total"] == 0
        assert store.responses(Filters(runs=(text,)), None, FIRST)["total"] == 0
    assert store.responses(Filters(text=HOSTILE[0]), None, FIRST)["total"] == 5
    assert store.responses(Filters(), None, FIRST)["total"] == total == 30


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('x.parquet')",
        "COPY responses TO 'stolen.csv'",
        "ATTACH 'other.duckdb'",
        "SET enable_external_access = true",
        "INSTALL httpfs",
    ],
)
def test_the_database_reaches_no_file(tmp_path, monkeypatch, sql):
    monkeypatch.chdir(tmp_path)
    with open_sealed(1) as connection, pytest.raises(duckdb.Error):
        connection.execute(sql).fetchall()
    assert not list(tmp_path.iterdir())


def test_every_query_passes_the_gate_and_takes_columns_of_ours_alone():
    with pytest.raises(ValueError, match="no column of ours"):
        checked(("cloud_all.sql",), (("column_x", "r; DROP TABLE packed"),))
    with pytest.raises(UserError, match="only one SELECT"):
        checked(("responses.sql",))


def test_pages_of_the_list_meet_without_gap_or_repeat(store):
    pages = [store.responses(Filters(), None, FIRST | {"limit": 7, "offset": at})["rows"] for at in range(0, 35, 7)]
    names = [(row["run"], row["seed"], row["step"], row["response_id"]) for page in pages for row in page]
    assert len(names) == len(set(names)) == 30
    assert names[0] == ("base", 0, 0, 0)


def test_the_cloud_counts_every_token_once_whatever_the_filter(store):
    x, y = "tokens.predictive_entropy", "attention.entropy_norm.0"
    for filters, n in ((Filters(), 5 * sum(LENGTHS)), (Filters(runs=("base",)), sum(LENGTHS)), (Filters(text="no"), 0)):
        cloud = store.cloud(x, y, filters)
        assert sum(cloud["n"]) == n
    missing = [n for b, n in zip(cloud["y"], cloud["n"], strict=True) if b == cloud["bins"]]
    assert missing == []
    everything = store.cloud(x, y, Filters())
    lacking = sum(n for b, n in zip(everything["y"], everything["n"], strict=True) if b == everything["bins"])
    assert lacking == 4 * sum(LENGTHS)  # run full logged layer 1 alone


def test_a_brush_and_the_list_agree(store):
    brush = Brush("tokens.predictive_entropy", "attention.entropy_norm.1", 0, 63, 0, 63)
    found = store.responses(Filters(), brush, FIRST | {"sort": "hits", "down": True})
    assert found["total"] == 30
    assert sum(row["hits"] for row in found["rows"]) == 5 * sum(LENGTHS)


def test_a_prompt_is_encoded_as_the_policy_saw_it_or_not_at_all(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path / "small" / "policy")
    write_prompts(tmp_path / "small" / "prompts" / "train")
    problems = ready_store(tmp_path / "small").problems
    for i, text in enumerate(("What is <b>1 + 1</b>?", "And\nthen?")):
        ids, _ = encode_prompt(tokenizer, [{"role": "user", "content": text}], 1000)
        assert problems.prompt_ids(f"prompt-{i}", len(ids), None) == list(ids)
        assert problems.prompt_ids(f"prompt-{i}", len(ids) - 1, None) is None  # cut on the left, or of another policy
    assert problems.prompt_ids("none", 4, None) is None


# --- bad input ---


def test_no_tables_yet_is_one_line_and_the_page_fills_later(tmp_path):
    store = ready_store(tmp_path / "small")
    assert store.notices == [f"{tmp_path}/small: no responses yet; the page fills when the rollouts stage is done"]
    assert store.state()["runs"] == []
    with served(store) as address:
        assert ask(address, f"/{TOKEN}/api/responses")[0] == 200
    write_preset(tmp_path / "small")
    store.refresh()
    assert store.notices == []
    assert store.responses(Filters(), None, FIRST)["total"] == 30


def test_a_preset_without_layers_is_one_line(tmp_path):
    store = ready_store(write_preset(tmp_path / "small", layers=()))
    assert store.notices == ["no attention was logged here: outlines go by predictive entropy alone"]
    body = strip(store, ("full", 1, 1), 3)
    assert body["rows"] == {}
    assert set(body["values"]) == {
        f"tokens.{n}" for n in ("logprob", "rollout_logprob", "predictive_entropy", "advantage")
    }
    with pytest.raises(UserError, match="no attention rows were logged at this step"):
        attention(store, ("full", 1, 1), 3, 0)


@pytest.mark.parametrize("table", ["responses", "tokens", "attention"])
def test_a_damaged_parquet_costs_its_own_step_alone(tmp_path, table):
    artifacts = write_preset(tmp_path / "small")
    (path,) = artifacts.glob(f"train/full-s1/tokenlog/{table}/run=full/seed=1/step=2/*.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    store = ready_store(artifacts)
    cloud = store.cloud("tokens.predictive_entropy", "attention.entropy_norm.1", Filters())
    (line,) = store.notices
    assert line.startswith(f"{path}: not a readable Parquet file")
    assert line.endswith("run its stage again")
    assert sum(cloud["n"]) == (5 if table == "attention" else 4) * sum(LENGTHS)
    assert store.responses(Filters(), None, FIRST)["total"] == (24 if table == "responses" else 30)
    if table == "tokens":
        with pytest.raises(UserError, match="not a readable Parquet file"):
            strip(store, ("full", 1, 2), 3)
    if table == "attention":
        body = strip(store, ("full", 1, 2), 3)
        assert body["notes"][0].startswith(str(path))
        assert "tokens.logprob" in body["values"]


def test_a_damaged_manifest_and_a_folder_without_one(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    (artifacts / "train/full-s1/tokenlog/manifest.json").write_text("{")
    (artifacts / "train/full-s2/tokenlog/manifest.json").unlink()
    store = ready_store(artifacts)
    (line,) = store.notices
    assert "full-s1/tokenlog/manifest.json: not a manifest" in line
    assert {entry["run"] for entry in store.state()["runs"]} == {"base"}


def test_a_half_written_step_waits(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    outputs = tmp_path / "ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2, 3):
        write_tables(outputs, ("x", 1, step))
    (attention_file,) = outputs.glob("attention/run=x/seed=1/step=3/*.parquet")
    hidden = attention_file.with_name(".part-0.parquet.1.tmp")
    attention_file.rename(hidden)
    store = ready_store(artifacts, tmp_path / "ckpt")
    entry = next(entry for entry in store.state()["runs"] if entry["run"] == "x")
    assert (entry["steps"], entry["live"]) == ([1, 2], True)
    assert store.notices == ["run x seed 1: step 3 is being written; it shows when it is whole"]
    hidden.rename(attention_file)
    store.refresh()
    assert store.notices == []
    assert next(entry for entry in store.state()["runs"] if entry["run"] == "x")["steps"] == [1, 2, 3]


def test_a_run_that_ends_moves_and_one_that_begins_again_loses_steps(tmp_path):
    artifacts = write_preset(tmp_path / "small")
    outputs = tmp_path / "ckpt" / "train@x-1" / "key" / "outputs" / "tokenlog"
    for step in (1, 2, 3):
        write_tables(outputs, ("x", 1, step))
    store = ready_store(artifacts, tmp_path / "ckpt")
    for path in outputs.glob("*/run=x/seed=1/step=3/*.parquet"):
        path.unlink()
    store.refresh()
    assert store.responses(Filters(runs=("x",)), None, FIRST)["total"] == 2 * len(LENGTHS)
    published = artifacts / "train" / "x-s1" / "tokenlog"
    published.parent.mkdir(parents=True)
    outputs.rename(published)
    write_manifest(published)
    store.refresh()
    entry = next(entry for entry in store.state()["runs"] if entry["run"] == "x")
    assert (entry["steps"], entry["live"]) == ([1, 2], False)
    assert strip(store, ("x", 1, 2), 3)["facts"]["n_tokens"] == 40


def test_which_steps_of_a_training_run_are_whole():
    whole = {"responses", "tokens", "attention"}
    assert complete_steps({}) == []
    assert complete_steps({1: whole}) == []  # nothing to measure it by
    assert complete_steps({1: whole, 2: {"responses"}}) == [1]
    assert complete_steps({1: whole | {"attention_rows"}, 2: whole}) == [1, 2]
    assert complete_steps({1: whole, 2: whole, 3: {"responses", "tokens"}}) == [1, 2]


def test_a_port_that_is_taken_is_one_line_and_the_usual_one_gives_way():
    with listen(0, 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"view: port {port} cannot be used .*give another by --port, or 0"):
            listen(port, 8765)
        with listen(None, port) as other:
            assert other.getsockname()[1] not in (0, port)


def test_the_page_can_be_bundled_without_an_import_left():
    code = script()
    assert not re.search(r"^\s*(import|export)\b", code, re.MULTILINE)
    assert "</script" not in code


# --- the command ---


@pytest.fixture
def project(tmp_path, monkeypatch):
    write_preset(tmp_path / "artifacts" / "small")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "workflow").mkdir()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"preset": "small"}))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_prints_an_address_and_ends_at_ctrl_c(project):
    command = [sys.executable, "-m", "tokenspectrum.cli.main", "view", "--no-browser", "--port", "0"]
    command[1:3] = ["-c", "from tokenspectrum.cli.main import main; main()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().strip()
        try:
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{20,}/", address)
            status, _, body = ask(address, "/" + address.split("/", 3)[3] + "api/state")
            assert status == 200
            assert json.loads(body)["title"] == "small"
        finally:
            os.kill(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=20)
        assert process.returncode in (0, 130)
        assert "Traceback" not in errors


def test_a_browser_that_is_not_there_is_no_mistake(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda address: opened.append(address) or True)
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    assert not open_browser("http://127.0.0.1:1/")
    assert opened == []  # no browser in the terminal either
    monkeypatch.setenv("DISPLAY", ":0")
    assert open_browser("http://127.0.0.1:1/")

    def fail(address):
        raise webbrowser.Error("gone")

    monkeypatch.setattr(webbrowser, "open", fail)
    assert not open_browser("http://127.0.0.1:1/")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["none"], "none: no such folder"),
        (["--export", "page.html"], "--export wants --run, --prompt or both"),
        (["--export", "page.html", "--run", "none"], "no response to export matches"),
        (["--export", "no/such/page.html", "--run", "base"], None),
    ],
)
def test_the_commands_mistakes_are_one_line(project, arguments, line, capsys):
    if line is None:
        main(["view", *arguments])
        assert Path("no/such/page.html").exists()
        return
    with pytest.raises(SystemExit) as stop:
        main(["view", *arguments])
    assert line in str(stop.value)
    assert "\n" not in str(stop.value)


def test_export_from_a_folder(project, capsys):
    main(
        [
            "view",
            "artifacts/small",
            "--export",
            "page.html",
            "--run",
            "full",
            "--seed",
            "1",
            "--step",
            "2",
            "--limit",
            "2",
        ]
    )
    assert capsys.readouterr().err.endswith("page.html: 2 responses\n")
    page = Path("page.html").read_text()
    body = page.split('id="carried">')[1].split("</script>")[0]
    assert "<" not in body
    assert list(json.loads(body)["strips"]) == ["full/1/2/0", "full/1/2/1"]
