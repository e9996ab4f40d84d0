"""Table 1 over base policies and replicates: signs, parts of the variance, the bootstrap, contrasts."""

import math
from dataclasses import replace

import numpy as np
import pytest
from results_fixtures import write_scores
from scipy import stats
from table1_kit import MD, by_key, make, plant

from tokenspectrum.results.comparison import Comparison, error_over_problems, sign_of
from tokenspectrum.results.measured import Scores
from tokenspectrum.results.statistics import holm
from tokenspectrum.tokenlog.writer import write_manifest


def test_one_replicate_is_shown_but_not_tested(artifacts, params):
    rows, page = make(artifacts, params | {"replicates": [{"seed": 2, "base": 8}]})
    for row in rows:
        assert (row["n"], row["bases"]) == ("1", "1")
        assert row["Avg"] != ""
        assert row["std"] == ""
        assert (row["difference"] != "") == (row["method"] != "full")
        assert all(row[c] == "" for c in ("sign", "df", "t", "p", "p_holm", "p_flip", "ci_low", "mdd", "boot_low"))
    assert "No row could be tested" in page
    assert "1 here, on one base policy. **One base policy: nothing here speaks of another.**" in page


def test_a_sign_that_differs_between_bases_is_marked_and_one_that_is_the_same_is_said(artifacts, params):
    easy = {"full": [12, 12, 12], "explorer20": [18, 6, 15], "random20": [9, 6, 9], "base": [2, 1, 3]}
    plant(artifacts, params, [4, 5, 6], easy)
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    explorer, random = rows["explorer20", "all"], rows["random20", "all"]
    assert (explorer["sign"], explorer["bases"], explorer["bases_above"]) == ("differs", "3", "2")
    assert (random["sign"], random["bases"], random["bases_above"]) == ("same", "3", "0")
    assert "| **2 of 3** |" in page
    assert page.count("**2 of 3**") == 1
    assert "| 0 of 3 |" in page
    step = 100 / 24 / 2
    noise = step * math.sqrt(6 * 0.3)  # of six problems, three are 0.25 better
    each = (
        f"{6 * step:+.2f} ± 0.00 on base 4, {-6 * step:+.2f} ± 0.00 on base 5, {3 * step:+.2f} ± {noise:.2f} on base 6"
    )
    findings = page.split("## Findings")[1].split("## Collapse")[0]
    assert f"- **Explorer 20 % against Full-token DAPO: the sign differs between base policies**: {each}.\n" in findings
    assert (
        "- The same sign on every base policy: Base policy against Full-token DAPO (below); random20 against"
        " Full-token DAPO (below).\n" in findings
    )
    assert "3 here, on 3 base policies." in page
    assert "One base policy: nothing" not in page


def test_a_difference_of_0_has_no_sign_to_share(artifacts, params):
    plant(artifacts, params, [4, 5], {"full": [12, 12], "explorer20": [12, 12], "random20": [12, 9], "base": [1, 2]})
    rows, page = make(artifacts, params)
    rows = by_key(rows)
    assert (rows["explorer20", "all"]["sign"], rows["explorer20", "all"]["bases_above"]) == ("", "0")
    assert (rows["random20", "all"]["sign"], rows["random20", "all"]["bases_above"]) == ("unclear", "0")
    assert "Explorer 20 % against Full-token DAPO" not in page


def test_a_difference_that_other_problems_could_turn_has_no_sign(artifacts, params):
    """Base 4 is one sample below; base 5 is far above: neither the same sign nor different ones."""
    plant(artifacts, params, [4, 5], {"full": [12, 12], "explorer20": [11, 18], "base": [1, 2]})
    rows, page = make(artifacts, params)
    assert by_key(rows)["explorer20", "all"]["sign"] == "unclear"
    step = 100 / 24 / 2
    # One problem of six is 0.25 worse: the standard error of easy is 0.25 sqrt(1/6 - 1/36) / sqrt(5) = one sample.
    assert (
        f"No sign on some base policy, as problems could turn it: Explorer 20 % against Full-token DAPO ({-step:+.2f}"
        in page
    )
    assert f"({-step:+.2f} ± {step:.2f} on base 4, {6 * step:+.2f} ± 0.00 on base 5)" in page
    assert "**1 of 2**" not in page


def test_a_base_counts_by_the_mean_of_its_replicates_and_its_part_stands_beside_that_of_seeds(artifacts, params):
    # Differences in steps: base 4 has +12, -3 and so is above; base 5 has -6, -6 and is below.
    easy = {"full": [12, 12, 12, 12], "explorer20": [24, 6, 9, 6], "base": [0, 1, 2, 3]}
    plant(artifacts, params, [4, 5, 4, 5], easy)
    rows, page = make(artifacts, params)
    row = by_key(rows)["explorer20", "all"]
    step = 100 / 24 / 2
    assert (row["n"], row["bases"], row["sign"], row["bases_above"]) == ("4", "2", "differs", "1")
    noise = step * math.sqrt(6 * 0.3) / 2  # of the mean of two replicates, one without any
    assert f"{4.5 * step:+.2f} ± {noise:.2f} on base 4, {-6 * step:+.2f} ± 0.00 on base 5." in page
    within = (7.5**2 + 7.5**2) / 2  # over n - B = 2
    between = 2 * (5.25**2 + 5.25**2) / 1
    assert float(row["sd_seeds"]) == pytest.approx(step * math.sqrt(within), abs=1e-3)
    assert float(row["sd_bases"]) == pytest.approx(step * math.sqrt((between - within) / 2), abs=1e-3)
    assert "| sd bases | sd seeds |" in page
    assert "Replicates on one base policy are not independent where base policies differ" in page


def scores_of(d_SP: dict[str, np.ndarray], rng: np.random.Generator) -> Scores:
    """Two benchmarks: d_SP[benchmark][seed] is how much `one` is above `other` on each problem."""
    accuracy = {}
    for seed in range(len(next(iter(d_SP.values())))):
        other = {name: rng.random(of.shape[1]) for name, of in d_SP.items()}
        accuracy["other", seed] = other
        accuracy["one", seed] = {name: other[name] + of[seed] for name, of in d_SP.items()}
    return Scores(accuracy, 1, 0, 0, 0)


def test_seeds_that_agree_on_each_problem_have_the_noise_of_one():
    """What problems add is the same for seeds that answer them alike; it does not shrink with their number."""
    rng = np.random.default_rng(0)
    own = {name: rng.normal(0, 1, (1, n)) for name, n in (("easy", 6), ("hard", 11))}
    alone = error_over_problems(scores_of(own, rng), "one", "other", [0], ["easy", "hard"])
    twice = {name: np.repeat(d, 2, axis=0) for name, d in own.items()}
    both = error_over_problems(scores_of(twice, rng), "one", "other", [0, 1], ["easy", "hard"])
    assert both == pytest.approx(alone)
    by_hand = math.sqrt(sum(stats.sem(d[0]) ** 2 for d in own.values())) / 2
    assert alone == pytest.approx(100 * by_hand)


def test_of_one_problem_no_noise_is_known_and_no_sign_told():
    """A made-up 0 would make a sign of any difference."""
    rng = np.random.default_rng(0)
    own = {"easy": rng.normal(0, 1, (1, 6)), "hard": np.full((1, 1), 0.5)}
    assert error_over_problems(scores_of(own, rng), "one", "other", [0], ["easy", "hard"]) is None
    assert error_over_problems(scores_of(own, rng), "one", "other", [0], ["easy"]) is not None
    assert sign_of(5.0, None) == sign_of(-5.0, None) == 0
    known = Comparison(by_base={1: 5.0, 2: 6.0}, noise={1: 0.1, 2: 0.1})
    assert (known.sign, replace(known, noise={1: None, 2: None}).sign) == ("same", "unclear")
    assert (known.above, replace(known, noise={1: None, 2: None}).above) == (2, 2)


def test_tables_of_a_benchmark_of_one_problem_tell_no_noise(artifacts, params):
    for folder in [*(artifacts / "evaluate").iterdir(), *(artifacts / "evaluate_base").iterdir()]:
        (path,) = folder.rglob("hard.parquet")
        keys = dict(part.split("=") for part in path.parts if "=" in part)
        right = {"easy": np.ones((6, 4)), "hard": np.full((1, 4), keys["run"] == "full")}
        write_scores(folder, keys["run"], int(keys["seed"]), int(keys["step"]), right)
        write_manifest(folder)
    rows, page = make(artifacts, params)
    row = by_key(rows)["explorer20", "all"]
    assert (row["difference"], row["sign"], row["bases_above"]) == ("-50.0000", "unclear", "0")
    assert "Explorer 20 % against Full-token DAPO (-50.00 on base 7, -50.00 on base 8)" in page


def test_noise_of_independent_seeds_is_the_spread_over_drawn_problems():
    """Problems drawn anew 4,000 times: what they share between seeds and what a seed adds to each."""
    rng, n, names = np.random.default_rng(1), {"easy": 40, "hard": 60}, ["easy", "hard"]
    shared, alone = 0.3, 0.4

    def drawn(times: int) -> dict[str, np.ndarray]:
        """times x seeds x problems."""
        return {b: rng.normal(0, shared, (times, 1, k)) + rng.normal(0, alone, (times, 2, k)) for b, k in n.items()}

    averages = np.mean([d.mean(axis=(1, 2)) for d in drawn(4000).values()], axis=0)
    found = [
        error_over_problems(scores_of({b: d[i] for b, d in of.items()}, rng), "one", "other", [0, 1], names)
        for of in [drawn(200)]
        for i in range(200)
    ]
    assert math.sqrt(np.mean(np.square(found))) == pytest.approx(100 * averages.std(ddof=1), rel=0.05)


def test_one_base_speaks_of_no_other_and_has_no_sign(artifacts, params):
    plant(artifacts, params, [4, 4], {"full": [12, 12], "explorer20": [14, 15], "base": [1, 2]})
    rows, page = make(artifacts, params)
    row = by_key(rows)["explorer20", "all"]
    assert (row["bases"], row["bases_above"], row["sign"], row["sd_bases"]) == ("1", "1", "", "")
    assert float(row["sd_seeds"]) == pytest.approx(100 / 24 / 2 / math.sqrt(2), abs=1e-3)
    assert "2 here, on one base policy. **One base policy: nothing here speaks of another.**" in page
    assert "same sign" not in page


def test_the_bootstrap_is_blank_below_six_replicates_and_there_from_six_on(artifacts, params):
    full, explorer, base = [12, 11, 13, 12, 10, 12], [14, 15, 11, 16, 13, 12], [1, 2, 3, 1, 2, 3]
    for n in (5, 6):
        plant(
            artifacts, params, [4, 5, 6, 4, 5, 6][:n], {"full": full[:n], "explorer20": explorer[:n], "base": base[:n]}
        )
        rows, page = make(artifacts, params)
        row = by_key(rows)["explorer20", "all"]
        if n < 6:
            assert (row["boot_low"], row["boot_high"]) == ("", "")
            assert "| bootstrap CI |" not in page
            assert "No bootstrap interval is given: of fewer than 6 replicates it is known to be too narrow." in page
        else:
            assert float(row["boot_low"]) < float(row["difference"]) < float(row["boot_high"])
            assert "| bootstrap CI |" in page
            assert "No bootstrap interval" not in page
        assert f"With n = {n} it cannot fall below {0.5 ** (n - 1):g}" in page
        assert ("so it can never pass 5 %" in page) == (n < 6)


def test_contrasts_test_two_methods_against_each_other_and_count_in_the_family(artifacts, params):
    easy = {"full": [12, 11, 12], "explorer20": [14, 16, 16], "random20": [9, 10, 11], "base": [2, 1, 3]}
    plant(artifacts, params, [4, 5, 6], easy)
    own = params["analysis"]["table1"]
    own["contrasts"] = [["explorer20", "random20"], ["explorer20", "untrained"]]
    rows, page = make(artifacts, params)
    assert [row["row"] for row in rows] == [
        "Base policy", "Full-token DAPO", "Explorer 20 %", "random20", "Explorer 20 % against random20"
    ]  # fmt: skip
    row = rows[-1]
    assert (row["method"], row["against"], row["sign"], row["bases_above"]) == ("explorer20", "random20", "same", "3")
    assert all(row[name] == "" for name in ("easy", "hard", "Avg", "std", "published_family"))
    assert (row["n"], row["bases"]) == ("3", "3")
    step = 100 / 24 / 2
    expected = stats.ttest_rel(np.array(easy["explorer20"]) * step, np.array(easy["random20"]) * step)
    assert float(row["difference"]) == pytest.approx(step * (5 + 6 + 5) / 3, abs=1e-3)
    assert float(row["p"]) == pytest.approx(expected.pvalue, abs=1e-4)
    assert float(row["p_flip"]) == 0.25
    tested = [r for r in rows if r["p"]]
    assert len(tested) == 4
    adjusted = holm([float(r["p"]) for r in tested])
    assert [float(r["p_holm"]) for r in tested] == pytest.approx(adjusted, abs=5e-4)
    assert "p Holm is adjusted over the 4 tested rows of this table." in page
    own["contrasts"] = []
    without = make(artifacts, params)[0]
    assert len(without) == 4
    assert "3 tested rows" in MD.read_text()
    before = {row["method"]: row["p_holm"] for row in tested[:-1]}
    assert any(row["p_holm"] != before.get(row["method"], row["p_holm"]) for row in without)


def test_the_number_of_a_base_policy_is_no_seed(artifacts, params):
    """Bases swapped between replicates change what is said of bases, and no accuracy."""
    easy = {"full": [12, 12, 12, 12], "explorer20": [22, 21, 10, 9], "base": [0, 1, 2, 3]}
    plant(artifacts, params, [4, 4, 5, 5], easy)
    apart, _ = make(artifacts, params)
    plant(artifacts, params, [4, 5, 4, 5], easy)
    mixed, _ = make(artifacts, params)
    of_bases = {"bases_above", "sign", "sd_bases", "sd_seeds"}
    for one, other in zip(apart, mixed, strict=True):
        assert {k for k in one if one[k] != other[k]} <= of_bases
    assert by_key(apart)["explorer20", "all"]["sign"] == "differs"
    assert by_key(mixed)["explorer20", "all"]["sign"] == "same"
