"""Write the golden numbers of this folder from the files of the released code's run; needed once.

    python tests/golden/make.py ../shared/golden

The source is github.com/AiEson/CrossMatch, commit 59772e0, run on a CPU in float32 (networks and objectives), and medpy
0.5.2 (metrics). `numbers.json` has the value of every term of the objective, and of every array of logits and gradients
its sum, the sum of its absolute values, and a few entries. `metrics.npz` has the masks as well. The inputs of networks
and objectives are not stored: `golden_inputs.py` draws them again, and they are compared here bit for bit.
"""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import golden_inputs
import numpy as np
import torch
from golden_digest import digest

HERE = Path(__file__).parent
OBJECTIVES = {
    "objective2d_shared_eta0.3_tau0.95": 2,
    "objective2d_shared_eta0.6_tau0.7": 2,
    "objective3d_shared_it0": 3,
    "objective3d_shared_it5000": 3,
}


def read(path: Path) -> dict[str, torch.Tensor]:
    """The arrays of an .npz file."""
    with np.load(path) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def network(path: Path, state: dict[str, torch.Tensor], image: torch.Tensor) -> dict[str, Any]:
    """What the released network makes of the image, in eval mode and in train mode without dropout."""
    golden = read(path)
    weights = {name[2:]: value for name, value in golden.items() if name.startswith("w:")}
    assert weights.keys() == state.keys()
    assert all(torch.equal(weights[name], state[name]) for name in weights)
    assert torch.equal(golden["input"], image)
    return {name: digest(golden[name]) for name in ("logits_eval", "logits_train_nodrop")}


def objective(path: Path, dims: int) -> dict[str, Any]:
    """Every term, and the gradient of the total with regard to the logits that learn."""
    golden = read(path)
    streams, boxes = golden_inputs.objective(dims)
    assert all(torch.equal(golden[f"in:{name}"], value) for name, value in streams.items())
    assert torch.equal(torch.stack([golden["in:box1"], golden["in:box2"]], 1).bool(), boxes)
    terms = {name[4:].removesuffix(f"_{dims}d"): v.item() for name, v in golden.items() if name.startswith("out:")}
    gradients = {name[5:]: digest(value) for name, value in golden.items() if name.startswith("grad:")}
    return {
        "dims": dims,
        "eta": golden["eta"].item(),
        "tau": golden["tau"].item(),
        "terms": terms,
        "gradients": gradients,
    }


def main(source: Path) -> None:
    """Write both files."""
    numbers = {
        "source": "github.com/AiEson/CrossMatch, commit 59772e0",
        "networks": {
            "unet": network(source / "unet2d_shared.npz", *golden_inputs.unet()),
            "vnet": network(source / "vnet3d_shared.npz", *golden_inputs.vnet()),
        },
        "objectives": {name: objective(source / f"{name}.npz", dims) for name, dims in OBJECTIVES.items()},
    }
    (HERE / "numbers.json").write_text(json.dumps(numbers, indent=1) + "\n")
    shutil.copyfile(source / "metrics_shared.npz", HERE / "metrics.npz")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
