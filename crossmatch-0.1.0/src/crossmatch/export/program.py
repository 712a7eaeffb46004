"""The network that is exported, as a PyTorch program: images to probabilities, for any number of images at a time.

Shapes: B images, C channels, K classes, *P what the network takes.
"""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from crossmatch.errors import UserError
from crossmatch.networks.segmenter import Segmenter

TOLERANCE = 1e-3  # of probabilities, between the exported network and ours
_TRACED = ("stack_trace", "torch_fn", "from_node")  # of nodes: where on this machine the code lies


class Probabilities(nn.Module):
    """A segmentation network that ends in probabilities."""

    def __init__(self, network: Segmenter) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).float().cpu().eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, C, *P) -> (B, K, *P)."""
        logits: Tensor = self.network(image)
        return logits.softmax(1)


def example(network: Segmenter, size: tuple[int, ...], images: int) -> Tensor:
    """Noise (images, C, *size), the same every time."""
    return torch.randn(images, network.in_channels, *size, generator=torch.Generator().manual_seed(0))


def exported_program(network: Segmenter, size: tuple[int, ...]) -> ExportedProgram:
    """A network as `torch.export` captures it, for images of one size and any number of them at a time.

    It says nothing of the machine: traces of the code's place are removed.
    """
    batch = torch.export.Dim("batch", min=1)
    with quiet():
        program = torch.export.export(
            Probabilities(network), (example(network, size, 2),), dynamic_shapes={"image": {0: batch}}
        )
    for node in program.graph.nodes:
        for key in _TRACED:
            node.meta.pop(key, None)
    return program


def check_equal(found: Tensor, network: Segmenter, images: Tensor, what: str) -> None:
    """Raise UserError unless the exported network says of images what ours says.

    Args:
        found: (B, K, *P), what the exported network gives.
        what: its format, for the message.
    """
    with torch.inference_mode():
        wanted = Probabilities(network)(images)
    difference = float((found - wanted).abs().max()) if found.shape == wanted.shape else float("inf")
    if not difference <= TOLERANCE:
        raise UserError(
            f"The exported {what} does not compute what the network does: probabilities differ by {difference:.2g}. "
            "Nothing was written; choose another --format, and please report it with the versions of PyTorch and "
            f"{what}."
        )


@contextmanager
def quiet() -> Iterator[None]:
    """What the exporters of PyTorch warn of concerns their own code."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
