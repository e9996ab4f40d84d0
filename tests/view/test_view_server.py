"""Who is let in, what wrong questions become, and that the database can only look.  Real requests, no browser."""

import base64
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import webbrowser
from pathlib import Path
from urllib.parse import quote

import duckdb
import pytest
import yaml
from view_kit import HOSTILE, LENGTHS, TOKEN, ask, ready_store, write_preset, write_prompts

from tokenspectrum.cli.main import main
from tokenspectrum.cli.view import open_browser
from tokenspectrum.errors import UserError
from tokenspectrum.policy.chat import encode_prompt
from tokenspectrum.policy.tokenizer import build_tokenizer
from tokenspectrum.view.filters import SORTS, Brush, Filters
from tokenspectrum.view.sealed import checked, open_sealed
from tokenspectrum.view.strip import attention, strip

FIRST = {"sort": "logged", "down": False, "limit": 50, "offset": 0}


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


def moving(store, known: dict) -> dict:
    """`known`, but that another thread adds to it, as the reader does, whenever it is gone through."""

    class Moving(dict):
        def values(self):
            for value in super().values():
                self.add()
                yield value

        def items(self):
            for item in super().items():
                self.add()
                yield item

        def add(self):
            def read():
                with store.turn():
                    self[f"new {len(self)}"] = next(iter(known.values()))

            thread = threading.Thread(target=read)
            thread.start()
            thread.join(0.05)

    return Moving(known)


def test_steps_that_arrive_during_a_question_are_no_mistake(tmp_path):
    store = ready_store(write_preset(tmp_path / "small"))
    key = ("base", 0, 0)
    before = store.state(), attention(store, key, 0, 0)
    store.steps, store._parts = moving(store, store.steps), moving(store, store._parts)
    assert attention(store, key, 0, 0) == before[1]
    assert store.state()["runs"] == before[0]["runs"]
    assert strip(store, key, 0)["values"]


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


@pytest.mark.parametrize(
    "path", ["../server.py", "..%2fserver.py", "%2e%2e/guard.py", "none.js", "api/none", "a" * 300 + ".js", "%00.js"]
)
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
        ("responses?brush=1,2,3", "brush: from..to,from..to is wanted, each a number or nothing (got '1,2,3')"),
        ("responses?brush=0,40,0,63", "brush: from..to,from..to is wanted"),  # of links from before
        ("responses?brush=0..1,0..1e999", "brush: a number is too large (got '0..1,0..1e999')"),
        ("responses?x=c0&y=c1&brush=0..1,0..1", "column 'c0': not logged here"),
        ("cloud?x=tokens.logprob&y=tokens.none", "column 'tokens.none': not logged here"),
        ("scale?column=", "column '': not logged here"),
        ("response?run=base&seed=0&step=0", "run, seed, step and response name a response"),
        ("response?run=full&seed=" + "9" * 60 + "&step=1&response=0", "seed: a whole number is wanted (got '99999"),
        ("response?run=full&seed=1&step=2147483648&response=0", "step: a whole number is wanted (got '2147483648')"),
        ("response?run=full&seed=1&step=1&response=" + "9" * 5000, "response: a whole number is wanted (got '99"),
        ("attention?run=full&seed=1&step=1&response=1e3&position=0", "response: a whole number is wanted (got '1e3')"),
        ("responses?reward_from=nan", "reward_from: a number is wanted (got 'nan')"),
        ("responses?reward_to=1e999", "reward_to: a number is wanted (got '1e999')"),
        ("response?run=base&seed=0&step=0&response=99", "run base seed 0 step 0: no response 99 is shown here"),
        ("attention?run=base&seed=0&step=0&response=3&position=9", "the attention row of token 9 was not logged"),
        ("attention?run=base&seed=0&step=0&response=3&position=x", "position: a number is wanted (got 'x')"),
        ("attention?run=base&seed=0&step=0&response=3", "position: a whole number is wanted"),
        ("attention?run=base&seed=0&step=0&response=3&position=2147483648", "position: a number is wanted (got"),
        ("attention?run=base&seed=0&step=0&response=0&position=" + "9" * 30, "position: a number is wanted (got"),
    ],
)
def test_a_wrong_question_is_one_line(address, query, line):
    status, _, body = ask(address, f"/{TOKEN}/api/{query}")
    assert status == 400
    error = json.loads(body)["error"]
    assert error.startswith(line)
    assert "\n" not in error


@pytest.mark.parametrize(
    "odd", ["9" * 60, "-" + "9" * 60, "2147483648", "-1", "1e400", "nan", "0x1", "1.5", "%00", "٣", "{"]
)
def test_no_odd_number_in_any_place_is_a_mistake_of_the_server(address, odd):
    odd = quote(odd, safe="%")
    axes = "x=tokens.logprob&y=tokens.logprob"
    name = {"run": "base", "seed": "0", "step": "0", "response": "3", "position": "0"}
    questions = [
        f"responses?{field}={odd}"
        for field in ("run", "seed", "step_from", "step_to", "source", "correct", "reward_from", "reward_to")
    ]
    questions += [
        f"responses?{field}={odd}"
        for field in ("length_from", "length_to", "text", "prompt", "sort", "down", "limit", "offset", "brush")
    ]
    questions += [f"responses?{axes}&brush=-1..{odd},..", f"cloud?{axes}&seed={odd}", f"cloud?x={odd}&y={odd}"]
    questions += [f"scale?column={odd}"]
    questions += ["attention?" + "&".join(f"{k}={odd if k == at else v}" for k, v in name.items()) for at in name]
    for question in questions:
        status, _, body = ask(address, f"/{TOKEN}/api/{question}")
        assert status in (200, 400), question
        json.loads(body)


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


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("down", [False, True])
def test_the_place_of_a_response_is_that_in_the_list(store, sort, down):
    brush = Brush("tokens.predictive_entropy", "attention.entropy_norm.1", (0.4, None), (None, None))
    for of in (None, brush):
        rows = store.responses(Filters(runs=("full",)), of, FIRST | {"sort": sort, "down": down})["rows"]
        for i, row in enumerate(rows):
            key = (row["run"], row["seed"], row["step"])
            place = store.place(Filters(runs=("full",)), of, {"sort": sort, "down": down}, key, row["response_id"])
            assert place == {"place": i}
    assert store.place(Filters(runs=("full",)), None, {"sort": sort, "down": down}, ("base", 0, 0), 0) == {
        "place": None
    }


def test_the_cloud_counts_every_token_once_whatever_the_filter(store):
    x, y = "tokens.predictive_entropy", "attention.entropy_norm.0"
    for filters, n in ((Filters(), 5 * sum(LENGTHS)), (Filters(runs=("base",)), sum(LENGTHS)), (Filters(text="no"), 0)):
        cloud = store.cloud(x, y, filters)
        assert sum(cloud["n"]) == n
    # Run full logged layer 1 alone.
    for filters, n in ((Filters(runs=("base",)), 0), (Filters(), 4 * sum(LENGTHS))):
        cloud = store.cloud(x, y, filters)
        assert cloud["bins"] not in cloud["x"]
        assert sum(count for bin, count in zip(cloud["y"], cloud["n"], strict=True) if bin == cloud["bins"]) == n


def test_a_brush_and_the_list_agree(store):
    brush = Brush("tokens.predictive_entropy", "attention.entropy_norm.1", (None, None), (None, None))
    found = store.responses(Filters(), brush, FIRST | {"sort": "hits", "down": True})
    assert found["total"] == 30
    assert sum(row["hits"] for row in found["rows"]) == 5 * sum(LENGTHS)


def test_a_prompt_is_encoded_as_the_policy_saw_it_or_not_at_all(tmp_path):
    tokenizer = build_tokenizer()
    tokenizer.save_pretrained(tmp_path / "small" / "policy" / "0")
    write_prompts(tmp_path / "small" / "prompts" / "train")
    problems = ready_store(tmp_path / "small").problems
    for i, text in enumerate(("What is <b>1 + 1</b>?", "And\nthen?")):
        ids, _ = encode_prompt(tokenizer, [{"role": "user", "content": text}], 1000)
        assert problems.prompt_ids(f"prompt-{i}", len(ids), None) == list(ids)
        assert problems.prompt_ids(f"prompt-{i}", len(ids) - 1, None) is None  # cut on the left, or of another policy
    assert problems.prompt_ids("none", 4, None) is None


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
    # Tests that run in the background inherit an ignored SIGINT; a user's terminal does not.
    default = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **default) as process:
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
        (["--export", ".", "--run", "base"], ": a folder; name a file in it"),
        (["--export", "pipe", "--run", "base"], "/pipe: no regular file, and it would be replaced by one"),
        (["--export", "page.html", "--run", "base", "--limit", "-1"], "--limit is a whole number from 1 to 2147483647"),
        (["--export", "page.html", "--run", "base", "--limit", "9" * 60], "--limit is a whole number from 1 to"),
        (["--export", "page.html", "--run", "base", "--step", "9" * 60], "--step is a whole number from 0 to"),
        (["--export", "page.html", "--run", "base", "--seed", "9" * 60], "--seed is a whole number from 0 to"),
        (["--run", "base"], "view: --run goes with --export; leave it out"),
        (["--seed", "1"], "view: --seed goes with --export; leave it out"),
        (["--step", "0"], "view: --step goes with --export; leave it out"),
        (["--prompt", "p"], "view: --prompt goes with --export; leave it out"),
        (["--limit", "32"], "view: --limit goes with --export; leave it out"),
        (
            ["--export", "page.html", "--run", "base", "--port", "0"],
            "view: --port serves the page, and --export writes",
        ),
        (["--threads", "0"], "--threads is a whole number from 1 to 256 (got 0)"),
        (["--threads", "9" * 60], "--threads is a whole number from 1 to 256 (got 9"),
    ],
)
def test_the_commands_mistakes_are_one_line(project, arguments, line, capsys):
    if line is None:
        main(["view", *arguments])
        assert Path("no/such/page.html").exists()
        return
    os.mkfifo("pipe")  # never a device of the machine: where this fails, it is replaced
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


def test_an_exported_page_is_the_same_under_a_locale_of_few_letters(project):
    """Its policy names its script by a hash of UTF-8: written in another encoding, it would not run."""
    main(["view", "--export", "page.html", "--run", "base"])
    words = ["-c", "from tokenspectrum.cli.main import main; main()", "view", "--export", "other.html", "--run", "base"]
    few = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    subprocess.run([sys.executable, *words], env=os.environ | few, check=True)
    content = Path("page.html").read_bytes()
    assert Path("other.html").read_bytes() == content
    code = content.rpartition(b"<script>")[2].partition(b"</script>")[0]
    assert base64.b64encode(hashlib.sha256(code).digest()) in content
