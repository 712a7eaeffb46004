"""What a method evaluates is one network of the recipe's kind: a checkpoint holds it whole, and it can be exported."""

import pytest
from tiny_methods import build

from crossmatch.export.program import Probabilities, check_equal, example
from crossmatch.methods import METHODS
from crossmatch.networks import UNet


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("dims", [2, 3])
def test_the_network_of_every_method_can_be_exported(name: str, dims: int) -> None:
    """Networks themselves are exported in tests/export."""
    method = build(name, dims)
    chosen = method.predictor()
    rebuilt = UNet(dims, chosen.in_channels, chosen.classes, chosen.settings)
    rebuilt.load_state_dict(chosen.state_dict())  # raises where a further part belongs to it
    images = example(chosen, (16, 16, 16)[:dims], 2)
    check_equal(Probabilities(rebuilt)(images), chosen, images, name)
