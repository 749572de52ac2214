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
from .files import atomic, naming
from .model import MaskRCNN

FORMAT = "mrcnn_lite 1"
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # any of them fills any other


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
    """The model in a file written by `save`, in eval mode. Raises FileNotFoundError or ValueError naming the file.

    The file is not trusted: nothing in it is run, and memory is taken for what it holds, not for what it claims.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file of weights")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}){hint_of_pickle(path)}") from error
    with naming(path):
        config, class_names = read_about(metadata.get("mrcnn_lite", "{}"))
        with torch.device("meta"):  # shapes alone: the configuration may be of any size, the file says what is true
            check_state(build_model(config).state_dict(), state, config.num_classes)
    model = build_model(config)
    model.class_names = class_names
    load_state(model, state, str(path))
    return model.eval().to(device)


def read_about(text: str) -> tuple[Config, tuple[str, ...]]:
    """What `save` wrote about the model -> configuration, class names. Raises ValueError."""
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"what it says about itself is not JSON: {error}") from error
    found = about.get("format") if isinstance(about, dict) else None
    if found != FORMAT:
        raise ValueError(f"format is {found!r:.99}, expected {FORMAT!r}: not saved by mrcnn_lite")
    config, names = Config.from_dict(about.get("config")), about.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names are {names!r:.99}, expected a list of texts")
    if len(names) != config.num_classes:
        raise ValueError(f"{len(names)} class_names for num_classes {config.num_classes} (with background)")
    return config, tuple(names)


def hint_of_pickle(path: Path) -> str:
    """The end of a message, where a file is one of torch.save's."""
    with open(path, "rb") as file:
        start = file.read(2)
    if start not in (b"PK", b"\x80\x02"):
        return ""
    hint = ": it was written by torch.save and is never unpickled here"
    return hint + (". model.safetensors beside it holds the weights" if path.name == "last.pt" else "")


def load_state(model: MaskRCNN, state: Mapping[str, Tensor], source: str) -> None:
    """Fill every tensor of the model by name. Raises ValueError that says what differs, class counts first."""
    with naming(source):
        check_state(model.state_dict(), state, model.config.num_classes)
        check_numbers(state)
    model.load_state_dict(dict(state), strict=False)


def check_state(own: Mapping[str, Tensor], state: Mapping[str, Tensor], num_classes: int) -> None:
    """Raise ValueError unless `state` has the tensors of `own`: their names, shapes and kinds of numbers."""
    shared = {
        name for name in own if name not in state and name.startswith("heads.mask.body.")
    }  # C4's res5, see `save`
    classes = state.get("heads.box.cls_score.bias")
    if classes is not None and classes.dim() == 1 and len(classes) != num_classes:
        raise ValueError(f"has {len(classes)} classes, the model {num_classes} (with background)")
    missing, unexpected = sorted(set(own) - set(state) - shared), sorted(set(state) - set(own))
    both = sorted(set(own) & set(state))
    differing = [
        f"{name}: {list(state[name].shape)}, model {list(own[name].shape)}"
        for name in both
        if state[name].shape != own[name].shape
    ]
    kinds = [
        f"{name}: {state[name].dtype}, model {own[name].dtype}"
        for name in both
        if state[name].dtype not in (FLOATS if own[name].is_floating_point() else (own[name].dtype,))
    ]
    problems = {"lacks": missing, "has the unknown": unexpected, "differs in": differing + kinds}
    if any(problems.values()):
        found = "; ".join(f"{what} {shortened(names)}" for what, names in problems.items() if names)
        raise ValueError(f"does not fit the model: it {found}")


def check_numbers(state: Mapping[str, Tensor]) -> None:
    """Raise ValueError for weights that are no numbers, and for a variance below 0: the model would find nothing."""
    wrong = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if wrong:
        raise ValueError(f"has NaN or infinite weights in {shortened(wrong)}")
    wrong = [name for name, tensor in state.items() if name.endswith("running_var") and bool((tensor < 0).any())]
    if wrong:
        raise ValueError(f"has a variance below 0 in {shortened(wrong)}")


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
