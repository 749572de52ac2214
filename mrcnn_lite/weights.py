"""Weights in and out: our own files, and ImageNet's for the backbone. All by name.

A file of ours is a safetensors file that carries its configuration and class names; nothing is unpickled.
Read next: `torchvision_models.py` (its detectors as ours), then `training/run.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from .build import build_model
from .config import Config
from .files import atomic
from .model import MaskRCNN

FORMAT = "mrcnn_lite 1"


def save(model: MaskRCNN, path: str | os.PathLike[str], dtype: torch.dtype | None = None) -> None:
    """Write weights, configuration and class names to `path` (.safetensors), atomically.

    dtype: of the floating-point numbers in the file, None = as they are; torch.float16 halves the file.
    """
    from safetensors.torch import save_file

    tensors, seen = {}, set()
    for name, tensor in model.state_dict().items():
        # C4's box and mask head share res5: one copy is enough, and loading into either fills both.
        if tensor.data_ptr() in seen and tensor.numel():
            continue
        seen.add(tensor.data_ptr())
        stored = tensor.to(dtype) if dtype is not None and tensor.is_floating_point() else tensor
        tensors[name] = stored.detach().cpu().contiguous()
    about = {"format": FORMAT, "config": model.config.to_dict(), "class_names": list(model.class_names)}
    metadata = {"mrcnn_lite": json.dumps(about)}  # one key: safetensors writes several in a random order
    with atomic(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> MaskRCNN:
    """The model in a file written by `save`, in eval mode. Raises FileNotFoundError or ValueError naming the file."""
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("mrcnn_lite", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from error
    if about.get("format") != FORMAT:
        raise ValueError(f"{path}: format is {about.get('format')!r}, expected {FORMAT!r}: not saved by mrcnn_lite")
    model = build_model(Config.from_dict(about["config"]))
    model.class_names = tuple(about["class_names"])
    load_state(model, state, str(path))
    return model.eval().to(device)


def load_state(model: MaskRCNN, state: Mapping[str, Tensor], source: str) -> None:
    """Fill every tensor of the model by name. Raises ValueError that says what differs, class counts first."""
    own = model.state_dict()
    shared = {
        name for name in own if name not in state and name.startswith("heads.mask.body.")
    }  # C4's res5, see `save`
    classes = state.get("heads.box.cls_score.bias")
    if classes is not None and len(classes) != model.config.num_classes:
        raise ValueError(
            f"{source}: has {len(classes)} classes, the model {model.config.num_classes} (with background)"
        )
    missing, unexpected = sorted(set(own) - set(state) - shared), sorted(set(state) - set(own))
    differing = [
        f"{name}: {list(state[name].shape)}, model {list(own[name].shape)}"
        for name in sorted(set(own) & set(state))
        if state[name].shape != own[name].shape
    ]
    if missing or unexpected or differing:
        found = [f"{what} {shortened(names)}" for what, names in
                 (("lacks", missing), ("has the unknown", unexpected), ("differs in", differing)) if names]  # fmt: skip
        raise ValueError(f"{source} does not fit the model: it {'; '.join(found)}")
    model.load_state_dict(dict(state), strict=False)


def shortened(names: list[str]) -> str:
    """At most four of the names, for a message."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def load_imagenet(model: MaskRCNN, state: Mapping[str, Tensor] | None = None) -> None:
    """ImageNet classification weights (torchvision's, by name) into the backbone, and into res5 on C4.

    state: a torchvision ResNet's or ResNeXt's state dict; None downloads it (torchvision checks its digest). Raises
    ValueError for other shapes, ConnectionError where there is no network.
    """
    name = model.config.backbone
    if state is None:
        if name == "tiny":
            raise ValueError("backbone 'tiny' has no ImageNet weights: train it from scratch")
        from torchvision.models import get_model_weights

        weights = get_model_weights(name)["DEFAULT" if name == "resnext101_64x4d" else "IMAGENET1K_V1"]
        try:
            state = weights.get_state_dict(progress=True, check_hash=True)
        except OSError as error:  # URLError is one
            cache = os.path.join(torch.hub.get_dir(), "checkpoints")
            message = (
                f"no ImageNet weights of {name}: {weights.url} can't be reached ({error}). Put that file into {cache}"
            )
            raise ConnectionError(message) from error
    state = {key: tensor for key, tensor in state.items() if not key.startswith("fc.")}
    parts: list[tuple[nn.Module, dict[str, Tensor]]] = []
    body = model.backbone.get_submodule("body")
    if model.config.arch == "c4":
        res5 = {key[len("layer4.") :]: tensor for key, tensor in state.items() if key.startswith("layer4.")}
        parts.append((model.heads["box"].get_submodule("body.0"), res5))
        state = {key: tensor for key, tensor in state.items() if not key.startswith("layer4.")}
    parts.append((body, dict(state)))
    for module, tensors in parts:
        own = module.state_dict()
        tensors = {k: t for k, t in tensors.items() if k in own or not k.endswith("num_batches_tracked")}
        wrong = sorted(set(own) ^ set(tensors)) or [k for k in own if own[k].shape != tensors[k].shape]
        if wrong:
            raise ValueError(f"these weights are not those of {name} with norm {model.config.norm}: {shortened(wrong)}")
        module.load_state_dict(tensors)
