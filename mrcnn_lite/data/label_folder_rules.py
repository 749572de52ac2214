"""Reads a folder of pictures with label pictures and finds every problem in it, beside the corrections.

Read next: label_rules.py, index_rules.py; check.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tqdm import tqdm

from .index_rules import SPLITS, judge_index
from .label_png import PICTURE_SUFFIXES, default_split, find_layout
from .label_rules import DROPPED, PIECES, Label, judge_label, tell_semantic
from .picture_rules import look
from .problems import Findings, Tell


class Pair(NamedTuple):
    """A picture, its label picture, and the split that they are in."""

    picture: Path
    label: Path
    split: str  # "train", "val", "test"; "" = none


@dataclass
class CheckedLabels:
    """A folder that was checked, and what a copy of it needs."""

    root: Path
    kept: list[Pair] = field(default_factory=list)
    remedies: dict[Path, tuple[str, ...]] = field(default_factory=dict)  # of a label picture: label_rules.REMEDIES
    turned: dict[Path, int] = field(default_factory=dict)  # picture -> EXIF orientation that a copy applies
    index: Any = None  # content of index.json for a copy; None: it needs none


def check_labels(
    folder: Path, findings: Findings, *, limit: int | None = None, decode: bool = True
) -> CheckedLabels | None:
    """Hands every problem of a folder to `findings`; None where it can't be read at all.

    limit: the first so many pictures of each split. decode=False: of pictures only the headers.
    """
    layout = find_layout(folder)
    if layout is None:
        raise FileNotFoundError(f"{folder} holds no pictures with label pictures")
    checked = CheckedLabels(layout[0].parent)
    pairs = _pairs(*layout[:3], findings, checked)
    if pairs is None:
        return None
    # The validation first: of a picture that is in both splits, that of the training is dropped.
    chosen = [pair for split in ("val", "train", "test", "") for pair in [p for p in pairs if p.split == split][:limit]]
    first: dict[bytes, Pair] = {}
    labels: dict[Pair, Label] = {}
    for pair in tqdm(chosen, f"checking {folder.name}", leave=False, disable=None, unit=" pictures"):
        tell = findings.at(_shown(pair.picture), pair.picture.name)
        seen = look(pair.picture, tell, DROPPED, decode)
        label = judge_label(pair.label, seen, findings.at(_shown(pair.label), pair.picture.name))
        stays = seen is not None and pair.split != ""
        if seen is not None and seen.digest is not None:
            stays &= _judge_copy(pair, first.setdefault(seen.digest, pair), tell)
        findings.pictures += 1
        findings.objects += label.objects if label else 0
        if label is not None and stays:
            labels[pair] = label
    _judge_set(labels, findings)
    checked.remedies = {pair.label: label.remedies for pair, label in labels.items() if label.remedies}
    checked.turned = {pair.picture: label.turned for pair, label in labels.items() if label.turned}
    checked.kept = sorted(labels)
    for split in SPLITS:
        members = [pair for pair in pairs if pair.split == split]
        # Said only of what was read: where a label picture could not be, the problem is that one.
        if members and all(pair in labels and not labels[pair].objects for pair in members):
            findings.at(folder.name)("no-objects", f"no object in the split {split!r}", "at least one")
    if checked.index is None and len(checked.kept) < len(pairs):  # without it the copy would be split differently
        checked.index = [{"name": pair.picture.stem, "split": pair.split} for pair in pairs]
    if checked.index is not None:
        stems = {pair.picture.stem for pair in checked.kept}
        entries = checked.index["pictures"] if isinstance(checked.index, dict) else checked.index
        entries[:] = [entry for entry in entries if entry["name"] in stems]
    return checked


def _pairs(pictures: Path, labels: Path, suffix: str, findings: Findings, checked: CheckedLabels) -> list[Pair] | None:
    """Pictures and label pictures, by name, with their splits."""
    files: dict[str, Path] = {}
    for path in sorted(path for path in pictures.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES):
        if (other := files.setdefault(path.stem, path)) != path:
            found = f"{other.name} and {path.name} have the same label picture"
            fix = f"{path.name} left out"
            findings.at(_shown(path), path.name)("picture-named-twice", found, "one picture", fix=fix)
    for path in sorted(labels.glob("*.png")):
        if not path.stem.endswith(suffix) or path.stem.removesuffix(suffix) not in files:
            findings.at(_shown(path))("label-without-picture", "its picture is not there")
    if not files:
        findings.at(str(pictures))("no-objects", "no pictures", "at least one")
        return None
    splits = {stem: default_split(i, len(files)) for i, stem in enumerate(files)}
    if (file := checked.root / "index.json").exists():
        index = judge_index(file, files, findings)
        if index is None:
            return None
        splits, checked.index = index.split_of, index.content
    return [Pair(path, labels / f"{stem}{suffix}.png", splits.get(stem, "")) for stem, path in files.items()]


def _judge_copy(pair: Pair, other: Pair, tell: Tell) -> bool:
    """Of two pictures of the same content: whether the second may stay."""
    found = f"the same pixels as {other.picture.name}"
    if {pair.split, other.split} == set(SPLITS):
        tell("in-both-splits", f"{found} of the split {other.split!r}", "splits that share nothing", fix=DROPPED)
        return False
    if other != pair:
        tell("picture-twice", found)
    return True


def _judge_set(labels: dict[Pair, Label], findings: Findings) -> None:
    """Where no label picture has a second number and many have pieces, all of them are masks of all objects."""
    in_pieces = [pair for pair, label in labels.items() if label.one_in_pieces]
    if len(in_pieces) < 2 or 2 * len(in_pieces) < len(labels) or any(label.objects > 1 for label in labels.values()):
        return
    for pair in in_pieces:
        tell_semantic(findings.at(_shown(pair.label), pair.picture.name), 1)
        labels[pair] = labels[pair]._replace(remedies=(*labels[pair].remedies, PIECES))


def _shown(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
