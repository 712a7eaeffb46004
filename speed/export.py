"""How large and how quick exported models are, and whether their masks are ours: in a clean environment.

    python speed/export.py RUN SCANS --out docs/results/export/NAME.json [--venv VENV] [--rounds 3]

A run is exported in every format. Then a new virtual environment gets numpy, onnxruntime and nibabel alone, and its
Python runs the exported infer.py on SCANS, a file or a folder. Its masks are compared with those of `crossmatch predict
--device cpu`, which computes in float32, and with those of `--precision bf16`. Times of all alternate, each with
`--threads`, and are of whole processes, so that imports and opening the model count as well. The last line is JSON.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from crossmatch import formats
from crossmatch.atomic import write_json
from crossmatch.export.export_run import FORMATS, export_run
from timing import run, spread

PACKAGES = ("numpy", "onnxruntime", "nibabel")


def clean_python(folder: Path) -> tuple[Path, dict[str, str]]:
    """The Python of an environment with `PACKAGES` alone, and what is installed there."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
    code = "import json,importlib.metadata as m; print(json.dumps({d.name: d.version for d in m.distributions()}))"
    found: dict[str, str] = json.loads(subprocess.run([str(python), "-I", "-c", code], **SAID).stdout)
    wrong = {"torch", "crossmatch"} & found.keys()
    if wrong:
        raise SystemExit(f"{folder} is not clean: it has {', '.join(wrong)}")
    return python, dict(sorted(found.items()))


SAID = {"check": True, "capture_output": True, "text": True}


def timed(command: list[str], threads: int) -> float:
    """Seconds of a process."""
    variables = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    start = time.perf_counter()
    subprocess.run(command, check=True, env=variables, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def agreement(found: Path, wanted: Path) -> dict[str, object]:
    """Share of equal voxels: of all, and of those that are foreground in either mask."""
    equal = voxels = inside = different = 0
    for path in sorted(wanted.iterdir()):
        if path.name not in ("prediction.json", "quality.csv"):
            mine, ours = formats.read(found / path.name).voxels, formats.read(path).voxels
            equal, voxels = equal + int((mine == ours).sum()), voxels + mine.size
            inside += int(((mine > 0) | (ours > 0)).sum())
            different += int((mine != ours).sum())
    return {"equal": equal / voxels, "equal_of_foreground": 1 - different / max(inside, 1), "different": different}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("scans", type=Path)
    parser.add_argument("--out", type=Path, help="a JSON file for the result")
    parser.add_argument("--venv", type=Path, help="the clean environment; made where it is not there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        result = measure(options, Path(place))
    if options.out is not None:
        write_json(options.out, result)
    print(json.dumps(result))


def measure(options: argparse.Namespace, place: Path) -> dict[str, object]:
    exported: dict[str, object] = {}
    for format in FORMATS:
        start = time.process_time()  # of a machine that does other things too
        folder = export_run(options.run, place / format, format)
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in sorted(folder.rglob("*.*"))}
        exported[format] = {"cpu_seconds": round(time.process_time() - start, 2), "bytes": sizes}
        print(f"{format:8} {sum(sizes.values()) / 1e6:6.2f} MB, exported in {exported[format]['cpu_seconds']} CPU s")
    python, installed = clean_python(options.venv or place / "venv")
    print("clean environment:", ", ".join(f"{name} {version}" for name, version in installed.items()))
    times = defaultdict[str, list[float]](list)
    for turn in range(options.rounds):
        commands = {
            "infer.py": [str(python), "-I", str(place / "onnx/infer.py"), str(options.scans), str(place / f"i{turn}")],
            "predict": predict(options.run, options.scans, place / f"p{turn}"),
            "predict in bf16": [*predict(options.run, options.scans, place / f"b{turn}"), "--precision", "bf16"],
        }
        if (place / "onnx/estimate.py").is_file():  # the run has a calibration of quality
            estimate = [str(place / "onnx/estimate.py"), str(options.scans), str(place / f"e{turn}")]
            commands["estimate.py"] = [str(python), "-E", "-s", *estimate]
        for name, command in commands.items():
            times[name].append(timed(command, options.threads))
    equal = {
        "in float32": agreement(place / "i0", place / "p0"),
        "in bf16": agreement(place / "i0", place / "b0"),
        **({"by estimate.py": agreement(place / "i0", place / "e0")} if (place / "e0").is_dir() else {}),
    }
    shapes = sorted({formats.read_grid(path).shape for path in (place / "i0").iterdir()})
    for name, seconds in times.items():
        print(f"{name:20} {spread(seconds, '.2f')} s")
    ratios = [ours / theirs for ours, theirs in zip(times["infer.py"], times["predict"], strict=True)]
    cost = [precise / rough for precise, rough in zip(times["predict"], times["predict in bf16"], strict=True)]
    print(f"ratio to predict     {spread(ratios, '.3f')}")
    print(f"float32 to bf16      {spread(cost, '.3f')}")
    for name, found in equal.items():
        print(f"equal, {name}: {found['equal']:.6%} of voxels, {found['equal_of_foreground']:.4%} of foreground")
    record = json.loads((options.run / "run.json").read_text(encoding="utf-8"))
    return {
        "run": {
            "method": record["recipe"]["method"]["name"],
            "network": record["recipe"]["network"],
            "size": record["recipe"]["data"]["size"],
            "sampling": record["recipe"]["data"]["sampling"],
            "spacing_mm": record["recipe"]["data"]["spacing_mm"],
            "precision": record["device"]["precision"],
            "steps": record["recipe"]["train"]["steps"],
        },
        "scans": {"count": len(list((place / "i0").iterdir())), "shapes": shapes},
        "exported": exported,
        "clean_environment": installed,
        "threads": options.threads,
        "seconds": times,
        "ratio_to_predict": statistics.median(ratios),
        "predict_float32_to_bf16": statistics.median(cost),
        "masks": equal,
        "numpy": np.__version__,
    }


def predict(run_folder: Path, scans: Path, out: Path) -> list[str]:
    return [sys.executable, "-m", "crossmatch", "predict", str(run_folder), str(scans), str(out), "--device", "cpu"]


if __name__ == "__main__":
    run(main)
