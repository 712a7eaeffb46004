"""Pseudo-labels and their CutMix: values by hand, both ranks, no gradient."""

import pytest
import torch

from crossmatch.methods.pseudo import Target, cutmix, cutmix_target, partner_label, pseudo_label, sure_shares

SIZES = {2: (3, 4), 3: (2, 3, 4)}


def test_label_and_confidence_by_hand():
    """Softmax of (0, ln 3) is (1/4, 3/4); of (ln 9, 0) is (9/10, 1/10)."""
    logits = torch.tensor([[[[1.0, 9.0]], [[3.0, 1.0]]]]).log()
    target = pseudo_label(logits)
    assert target.label.tolist() == [[[1, 0]]]
    torch.testing.assert_close(target.confidence, torch.tensor([[[0.75, 0.9]]]))


def test_the_shares_of_sure_voxels_by_hand():
    """Three of four voxels are sure, and one of these is foreground; none is sure enough for .99."""
    target = Target(torch.tensor([[[0, 2, 0, 1]]]), torch.tensor([[[0.9, 0.8, 0.95, 0.5]]]))
    found = {name: value.item() for name, value in sure_shares(target, torch.tensor(0.75)).items()}
    assert found == {"confident": 0.75, "pseudo_foreground": pytest.approx(1 / 3)}
    assert [value.item() for value in sure_shares(target, 0.99).values()] == [0, 0]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_shapes_types_and_no_gradient(dims, dtype):
    logits = torch.randn(2, 5, *SIZES[dims]).to(dtype).requires_grad_()
    target = pseudo_label(logits)
    assert target.label.shape == target.confidence.shape == (2, *SIZES[dims])
    assert (target.label.dtype, target.confidence.dtype) == (torch.int64, torch.float32)
    assert not target.confidence.requires_grad
    assert torch.equal(target.label, logits.argmax(1))
    assert ((target.confidence >= 1 / 5) & (target.confidence <= 1)).all()


@pytest.mark.parametrize("dims", [2, 3])
def test_cutmix_takes_the_partner_inside_the_box(dims):
    box = torch.zeros(2, *SIZES[dims], dtype=torch.bool)
    box[0, 1:, :2] = True
    inside, outside = torch.randn(2, 3, *SIZES[dims]), torch.randn(2, 3, *SIZES[dims])
    mixed = cutmix(inside, outside, box)
    assert torch.equal(mixed[1], outside[1])
    assert torch.equal(mixed[0, :, 1:, :2], inside[0, :, 1:, :2])
    assert torch.equal(mixed[0, :, :1], outside[0, :, :1])
    assert torch.equal(mixed[0, :, :, 2:], outside[0, :, :, 2:])
    labels = cutmix(inside[:, 0], outside[:, 0], box)
    assert torch.equal(labels, mixed[:, 0])


def test_label_and_confidence_are_mixed_alike():
    box = torch.tensor([[[True, False]]])
    mine = Target(torch.tensor([[[1, 2]]]), torch.tensor([[[0.5, 0.6]]]))
    partner = Target(torch.tensor([[[3, 4]]]), torch.tensor([[[0.8, 0.9]]]))
    mixed = cutmix_target(partner, mine, box)
    assert mixed.label.tolist() == [[[3, 2]]]
    torch.testing.assert_close(mixed.confidence, torch.tensor([[[0.8, 0.6]]]))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("training", [True, False])
def test_partners_are_labelled_in_eval_without_gradient_and_nothing_moves(dims, training):
    """A normalisation with running mean 1 and variance 4: the label of a constant image 5 is that of (2, 0)."""
    norm = (torch.nn.BatchNorm2d if dims == 2 else torch.nn.BatchNorm3d)(2, eps=0.0).train(training)
    norm.running_mean.fill_(1.0)
    norm.running_var.fill_(4.0)
    images = torch.ones(1, 2, *SIZES[dims])
    images[:, 0] = 5
    target = partner_label(norm, images)
    assert not target.label.any()
    torch.testing.assert_close(target.confidence, torch.tensor([2.0, 0.0]).softmax(0)[0].expand(1, *SIZES[dims]))
    assert not target.confidence.requires_grad
    assert norm.training is training
    assert norm.running_mean.tolist() == [1, 1]
    assert norm.num_batches_tracked.item() == 0
