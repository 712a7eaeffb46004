"""The format ``torch``: model.pt2, a program of `torch.export`, which PyTorch runs without crossmatch."""

import io
from pathlib import Path

import torch

from crossmatch.export.program import check_equal, example, exported_program, quiet
from crossmatch.networks.segmenter import Segmenter

FILE = "model.pt2"


def write_program(network: Segmenter, size: tuple[int, ...], folder: Path) -> None:
    """Write the network, and compare it with ours on one image and on three.

    Raises:
        UserError: the exported network computes something else.
    """
    stored = io.BytesIO()
    with quiet():
        torch.export.save(exported_program(network, size), stored)
    (folder / FILE).write_bytes(stored.getvalue())
    with quiet():
        program = torch.export.load(folder / FILE).module()
    for count in (1, 3):
        images = example(network, size, count)
        with torch.inference_mode():
            found = program(images)
        check_equal(found, network, images, "torch program")
