"""Checkpoint files: what is written comes back, whole or not at all, and foreign files are named."""

import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from crossmatch.errors import UserError
from crossmatch.runs import checkpoint as module
from crossmatch.runs.checkpoint import Checkpoint, load_checkpoint, load_facts, load_weights, save_checkpoint


@pytest.fixture
def kept() -> Checkpoint:
    weight = torch.arange(6.0).view(2, 3)
    training = {"method/w": weight, "optimizer/0/momentum": weight.t(), "seen": torch.tensor(7)}
    return Checkpoint(
        {"step": 12, "seconds": 1.5, "best": 0.25, "note": "ü"}, {"w": weight, "same.w": weight}, training
    )


def test_what_is_written_comes_back(kept: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "new" / "last.safetensors"
    save_checkpoint(path, kept)
    found = load_checkpoint(path)
    assert found.facts == kept.facts
    for old, new in ((kept.network, found.network), (kept.training, found.training)):
        assert old.keys() == new.keys()
        assert all(torch.equal(old[key], new[key]) and old[key].dtype == new[key].dtype for key in old)
    assert [entry.name for entry in path.parent.iterdir()] == ["last.safetensors"]


def test_facts_are_read_without_the_tensors(kept: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, kept)
    network = load_checkpoint(path, training=False)
    assert network.network.keys() == kept.network.keys()
    assert not network.training

    class Header:
        """As `safe_open`, of a file whose tensors nobody may read."""

        def __init__(self, *args: object, **options: object) -> None:
            self.file = safe_open(*args, **options)

        def __enter__(self) -> "Header":
            return self

        def __exit__(self, *error: object) -> None:
            pass

        def metadata(self) -> dict[str, str]:
            return self.file.metadata()

    monkeypatch.setattr(module, "safe_open", Header)
    assert load_facts(path) == kept.facts
    with pytest.raises(UserError, match="There is no checkpoint"):
        load_facts(tmp_path / "none.safetensors")


def test_a_crash_while_writing_keeps_the_old_one(
    kept: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.safetensors"
    save_checkpoint(path, kept)

    def crash(tensors: object, aside: Path, metadata: object) -> None:
        Path(aside).write_bytes(b"half")
        raise OSError("power cut")

    monkeypatch.setattr(module, "save_file", crash)
    with pytest.raises(UserError, match=r"cannot be written .power cut"):
        save_checkpoint(path, Checkpoint({"step": 13, "seconds": 2.0}, {}, {}))
    assert load_checkpoint(path).facts["step"] == 12


def test_files_that_are_no_checkpoint(kept: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "last.safetensors"
    with pytest.raises(UserError, match=r"no checkpoint .*last\.safetensors: train first"):
        load_checkpoint(path)
    save_checkpoint(path, kept)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"last\.safetensors cannot be read .* damaged"):
        load_checkpoint(path)
    torch.save({"w": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="cannot be read"):
        load_checkpoint(path)
    foreign = {"crossmatch": '{"step": 1, "seconds": 0}'}
    for metadata, tensors in ((None, {"network/w": torch.zeros(1)}), (foreign, {"w": torch.zeros(1)})):
        save_file(tensors, path, metadata=metadata)
        with pytest.raises(UserError, match="no checkpoint of crossmatch"):
            load_checkpoint(path)
    for header in ("{", "{}", '{"step": "1", "seconds": 0}', '{"step": 1, "seconds": Infinity}', "[" * 10_000):
        save_file({}, path, metadata={"crossmatch": header})
        with pytest.raises(UserError, match=r"The header of the checkpoint .* is damaged"):
            load_checkpoint(path)


def test_a_checkpoint_has_the_permissions_of_the_umask(kept: Checkpoint, tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "last.safetensors", kept)
    finally:
        os.umask(before)
    assert (tmp_path / "last.safetensors").stat().st_mode & 0o777 == 0o644


def test_weights_of_another_network_are_named() -> None:
    for other, told in ((nn.Linear(3, 2), "size mismatch for weight"), (nn.BatchNorm1d(2), "Unexpected key")):
        with pytest.raises(
            UserError, match=rf"^ours\.safetensors belongs to another network than the recipe's: {told}"
        ):
            load_weights(nn.Linear(2, 2), other.state_dict(), "ours.safetensors")
