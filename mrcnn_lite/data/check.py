"""Checks a whole data set, both of its splits, and finds every problem: what `mrcnn-lite data check` does.

    checked = check_data("my/folder", print)
    if checked.findings.num_problems: write_copy(checked, "my/folder-fixed")

Read next: coco_rules.py, label_folder_rules.py; repair.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ..checks import check_batch
from .coco_files import find_json
from .coco_rules import CheckedCoco, check_coco
from .index_rules import SPLITS
from .label_folder_rules import CheckedLabels, check_labels
from .label_png import find_layout
from .problems import Findings, Problem
from .registry import find_files, is_drawn, nothing_found, open_dataset

_OPTIONS = ("keypoints", "form", "pictures", "class_name", "drop_empty")  # the last two change no judgement


@dataclass
class Checked:
    """What was found, and the corrected content that a copy is made of."""

    path: Path  # the folder or file that was checked
    root: Path | None  # the folder that holds all of the set; None: a drawn set
    findings: Findings
    options: dict[str, Any] = field(default_factory=dict)
    coco: list[CheckedCoco] = field(default_factory=list)
    labels: CheckedLabels | None = None
    missing: list[str] = field(default_factory=list)  # splits that are not there


def check_data(
    name_or_path: str | Path,
    hand_on: Callable[[Problem], None] = lambda problem: None,
    *,
    limit: int | None = None,
    decode: bool = True,
    **options: Any,
) -> Checked:
    """Finds every problem of a data set; each goes to `hand_on` at once, their number is `findings.num_problems`.

    name_or_path, options: as for `open_dataset`. limit: the first so many pictures of each split. decode=False: of
    the pictures only the headers. Raises FileNotFoundError where there is no data set.
    """
    if is_drawn(str(name_or_path)):
        return _check_drawn(str(name_or_path), Findings(hand_on), limit, options)
    path, more = find_files(name_or_path)
    if unknown := [name for name in options if name not in _OPTIONS]:
        raise ValueError(f"files have no option {unknown[0]!r}; they have {', '.join(_OPTIONS)}")
    options = {**more, **options}
    root = (path.parent.parent if path.parent.name == "annotations" else path.parent) if path.is_file() else path
    checked = Checked(path, root, Findings(hand_on), options)
    form, keypoints = options.get("form"), bool(options.get("keypoints"))
    pictures = Path(options["pictures"]) if options.get("pictures") else None
    files = [path] if path.is_file() else []
    if path.is_dir() and form != "label-png":
        found = {split: find_json(path, split, keypoints) for split in SPLITS}
        files = [file for file in found.values() if file]
        checked.missing = [split for split, file in found.items() if not file] if files else []
    for file in files:
        alone = path.is_file()
        if coco := check_coco(file, checked.findings, pictures=pictures, limit=limit, decode=decode, alone=alone):
            checked.coco.append(coco)
    if len(checked.coco) == 2:
        _judge_splits(checked.coco[0], checked.coco[1], checked.findings)
    if not files:
        if form == "coco" or keypoints or find_layout(path) is None:
            raise nothing_found(path, SPLITS[0], keypoints)
        checked.labels = check_labels(path, checked.findings, limit=limit, decode=decode)
    return checked


def _judge_splits(train: CheckedCoco, val: CheckedCoco, findings: Findings) -> None:
    """The same classes in both, and no picture in both: what is in the training is no test."""
    names = [[c["name"] for c in sorted(s.content["categories"], key=lambda c: c["id"])] for s in (train, val)]
    if names[0] != names[1]:
        found, expected = (f"{', '.join(some)}"[:100] for some in names)
        findings.at(f"{train.file.name} and {val.file.name}")("classes-differ", found, expected)
    shared: dict[str, str] = {}  # name in the training -> name in the validation
    if train.pictures and val.pictures and train.pictures.resolve() == val.pictures.resolve():
        named = ({image["file_name"] for image in split.content["images"]} for split in (train, val))
        shared = {name: name for name in set.intersection(*named)}
    shared |= {train.digests[same]: val.digests[same] for same in train.digests.keys() & val.digests.keys()}
    for name, other in sorted(shared.items()):
        found = f"the same picture as {other} of {val.file.name}"
        tell = findings.at(train.file.name, name)
        tell("in-both-splits", found, "splits that share nothing", fix="dropped from the training")
    train.is_changed |= bool(shared)
    dropped = {image["id"] for image in train.content["images"] if image["file_name"] in shared}
    for key, of in (("images", "id"), ("annotations", "image_id")):
        train.content[key] = [entry for entry in train.content[key] if entry[of] not in dropped]


def _check_drawn(name: str, findings: Findings, limit: int | None, options: dict[str, Any]) -> Checked:
    """Every picture and target of a drawn set, as training would judge them."""
    for split in SPLITS:
        dataset = open_dataset(name, split, limit=limit, **options)
        for i in tqdm(range(len(dataset)), f"checking {split}", leave=False, disable=None, unit=" pictures"):
            try:
                image, target = dataset[i]
                heads = ["mask"] * ("masks" in target) + ["keypoint"] * ("keypoints" in target)
                check_batch([image], [target], len(dataset.class_names), heads, dataset.num_keypoints)
                findings.objects += len(target["labels"])
            except (ValueError, TypeError, OSError) as error:
                found = str(error).removeprefix("image 0").lstrip(":, ")
                findings.at(split, dataset.image_name(i))("refused", found)
            findings.pictures += 1
    return Checked(Path(name), None, findings, options)
