"""A handful of patients: episodes, prototypes, Reptile, several tasks, case and control."""

from __future__ import annotations

# First: it decides how TensorFlow starts.
from medxfer_utils import models

# isort: split
import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression

from medxfer_utils import shifts
from medxfer_utils.cohorts import Cohort, episode, require_disjoint

# --- episodes -------------------------------------------------------------------------------------


def people(ill: int, healthy: int) -> Cohort:
    """Patients with one to three rows each; of an ill one, only the first row is ill."""
    many = 1 + np.arange(ill + healthy) % 3
    who = np.repeat(np.arange(ill + healthy), many)
    first = np.append(True, np.diff(who) > 0)
    return Cohort("clinic", np.zeros((len(who), 2)), (first & (who < ill)).astype(int), who)


@pytest.mark.parametrize("queries", [None, 4])
def test_an_episode_never_asks_about_a_patient_whom_it_learnt_from(queries: int | None) -> None:
    cohort = people(12, 30)
    for seed in range(50):
        support, query = episode(cohort, 5, np.random.default_rng(seed), queries)
        require_disjoint(support, query)
        assert np.bincount(np.isin(support.patients, range(12))).tolist() == [5, 5]
        asked = np.bincount(np.isin(query.patients, range(12))).tolist()[::-1]
        assert asked == ([7, 25] if queries is None else [4, 4])
        for part in (support, query):  # with all their rows
            assert len(part) == np.isin(cohort.patient, part.patients).sum()


def test_the_few_are_nested_and_another_seed_draws_others() -> None:
    drawn = [episode(people(12, 30), k, np.random.default_rng(3))[0].patients for k in (1, 2, 5)]
    assert {*drawn[0]} < {*drawn[1]} < {*drawn[2]}
    other = episode(people(12, 30), 5, np.random.default_rng(4))[0].patients
    assert {*drawn[2]} != {*other}


@pytest.mark.parametrize(
    ("ill", "healthy", "shots", "queries", "said"),
    [
        (4, 30, 5, None, "has 4 ill and 30 healthy patients, not 5 to learn from and 1 to be"),
        (30, 5, 5, None, "30 ill and 5 healthy patients, not 5 to learn from"),
        (8, 8, 5, 4, "not 5 to learn from and 4 to be asked about in each class"),
        (8, 8, 0, None, "ask for 1 or more of each"),
        (8, 8, 5, 0, "ask for 1 or more of each"),
        (8, 0, 1, None, "'clinic' has 8 ill and 0 healthy patients: a task needs both classes"),
    ],
)
def test_too_few_patients_and_one_class_are_refused(
    ill: int, healthy: int, shots: int, queries: int | None, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        episode(people(ill, healthy), shots, np.random.default_rng(0), queries)


# --- prototypes -----------------------------------------------------------------------------------


def test_prototypes_by_hand_in_two_dimensions() -> None:
    # The healthy lie at (0, 0) and (2, 0), their prototype is (1, 0); that of the ill is (1, 4).
    support = np.array([[0, 0], [2, 0], [0, 4], [2, 4]])
    y = np.array([0, 0, 1, 1])
    query = np.array([[1, 0], [1, 4], [7, 2], [4, 3]])
    found = np.asarray(models.prototype_logit(support, y, query))
    # (1, 0): 0 - 16; (1, 4): 16 - 0; (7, 2): 40 - 40; (4, 3): 9 + 9 - (9 + 1).
    np.testing.assert_allclose(found, [-16, 16, 0, 8])


def test_prototypes_are_the_limit_of_a_strong_ridge() -> None:
    rng = np.random.default_rng(0)
    z, new = rng.normal(size=(10, 4)), rng.normal(size=(50, 4))
    y = np.repeat([0, 1], 5)
    ridge = LogisticRegression(C=1e-7, tol=1e-12).fit(z, y).decision_function(new)
    nearest = np.asarray(models.prototype_logit(z, y, new))
    assert np.corrcoef(ridge, nearest)[0, 1] == pytest.approx(1, abs=1e-5)


# --- Reptile --------------------------------------------------------------------------------------


def test_reptile_goes_a_falling_share_of_the_way() -> None:
    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False)])
    network.set_weights([np.zeros((1, 1))])

    def there(twin: keras.Model, place: float) -> None:
        twin.set_weights([np.full((1, 1), place)])

    # Half of the way to 8 is 4; a quarter (half of one half) of the way from there to 0 is 3.
    assert models.reptile(network, [8.0, 0.0], there).get_weights()[0].item() == pytest.approx(3)
    assert network.get_weights()[0].item() == 0
    with pytest.raises(ValueError, match="share must lie above 0"):
        models.reptile(network, [8.0], there, share=0)


Waves = list[tuple[float, float]]


def wave(task: tuple[float, float], x: np.ndarray) -> np.ndarray:
    return np.asarray(task[0] * np.sin(x + task[1]), dtype="float32")


def test_reptile_learns_to_learn_sines() -> None:
    """Finn 2017's task: amplitude .1 to 5, phase 0 to pi, ten points between -5 and 5."""
    rng = np.random.default_rng(0)
    keras.utils.set_random_seed(0)
    dense = keras.layers.Dense
    layers = [keras.Input((1,)), dense(64, "tanh"), dense(64, "tanh"), dense(1)]
    start = keras.Sequential(layers)
    spec = [tf.TensorSpec([None, 1])] * 2 + [tf.TensorSpec([], tf.int32)]
    weights = [tf.Variable(w) for w in start.get_weights()]

    def by_hand(x: tf.Tensor, y: tf.Tensor, times: tf.Tensor) -> None:
        for _ in tf.range(times):
            with tf.GradientTape() as tape:
                h = tf.tanh(tf.tanh(x @ weights[0] + weights[1]) @ weights[2] + weights[3])
                loss = tf.reduce_mean((h @ weights[4] + weights[5] - y) ** 2)
            for w, slope in zip(weights, tape.gradient(loss, weights), strict=True):
                w.assign_sub(0.02 * slope)

    steps = tf.function(by_hand, input_signature=spec)

    def adapt(twin: keras.Model, task: tuple[float, float], times: int = 16) -> None:
        for w, value in zip(weights, twin.get_weights(), strict=True):
            w.assign(value)
        x = rng.uniform(-5, 5, (10, 1)).astype("float32")
        steps(x, wave(task, x), times)
        twin.set_weights([w.numpy() for w in weights])

    def error(network: keras.Model, tasks: Waves) -> float:
        x, found = np.linspace(-5, 5, 50)[:, None], []
        for task in tasks:
            twin = models.copied(network)
            adapt(twin, task, 10)
            found.append(np.mean((np.asarray(twin(x)) - wave(task, x)) ** 2))
        return float(np.mean(found))

    def drawn(n: int) -> Waves:
        return [*zip(rng.uniform(0.1, 5, n), rng.uniform(0, np.pi, n), strict=True)]

    learnt, new = models.reptile(start, drawn(1000), adapt), drawn(25)
    assert error(learnt, new) < 0.4 * error(start, new)


# --- several tasks --------------------------------------------------------------------------------


def test_uncertainty_weighting_by_hand() -> None:
    losses, s = tf.constant([0.6, 8.0]), tf.Variable([0.0, np.log(4.0)])
    squares = np.array([0, 1])
    with tf.GradientTape() as tape:
        total = models.uncertainty_weighted(losses, s, squares)
    # 0.6 / 1 + 0 for the class; 8 / (2 · 4) + log(4) / 2 for the squared error.
    assert float(total) == pytest.approx(0.6 + 1 + np.log(2))
    # With respect to s: 1/2 - 0.6, and 1/2 - 8 / (2 · 4).
    np.testing.assert_allclose(tape.gradient(total, s), [-0.1, -0.5], atol=1e-6)
    # It is at rest where the variance is the squared error, or twice the cross-entropy.
    best = tf.Variable(np.log([1.2, 8.0]).astype("float32"))
    with tf.GradientTape() as tape:
        total = models.uncertainty_weighted(losses, best, squares)
    np.testing.assert_allclose(tape.gradient(total, best), 0, atol=1e-6)


def test_uncertainty_weighting_does_not_mind_the_unit() -> None:
    """At the best variances, centimetres and millimetres give the network the same gradient."""
    wrong = tf.constant([3.0, -1.0, 2.0])
    pulls = []
    for unit in (1.0, 10.0):
        scale = tf.Variable(1.0)
        s = np.log([np.mean((wrong.numpy() * unit) ** 2)]).astype("float32")
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((scale * wrong * unit) ** 2)[None]
            total = models.uncertainty_weighted(loss, s, np.array([1]))
        pulls.append(float(tape.gradient(total, scale)))
    assert pulls[0] == pytest.approx(pulls[1])


# --- case and control -----------------------------------------------------------------------------


def test_the_correction_of_the_intercept_is_exact() -> None:
    """All cases and a hundredth of the controls: only the intercept moves, by a known number."""
    # A population in which each x stands for its expected number of ill and of healthy people.
    x = np.linspace(-2, 2, 41)[:, None]
    risk = expit(-6 + 1.5 * x[:, 0])
    rows, y = np.concatenate([x, x]), np.repeat([1, 0], len(x))
    everybody, prevalence = np.concatenate([risk, 1 - risk]), risk.mean()
    sampled = np.concatenate([risk, 0.01 * (1 - risk)])
    share = risk.sum() / sampled.sum()
    fits = [
        LogisticRegression(C=np.inf, tol=1e-12, max_iter=1000, solver="newton-cholesky").fit(
            rows, y, sample_weight=weight / weight.mean()
        )
        for weight in (everybody, sampled)
    ]
    np.testing.assert_allclose(fits[0].coef_, fits[1].coef_, atol=1e-4)
    moved = fits[1].intercept_ - fits[0].intercept_
    np.testing.assert_allclose(moved, logit(share) - logit(prevalence), atol=1e-4)
    corrected = shifts.at_prevalence(fits[1].predict_proba(x)[:, 1], share, prevalence)
    np.testing.assert_allclose(corrected, risk, rtol=1e-4)
