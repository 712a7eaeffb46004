"""Whole plans: every recipe loads, levels go by minutes, reasons stand beside what was chosen."""

import itertools
import tomllib
from pathlib import Path

import numpy as np
import pytest
from made_up import CT, facts

from crossmatch.dataset.check import check
from crossmatch.dataset.dataset import open_dataset
from crossmatch.errors import UserError
from crossmatch.formats import read, write
from crossmatch.plan import make as module
from crossmatch.plan.facts import training_facts
from crossmatch.plan.given import GIVEN
from crossmatch.plan.levels import LEVELS
from crossmatch.plan.make import LEAST_STEPS, Plan, fit_minutes, make_plan, told_bytes
from crossmatch.plan.measure import Cost
from crossmatch.plan.propose import Proposal, propose
from crossmatch.plan.rules import Chosen
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.display import told_time
from reading import note_reads
from tiny import write_dataset

DATASETS = {
    "ct": facts(channels=("CT",), grey=CT),
    "thick": facts(spacings=((1.5, 1.5, 8.0), (1.2, 1.2, 8.0), (1.8, 1.8, 9.0), (1.5, 1.5, 8.0))),
    "unknown": facts(shapes=((224, 154, 16),) * 4, spacings=None),
    "unknown volumes": facts(spacings=None),
    "photographs": facts(
        shapes=((640, 480), (300, 200), (64, 64), (512, 512)), spacings=None, channels=("R", "G", "B")
    ),
    "labelled": facts(labelled=4, classes=("kidney_left", "kidney_right"), shares=(0.001, 0.0001)),
    "tiny scans": facts(shapes=((8, 8, 4),) * 4, spacings=((1.0, 1.0, 1.0),) * 4, box=(3, 3, 2)),
}


@pytest.mark.parametrize(("name", "level"), list(itertools.product(DATASETS, LEVELS)))
def test_every_proposal_is_a_recipe_and_reads_back(name, level, tmp_path):
    proposal = propose(DATASETS[name], level, Chosen(700, "a test"))
    (tmp_path / "plan.toml").write_text(proposal.toml("Head\nof two lines"), encoding="utf-8")
    assert load_recipe(str(tmp_path / "plan.toml")) == proposal.recipe
    tree = tomllib.loads((tmp_path / "plan.toml").read_text(encoding="utf-8"))
    for key, reason in proposal.reasons.items():
        node = tree
        for part in key.split("."):
            node = node[part]  # every choice stands in the file
        assert reason


def test_a_size_is_shown_as_a_product_and_rates_as_a_list():
    lines = {
        line.split(" = ")[0]: line for line in propose(DATASETS["photographs"], LEVELS[-1], Chosen(700, "")).lines()
    }
    assert lines["data.size"].startswith("data.size = 64 x ")
    assert lines["network.dropout"].startswith("network.dropout = 0.0, 0.0, ")


def test_a_ct_is_planned_as_ct():
    recipe = propose(DATASETS["ct"], LEVELS[0], Chosen(10_000, "")).recipe
    assert (recipe.data.normalise, recipe.data.sampling, recipe.network.name) == ("ct", "patch", "vnet")
    assert (recipe.views.strong.brightness, recipe.views.strong.gamma) == (0, 0.5)
    assert recipe.data.spacing_mm == (1, 1, 1)
    assert recipe.method.name == "crossmatch"
    assert not recipe.views.augment.labelled  # measured in 2D only


def test_thick_slices_are_resampled_in_their_plane():
    recipe = propose(DATASETS["thick"], LEVELS[0], Chosen(10_000, "")).recipe
    assert (recipe.dims, recipe.data.sampling, recipe.data.spacing_mm) == (2, "patch", (1.5, 1.5))
    assert recipe.train.optimizer == "sgd"
    assert recipe.data.size == (208, 208)
    assert recipe.views.augment.labelled


def test_a_narrow_network_of_slices_has_unimatch_and_crossmatch_if_asked():
    steps = Chosen(700, "")
    plain = propose(DATASETS["thick"], LEVELS[-1], steps)
    assert plain.recipe.method.model_dump().items() >= {"name": "unimatch", "threshold": 0.5, "warm_up": 0.5}.items()
    asked = propose(DATASETS["thick"], LEVELS[-1], steps, {"method.name": "crossmatch"})
    settings = asked.recipe.method.model_dump()
    assert settings.items() >= {"name": "crossmatch", "weak_rate": 0.1, "strong_rate": 0.5, "warm_up": 0.5}.items()
    assert asked.reasons["method.name"] == GIVEN
    half = "method.warm_up = 0.5: half of so short a training: early pseudo-labels are often wrong"
    assert half in plain.lines()
    assert half in asked.lines()
    less = "narrow networks and short trainings bear less dropout"
    assert {f"method.weak_rate = 0.1: {less}", f"method.strong_rate = 0.5: {less}"} < {*asked.lines()}
    assert less not in " ".join(plain.lines())
    mine = propose(DATASETS["thick"], LEVELS[-1], steps, {"method.warm_up": 0.25})
    assert mine.reasons["method.warm_up"] == GIVEN
    tabled = {"methods.unimatch.warm_up": 0.25, "methods.fixmatch.warm_up": 0.125}
    given = propose(DATASETS["thick"], LEVELS[-1], steps, tabled).lines()
    assert [line for line in given if "warm_up" in line] == [f"method.warm_up = 0.25: {GIVEN}"]


def test_sides_are_never_flipped_whatever_the_method():
    proposal = propose(DATASETS["labelled"], LEVELS[3], Chosen(500, ""))
    assert proposal.recipe.method.name == "supervised_strong"
    assert proposal.recipe.views.augment.mirror_probability == 0
    assert proposal.recipe.views.weak.turn_probability == 0
    assert (proposal.recipe.data.foreground, proposal.recipe.dice.background) == (0.5, False)


def test_changes_count_more_than_rules():
    changes = {"data.size": [32, 32, 32], "method.name": "fixmatch", "train.steps": 9}
    proposal = propose(DATASETS["ct"], LEVELS[3], Chosen(500, ""), changes)
    assert proposal.recipe.data.size == (32, 32, 32)
    assert (proposal.recipe.method.name, proposal.recipe.train.steps) == ("fixmatch", 9)
    assert proposal.recipe.method.settings.threshold == 0.75  # from own_3d
    assert proposal.recipe.train.validate_every == 1  # of 9 steps
    assert "crossmatch" in proposal.recipe.methods
    assert [proposal.reasons[key] for key in ("data.size", "method.name", "train.steps")] == [GIVEN] * 3


def test_large_photographs_are_reduced_when_they_are_read():
    """Median 406 x 340; MR slices and pictures that are little larger keep the look-up."""

    def interpolation(name, **changes):
        proposal = propose(DATASETS[name], LEVELS[-1], Chosen(500, ""), changes)
        return proposal.recipe.data.interpolation, "data.interpolation" in proposal.reasons

    assert interpolation("photographs") == ("linear", True)
    assert interpolation("photographs", **{"data.size": [224, 224]}) == ("nearest", False)
    assert interpolation("photographs", **{"data.sampling": "patch"}) == ("nearest", False)
    assert interpolation("unknown") == ("nearest", False)


def test_what_follows_from_a_change_suits_it():
    recipe = propose(DATASETS["photographs"], LEVELS[0], Chosen(500, ""), {"data.normalise": "zscore"}).recipe
    assert (recipe.views.strong.brightness, recipe.views.strong.gamma) == (0, 0.5)
    recipe = propose(DATASETS["photographs"], LEVELS[0], Chosen(500, ""), {"data.size": [24, 24]}).recipe
    assert len(recipe.network.settings.channels) == 3
    with pytest.raises(UserError, match=r"data\.size"):
        propose(DATASETS["photographs"], LEVELS[0], Chosen(500, ""), {"data.size": "large"})


def by_voxels(proposal: Proposal) -> Cost:
    """A machine that takes 10 microseconds a voxel of a labelled batch."""
    size, batch = proposal.recipe.data.size, proposal.recipe.train.batch.labelled
    voxels = batch
    for n in size:
        voxels *= n
    return Cost(step=1e-5 * voxels, validation=2.0, saving=0.1, start=10.0, memory=2**30, disk=2**20)


@pytest.mark.parametrize("minutes", [5, 20, 60, 240, 2000])
def test_a_plan_fills_its_minutes(minutes):
    plan = fit_minutes(DATASETS["thick"], minutes, {}, by_voxels)
    assert 0.93 * minutes <= plan.minutes <= minutes
    assert plan.proposal.recipe.train.steps >= LEAST_STEPS


def test_more_minutes_never_give_a_smaller_size():
    found = [fit_minutes(DATASETS["thick"], minutes, {}, by_voxels) for minutes in (5, 20, 60, 240, 2000)]
    sizes = [plan.proposal.recipe.data.size for plan in found]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1] == (208, 208)


def test_too_few_minutes_name_the_least():
    """64 x 64 with 4 slices take 0.164 s a step: 100 steps, a validation of 2.1 s and 10 s make 0.5 minutes."""
    with pytest.raises(UserError, match=r"0\.2 minutes are too few: .*100 steps takes 0\.5 minutes .*--minutes 0\.5"):
        fit_minutes(DATASETS["thick"], 0.2, {}, by_voxels)
    with pytest.raises(UserError, match=r"--minutes 0\.5, smaller images by --set 'data\.size=\[32, 32\]', or train"):
        fit_minutes(DATASETS["thick"], 0.2, {}, by_voxels)
    assert fit_minutes(DATASETS["thick"], 0.5, {}, by_voxels).proposal.recipe.train.steps >= LEAST_STEPS


def test_the_cost_is_told_with_the_way_to_lower_it():
    plan = Plan(propose(DATASETS["thick"], LEVELS[4], Chosen(1000, "")), Cost(0.5, 2.0, 0.1, 10.0, 3 * 2**30, 2**25))
    told = " ".join(plan.cost_lines())
    for part in ("A step takes 0.5 s", "1000 steps take 9 minutes", "3.0 GB", "32 MB", "--minutes", "train.batch"):
        assert part in told


@pytest.mark.parametrize(("minutes", "told"), [(0.5, "30 seconds"), (9.2, "9 minutes"), (600, "10.0 hours")])
def test_times_in_words(minutes, told):
    assert told_time(60 * minutes) == told


def test_bytes_in_words():
    assert (told_bytes(2**20), told_bytes(5 * 2**29)) == ("1 MB", "2.5 GB")


class TestOnFiles:
    """Facts and plans of small datasets on disk."""

    def test_facts_are_of_training_cases_and_their_labels(self, tmp_path):
        data = write_dataset(tmp_path / "data", n_train=4, unlabelled=1, n_val=2, n_test=2, shape=(32, 28, 4))
        found = training_facts(open_dataset(data), "2")
        assert (found.labelled, found.unlabelled, found.validation, len(found.shapes)) == (2, 2, 2, 4)
        assert found.median_shape == (32, 28, 4)
        assert found.median_spacing_mm == (1.5, 1.5, 8)
        label = read(data / "labelsTr/case_001.nii.gz").voxels
        assert found.label_voxels[0][1] == (label == 1).sum()
        assert found.boxes[0] == tuple(int(np.ptp(places)) + 1 for places in label.nonzero())

    def test_test_files_are_not_opened_for_a_plan(self, tmp_path):
        """Once the data are checked, the test files may be damaged: a plan does not see it."""
        data = write_dataset(tmp_path / "data", shape=(32, 28, 4))
        check(data)
        with pytest.MonkeyPatch.context() as patch:
            opened: list[Path] = []
            original = module.measure

            def spy(recipe, dataset, device, loading):
                note_reads(patch, opened.append)
                return original(recipe, dataset, device, loading)

            patch.setattr(module, "measure", spy)
            plan = make_plan(data, changes={"train.steps": 20, "data.labelled": "1"}, device="cpu")
        assert opened
        assert not any("Ts" in path.parent.name for path in opened)
        assert plan.cost.step > 0
        assert plan.cost.memory > 2**20

    def test_the_first_labels_may_be_empty(self, tmp_path):
        """Of labelled scans two are loaded to time a step, which needs a structure where rare classes are drawn."""
        data = write_dataset(tmp_path / "data", n_train=4, unlabelled=1, shape=(32, 32, 4), subsets=())
        for number in (1, 2, 3):
            path = data / f"labelsTr/case_00{number}.nii.gz"
            label = read(path)
            rare = np.zeros_like(label.voxels)
            rare[5, 5, 1:3] = (1, 2) if number == 3 else 0
            write(path, rare, label)
        plan = make_plan(data, changes={"method.name": "supervised", "data.size": [16, 16]}, device="cpu")
        assert plan.proposal.recipe.data.foreground == 0.5
        assert plan.cost.step > 0

    def test_no_labelled_case(self, tmp_path):
        data = write_dataset(tmp_path / "data", n_train=2, unlabelled=2, subsets=())
        with pytest.raises(UserError, match=r"no labelled training case, .*labelsTr"):
            make_plan(data, device="cpu")

    def test_spacings_that_some_scans_do_not_know(self, tmp_path):
        data = write_dataset(tmp_path / "data", n_train=2, shape=(16, 14, 4))
        other = write_dataset(tmp_path / "other", n_train=2, shape=(16, 14, 4), affine=np.eye(4), unit="unknown")
        for folder in ("imagesTr/case_002_0000.nii.gz", "labelsTr/case_002.nii.gz"):
            (data / folder).write_bytes((other / folder).read_bytes())
        with pytest.raises(UserError, match="case_002 does not know the voxel size"):
            make_plan(data, device="cpu")

    def test_unknown_spacings_are_planned_as_stored(self, tmp_path):
        data = write_dataset(tmp_path / "data", shape=(32, 28, 4), affine=np.eye(4), unit="unknown")
        plan = make_plan(data, changes={"train.steps": 3, "data.labelled": "1"}, device="cpu")
        assert plan.proposal.recipe.data.spacing_mm == ()
        assert "unknown" in plan.proposal.reasons["data.sampling"]
