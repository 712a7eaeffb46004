"""The objective: every term, the total and the gradients as the released code computes them, in 2D and 3D."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from crossmatch.methods.crossmatch import CrossMatchSettings, Decodings, objective
from crossmatch.methods.losses import DiceSettings, dice_loss, one_hot, supervised_loss

VALUES = {"rtol": 1e-4, "atol": 1e-5}  # tolerances of the golden numbers, see their README
GRADIENTS = {"rtol": 1e-3, "atol": 1e-9}
TERMS = ("sup", "ip1", "ip2", "tkd_ww", "tkd_ws", "tkd_sw", "tkd_ss", "dkd_w", "dkd_s", "tkd", "dkd")
STREAMS = ("x", "w_n", "w_w", "w_s", "s1_n", "s2_n", "s2_w", "s2_s", "mix_n", "mix_w", "mix_s")
TEACHERS = ("w_n", "mix_n", "mix_w", "mix_s")
SIZES = {2: (8, 6), 3: (4, 6, 4)}


def _objective(
    z: dict[str, Tensor], boxes: Tensor, settings: CrossMatchSettings, dice: DiceSettings, threshold: float
) -> dict[str, Tensor]:
    w, s2, mix = (Decodings(*(z[f"{view}_{feature}"] for feature in "nws")) for view in ("w", "s2", "mix"))
    return objective(z["x"], z["y"], w, z["s1_n"], s2, mix, boxes, settings, dice, threshold)


def _random(dims: int) -> tuple[dict[str, Tensor], Tensor]:
    """Logits of every stream with gradient, labels, boxes; K = 3."""
    drawn = torch.Generator().manual_seed(dims)
    z = {name: 2 * torch.randn(2, 3, *SIZES[dims], generator=drawn) for name in STREAMS}
    for value in z.values():
        value.requires_grad_()
    z["y"] = torch.randint(0, 3, (2, *SIZES[dims]), generator=drawn)
    return z, torch.rand(2, 2, *SIZES[dims], generator=drawn) < 0.3


@pytest.mark.parametrize(
    ("name", "settings", "dice"),
    [
        ("objective2d_shared_eta0.3_tau0.95", {}, DiceSettings()),
        ("objective2d_shared_eta0.6_tau0.7", {}, DiceSettings()),
        ("objective3d_shared_it0", {"distillation_weight": 0.5}, DiceSettings(background=False, smooth=1e-5)),
        ("objective3d_shared_it5000", {"distillation_weight": 0.5}, DiceSettings(background=False, smooth=1e-5)),
    ],
)
def test_equal_to_the_released_code(shared: Path, name: str, settings: dict[str, float], dice: DiceSettings):
    with np.load(shared / "golden" / f"{name}.npz") as file:
        golden = {key: torch.from_numpy(file[key]) for key in file.files}
    z = {stream: golden[f"in:{stream}"].requires_grad_() for stream in STREAMS}
    z["y"] = golden["in:y"]
    boxes = torch.stack([golden["in:box1"], golden["in:box2"]], 1).bool()
    chosen = CrossMatchSettings(eta=golden["eta"].item(), **settings)
    terms = _objective(z, boxes, chosen, dice, golden["tau"].item())
    for term in TERMS:
        torch.testing.assert_close(
            terms[term].double(), golden[f"out:{term}"].double(), **VALUES, msg=f"{term}: {{}}".format
        )
    dims = z["y"].ndim - 1
    torch.testing.assert_close(terms["total"].double(), golden[f"out:total_{dims}d"].double(), **VALUES)
    terms["total"].backward()
    taught = [stream for stream in STREAMS if f"grad:{stream}" in golden]
    assert sorted(taught) == sorted(set(STREAMS) - set(TEACHERS))
    for stream in taught:
        torch.testing.assert_close(z[stream].grad, golden[f"grad:{stream}"], **GRADIENTS)
    assert all(z[stream].grad is None for stream in TEACHERS)


@pytest.mark.parametrize("dims", [2, 3])
def test_no_gradient_reaches_a_teacher(dims):
    z, boxes = _random(dims)
    terms = _objective(z, boxes, CrossMatchSettings(), DiceSettings(), threshold=0.5)
    terms["total"].backward()
    assert all(z[stream].grad is None for stream in TEACHERS)
    assert all(z[stream].grad is not None and z[stream].grad.any() for stream in STREAMS if stream not in TEACHERS)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_threshold_above_one_leaves_the_supervised_gradient_alone(dims):
    z, boxes = _random(dims)
    settings = CrossMatchSettings()
    terms = _objective(z, boxes, settings, DiceSettings(), threshold=1.01)
    assert terms["confident"].item() == 0
    assert all(terms[name].item() == 0 for name in TERMS if name != "sup")
    torch.testing.assert_close(terms["total"], settings.supervised_weight * terms["sup"])
    terms["total"].backward()
    assert z["x"].grad is not None
    assert z["x"].grad.any()
    assert not any(z[stream].grad is not None and z[stream].grad.any() for stream in STREAMS if stream != "x")


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("dims", [2, 3])
def test_each_term_names_who_learns_and_who_teaches(dims, background):
    """Every term again, with its target written out voxel by voxel."""
    z, boxes = _random(dims)
    dice, threshold = DiceSettings(background=background), 0.6

    def match(student: str, weak: str, partner: str | None = None, box: int = 0) -> Tensor:
        teacher = z[weak].detach()
        if partner is not None:
            teacher = torch.where(boxes[:, box].unsqueeze(1), z[partner].detach(), teacher)
        confidence, label = teacher.softmax(1).max(1)
        mask = (confidence >= threshold).float().unsqueeze(1)
        return dice_loss(z[student].softmax(1), one_hot(label, 3) * mask, mask, dice)

    expected = {
        "sup": supervised_loss(z["x"], z["y"], dice),
        "ip1": match("s1_n", "w_n", "mix_n", box=0),
        "ip2": match("s2_n", "w_n", "mix_n", box=1),
        "tkd_ww": match("w_w", "w_n"),
        "tkd_ws": match("w_s", "w_n"),
        "tkd_sw": match("s2_w", "w_n", "mix_n", box=1),
        "tkd_ss": match("s2_s", "w_n", "mix_n", box=1),
        "dkd_w": match("s2_w", "w_w", "mix_w", box=1),
        "dkd_s": match("s2_s", "w_s", "mix_s", box=1),
    }
    expected["tkd"] = sum(expected[f"tkd_{name}"] for name in ("ww", "ws", "sw", "ss")) / 4
    expected["dkd"] = (expected["dkd_w"] + expected["dkd_s"]) / 2
    settings = CrossMatchSettings(supervised_weight=0.7, image_weight=0.6, distillation_weight=0.4, eta=0.2)
    terms = _objective(z, boxes, settings, dice, threshold)
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    image, distillation = (expected["ip1"] + expected["ip2"]) / 2, 0.8 * expected["tkd"] + 0.2 * expected["dkd"]
    torch.testing.assert_close(terms["total"], 0.7 * expected["sup"] + 0.6 * image + 0.4 * distillation)
    assert terms.keys() == {*expected, "total", "confident", "pseudo_foreground"}
    assert all(value.ndim == 0 for value in terms.values())


def test_the_confident_share_by_hand():
    """The clean teacher of four voxels is sure of .9, .75, .6 and .5."""
    z, boxes = _random(2)
    shares = torch.tensor([[0.9, 0.75], [0.6, 0.5]])
    z = {name: value[:1, :2, :2, :2].detach() if name != "y" else value[:1, :2, :2] % 2 for name, value in z.items()}
    z["w_n"] = torch.stack([shares, 1 - shares]).log().unsqueeze(0)
    for threshold, share in ((0.95, 0.0), (0.8, 0.25), (0.7, 0.5), (0.55, 0.75), (0.0, 1.0)):
        terms = _objective(z, boxes[:1, :, :2, :2], CrossMatchSettings(), DiceSettings(), threshold)
        assert terms["confident"].item() == share
        assert terms["pseudo_foreground"].item() == 0  # all are sure of background


def test_the_threshold_may_be_a_tensor():
    """Schedules give a tensor: the value must not be read from the device."""
    z, boxes = _random(2)
    plain, tensor = (
        _objective(z, boxes, CrossMatchSettings(), DiceSettings(), threshold) for threshold in (0.6, torch.tensor(0.6))
    )
    assert all(torch.equal(plain[name], tensor[name]) for name in plain)


def test_perfect_students_cost_nothing():
    z, boxes = _random(2)
    sure = {name: 100 * one_hot(z["y"], 3) if name != "y" else value for name, value in z.items()}
    terms = _objective(sure, boxes, CrossMatchSettings(), DiceSettings(), threshold=0.95)
    assert terms["confident"].item() == 1
    assert terms["total"].item() == pytest.approx(0, abs=1e-6)
