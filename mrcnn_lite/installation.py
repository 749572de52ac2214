"""Is what is installed a set that can work? torch and torchvision are built as a pair, and fail oddly if they are not.

`check` says so before anything else does, `described` is the line that the first cell of each notebook prints.
Read next: `devices.py`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform

import torch
from packaging.requirements import Requirement

REPAIR = "install both at once: pip install --upgrade torch torchvision (on Colab: then restart the session)"


def check() -> None:
    """ImportError, which says what to do, where torch and torchvision do not belong together.

    Two questions: does torchvision's own requirement hold for this torch, and do its compiled operations load? The
    second finds a torch without CUDA beside a torchvision with it, whose version numbers agree.
    """
    found = installed("torch")
    for requirement in map(Requirement, importlib.metadata.requires("torchvision") or []):
        if requirement.name == "torch" and not requirement.specifier.contains(found, prereleases=True):
            theirs = f"torchvision {installed('torchvision')} was built for torch {requirement.specifier}"
            raise ImportError(f"{theirs}, but torch is {found}: {REPAIR}")
    try:
        importlib.import_module("torchvision").ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        pair = f"torch {found} and torchvision {installed('torchvision')} do not work together"
        raise ImportError(f"{pair} ({error}): {REPAIR}") from error


def installed(package: str) -> str:
    """Its version, "2.6.0+cu124". ImportError where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError as error:
        raise ImportError(f"{package} is not installed: {REPAIR}") from error


def described(device: torch.device) -> str:
    """One line on what the course runs with, "torch 2.15.0, torchvision 0.29.2, Python 3.11; device: cpu"."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    versions = f"torch {torch.__version__}, torchvision {installed('torchvision')}, Python {platform.python_version()}"
    return f"{versions}; device: {device}{name and f' ({name})'}"
