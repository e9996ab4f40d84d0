"""`spectrum export`: folders that Hugging Face's own libraries read back, row by row and weight by weight."""

import re
from pathlib import Path

import pytest
from kit.policy import write_boxes
from results_fixtures import LENGTHS, WANTED, write_prompts

from tokenspectrum.cli.main import main
from tokenspectrum.cli.preset import choose
from tokenspectrum.errors import UserError
from tokenspectrum.exporting import USUAL
from tokenspectrum.exporting.dataset import card, write_dataset
from tokenspectrum.exporting.model import write_model
from tokenspectrum.results.database import rebuild
from tokenspectrum.results.readonly import open_locked
from tokenspectrum.tables.registry import TABLES
from tokenspectrum.tokenlog.writer import write_json, write_manifest

ABOUT = {
    "preset": "small",
    "policy": "tiny",
    "license": "apache-2.0",
    "made": "Trained on sums.",
    "hub": "",
    "rule": "{}",
}
ABOUT |= {"benchmarks": "Synthetic stand-ins: easy."}


@pytest.fixture
def connection(artifacts):
    rebuild(Path("tokens.duckdb"), artifacts, WANTED)
    with open_locked(Path("tokens.duckdb"), [Path("artifacts")]) as connection:
        yield connection


def test_help_and_page_name_what_an_export_holds(connection, tmp_path, capsys):
    """The artifacts of the fixture have more tables than an export takes unless it is told to."""
    held = write_dataset(connection, tmp_path / "log", USUAL, [], ABOUT).keys() - {"prompts", "vocab"}
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    (said,) = re.findall(r"beside prompts and vocab \(default:\s+(.*?)\)", capsys.readouterr().out, re.DOTALL)
    assert set(re.findall(r"\w+", said)) == held
    page = (Path(__file__).parents[2] / "docs/sharing.md").read_text()
    (said,) = re.findall(r"Of the others it\s+holds (.*?)\. `--tables`", page, re.DOTALL)
    assert set(re.findall(r"`(\w+)`", said)) == held


def test_the_token_log_is_a_dataset_folder(connection, tmp_path, monkeypatch):
    datasets = pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    rows = write_dataset(connection, tmp_path / "log", USUAL, [], ABOUT)
    cache = str(tmp_path / "cache")
    names = datasets.get_dataset_config_names(str(tmp_path / "log"))
    assert set(names) == set(rows)
    tokens = datasets.load_dataset(str(tmp_path / "log"), "tokens", cache_dir=cache)
    assert set(tokens) == {"base", "full", "explorer20"}
    assert len(tokens["full"]) == 2 * 4 * sum(LENGTHS)
    assert set(tokens["full"].column_names) == {"run", "seed", "step", *TABLES["tokens"].names}
    wanted = connection.execute(
        "SELECT predictive_entropy FROM tokens WHERE run = 'full' ORDER BY run, seed, step, response_id, position"
    ).fetchnumpy()["predictive_entropy"]
    assert tokens["full"].with_format("numpy")["predictive_entropy"][:].tolist() == wanted.tolist()
    for table, splits in rows.items():
        loaded = datasets.load_dataset(str(tmp_path / "log"), table, cache_dir=cache)
        assert {split: part.num_rows for split, part in loaded.items()} == splits
    assert list(rows["prompts"]) == list(rows["vocab"]) == ["whole"]
    responses = datasets.load_dataset(str(tmp_path / "log"), "responses", split="explorer20", cache_dir=cache)
    assert set(responses["seed"]) == {1, 2}
    card = (tmp_path / "log/README.md").read_text()
    assert "license: apache-2.0" in card
    assert "Trained on sums." in card
    assert "`prompts` and `vocab` belong to no run and have the one split `whole`" in card
    assert "predictive_entropy | float |" in card
    for line in card.splitlines():
        if line.startswith("| "):  # a bar in a description is text
            assert len(re.findall(r"(?<!\\)\|", line)) == 4


def test_the_card_of_a_table_whose_words_hold_bars_is_whole():
    written = card({"sparse_gradients": {"base": 3}}, ABOUT)
    (line,) = [line for line in written.splitlines() if line.startswith("| error ")]
    assert len(re.findall(r"(?<!\\)\|", line)) == 4
    assert line.replace("\\|", "|").startswith("| error | double | |g_p - g|^2 / |g|^2; of signs")


def test_tables_without_a_run_can_be_taken_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_prompts(Path("artifacts/small/prompts/train"), "math", 2)
    write_manifest(Path("artifacts/small/prompts/train"))
    rebuild(Path("tokens.duckdb"), Path("artifacts/small"), WANTED)
    with open_locked(Path("tokens.duckdb"), [Path("artifacts")]) as connection:
        assert write_dataset(connection, Path("log"), ["prompts"], [], ABOUT).keys() == {"prompts"}
        assert Path("log/prompts/whole.parquet").is_file()
        with pytest.raises(UserError, match="no run has been logged yet"):
            write_dataset(connection, Path("other"), ["prompts", "metrics"], [], ABOUT)


def test_a_run_and_a_table_can_be_chosen_and_the_same_log_is_the_same_bytes(connection, tmp_path):
    for name in ("a", "b"):
        write_dataset(connection, tmp_path / name, ["metrics"], ["full"], ABOUT)
    files = {path.relative_to(tmp_path / "a"): path.read_bytes() for path in (tmp_path / "a").rglob("*.parquet")}
    assert {path.as_posix() for path in files} == {
        "metrics/full.parquet",
        "prompts/whole.parquet",
        "vocab/whole.parquet",
    }
    assert files == {p.relative_to(tmp_path / "b"): p.read_bytes() for p in (tmp_path / "b").rglob("*.parquet")}
    for words, said in (
        (["nonsense"], "--tables: no table nonsense; there are prompts"),
        (["metrics"], "a: is not empty; give a new folder"),
    ):
        with pytest.raises(UserError, match=said):
            write_dataset(connection, tmp_path / ("c" if "nonsense" in words else "a"), words, [], ABOUT)
    with pytest.raises(UserError, match="--run nobody: no table has a row of it"):
        write_dataset(connection, tmp_path / "d", ["metrics"], ["nobody"], ABOUT)
    assert not (tmp_path / "d").exists()


def test_an_export_that_fails_leaves_nothing_and_can_be_tried_again(connection, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError("No space left on device")

    (tmp_path / "there").mkdir()
    for name in ("new", "there"):
        with monkeypatch.context() as broken:
            broken.setattr("tokenspectrum.exporting.dataset.card", fail)
            with pytest.raises(OSError, match="No space left"):
                write_dataset(connection, tmp_path / name, ["metrics"], [], ABOUT)
    assert not (tmp_path / "new").exists()
    assert list((tmp_path / "there").iterdir()) == []
    write_dataset(connection, tmp_path / "new", ["metrics"], [], ABOUT)


def test_a_trained_policy_is_a_model_folder(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    for step in (2, 10):
        write_boxes(tmp_path / f"artifacts/train/full-s1/policy/step={step:05d}", seed=step)
    summary = {"k": 8, "steps": {"10": {"easy": {"mean_at_k": 0.5, "problems": 6}}}}
    write_json(tmp_path / "artifacts/evaluate/full-s1/summary.json", summary)
    source = write_model(tmp_path / "artifacts", "full", 1, None, tmp_path / "model", ABOUT)
    assert source.name == "step=00010"
    again = AutoModelForCausalLM.from_pretrained(tmp_path / "model").state_dict()
    for name, weight in AutoModelForCausalLM.from_pretrained(source).state_dict().items():
        assert again[name].equal(weight)
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == 23
    card = (tmp_path / "model/README.md").read_text()
    assert "library_name: transformers" in card
    assert "| easy | 50.00 | 6 |" in card
    with pytest.raises(UserError, match=r"--step 3: .* has 2, 10"):
        write_model(tmp_path / "artifacts", "full", 1, 3, tmp_path / "other", ABOUT)
    with pytest.raises(UserError, match="no trained policy; `snakemake --profile local"):
        write_model(tmp_path / "artifacts", "full", 2, None, tmp_path / "other", ABOUT)


def test_a_licence_is_asked_for_where_texts_are_not_ours(tmp_path, monkeypatch):
    root = Path(__file__).resolve().parents[2]
    (tmp_path / "presets").symlink_to(root / "presets")
    (tmp_path / "dvc.yaml").symlink_to(root / "dvc.yaml")
    monkeypatch.chdir(tmp_path)
    choose("real-smoke", force=True)
    with pytest.raises(SystemExit, match="--license: the policy or the problems are not this project's"):
        main(["export", "log"])
    choose("tiny", force=True)
    with pytest.raises(SystemExit, match="no run has been logged yet"):
        main(["export", "log"])
    assert not Path("log").exists()
    with pytest.raises(SystemExit, match="--model nobody: methods has full"):
        main(["export", "log", "--model", "nobody"])
    for words in (["--seed", "1"], ["--step", "3"]):
        with pytest.raises(SystemExit, match=f"export: {words[0]}: it goes with --model"):
            main(["export", "log", *words])
    for words in (["--run", "full"], ["--tables", "tokens"]):
        with pytest.raises(SystemExit, match=f"export: {words[0]}: --model writes a policy, not the log"):
            main(["export", "log", "--model", "full", *words])
