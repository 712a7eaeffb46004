"""SDCL: the correction equal to the released code's numbers and by hand, two kinds of students, both stages."""

from pathlib import Path

import numpy as np
import pytest
import torch
from released_numbers import VALUES, assert_gradient
from tiny_methods import build, first_loss, noise

from crossmatch.methods.bcp import Mixture
from crossmatch.methods.sdcl import SDCLSettings, correction
from crossmatch.networks.residual import ResidualEncoder

# Computed once with the lines of the released code, commit cfb260f (code/ACDC_train.py:206-297 and, in 3D,
# code/pancreas/losses.py:144-185), on random logits on a CPU in float32; patched: moves to the GPU.
GOLDEN = Path(__file__).parents[1] / "golden" / "sdcl.npz"
both_ranks = pytest.mark.parametrize("dims", [2, 3])


def released() -> dict[str, dict[str, torch.Tensor]]:
    found: dict[str, dict[str, torch.Tensor]] = {}
    with np.load(GOLDEN) as arrays:
        for key in arrays.files:
            case, _, name = key.partition("|")
            found.setdefault(case, {})[name] = torch.from_numpy(np.atleast_1d(arrays[key]).reshape(arrays[key].shape))
    return found


@pytest.mark.parametrize("case", ["d2_around", "d2_inside", "d3_around", "d3_inside"])
def test_the_correction_equals_the_released_code(case: str) -> None:
    """Its image lies around the box and its patch inside; the pseudo-labelled one of the two has half the weight."""
    given = released()[case]
    around = given["in:mask"].bool().unsqueeze(0)
    image, patch = given["in:image_label"].long(), given["in:patch_label"].long()
    pseudo = bool(given["in:image_is_pseudo"])
    label, other, region = (patch, image, ~around) if pseudo else (image, patch, around)
    z = [given[f"in:z{n}"].requires_grad_() for n in (1, 2)]
    mixture = Mixture(torch.empty(0), label, other, region)
    mse, kl = correction(mixture, *z, SDCLSettings().unlabelled_weight)
    torch.testing.assert_close(mse, given["out:L_mse1"] + given["out:L_mse2"], **VALUES)
    torch.testing.assert_close(kl, given["out:L_kl1"] + given["out:L_kl2"], **VALUES)
    assert torch.equal(z[0].argmax(1) != z[1].argmax(1), given["out:D"].bool())
    total = SDCLSettings().correction_weight * mse + SDCLSettings().uncertainty_weight * kl
    torch.testing.assert_close(total, given["out:total"], **VALUES)
    total.backward()
    for n, logits in enumerate(z, start=1):
        assert_gradient(logits.grad, given[f"grad:z{n}"])


def test_the_correction_by_hand() -> None:
    """Three voxels, two classes. The students agree on the first; on the others the second one is right, then wrong.

    Voxel 2, true label 1: p = (3/4, 1/4) and (1/4, 3/4). Voxel 3, the same with the label 0 of a teacher, weight 1/2.
    """
    first = torch.tensor([[[3.0, 3.0, 3.0], [1.0, 1.0, 1.0]]]).log()
    second = torch.tensor([[[3.0, 1.0, 1.0], [1.0, 3.0, 3.0]]]).log()
    label, other = torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 0]])
    mixture = Mixture(torch.empty(0), label, other, torch.tensor([[True, True, False]]))
    mse, kl = correction(mixture, first, second, 0.5)
    wrong, right, surprise = 9 / 16, 1 / 16, -np.log(3 / 16) / 2
    assert mse.item() == pytest.approx((wrong + 0.5 * right) / 2 + (right + 0.5 * wrong) / 2)
    assert kl.item() == pytest.approx(surprise + 0.5 * surprise)


def test_students_that_agree_are_not_corrected() -> None:
    z = torch.randn(2, 3, 4, 4).requires_grad_()
    label = torch.randint(0, 3, (2, 4, 4))
    mse, kl = correction(Mixture(torch.empty(0), label, label, torch.ones(1, 4, 4) > 0), z, 2 * z, 0.5)
    assert (mse.item(), kl.item()) == (0, 0)
    (mse + kl).backward()
    assert not z.grad.any()


@both_ranks
@pytest.mark.parametrize("network", ["unet", "vnet"])
def test_the_second_student_has_a_residual_encoder_and_learns(network: str, dims: int) -> None:
    method = build("sdcl", dims, network)
    assert isinstance(method.second.encoder, ResidualEncoder)
    assert not isinstance(method.network.encoder, ResidualEncoder)
    images = noise(dims, network).x
    shapes = [[each.shape for each in student.encode(images)] for student in (method.network, method.second)]
    assert shapes[0] == shapes[1]
    terms = first_loss(method, noise(dims, network))
    assert terms["correction"] > 0
    assert terms["uncertainty"] > 0
    terms["total"].backward()
    assert all(weight.grad is not None for weight in method.second.parameters())
    assert all(weight.grad.any() for weight in method.second.parameters() if weight.ndim > 1)
    assert method.predictor() is method.network


@both_ranks
def test_both_students_pretrain_and_the_teacher_follows_the_first(dims: int) -> None:
    method, batch = build("sdcl", dims, pretraining=0.5), noise(dims)
    method.before_step(0, 10)
    terms = first_loss(method, batch)
    assert [terms[name].item() for name in ("pseudo", "correction", "uncertainty")] == [0, 0, 0]
    terms["total"].backward()
    assert all(student.head.weight.grad.any() for student in (method.network, method.second))
    with torch.no_grad():
        method.network.head.weight.add_(1)
    method.before_step(5, 10)
    assert torch.equal(method.teacher.network.head.weight, method.network.head.weight)


def test_weights_scale_their_terms() -> None:
    terms = first_loss(build("sdcl", 2, correction_weight=2.0, uncertainty_weight=3.0, unlabelled_weight=0.5), noise(2))
    expected = terms["sup"] + 0.5 * terms["pseudo"] + 2 * terms["correction"] + 3 * terms["uncertainty"]
    torch.testing.assert_close(terms["total"], expected)
