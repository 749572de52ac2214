"""Is what is installed a set that can work? torch and torchvision are built as a pair, and fail oddly if they are not.

`check` says so before anything else does, `described` is the line that the first cell of each notebook prints.
Read next: `devices.py`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import re

import torch

REPAIR = "install both at once: pip install --upgrade torch torchvision (on Colab: then restart the session)"


def check() -> None:
    """ImportError, which says what to do, where torch and torchvision do not belong together.

    Two questions: does torchvision's own requirement hold for this torch, and do its compiled operations load? The
    second finds a torch without CUDA beside a torchvision with it, whose version numbers agree.
    """
    found, wanted = installed("torch"), requirement(importlib.metadata.requires("torchvision") or [])
    for sign, version in wanted:
        if not satisfies(found, sign, version):
            theirs = f"torchvision {installed('torchvision')} was built for torch {sign}{version}"
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


def requirement(requires: list[str]) -> list[tuple[str, str]]:
    """What a package's metadata ask of torch: ["torch (>=2.14.0)", "numpy"] -> [(">=", "2.14.0")]."""
    for line in requires:
        match = re.fullmatch(r"torch\s*\(?\s*((?:[=<>!~]=?=?\s*[\w.+*]+[\s,]*)*)\)?\s*(?:;.*)?", line.strip())
        if match:
            return re.findall(r"([=<>!~]=?)\s*([\w.+*]+)", match.group(1))
    return []


def satisfies(found: str, sign: str, wanted: str) -> bool:
    """Whether version `found` is what `sign` and `wanted` ask for; what stands behind "+" does not count.

    Signs other than ==, >=, >, <=, < are not judged: True.
    """
    have, want = numbers(found), numbers(wanted)
    if sign == "==" and wanted.endswith("*"):
        return have[: len(want)] == want
    length = max(len(have), len(want))
    have, want = (part + [0] * (length - len(part)) for part in (have, want))
    answers = {"==": have == want, ">=": have >= want, ">": have > want, "<=": have <= want, "<": have < want}
    return answers.get(sign, True)


def numbers(version: str) -> list[int]:
    """ "2.14.0rc1+cu130" -> [2, 14, 0]."""
    match = re.match(r"\d+(?:\.\d+)*", version)
    return [int(part) for part in match.group().split(".")] if match else []


def described(device: torch.device) -> str:
    """One line on what the course runs with, "torch 2.15.0, torchvision 0.29.2, Python 3.11; device: cpu"."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    versions = f"torch {torch.__version__}, torchvision {installed('torchvision')}, Python {platform.python_version()}"
    return f"{versions}; device: {device}{name and f' ({name})'}"
