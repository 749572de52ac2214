"""The rules for the index.json of label pictures, which says the split of each picture: train or val.

It is a list of {"name", "split"}, or {"class_name": …, "pictures": such a list}; a name is a picture's without its
suffix. The checker notes every problem, the reader (label_png.py) stops at the first. Read next: label_rules.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from ..files import inside
from .problems import Findings, Tell

SPLITS = ("train", "val")
_MEANT = {"training": "train", "valid": "val", "validation": "val"}


class Index(NamedTuple):
    """What an index.json says, corrected."""

    split_of: dict[str, str]  # name of a picture without its suffix -> "train", "val" or "test"
    class_name: str | None
    content: Any  # the same as JSON, with all that the file says besides


def judge_index(path: Path, stems: Iterable[str], findings: Findings) -> Index | None:
    """Tells what is wrong with an index.json and gives it as it should be; None where it can't be read.

    stems: the names of the pictures that are there. One that the index does not name is in no split.
    """
    file = path.name
    tell = findings.at(file)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        tell("index-form", f"no JSON, or not all of it: {error}", "a list of pictures with name and split")
        return None
    entries = content.get("pictures") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        found = f"a {type(content).__name__}" + (" without a list 'pictures'" if isinstance(content, dict) else "")
        tell("index-form", found, "a list of pictures with name and split")
        return None
    class_name = content.get("class_name") if isinstance(content, dict) else None
    if class_name is not None and not isinstance(class_name, str):
        tell("index-form", f"class_name is {class_name!r:.60}", "a name")
        class_name = None
    kept: dict[str, dict[str, Any]] = {}
    there = set(stems)
    for place, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name:
            tell("index-form", f"entry in place {place} is {entry!r:.80}", "name and split", fix="entry left out")
            continue
        at = findings.at(file, name)
        split = _judge_split(entry.get("split"), at)
        if name not in there:
            _tell_unknown(name, at)
            continue
        entry = entry if entry.get("split") == split else entry | {"split": split}
        if name in kept:
            # In the validation rather than in the training: what is measured stays the same.
            splits = {kept[name]["split"], split}
            stays = next(known for known in ("", "val", "test", "train") if known in splits)
            cause = "it is in both splits" if len(splits) > 1 else ""
            at("index-twice", "the name is there twice", "once", cause, f"kept in {stays}" if stays else "left out")
            entry = {**kept[name], "split": stays}
        kept[name] = entry
    for name in sorted(there - kept.keys()):
        findings.at(file, name)("index-unnamed", "the index does not name it", "every picture", fix="picture dropped")
    chosen = [entry for entry in kept.values() if entry["split"]]
    corrected = {**content, "pictures": chosen} if isinstance(content, dict) else chosen
    return Index({entry["name"]: entry["split"] for entry in chosen}, class_name, corrected)


def _judge_split(split: Any, at: Tell) -> str:
    """-> "train", "val" or "test"; "" for what is none of them."""
    meant = _MEANT.get(str(split).lower(), str(split).lower())
    if split == "test":
        at("index-test", "the split 'test'")
    elif split not in SPLITS:
        fix = f"read as {meant}" if meant in SPLITS else "picture dropped"
        at("index-split", f"the split {split!r:.40}", "'train' or 'val'", fix=fix)
    return meant if meant in (*SPLITS, "test") else ""


def _tell_unknown(name: str, at: Tell) -> None:
    kind, found = "index-unknown-picture", f"{name!r:.80} is not there"
    try:
        inside("", name)
    except ValueError as error:
        kind, found = "name-leaves-folder", str(error)
    at(kind, found, "a picture's name without its suffix", fix="entry left out")
