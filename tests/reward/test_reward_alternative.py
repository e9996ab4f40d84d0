"""math-verify beside the strict verifier: on any thread, bounded, and of its own opinion."""

import threading
import time
from pathlib import Path

import pytest

from tokenspectrum.errors import UserError
from tokenspectrum.reward import alternative, alternative_worker
from tokenspectrum.reward.alternative import Worker, math_verify_correct
from tokenspectrum.reward.boxed import verify


@pytest.mark.parametrize(
    ("text", "gold", "right"),
    [
        (r"\boxed{0.5}", r"\frac{1}{2}", True),
        (r"\boxed{2\sqrt2}", r"\sqrt{8}", True),
        (r"\boxed{x+1}", "1+x", True),
        (r"\boxed{0.6}", r"\frac{1}{2}", False),
        (r"\boxed{1, 2}", '{"answers":["1","2"]}', True),
        (r"\boxed{1, 3}", '{"answers":["1","2"]}', False),
        ("0.5", r"\frac{1}{2}", False),
        (r"\boxed{", r"\frac{1}{2}", False),
        (r"\boxed{}", r"\frac{1}{2}", False),
        (r"\boxed{7}", "7", True),
        (r"\boxed{8}", "7", False),
    ],
)
def test_verdicts(text, gold, right):
    assert math_verify_correct(text, gold) is right


def test_it_judges_by_value_where_the_strict_verifier_does_not():
    assert math_verify_correct(r"\boxed{0.5}", r"\frac{1}{2}")
    assert not verify(r"\boxed{0.5}", r"\frac{1}{2}", "math").correct


@pytest.mark.parametrize(("gold", "answer"), [("0", "0"), ("12", "12"), ("12", "-12"), ("3", "30"), ("-7", "-7")])
def test_whole_numbers_without_the_worker_agree_with_it(gold, answer):
    assert alternative._worker.ask(gold, answer) is (gold == answer)


def test_off_the_main_thread():
    verdicts = {}
    answers = {rf"\frac{{{i}}}{{8}}": i / 8 for i in range(1, 8, 2)}

    def ask(answer, value):
        verdicts[answer] = [math_verify_correct(rf"\boxed{{{answer}}}", str(v)) for v in (value, value + 1)]

    threads = [threading.Thread(target=ask, args=item) for item in answers.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == {answer: [True, False] for answer in answers}


def test_an_endless_answer_is_wrong_in_bounded_time_and_the_next_is_judged(monkeypatch, tmp_path):
    quick = tmp_path / "worker.py"
    source = Path(alternative_worker.__file__).read_text()
    quick.write_text(source.replace("CPU_SECONDS = 5.0", "CPU_SECONDS = 0.3"))
    monkeypatch.setattr(alternative, "WORKER", str(quick))
    worker = Worker()
    started = time.perf_counter()
    assert not worker.ask("5", "10^{10^{10}}")
    assert time.perf_counter() - started < 30
    assert worker.ask("0.5", r"\frac{1}{2}")
    worker.close()


@pytest.mark.parametrize("program", ["import time; time.sleep(60)", "raise SystemExit(3)"])
def test_a_worker_that_hangs_or_dies_is_replaced(monkeypatch, tmp_path, program):
    broken = tmp_path / "worker.py"
    broken.write_text(program)
    worker = Worker(wall_seconds=0.5)
    monkeypatch.setattr(alternative, "WORKER", str(broken))
    assert not worker.ask("0.5", r"\frac{1}{2}")
    monkeypatch.undo()
    worker.wall_seconds = 60
    assert worker.ask("0.5", r"\frac{1}{2}")
    worker.close()


def test_a_worker_that_somebody_kills_makes_no_answer_wrong(monkeypatch, tmp_path):
    worker = Worker()
    assert worker.ask("0.5", r"\frac{1}{2}")
    worker._process.kill()  # between two questions
    assert worker.ask("0.25", r"\frac{1}{4}")
    worker.close()
    # And within a question: the first process dies, and so do the next two.
    source, kills = Path(alternative_worker.__file__).read_text(), tmp_path / "kills"
    mortal = tmp_path / "worker.py"
    mortal.write_text(
        f"import os\nfrom pathlib import Path\nkills = Path({str(kills)!r})\nn = int(kills.read_text())\n"
        f"if n:\n    kills.write_text(str(n - 1))\n    input()\n    os.kill(os.getpid(), 9)\n{source}"
    )
    monkeypatch.setattr(alternative, "WORKER", str(mortal))
    kills.write_text("3")
    assert worker.ask("0.75", r"\frac{3}{4}")
    worker.close()
    kills.write_text("99")
    with pytest.raises(UserError, match="was killed 5 times over one answer: is the memory too small"):
        worker.ask("0.75", r"\frac{3}{4}")
    worker.close()
