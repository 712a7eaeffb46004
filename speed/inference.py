"""How long prediction takes: beside a plain loop over windows, beside its network alone, and exported beside ours.

    python speed/inference.py [--part scan|folder|export] [--rounds 3] [--windows 3] [--scans 4] [--size 160 130 80]
        [--precision float32|bf16|auto]

Scan: the 16-filter V-Net with random weights on a scan of LA's size, by the windows that `predict` lays where no stride
is given, in `--precision`, and by the published windows written plainly: stride 18, 18, 4, float32, one by one,
probabilities summed up (released code github.com/AiEson/CrossMatch, commit 59772e0, LA/code/test_util.py). The plain
loop takes minutes, so `--windows` of its 72 are timed and scaled up. Folder: scans of `--size` through `predict`,
against as many calls of its network with nothing around them; the share of time that is not the network holds
everything else, opening the run included.

Export: a scan of `--size` through infer.py and onnxruntime, as `crossmatch export` writes them, against our predictor
in float32, which is what the exported network computes in, and in bf16; then the same with the 2D U-Net of `acdc_3` on
a scan of ACDC's size. So it says what float32 costs, too.

All alternate in this process. Printed are medians and ranges; the last line is JSON.
"""

import argparse
import itertools
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from crossmatch import formats
from crossmatch.export.export_run import export_run
from crossmatch.export.infer import ExportedModel
from crossmatch.formats import new_volume
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.windows import window_starts
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.networks.vnet import VNet
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.runs.devices import Precision, uses_bf16
from crossmatch.runs.machine import Machine
from crossmatch.runs.record import DataFacts
from crossmatch.runs.run import Run, create_run
from timing import run, seconds, spread

LA_SIZE = (200, 150, 88)  # an ordinary scan of the left atrium in its published preparation
ACDC_SIZE = (216, 256, 10)  # an ordinary scan of ACDC
STRIDE = (18, 18, 4)
TARGET_RATIO = 1 / 12
CPU = torch.device("cpu")


def noise(size: tuple[int, ...], seed: int) -> np.ndarray:
    """Float32 of whole grey values, normalised, as LA's files have them."""
    grey = np.random.default_rng(seed).normal(200, 60, size).round()
    return ((grey - 200) / 60).astype(np.float32)


@torch.inference_mode()
def plain(network: nn.Module, image: np.ndarray, patch: tuple[int, ...], count: int) -> tuple[float, int]:
    """Seconds of the whole loop from those of its first `count` windows, and how many windows it has."""
    axes = zip(image.shape, patch, STRIDE, strict=True)
    places = list(itertools.product(*(window_starts(*axis) for axis in axes)))
    scores, counts = np.zeros((2, *image.shape), np.float32), np.zeros(image.shape, np.float32)

    def window(place: tuple[int, ...]) -> None:
        where = tuple(slice(s, s + p) for s, p in zip(place, patch, strict=True))
        found = network(torch.from_numpy(image[where].copy())[None, None]).softmax(1)
        scores[(slice(None), *where)] += found[0].numpy()
        counts[where] += 1

    windows = seconds(lambda: [window(place) for place in places[:count]])
    labels = seconds(lambda: (scores / np.maximum(counts, 1)).argmax(0))
    return windows * len(places) / count + labels, len(places)


def compare_scan(recipe: Recipe, rounds: int, windows: int, bf16: bool) -> dict[str, object]:
    torch.manual_seed(0)
    ordinary = VNet(3, 1, 2).eval()
    fast = VNet(3, 1, 2).eval()
    fast.load_state_dict(ordinary.state_dict())
    predictor, image = Predictor(to_channels_last(fast), recipe, 2, CPU, bf16=bf16), noise(LA_SIZE, 0)
    scan, patch = new_volume(image), recipe.data.size
    times: list[tuple[float, float]] = []
    count = sum(shape[0] for shape in calls_of_network(lambda: predictor([scan], Path("scan.nii.gz"))))  # warms up
    plain(ordinary, image, patch, 1)
    total = 0
    for _ in range(rounds):
        ours = seconds(lambda: predictor([scan], Path("scan.nii.gz")))
        reference, total = plain(ordinary, image, patch, windows)
        times.append((ours, reference))
    mine, other, ratios = [a for a, _ in times], [b for _, b in times], [a / b for a, b in times]
    print(f"scan of {'x'.join(map(str, LA_SIZE))}, windows of {'x'.join(map(str, patch))}, {rounds} rounds")
    print(f"ours       {spread(mine, '.2f')} s, {count} windows")
    print(f"reference  {spread(other, '.1f')} s, scaled up from {windows} of its {total} windows")
    print(f"ratio      {spread(ratios, '.4f')}, 1/{1 / statistics.median(ratios):.1f}; target {TARGET_RATIO:.4f}, 1/12")
    return {
        "ours_s": statistics.median(mine), "ours_windows": count, "reference_s": statistics.median(other),
        "reference_windows": [windows, total], "ratio": statistics.median(ratios),
    }  # fmt: skip


def untrained_run(folder: Path, recipe: Recipe) -> Run:
    facts: DataFacts = {
        "root": "scans",
        "name": "noise",
        "fingerprint": "",
        "labels": {"background": 0, "atrium": 1},
        "channels": ["MR"],
        "slice_axis": 2,
        "labelled": [],
        "unlabelled": 0,
        "validation": [],
    }
    run = create_run(folder, recipe, facts, Machine(CPU, "float32"))
    torch.manual_seed(0)
    weights = run.build_network().state_dict()
    save_checkpoint(run.checkpoint("last"), Checkpoint({"step": 0, "seconds": 0.0}, weights, {}))
    return run


def calls_of_network(work: Callable[[], object]) -> list[torch.Size]:
    """Shapes of all that the network is given during some work."""
    shapes: list[torch.Size] = []

    def note(module: nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, VNet):
            shapes.append(given[0].shape)

    hook = nn.modules.module.register_module_forward_pre_hook(note)
    work()
    hook.remove()
    return shapes


def compare_folder(
    recipe: Recipe, rounds: int, count: int, size: tuple[int, ...], precision: Precision, place: Path
) -> dict[str, object]:
    chosen, bf16 = Options(device="cpu", precision=precision), uses_bf16(precision, CPU)
    run, scans = untrained_run(place / "run", recipe), place / "scans"
    for k in range(count):
        volume = new_volume(noise(size, k), np.eye(4))
        formats.write(scans / f"scan_{k}.nii.gz", volume.voxels, like=volume)
    shapes = calls_of_network(lambda: predict(run.folder, scans, place / "first", chosen))  # warms up
    network = run.load_network()[0]
    images = {shape: torch.randn(shape) for shape in {*shapes}}

    @torch.inference_mode()
    def alone() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            for shape in shapes:
                network(images[shape])

    def files() -> None:
        for k in range(count):
            scan = formats.read(scans / f"scan_{k}.nii.gz")
            mask = formats.read(place / "first" / f"scan_{k}.nii.gz")
            formats.write(place / "copy.nii.gz", mask.voxels, like=scan)

    times = [
        (
            seconds(lambda turn=turn: predict(run.folder, scans, place / str(turn), chosen)),
            seconds(alone),
        )
        for turn in range(rounds)
    ]
    whole, net, shares = [a for a, _ in times], [b for _, b in times], [1 - b / a for a, b in times]
    print(f"folder of {count} scans of {'x'.join(map(str, size))}, {rounds} rounds")
    print(f"predict           {spread(whole, '.2f')} s")
    print(f"network alone     {spread(net, '.2f')} s, {sum(shape[0] for shape in shapes)} windows")
    print(f"reading, writing  {seconds(files):.2f} s one after another, masks of noise")
    print(f"not the network   {spread(shares, '.1%')} of the time")
    return {
        "predict_s": statistics.median(whole),
        "network_s": statistics.median(net),
        "share": statistics.median(shares),
    }


def compare_exported(
    recipe: Recipe, rounds: int, size: tuple[int, ...], threads: int, place: Path
) -> dict[str, object]:
    run = untrained_run(place / "run", recipe)
    folder = export_run(run.folder, place / "model", "onnx")
    model, image = ExportedModel(folder, threads=threads), noise(size, 0)
    network, scan = run.load_network()[0], new_volume(image)
    ours = {name: Predictor(network, recipe, 2, CPU, bf16=name == "bf16") for name in ("bf16", "float32")}
    calls: dict[str, Callable[[], object]] = {
        name: lambda predictor=predictor: predictor([scan], Path("scan.nii.gz"))[0] for name, predictor in ours.items()
    }
    calls["exported"] = lambda: model.labels([(image, None, None)])
    masks = {name: np.asarray(call()) for name, call in calls.items()}  # warms up
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            times[name].append(seconds(call))
    equal = {name: float((masks["exported"] == masks[name]).mean()) for name in ours}
    ratios = {name: [a / b for a, b in zip(times["exported"], times[name], strict=True)] for name in ours}
    cost = [a / b for a, b in zip(times["float32"], times["bf16"], strict=True)]
    print(f"exported {recipe.network.name}, scan of {'x'.join(map(str, size))}, {rounds} rounds")
    for name, found in times.items():
        print(f"{name:10} {spread(found, '.2f')} s")
    for name, found in ratios.items():
        print(f"ratio to {name:8} {spread(found, '.3f')}, {equal[name]:.4%} of voxels equal")
    print(f"float32 to bf16   {spread(cost, '.3f')}")
    return {
        "float32_to_bf16": cost,
        "seconds": {name: statistics.median(found) for name, found in times.items()},
        "ratio": {name: statistics.median(found) for name, found in ratios.items()},
        "equal": equal,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("scan", "folder", "export"), help="default: all")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=3, help="of the reference, timed in each round")
    parser.add_argument("--scans", type=int, default=4, help="in the folder")
    parser.add_argument(
        "--size", type=int, nargs=3, default=(160, 130, 80), help="of the scans in the folder, and of the exported one"
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--precision", choices=("float32", "bf16", "auto"), default="float32", help="of scan and folder"
    )
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe("la_8", ["predict.stride=even"])
    bf16 = uses_bf16(options.precision, CPU)
    precision = "bf16" if bf16 else "float32"
    result: dict[str, object] = {"threads": options.threads, "precision": precision}
    print(f"V-Net of 16 filters, {precision}, {options.threads} threads")
    if options.part in (None, "scan"):
        result["scan"] = compare_scan(recipe, options.rounds, options.windows, bf16)
    if options.part in (None, "export"):
        for name, each, size in (("export", recipe, options.size), ("export_2d", load_recipe("acdc_3"), ACDC_SIZE)):
            with tempfile.TemporaryDirectory() as place:
                result[name] = compare_exported(each, options.rounds, tuple(size), options.threads, Path(place))
    if options.part in (None, "folder"):
        with tempfile.TemporaryDirectory() as place:
            sizes = (options.scans, tuple(options.size), options.precision)
            result["folder"] = compare_folder(recipe, options.rounds, *sizes, Path(place))
    print(json.dumps(result))


if __name__ == "__main__":
    run(main)
