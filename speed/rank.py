"""Whether `crossmatch rank` chooses well: labels are added as it says, and in other ways, with trainings in between.

    python speed/rank.py WORK [--recipe phantom] [--data DATASET] [--start 2] [--add 2] [--rounds 2] [--steps 150]
                         [--method supervised] [--seeds 0] [--random 5] [--ways rank,uncertainty,variety,random]
                         [--start-steps STEPS] [--json FILE]

A run begins with the first `--start` labelled cases. Then, `--rounds` times, `--add` further training cases are
labelled and a run goes on from the one before (`train --from`). Chosen are they as `rank` does; by uncertainty alone;
by variety alone; and at random, `--random` times. All have equal steps. Reported is the mean Dice over the test cases,
which choose nothing. Without `--data` a phantom is drawn for each seed; data and runs lie in WORK, under the digest of
the labels in their order, and what is there is taken up again: two ways that choose alike share their runs.
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from crossmatch import formats
from crossmatch.atomic import write_json, write_text
from crossmatch.dataset.dataset import open_dataset
from crossmatch.dataset.orientation import put_onto
from crossmatch.inference.candidates import ScanToLabel
from crossmatch.inference.predict import Options, predictor_of
from crossmatch.inference.rank import look, pool_of
from crossmatch.inference.variety import choose
from crossmatch.phantom.phantom import PHANTOMS, make_phantom
from crossmatch.recipes.load import load_recipe
from crossmatch.runs.devices import choose_device
from crossmatch.runs.display import Silent
from crossmatch.runs.run import open_run
from crossmatch.scoring.metrics import dice_per_class
from crossmatch.training.fit import fit


def main() -> None:
    """Simulate, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--recipe", default="phantom")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--start", type=int, default=2)
    parser.add_argument("--add", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--start-steps", type=int, help="of the first run; --steps where left out")
    parser.add_argument("--method", default="supervised")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--random", type=int, default=5)
    parser.add_argument("--ways", default="rank,uncertainty,variety,random")
    parser.add_argument("--test", type=int, default=20, help="test cases, evenly chosen")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--figure", type=Path, help="an SVG of the means")
    options = parser.parse_args()
    options.start_steps = options.start_steps or options.steps
    found = [_simulate(options, int(seed)) for seed in options.seeds.split(",")]
    result = {
        "settings": {
            key: value for key, value in vars(options).items() if key not in ("work", "data", "json", "figure")
        },
        "seeds": found,
    }
    means = {}
    for way in options.ways.split(","):
        rows = [row["dice"] for one in found for name, row in one["ways"].items() if name.split()[0] == way]
        if rows:
            means[way] = np.mean(rows, axis=0).tolist()
            print(way, " ".join(f"{100 * value:.1f}" for value in np.mean(rows, axis=0)), f"({len(rows)} draws)")
    if options.json:
        write_json(options.json, result)
    if options.figure:
        write_text(options.figure, _figure(means, options.start, options.add))
    print(json.dumps(result))


def _figure(means: dict[str, list[float]], start: int, add: int) -> str:
    """Mean Dice in percent against the number of labelled cases, a line for each way, as SVG."""
    colours = {"rank": "#c1272d", "uncertainty": "#0072b2", "variety": "#009e73", "random": "#777777"}
    values = [value for row in means.values() for value in row]
    low, high = 10 * np.floor(10 * min(values)), 10 * np.ceil(10 * max(values))

    def at(step: int, dice: float) -> tuple[float, float]:
        return 60 + step * 150, 250 - 220 * (100 * dice - low) / (high - low)

    steps = range(len(next(iter(means.values()))))
    parts = [f'<text x="{at(n, 0)[0]}" y="280" text-anchor="middle">{start + n * add} labelled</text>' for n in steps]
    for percent in np.arange(low, high + 1, 10):
        y = at(0, percent / 100)[1]
        parts.append(f'<line x1="60" x2="{at(steps[-1], 0)[0]}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="50" y="{y + 4:.1f}" text-anchor="end">{percent:.0f} %</text>')
    for number, (way, row) in enumerate(means.items()):
        points = " ".join("{:.1f},{:.1f}".format(*at(n, value)) for n, value in enumerate(row))
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[way]}" stroke-width="2"/>')
        where = f'x="{at(steps[-1], 0)[0] + 12}" y="{60 + 20 * number}"'
        parts.append(f'<text {where} fill="{colours[way]}">{way} {100 * row[-1]:.1f} %</text>')
    size = f'width="{at(steps[-1], 0)[0] + 150}" height="300"'
    style = 'font-family="sans-serif" font-size="13"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(parts)}</svg>\n'


def _simulate(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """All ways of choosing with the data of one seed."""
    work = options.work / f"seed{seed}"
    data = work / "data"
    if not data.exists():
        if options.data is None:
            make_phantom(data, PHANTOMS[options.recipe], test=options.test, seed=seed)
        else:
            _beside(options.data, data)
    dataset = open_dataset(data)
    train = [case for case in dataset.split("train") if case.label is not None]
    patients = {case.id: case.patient for case in train}
    start = list(patients)[: options.start] if options.data is None else _listed(data, options.start)
    draws = [f"random {n}" for n in range(options.random)]
    ways = [way for one in options.ways.split(",") for way in (draws if one == "random" else [one])]
    first = _trained(options, data, work, start, None, seed)
    result: dict[str, Any] = {"seed": seed, "start": start, "dice_start": _dice(first, data, options), "ways": {}}
    for way in ways:
        labelled, run, dice = list(start), first, [result["dice_start"]]
        for number in range(1, options.rounds + 1):
            labelled += _chosen(way, run, data, labelled, options, seed, number)
            run = _trained(options, data, work, labelled, run, seed)
            dice.append(_dice(run, data, options))
        result["ways"][way] = {"dice": dice, "labelled": labelled}
        print(seed, way, " ".join(f"{100 * value:.1f}" for value in dice), flush=True)
    return result


def _beside(source: Path, data: Path) -> None:
    """A dataset of the same images and labels with lists of its own."""
    data.mkdir(parents=True)
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        (data / name).symlink_to((source / name).resolve())
    shutil.copy(source / "dataset.json", data)
    shutil.copytree(source / "splits", data / "splits")


def _listed(data: Path, patients: int) -> list[str]:
    """The labelled cases of a dataset's own list for so many patients."""
    return (data / "splits" / f"train_{patients}_label.txt").read_text().split()


def _trained(
    options: argparse.Namespace, data: Path, work: Path, labelled: list[str], before: Path | None, seed: int
) -> Path:
    """A run with these labels, which goes on from another."""
    name = hashlib.sha256("\n".join(labelled).encode()).hexdigest()[:12]
    (data / "splits" / f"train_{name}_label.txt").write_text("\n".join(labelled) + "\n")
    steps = options.steps if before else options.start_steps
    changes = [
        f"method.name={options.method}",
        f"data.labelled={name}",
        f"train.steps={steps}",
        f"train.validate_every={steps}",
        f"train.checkpoint_every={steps}",
        f"seed={seed}",
    ]
    out = work / name
    if not (out / "checkpoints" / "last.safetensors").is_file():
        fit(load_recipe(options.recipe, changes), data, out, Silent(), device="cpu", begin_from=before)
    return out


def _chosen(
    way: str, run: Path, data: Path, labelled: list[str], options: argparse.Namespace, seed: int, number: int
) -> list[str]:
    """The training cases to label next."""
    cases = [case for case in open_dataset(data).split("train") if case.label is not None]
    left, known = ([c for c in cases if (c.id in labelled) == there] for there in (False, True))
    if way.startswith("random"):
        draw = np.random.default_rng([seed, number, int(way.split()[1])])
        patients = draw.permutation(sorted({case.patient for case in left}))[: options.add]
        return [str(draw.choice([case.id for case in left if case.patient == one])) for one in patients]
    groups = [[ScanToLabel(c.id, c.patient, c.images) for c in group] for group in (left, known)]
    looked, of_known = look(open_run(run), groups, "last", "cpu")
    pool = {"rank": pool_of(looked, options.add), "uncertainty": options.add, "variety": len(left)}[way]
    names = [case.patient for case in left]
    found = choose(looked.uncertainty, looked.features, names, of_known.features, options.add, min(len(left), pool))
    return [left[one.number].id for one in found]


def _dice(folder: Path, data: Path, options: argparse.Namespace) -> float:
    """Mean Dice over test cases and classes."""
    run, dataset = open_run(folder), open_dataset(data)
    network, _ = run.load_network()
    device = choose_device("cpu")
    predictor = predictor_of([run], network.to(device), device, Options())
    cases = dataset.split("test")
    cases = [cases[k * len(cases) // options.test] for k in range(min(options.test, len(cases)))]
    rows = []
    for case in cases:
        volumes = formats.read_channels(case.images)
        labels, _ = predictor(volumes, case.images[0])
        assert case.label is not None
        reference = put_onto(volumes[0], formats.read_label(case.label, volumes[0], dataset.drawn), case.label, "its")
        rows.append(dice_per_class(labels, reference.voxels, run.classes).mean())
    return float(np.mean(rows))


if __name__ == "__main__":
    main()
