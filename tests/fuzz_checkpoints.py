"""Checkpoints as untrusted input: weights (safetensors) for `load`, training checkpoints for `load_checkpoint`.

Read next: `fuzz_kinds.py`, the table of all eight kinds.
"""

from __future__ import annotations

import io
import json
import pickle
import tempfile
import zipfile
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import fuzz_rules as rules
import torch
from fuzz_mutations import (
    EDGES,
    json_text,
    mutate_bytes,
    mutate_tensor,
    mutate_tree,
    safetensors_file,
    safetensors_parts,
)
from fuzz_seeds import Kind, Mutant, small_model
from safetensors.torch import load as unpacked
from safetensors.torch import save as packed

from mrcnn_lite import load, save
from mrcnn_lite.training.checkpoint import load_checkpoint


@cache
def weights_file() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        save(small_model(("mask",)), Path(folder, "a.safetensors"), torch.float16)
        return Path(folder, "a.safetensors").read_bytes()


@cache
def training_content() -> dict[str, Any]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    identity = {"settings.lr": 0.1, "seed": 0, "freeze": [], "classes": ("background", "cat")}
    state = {
        "model": dict(model.state_dict()),
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "average": {},
        "step": 1,
    }
    return {"format": "mrcnn_lite training 1", **state, "identity": identity, "seconds": 1.5, "finished": False}


class Evil:
    """What a pickle can do to whoever loads it: here it would make a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return (Path.touch, (self.file,))


class Checkpoints(Kind):
    """Weights (safetensors) for `load`, training checkpoints for `load_checkpoint`."""

    name = "checkpoints"
    parser = "safetensors header parsed; of a training checkpoint, read by torch as plain data"
    named = r"model\.safetensors|last\.pt"

    def mutate(self, random: Random, folder: Path) -> Mutant:
        evil = folder / "evil"
        evil.unlink(missing_ok=True)
        training = random.random() > 0.7
        file = folder / ("last.pt" if training else "model.safetensors")
        file.write_bytes(damaged_training(random, file, evil) if training else damaged_weights(random, evil))
        return {"file": file, "evil": evil, "training": training}

    def past(self, mutant: Mutant) -> bool:
        from safetensors import safe_open

        try:
            if mutant["training"]:
                torch.load(mutant["file"], weights_only=True)
            else:
                with safe_open(mutant["file"], framework="pt"):
                    pass
        except Exception:  # zip, pickle, C++ and Rust errors
            return False
        return True

    def call(self, mutant: Mutant) -> Any:
        return (load_checkpoint if mutant["training"] else load)(mutant["file"])

    def check(self, mutant: Mutant, result: Any) -> None:
        if mutant["training"]:
            assert result["format"] == training_content()["format"]
            rules.good_plain(result)
            return
        rules.good_config(result.config.to_dict())
        assert len(result.class_names) == result.config.num_classes and all(
            isinstance(n, str) for n in result.class_names
        )
        assert all(bool(tensor.isfinite().all()) for tensor in result.state_dict().values()), "accepted NaN weights"


def damaged_weights(random: Random, evil: Path) -> bytes:
    """A file of `save` with damage to one of its layers: tensors, numbers, header, what it says of the model, bytes."""
    data = weights_file()
    start = 8 + int.from_bytes(data[:8], "little")
    head, numbers = safetensors_parts(data)
    way = random.choice((*["about"] * 4, *["tensors"] * 3, "numbers", *["header"] * 3, "bytes", "cut", "another"))
    if way == "about":  # configuration, class names
        about = json.loads(head["__metadata__"]["mrcnn_lite"])
        text = json_text(mutate_tree(about, random), random).decode("utf-8", "replace")
        head["__metadata__"] = random.choice(EDGES) if random.random() > 0.95 else {"mrcnn_lite": text}
        return safetensors_file(head, numbers)
    if way == "tensors":
        state = unpacked(data)
        for name in random.sample(sorted(state), random.randint(1, 3)):
            tensor = mutate_tensor(state.pop(name), random)
            if isinstance(tensor, torch.Tensor) and tensor.layout == torch.strided and not tensor.is_meta:
                new = random.choice(sorted(state)) if random.random() > 0.8 else name
                state[new] = tensor.contiguous().clone()
        return packed(state, head["__metadata__"])
    if way == "numbers":  # NaN, infinity, 0 as float16
        at = start + 2 * random.randrange(len(numbers) // 2)
        return data[:at] + random.choice((b"\0\x7e", b"\0\x7c", b"\0\xfc", b"\0\0")) + data[at + 2 :]
    if way == "header":  # names, dtypes, shapes, places
        some = {name: head[name] for name in random.sample(sorted(head), 12) if name != "__metadata__"}
        changed = mutate_tree(some, random)
        rest = {name: value for name, value in head.items() if name not in some}
        return safetensors_file(rest | changed if isinstance(changed, dict) else changed, numbers)
    if way == "bytes":
        return mutate_bytes(data, random, first=start)
    if way == "cut":
        return data[: random.choice((0, 7, 8, start - 1, start, len(data) - 1, random.randrange(len(data))))]
    return random.choice((b"", b"PK\3\4", b"\x80\x02", b"{}", pickled(evil), b"\xff" * 100))


def damaged_training(random: Random, file: Path, evil: Path) -> bytes:
    """A training checkpoint with damage to its content, to a member of the zip, to its bytes; or another file."""
    way = random.choice((*["content"] * 4, "member", "member", "bytes", "another"))
    if way == "another":
        return random.choice((b"", b"PK\3\4", b"{}", pickled(evil), weights_file()[:2000]))
    content = mutate_tree(training_content(), random) if way == "content" else training_content()
    if way == "content" and isinstance(content, dict) and random.random() > 0.9:
        content["identity"] = Evil(evil)
    torch.save(content, file)
    data = file.read_bytes()
    if way == "member":
        return damaged_zip(data, random)
    return mutate_bytes(data, random) if way == "bytes" else data


def pickled(evil: Path) -> bytes:
    return pickle.dumps(Evil(evil), protocol=2)


def damaged_zip(data: bytes, random: Random) -> bytes:
    """One member of a zip is damaged, its checksum is right."""
    source, target_ = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    names = source.namelist()
    chosen = random.choice(names + [name for name in names if name.endswith("data.pkl")] * 4)
    with zipfile.ZipFile(target_, "w") as sink:
        for name in names:
            content = source.read(name)
            sink.writestr(name, mutate_bytes(content, random) if name == chosen else content)
    return target_.getvalue()
