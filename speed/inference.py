"""How long prediction takes: a scan beside a plain loop over windows, and a folder of scans beside its network alone.

    python speed/inference.py [--part scan|folder] [--rounds 3] [--windows 3] [--scans 4] [--size 160 130 80]

Scan: the 16-filter V-Net with random weights on a scan of LA's size, by the windows that `predict` lays where no stride
is given, and by the published windows written plainly: stride 18, 18, 4, float32, one by one, probabilities summed up
(released code github.com/AiEson/CrossMatch, commit 59772e0, LA/code/test_util.py). The plain loop takes minutes, so
`--windows` of its 72 are timed and scaled up. Folder: scans of `--size` through `predict`, against as many calls of its
network with nothing around them; the share of time that is not the network holds everything else, opening the run
included.

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
from crossmatch.formats import new_volume
from crossmatch.inference.predict import Options, predict
from crossmatch.inference.predictor import Predictor
from crossmatch.inference.windows import window_starts
from crossmatch.networks.segmenter import to_channels_last
from crossmatch.networks.vnet import VNet
from crossmatch.recipes.load import load_recipe
from crossmatch.recipes.schema import Recipe
from crossmatch.runs.checkpoint import Checkpoint, save_checkpoint
from crossmatch.runs.devices import uses_bf16
from crossmatch.runs.machine import Machine
from crossmatch.runs.run import Run, create_run
from timing import run, seconds, spread

LA_SIZE = (200, 150, 88)  # an ordinary scan of the left atrium in its published preparation
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


def compare_scan(recipe: Recipe, rounds: int, windows: int) -> dict[str, object]:
    torch.manual_seed(0)
    ordinary = VNet(3, 1, 2).eval()
    fast = VNet(3, 1, 2).eval()
    fast.load_state_dict(ordinary.state_dict())
    predictor, image = Predictor(to_channels_last(fast), recipe, 2, CPU), noise(LA_SIZE, 0)
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
    facts = {"root": "scans", "labels": {"background": 0, "atrium": 1}, "channels": ["MR"], "slice_axis": 2}
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


def compare_folder(recipe: Recipe, rounds: int, count: int, size: tuple[int, ...], place: Path) -> dict[str, object]:
    run, scans = untrained_run(place / "run", recipe), place / "scans"
    for k in range(count):
        volume = new_volume(noise(size, k), np.eye(4))
        formats.write(scans / f"scan_{k}.nii.gz", volume.voxels, like=volume)
    shapes = calls_of_network(lambda: predict(run.folder, scans, place / "first", Options(device="cpu")))  # warms up
    network = run.load_network()[0]
    images, bf16 = {shape: torch.randn(shape) for shape in {*shapes}}, uses_bf16(recipe.train.precision, CPU)

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
            seconds(lambda turn=turn: predict(run.folder, scans, place / str(turn), Options(device="cpu"))),
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("scan", "folder"), help="default: both")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--windows", type=int, default=3, help="of the reference, timed in each round")
    parser.add_argument("--scans", type=int, default=4, help="in the folder")
    parser.add_argument("--size", type=int, nargs=3, default=(160, 130, 80), help="of the scans in the folder")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe = load_recipe("la_8", ["predict.stride=even"])
    precision = "bf16" if uses_bf16(recipe.train.precision, CPU) else "float32"
    result: dict[str, object] = {"threads": options.threads, "precision": precision}
    print(f"V-Net of 16 filters, {precision}, {options.threads} threads")
    if options.part != "folder":
        result["scan"] = compare_scan(recipe, options.rounds, options.windows)
    if options.part != "scan":
        with tempfile.TemporaryDirectory() as place:
            sizes = (options.scans, tuple(options.size))
            result["folder"] = compare_folder(recipe, options.rounds, *sizes, Path(place))
    print(json.dumps(result))


if __name__ == "__main__":
    run(main)
