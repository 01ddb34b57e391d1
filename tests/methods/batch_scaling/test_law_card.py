"""Law cards: written whole, read back the same, refused when damaged."""

from __future__ import annotations

import json

import pytest

from tenon.core.errors import DataError
from tenon.methods.batch_scaling.config import LossFitConfig
from tenon.methods.batch_scaling.fits.data_limited import fit_data_limited
from tenon.methods.batch_scaling.fits.law_card import SCHEMA_VERSION, FittedLaw, load_card, save_card
from tenon.methods.batch_scaling.fits.loss_fit import fit_loss_law
from tenon.methods.batch_scaling.laws.law import Domain, Law, PowerLaw
from tenon.methods.batch_scaling.laws.loss import ThreeTermLoss
from tests.methods.batch_scaling.loss_runs import runs_of
from tests.methods.batch_scaling.test_data_limited import repeated

CONFIG = LossFitConfig(bootstrap=20, holdout=0.1, drop_top=1)


def loss_law(**changes):
    return fit_loss_law(runs_of(noise=0.01), CONFIG, n_kind="total", **changes)


def batch_law():
    law = Law(
        name="mine", title="Mine", equation="B = 2 x 3 D^0.5", source="here", tag="fitted", n_kind="with_head",
        domain=Domain(D=(1e9, 1e10)), caveat="Of one day.",
        formulas={"batch": PowerLaw(coefficient=2.0, exponents={"D": 0.5}, factor=3.0, units={"D": 1e6})},
    )  # fmt: skip
    return FittedLaw(law=law, params={"k": 2.0, "x": 0.5}, runs=3)


def three_terms():
    law = ThreeTermLoss(
        name="surface", title="", equation="L", source="here", tag="fitted",
        E=0.5, A=170.0, alpha=0.3, F=4.0, beta=0.2, G=3.4, gamma=0.1,
    )  # fmt: skip
    return FittedLaw(law=law, params={"E": 0.5})


@pytest.mark.parametrize(
    "make",
    [
        loss_law,
        lambda: loss_law(form="kaplan"),
        lambda: fit_data_limited(repeated(), CONFIG, n_kind="total"),
        batch_law,
        three_terms,
    ],
    ids=["powers", "bracket", "data-limited", "batch", "surface"],
)
def test_a_card_comes_back_as_it_went(make, tmp_path):
    fitted = make()
    again = load_card(save_card(fitted, tmp_path / "card.json"))
    assert again.law == fitted.law
    assert again.to_dict() == fitted.to_dict()
    assert json.loads((tmp_path / "card.json").read_text()) == json.loads(json.dumps(again.to_dict()))


def test_a_card_says_all_that_judges_it():
    card = loss_law().to_dict()
    assert card["schema_version"] == SCHEMA_VERSION
    assert card["units"] == {"B": "tokens", "D": "tokens", "N": "total", "C": "6 N D"}
    assert card["estimator"]["delta"] == 1e-3
    assert card["estimator"]["drop_top"] == 1
    assert len(card["dropped"]) == 1
    assert len(card["residuals"]) == card["n_runs"] == 30
    assert card["holdout"]["count"] == 4
    assert card["bootstrap"]["n"] == 20
    assert card["condition_number"] > 1
    assert len(card["covariance"]) == len(card["params"]) == 5
    assert card["domain"]["D"] == (
        min(row["D"] for row in card["residuals"]),
        max(row["D"] for row in card["residuals"]),
    )
    assert card["data_sha256"]
    assert card["created_by"].startswith("tenon ")
    assert card["residuals"][0]["residual"] != 0


def test_the_hash_is_of_the_runs():
    one, same = loss_law(), loss_law(delta=1e-2)
    other = fit_loss_law(runs_of(noise=0.01, seed=1), CONFIG, n_kind="total")
    assert one.data_sha256 == same.data_sha256 != other.data_sha256


def test_a_fitted_law_reads_like_a_published_one(tmp_path):
    law = load_card(save_card(loss_law(), tmp_path / "card.json")).law
    best = law.optimal(1e20)
    assert pytest.approx(1e20) == 6 * best.N * best.D
    assert law.tag == "fitted"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "no law card of version"),
        ({"law": {"kind": "parametric"}}, "damaged law card"),
        ({"law": {"kind": "parametric", "E": "x", "A": 1, "B": 1, "alpha": 1, "beta": 1}}, "damaged law card"),
        ({"law": {"kind": "secret"}}, "damaged law card"),
        ({"units": None}, "damaged law card"),
        ({"dropped": [1]}, "damaged law card"),
    ],
)
def test_damaged_cards_are_refused(change, message, tmp_path):
    path = save_card(loss_law(), tmp_path / "card.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(DataError, match=message):
        load_card(path)


def test_what_is_no_card_is_refused(tmp_path):
    with pytest.raises(DataError, match="writes law cards"):
        load_card(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(DataError, match="no law card"):
        load_card(tmp_path / "list.json")
    (tmp_path / "half.json").write_text('{"schema_version": 1, "law"')
    with pytest.raises(DataError, match="not valid JSON"):
        load_card(tmp_path / "half.json")
