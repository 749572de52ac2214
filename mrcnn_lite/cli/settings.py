"""What the commands share: from words on the command line to a `Config`, by names, JSON files and `--set key=value`.

A value is read as a Python literal and must then be of the kind that the setting has; nothing is evaluated. Wrong
names are answered with near ones. Read next: `train.py`, which uses all of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import os
import re
import reprlib
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from ..config import Config
from ..files import naming, read_json

TINY = ("tiny", "tiny-dense")
LARGEST_TINY = 512  # pixels of the shorter edge: the tiny network's anchors end at 64, larger pictures are made smaller
MANY_OBJECTS = 15  # a picture: half of the RoIs that tiny learns from
WORDS = {"true": True, "false": False}


def read_config(name: str) -> Config:
    """The configuration of that name, or in that JSON file (any of the settings; the others are the defaults).

    Raises ValueError or FileNotFoundError with near names, or with the file and what is wrong in it.
    """
    path = Path(name)
    if path.suffix != ".json" and not path.is_file():
        if name not in Config.names():
            raise ValueError(f"no configuration {name!r}{near(name, Config.names())}: `mrcnn-lite info` lists them")
        return Config.named(name)
    if not path.exists():
        raise FileNotFoundError(f"there is no configuration file {path}")
    content = read_json(path)
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds a {type(content).__name__}, expected an object with a configuration's settings")
    train = content.pop("train", {})
    if not isinstance(train, dict):
        raise ValueError(f"{path}: train is {reprlib.repr(train)}, expected an object")
    with naming(path):
        return with_settings(Config(), content | {f"train.{key}": value for key, value in train.items()})


def pairs(texts: Iterable[str], option: str) -> dict[str, Any]:
    """["a=1", "b=x"] -> {"a": 1, "b": "x"}. Raises ValueError naming the option and the text without "="."""
    values = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise ValueError(f"{option} {text}: expected key=value")
        values[key.strip().replace("-", "_")] = literal(value.strip())
    return values


def literal(text: str) -> Any:
    """A number, tuple, list or quoted string; true, false; anything else is the text itself."""
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return text


def with_settings(config: Config, changes: dict[str, Any]) -> Config:
    """A copy with changed settings; those of training are called "train.lr" and so on.

    Raises ValueError: an unknown name with near ones, a value of another kind with what stands there now, or what
    `Config` says of the combination.
    """
    settings = flat(config)
    converted = {}
    for name, value in changes.items():
        if name not in settings:
            raise ValueError(f"there is no setting {name!r:.99}{near(name, settings)}")
        converted[name.replace(".", "__")] = of_kind(name, value, settings[name])
    return config.replace(**converted)


def flat(config: Config) -> dict[str, Any]:
    """All settings by the names that `--set` takes: {"num_classes": 81, …, "train.lr": 0.02, …}."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    train = fields.pop("train")
    return fields | {f"train.{field.name}": getattr(train, field.name) for field in dataclasses.fields(train)}


def of_kind(name: str, value: Any, now: Any) -> Any:
    """The value as the kind of thing that stands there now; ValueError where it is another."""
    if isinstance(now, tuple):
        if isinstance(value, str):
            value = tuple(filter(None, (word.strip() for word in value.split(","))))
        return value if isinstance(value, (tuple, list)) else (value,)
    if isinstance(now, bool):
        fits = isinstance(value, bool)
    elif isinstance(now, (int, float)):
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        if fits and isinstance(now, int):
            fits = isinstance(value, int) or value.is_integer()  # 1e4 is a whole number
            value = int(value) if fits else value
    else:
        fits = isinstance(value, str)
    if not fits:
        kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
        raise ValueError(f"{name} is {reprlib.repr(value)}, expected {kinds[type(now)]} (now {now!r})")
    return float(value) if isinstance(now, float) and abs(value) < 2**1000 else value  # larger: `Config` says so


def near(name: str, names: Iterable[str]) -> str:
    """ " (did you mean …?)" with at most three of the names, or nothing. "lr" is near "train.lr"."""
    whole = {known: known for known in names}
    last = {known.split(".")[-1]: known for known in whole}
    close = [known for part, known in last.items() if part == name.split(".")[-1]]
    close += [known for known in whole if known.startswith(name)]
    close += [(whole | last)[match] for match in difflib.get_close_matches(name, whole | last, n=3, cutoff=0.7)]
    return f" (did you mean {' or '.join(list(dict.fromkeys(close))[:3])}?)" if close else ""


def fit_to_data(config: Config, dataset: Any, settings: dict[str, Any], name: str) -> Config:
    """The configuration with the data set's classes, keypoints and, for the tiny ones, picture size.

    settings: set by hand, these stay. name: of the configuration. Raises ValueError where the data lacks what a head
    is to learn.
    """
    samples = evenly(dataset, 20)
    targets = [dataset[i][1] for i in samples]
    target = targets[0]
    for head, key, instead in (("mask", "masks", "heads="), ("keypoint", "keypoints", "heads=mask")):
        if head in config.heads and key not in target:
            raise ValueError(f"this data set has no {key}, which the {head} head is to learn: --set {instead}")
    changes: dict[str, Any] = {"num_classes": len(dataset.class_names)}
    if "keypoint" in config.heads:
        changes["num_keypoints"] = dataset.num_keypoints
    elif dataset.num_keypoints:
        say("note: the data set has keypoints, which this configuration does not learn (--set heads=mask,keypoint)")
    if name in TINY and not settings.keys() & {"min_size", "max_size"}:
        edge = min(LARGEST_TINY, round(median(min(dataset.image_size(i)) for i in evenly(dataset, 200))))
        changes |= {"min_size": edge, "max_size": max(config.max_size, 2 * edge)}
    objects = sum(len(target["boxes"]) for target in targets) / len(targets)
    if name == "tiny" and objects > MANY_OBJECTS:
        say(f"note: about {objects:.0f} objects a picture; --config tiny-dense is made for that")
    changes = {key: value for key, value in changes.items() if key not in settings and getattr(config, key) != value}
    for setting, value in changes.items():
        say(f"from the data: {setting} = {value} (the configuration has {getattr(config, setting)})")
    return with_settings(config, changes)


def evenly(dataset: Any, most: int) -> range:
    """Indices of at most so many pictures, spread over the data set."""
    return range(0, len(dataset), -(-len(dataset) // most))


def without_pretraining(config: Config, settings: dict[str, Any]) -> Config:
    """Random weights must not stay as they are: nothing frozen, and a norm that learns (in groups: any batch size)."""
    wanted: dict[str, Any] = {"frozen_stages": 0, "norm": "gn"}
    changes = {name: value for name, value in wanted.items() if name not in settings}
    say(f"random weights, therefore: {', '.join(f'{name} = {value}' for name, value in changes.items())}")
    return with_settings(config, changes)


def positive(text: str) -> int:
    """For argparse: a whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def score(text: str) -> float:
    """For argparse: a number in 0..1."""
    with contextlib.suppress(ValueError):
        if 0 <= float(text) <= 1:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number in 0..1")


def device(text: str) -> str:
    """For argparse: cuda, cuda:1, mps, cpu."""
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"{text!r} is none of cuda, cuda:N, mps, cpu")
    return text


def add_command(
    commands: Any, name: str, run: Any, about: str, text: str, examples: str, usage: str | None = None
) -> argparse.ArgumentParser:
    """The parser of a command ("train", "data get"): `run(arguments)` carries it out and returns the exit status."""
    command = commands.add_parser(
        name.split()[-1],
        usage=usage and f"mrcnn-lite {name} {usage}",
        help=about,
        description=text,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.set_defaults(run=run, parser=command)
    return command


def is_first_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def say(text: str) -> None:
    """On the screen, once for all processes, beside the results on the standard output."""
    if is_first_process():
        print(text, file=sys.stderr, flush=True)
