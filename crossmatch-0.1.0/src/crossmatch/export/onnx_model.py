"""The format ``onnx``: model.onnx, for onnxruntime, Triton and others, beside `infer.py`, which needs no PyTorch."""

import logging
from pathlib import Path
from typing import Any

import torch

from crossmatch.export.description import INPUT, OUTPUT
from crossmatch.export.program import check_equal, example, exported_program, quiet
from crossmatch.formats.extras import needed
from crossmatch.networks.segmenter import Segmenter

FILE = "model.onnx"
PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_LOGGER = "torch.onnx._internal.exporter._registration"  # warns that torchvision is not installed


def write_onnx(network: Segmenter, size: tuple[int, ...], folder: Path) -> None:
    """Write the network, and compare it with ours on one image and on three.

    Raises:
        UserError: a package is missing, or the exported network computes something else.
    """
    for package in PACKAGES:
        needed(package, "export", "--format onnx")
    logger = logging.getLogger(_LOGGER)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with quiet():
            program = torch.onnx.export(
                exported_program(network, size), dynamo=True, input_names=[INPUT], output_names=[OUTPUT], verbose=False
            )
    finally:
        logger.setLevel(before)
    assert program is not None
    proto = program.model_proto
    _forget_places(proto)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    proto.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    (folder / FILE).write_bytes(proto.SerializeToString())
    for count in (1, 3):
        images = example(network, size, count)
        check_equal(_run(folder / FILE, images), network, images, "ONNX")


def _run(path: Path, images: torch.Tensor) -> torch.Tensor:
    runtime: Any = needed("onnxruntime", "export", "--format onnx")
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])


def _forget_places(proto: Any) -> None:
    """Remove what the exporter notes beside each node: where on this machine the code lies."""
    graphs = [proto.graph, *proto.functions]
    for graph in graphs:
        graph.doc_string = ""
        del graph.metadata_props[:]
        for node in graph.node:
            node.doc_string = ""
            del node.metadata_props[:]
        for value in (*graph.value_info, *getattr(graph, "input", ()), *getattr(graph, "output", ())):
            if hasattr(value, "metadata_props"):
                del value.metadata_props[:]
    del proto.metadata_props[:]
