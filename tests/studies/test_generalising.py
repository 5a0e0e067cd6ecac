"""What lesson 06 says of the stored table, and the two things that its study adds."""

from __future__ import annotations

from book.studies import generalising

# isort: split
import numpy as np
import pytest

from medxfer_utils import metrics, models, results

# isort: split
import tensorflow as tf

Row = tuple[str, int, int]


def gained(one: Row, rival: Row) -> list[float]:
    """Mean paired difference in the other collection, and the ends of its interval."""
    frame = results.load("generalising")
    columns = ["strategy", "n", "updates"]
    wide = frame.pivot(index="repeat", columns=columns, values="AUROC, other")
    return [float(end) for end in metrics.mean_interval(wide[one] - wide[rival])]


@pytest.mark.parametrize("n", generalising.BUDGETS)
def test_moving_helps_with_fifty_or_more_and_any_exposure_harms_at_every_budget(n: int) -> None:
    plain = "nothing", n, 200
    assert gained(("any exposure", n, 200), plain)[2] < 0
    assert (gained(("moved", n, 200), plain)[1] > 0) == (n >= 50)
    low, high = gained(("mirrored", n, 200), plain)[1:]
    assert (high < 0) == (n >= 150)
    assert low < 0


def test_both_together_harm_more_than_each_and_longer_training_does_not_bring_it_back() -> None:
    plain, both = ("nothing", 150, 200), ("any exposure", 150, 200)
    told = {"any contrast": -0.025, "any brightness": -0.016, "any exposure": -0.094}
    for name, mean in told.items():
        found = gained((name, 150, 200), plain)
        assert found[0] == pytest.approx(mean, abs=6e-4)
        assert found[2] < 0
        assert name == "any exposure" or gained(both, (name, 150, 200))[2] < 0
    late = gained(("any exposure", 150, 800), ("nothing", 150, 800))
    assert late[0] == pytest.approx(-0.082, abs=6e-4)
    assert late[2] < 0


def test_no_penalty_and_no_ensemble_is_shown_to_beat_its_rival() -> None:
    for name in generalising.PENALTIES:
        rival = "fine-tuned" if name == "L2-SP" else "from scratch"
        assert gained((name, 40, 100), (rival, 40, 100))[1] < 0
    for name in ("snapshot", "bagging", "deep"):
        assert gained((name, 100, 800), ("longer", 100, 800))[1] < 0


@pytest.mark.parametrize("updates", generalising.UPDATES[1:])
def test_forty_labels_against_the_source_as_is(updates: int) -> None:
    as_is = "fine-tuned", 40, 0
    assert gained(("from scratch", 40, updates), as_is)[2] < 0
    assert gained(("cached features", 40, updates), as_is)[1] > 0
    assert gained(("fine-tuned", 40, updates), as_is)[1] < 0


def test_cached_features_are_the_quickest() -> None:
    frame = results.load("generalising").query("n == 40 and updates == 100")
    seconds = frame.groupby("strategy")["seconds"].mean()
    assert seconds["cached features"] < seconds[["from scratch", "fine-tuned"]].min() / 2


def test_the_elastic_net_is_half_of_each_pull() -> None:
    w = tf.constant([[1.0, -2.0], [0.0, 3.0]])
    seen = models.Seen([w, tf.constant([5.0])], [], [], [], [])
    assert float(generalising.ElasticNet()(seen)) == pytest.approx(6 / 2 + 14 / 4)


def test_a_mirror_exchanges_sides_in_about_half() -> None:
    x = np.random.default_rng(0).uniform(size=(400, 4, 4, 1)).astype("float32")
    out = np.asarray(generalising.mirrored(tf.constant(x), [0, 1]))
    turned = (out == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert (turned | (out == x).all(axis=(1, 2, 3))).all()
    assert 0.4 < turned.mean() < 0.6
