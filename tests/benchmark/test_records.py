"""The raw numbers: JSON and CSV say the same, in full precision, and nothing undefined becomes 0."""

import csv
import json
from typing import Any

import pytest
from finished import NAN, cases, result

from crossmatch.benchmark.lines import lines
from crossmatch.benchmark.records import to_csv, to_json
from crossmatch.benchmark.results import Result, aggregate

ABOUT: dict[str, Any] = {
    "recipe": "small",
    "recipe_settings": {"seed": 0},
    "recipe_remarks": ["Half of the filters."],
    "choice": {"grid": ["train.steps=9"]},
}


def results() -> list[Result]:
    patients = {"a": "p1", "b": "p1"}
    return [
        result(
            "bcp",
            cases(0.9, 0.7),
            dataset="LA",
            labelled="8",
            seed=3,
            patients=patients,
            parameters=7,
            validation_dice=0.5,
        ),
        result("bcp", cases(0.9, 0.8), dataset="LA", labelled="8", seed=4, patients=patients),
        result("x", cases(0.0, 0.5), dataset="LA", labelled="8", hd95=NAN, grid=(("train.steps", "9"),)),
    ]


def test_json() -> None:
    found = json.loads(json.dumps(to_json(lines(aggregate(results())), ["a note"], ["gone"], ABOUT), allow_nan=False))
    assert found["format"] == "crossmatch benchmark 1"
    assert {key: found[key] for key in ABOUT} == ABOUT
    assert (found["notes"], found["missing"]) == (["a note"], ["gone"])
    bcp, x = found["rows"]
    assert (bcp["seeds"], bcp["parameters"]) == ([3, 4], 7)
    assert bcp["dice"] == {"mean": pytest.approx(0.825), "sd": pytest.approx(0.05 / 2**0.5)}
    assert [bcp["published"][kind]["dice_percent"] for kind in ("own", "others")] == [89.62, 89.55]
    assert "commit 59772e0" in bcp["published"]["others"]["source"]
    assert "largest component kept" in bcp["published"]["own"]["source"]
    assert bcp["test"] == {"best": False, "seeds": [], "patients": 0, "p": None, "p_holm": None, "first": None}
    assert (bcp["validation"], x["validation"]) == ({"mean": 0.5, "sd": None}, {"mean": None, "sd": None})
    assert (x["grid"], x["undefined"], x["hd95"]) == ({"train.steps": "9"}, 2, {"mean": None, "sd": None})
    assert x["dice"] == {"mean": 0.25, "sd": None}
    assert x["published"]["own"]["dice_percent"] is None
    first = found["cells"][0]
    assert (first["seed"], first["checkpoint"], first["fingerprint"], first["step"]) == (3, "last", "f0", 100)
    assert first["cases"][1] == {"case": "b", "patient": "p1", "dice": 0.7}
    assert first["evaluation"]["places"] is None, "no place on this machine"
    assert first["training"]["code"]["commit"] == "0123456789ab"
    assert first["training"]["device"]["name"] == "some CPU"
    assert first["mean"]["dice"]["cases"] == 2
    assert found["versions"].keys() == {"crossmatch", "numpy", "scipy", "matplotlib"}


def test_csv_has_the_same_rows() -> None:
    table = lines(aggregate(results()))
    bcp, x = csv.DictReader(to_csv(table).splitlines())
    assert float(bcp["dice_mean"]) == table[0].row.dice.mean == pytest.approx(0.825)
    assert (bcp["seeds"], bcp["test_best"], bcp["test_p"], bcp["train.steps"]) == ("3 4", "False", "", "")
    assert (bcp["validation_mean"], x["validation_mean"]) == ("0.5", "nan")
    assert (bcp["published_others_dice_percent"], bcp["published_others_hd95_voxels"]) == ("89.55", "7.1")
    assert (x["hd95_mean"], x["train.steps"], x["published_own_dice_percent"]) == ("nan", "9", "")
    assert x["distance_unit"] == "mm"


def test_seeds_of_the_test() -> None:
    table = lines(aggregate([result(m, cases(d, d), seed=s) for m, d in (("a", 0.9), ("b", 0.8)) for s in (1, 2)]))
    assert [found["test_seeds"] for found in csv.DictReader(to_csv(table).splitlines())] == ["1 2", "1 2"]
    assert to_json(table, [], [], ABOUT)["rows"][1]["test"] == {
        "best": False,
        "seeds": [1, 2],
        "patients": 2,
        "p": 0.5,
        "p_holm": 0.5,
        "first": 0,
    }
