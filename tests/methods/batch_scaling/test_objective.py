"""The objective of loss-law fits, its derivatives, and the solver that works on many of them at once."""

from __future__ import annotations

import math

import numpy
import pytest
from scipy.optimize import minimize

from tenon.methods.batch_scaling.fits.data_limited import RepeatedPowers
from tenon.methods.batch_scaling.fits.loss_forms import FORMS, Bracket, Points, Powers
from tenon.methods.batch_scaling.fits.newton import minimise
from tenon.methods.batch_scaling.fits.objective import Penalty, evaluate
from tenon.methods.batch_scaling.fits.varpro import project, varpro_starts
from tenon.methods.batch_scaling.reference import loss_objective
from tests.methods.batch_scaling.loss_runs import TRUTH, runs_of


def points_of(rows):
    columns = [numpy.array([row[name] for row in rows]) for name in ("n_params", "tokens", "loss")]
    return Points.of(*columns, unique=columns[1] / numpy.resize([1, 2, 5, 20], len(rows)))


POINTS = points_of(runs_of(noise=0.02, seed=1))
EVERY = {**FORMS, "data_limited": RepeatedPowers()}


def thetas(form, count=3, seed=0):
    low, high = form.bounds(POINTS)
    rng = numpy.random.default_rng(seed)
    middle = varpro_starts(form, POINTS, numpy.ones(len(POINTS.x)), Penalty(), size=5, keep=1)
    return numpy.clip(middle + 0.1 * rng.standard_normal((count, len(low))), low, high)


def test_the_sum_of_penalties_is_that_of_the_definition():
    rows = runs_of(noise=0.02, seed=1)
    runs = [(row["n_params"], row["tokens"], row["loss"]) for row in rows]
    theta = thetas(Powers())
    for asymmetry in (1.0, 10.0):
        found = evaluate(
            Powers().bind(POINTS), theta, POINTS.target, numpy.ones((1, len(rows))), Penalty(1e-3, asymmetry), 1.0
        )
        for place, value in enumerate(found.value):
            constants = Powers().constants(theta[place : place + 1], POINTS)
            told = [float(constants[name][0]) for name in ("E", "A", "B", "alpha", "beta")]
            assert value == pytest.approx(loss_objective(told, runs, 1e-3, asymmetry), rel=1e-12)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("penalty", [Penalty(1e-2), Penalty(1e-3, 10.0), Penalty(None)])
def test_gradient_and_hessian_are_the_finite_differences(name, penalty):
    form = EVERY[name]
    model, theta = form.bind(POINTS), thetas(form)
    weights = numpy.linspace(0.5, 2.0, len(POINTS.x))[None]

    def at(x):
        return evaluate(model, x, POINTS.target, weights, penalty, 1000.0)

    # The Hessian jumps where a residual crosses +-delta: only steps between the kinks can be compared.
    here = at(theta)
    for place in range(theta.shape[1]):
        step = numpy.zeros(theta.shape[1])
        step[place] = 1e-6
        plus, minus = at(theta + step), at(theta - step)
        slope = (plus.value - minus.value) / 2e-6
        numpy.testing.assert_allclose(here.gradient[:, place], slope, rtol=1e-5, atol=1e-4)
        bend = (plus.gradient - minus.gradient) / 2e-6
        off = [
            numpy.abs(numpy.abs(model(x).value - POINTS.target) - (penalty.delta or 9.0)) for x in (theta, theta + step)
        ]
        quiet = (numpy.minimum(*off).min(axis=1) > 1e-5) & (numpy.abs(model(theta).value - POINTS.target).min(1) > 1e-5)
        numpy.testing.assert_allclose(here.hessian[quiet, place], bend[quiet], rtol=1e-4, atol=1e-2)


def test_huber_is_a_parabola_that_turns_into_lines():
    value, slope, bend = Penalty(0.1, 10.0)(numpy.array([-0.3, -0.05, 0.05, 0.3]))
    numpy.testing.assert_allclose(value, [0.1 * 0.25, 0.00125, 0.0125, 0.25])
    numpy.testing.assert_allclose(slope, [-0.1, -0.05, 0.5, 1.0])
    numpy.testing.assert_allclose(bend, [0, 1, 10, 0])


@pytest.mark.parametrize("name", EVERY)
def test_the_solver_ends_where_scipy_does(name):
    form, penalty = EVERY[name], Penalty(1e-2)
    model, bounds = form.bind(POINTS), form.bounds(POINTS)
    weights = numpy.ones((1, len(POINTS.x)))
    starts = thetas(form, 4)
    ours = minimise(model, starts, POINTS.target, weights, penalty, bounds)
    assert ours.converged.all()
    assert ours.gradient.max() < 1e-6

    def objective(x):
        found = evaluate(model, x[None], POINTS.target, weights, penalty, 1e4)
        return found.value[0], found.gradient[0]

    theirs = [
        minimize(objective, x, jac=True, method="L-BFGS-B", bounds=list(zip(*bounds, strict=True)),
                 options={"ftol": 1e-15, "gtol": 1e-8, "maxiter": 5000, "maxfun": 9000}).fun / 1e4
        for x in starts
    ]  # fmt: skip
    assert ours.value.min() <= min(theirs) + 1e-9


def test_fits_side_by_side_are_the_fits_one_by_one():
    form = Powers()
    model, bounds = form.bind(POINTS), form.bounds(POINTS)
    weights = numpy.random.default_rng(0).multinomial(35, [1 / 35] * 35, size=5).astype(float)
    start = numpy.tile(thetas(form, 1), (5, 1))
    together = minimise(model, start, POINTS.target, weights, Penalty(), bounds)
    for place in range(5):
        alone = minimise(model, start[:1], POINTS.target, weights[place : place + 1], Penalty(), bounds)
        assert alone.value[0] == pytest.approx(together.value[place], rel=1e-9)
        numpy.testing.assert_allclose(alone.theta[0], together.theta[place], atol=1e-5)


def test_what_newton_leaves_scipy_ends():
    form = Powers()
    few = minimise(
        form.bind(POINTS), thetas(form), POINTS.target, numpy.ones((1, 35)), Penalty(1e-2), form.bounds(POINTS), steps=1
    )
    whole = minimise(
        form.bind(POINTS), thetas(form), POINTS.target, numpy.ones((1, 35)), Penalty(1e-2), form.bounds(POINTS)
    )
    assert few.value == pytest.approx(whole.value, rel=1e-6)


def test_7_5_sum_or_mean_ends_at_the_same_place():
    """The mean, a sum with weights 1/n, has the same minimum: tolerances go with the size of the objective."""
    form = Powers()
    ends = []
    for weight in (1.0, 1 / 35, 1e-12, 1e4):
        weights = numpy.full((1, 35), weight)
        found = minimise(form.bind(POINTS), thetas(form), POINTS.target, weights, Penalty(), form.bounds(POINTS))
        assert found.converged.all()
        ends.append(found.theta[found.value.argmin()])
    for end in ends[1:]:
        numpy.testing.assert_allclose(end, ends[0], atol=1e-6)


def test_at_the_true_exponents_projection_gives_the_amplitudes():
    points = points_of(runs_of())
    exponents = numpy.array([[TRUTH["alpha"], TRUTH["beta"]]])
    found = project(Powers(), exponents, points, numpy.ones(35), Penalty())
    theta = Powers().inside(exponents, numpy.log(found))
    constants = Powers().constants(theta, points)
    for name, value in TRUTH.items():
        assert constants[name][0] == pytest.approx(value, rel=1e-6)


def test_projection_is_not_led_astray_by_outliers():
    rows = runs_of()
    for row in rows[::12]:
        row["loss"] *= 1.5
    exponents = numpy.array([[TRUTH["alpha"], TRUTH["beta"]]])
    robust = project(Powers(), exponents, points_of(rows), numpy.ones(35), Penalty())[0]
    squares = project(Powers(), exponents, points_of(rows), numpy.ones(35), Penalty(None))[0]
    clean = project(Powers(), exponents, points_of(runs_of()), numpy.ones(35), Penalty())[0]
    assert numpy.abs(numpy.log(robust / clean)).max() < 0.02 < numpy.abs(numpy.log(squares / clean)).max()


def test_kaplans_constants_are_those_of_the_bracket():
    theta = numpy.array([[7.6, 7.5, 0.83, 0.114]])
    told = {name: float(value[0]) for name, value in Bracket().constants(theta, POINTS).items()}
    here = numpy.exp(Bracket().bind(POINTS)(theta).value[0])
    for place, row in enumerate(runs_of(noise=0.02, seed=1)):
        n, d = row["n_params"], row["tokens"]
        bracket = (told["Nc"] / n) ** (told["alpha_N"] / told["alpha_D"]) + told["Dc"] / d
        assert here[place] == pytest.approx(bracket ** told["alpha_D"], rel=1e-10)
    # a: the size of least loss at given 6 N D, by search
    best = []
    for compute in (1e20, 1e21):
        n = numpy.geomspace(1e6, 1e13, 200_001)
        terms = (told["Nc"] / n) ** (told["alpha_N"] / told["alpha_D"]) + told["Dc"] * 6 * n / compute
        best.append(n[terms.argmin()])
    assert math.log10(best[1] / best[0]) == pytest.approx(told["a"], abs=1e-3)
