"""SASSNet: who learns from what, the second optimiser, and the released terms and gradients."""

import pytest
import torch
from released_numbers import VALUES, assert_gradient, cases
from tiny_methods import build, first_loss, noise
from torch import Tensor, nn

from crossmatch.methods.dtc import labelled_terms
from crossmatch.methods.losses import DiceSettings
from crossmatch.methods.sassnet import Discriminator, SASSNet, adversarial_loss, discriminator_loss
from crossmatch.recipes.load import load_recipe
from crossmatch.training.fit import fit
from tiny import write_dataset
from train_tiny import TINY, Quiet, weights

PARTS = ("network", "distances", "discriminator")


@pytest.mark.parametrize("dims", [2, 3])
def test_each_part_learns_from_its_own_terms(dims):
    method = build("sassnet", dims)
    terms = first_loss(method, noise(dims))
    parts = [next(w for w in getattr(method, part).parameters() if w.ndim > 1) for part in PARTS]
    expected = {"sup": [1, 0, 0], "distance": [1, 1, 0], "adversarial": [1, 1, 0], "discriminator": [0, 0, 1]}
    for term, learns in expected.items():
        gradients = torch.autograd.grad(terms[term], parts, retain_graph=True, allow_unused=True)
        assert [int(gradient is not None and bool(gradient.any())) for gradient in gradients] == learns, term


@pytest.mark.parametrize("dims", [2, 3])
def test_the_discriminator_s_step_leaves_the_network_s_statistics_alone(dims):
    """Drawn with its own dropout, it would differ from one seed to the next."""
    method, batch = build("sassnet", dims), noise(dims)
    images = torch.cat([batch.x, batch.u.weak])
    before = {name: value.clone() for name, value in method.network.named_buffers()}
    method._settled(images)
    assert all(torch.equal(value, before[name]) for name, value in method.network.named_buffers())
    assert method.network.training
    one, other = (first_loss(method, batch, seed)["discriminator"] for seed in (0, 1))
    assert one != other
    one, other = (
        adversarial_loss(method.discriminator, torch.zeros(2, 2, *images.shape[2:]), images[:2]) for _ in "ab"
    )
    assert one == other
    assert method.discriminator.training


def test_a_certain_discriminator_by_hand():
    """Logits (0, ln 3): 3/4 says labelled, whatever it sees."""
    discriminator = Discriminator(2, 1, 1, filters=2)
    nn.init.zeros_(discriminator.last.weight)
    with torch.no_grad():
        discriminator.last.bias.copy_(torch.tensor([1.0, 3.0]).log())
    image = torch.rand(3, 1, 16, 16)
    assert adversarial_loss(discriminator, image, image).exp().item() == pytest.approx(4 / 3)
    found = discriminator_loss(discriminator, image, image, labelled=2)
    assert found.item() == pytest.approx((2 * torch.tensor(4 / 3).log() + torch.tensor(4.0).log()).item() / 3)


def test_two_optimisers_in_a_run_that_resumes_bit_for_bit(tmp_path):
    """The network has SGD without decay of the rate, the discriminator its own Adam; both are kept."""
    data = write_dataset(tmp_path / "tiny", n_train=3, n_val=0)
    chosen = load_recipe("phantom", [*TINY, "method.name=sassnet", "train.steps=6", "data.labelled=2"])
    assert fit(chosen, data, tmp_path / "whole", Quiet()) == 6
    assert fit(chosen, data, tmp_path / "parts", Quiet(interrupt_at=3)) == 3
    assert fit(chosen, data, tmp_path / "parts", Quiet(), resume=True) == 6
    whole, parts = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    second = [key for key in whole if key.startswith("second_optimizer/")]
    assert len({key.split("/")[1] for key in second}) == len(list(build("sassnet", 2).discriminator.parameters()))
    network = [key for key in whole if key.startswith("optimizer/")]
    parameters = [key for key in whole if key.startswith(("method/network.", "method/distances."))]
    assert len({key.split("/")[1] for key in network}) == len(
        [k for k in parameters if k.endswith((".weight", ".bias"))]
    )


class Released2D(Discriminator):
    """Without activation and dropout after the sum."""

    def joined(self, distances: Tensor, image: Tensor) -> Tensor:
        return self.distances(distances) + self.image(image)


NAMES = {"conv0": "distances", "conv1": "image", "classifier": "last"}
NAMES |= {f"conv{number}": f"further.{number - 2}" for number in (2, 3, 4)}


@pytest.mark.parametrize("dims", [2, 3])
def test_released_terms_and_gradients(dims, shared):
    """As released but for dropout, which is left out."""
    case = cases(shared, "sassnet")[f"d{dims}"]
    s, x, labelled = case["in:s"], case["in:x"], int(case["in:labelled"])
    discriminator = {2: Released2D, 3: Discriminator}[dims](dims, s.shape[1], x.shape[1], int(case["in:ndf"]))
    own = {name.removeprefix("in:w:"): value for name, value in case.items() if name.startswith("in:w:")}
    discriminator.load_state_dict(
        {f"{NAMES[name.partition('.')[0]]}.{name.partition('.')[2]}": v for name, v in own.items()}
    )
    torch.testing.assert_close(discriminator.eval()(s, x), case["out:logits"], **VALUES)
    found = discriminator_loss(discriminator, s, x, labelled)
    torch.testing.assert_close(found, case["out:L_D"], **VALUES)
    found.backward()
    compared = 0
    for name, weight in discriminator.named_parameters():
        (theirs,) = (old for old, new in NAMES.items() if name.startswith(f"{new}."))
        released = case.get(f"grad:D:{theirs}.{name.rpartition('.')[2]}")
        if released is not None:
            assert_gradient(weight.grad, released)
            compared += 1
    assert compared == (10 if dims == 3 else 0)
    s_u = s[labelled:].clone().requires_grad_()
    adversarial = adversarial_loss(discriminator, s_u, x[labelled:])
    torch.testing.assert_close(adversarial, case["out:L_adv"], **VALUES)
    if "out:total" in case:
        logits = torch.cat([torch.zeros_like(case["in:z"]), case["in:z"]], 1)
        foreground = DiceSettings(background=False, smooth=1e-5)
        terms = labelled_terms(logits.softmax(1), s, case["in:y"], foreground)
        torch.testing.assert_close(terms["sup"], case["out:L_seg"], **VALUES)
        torch.testing.assert_close(terms["distance"], case["out:L_sdf"], **VALUES)
        total = terms["sup"] + SASSNet.Settings().distance_weight * terms["distance"] + case["in:w"] * adversarial
        torch.testing.assert_close(total.float(), case["out:total"], **VALUES)
    adversarial.backward()
    assert_gradient(s_u.grad, case["grad:s_adv"])
