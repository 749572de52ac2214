"""`mrcnn-lite data …`: list, get, show and check data sets; and `open_data`, which other commands open theirs with.

Read next: `train.py`.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from .settings import add_command, pairs, positive

OPTIONS_HELP = """of the data set: for drawn ones such as size=256 length=8000 seed=1 object_scale=0.5, for files such
as class_name=cell drop_empty=true pictures=FOLDER keypoints=true form=label-png"""
SIDES = ((32, "small, under 32²"), (96, "medium"), (float("inf"), "large, from 96²"))  # COCO's, by area


def add_data_options(parser: Any) -> None:
    """`--data-options` for a parser or a group of options."""
    parser.add_argument(
        "--data-options", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help=OPTIONS_HELP
    )


def open_data(
    name: str, split: str, *, keypoints: bool = False, limit: int | None = None, options: Sequence[str] = ()
) -> Any:
    """`data.open_dataset` with what the command line says; keypoints: read COCO's file of persons with keypoints."""
    from ..data import names, open_dataset

    values = pairs(options, "--data-options")
    if keypoints and (name == "coco" or name not in names()):
        values.setdefault("keypoints", True)
    try:
        return open_dataset(name, split, limit=limit, **values)
    except TypeError as error:  # an option that this data set does not have
        message = str(error).replace("_open_files() got an unexpected keyword argument", "files have no option")
        raise ValueError(f"--data-options {' '.join(options)}: {message}") from error


def add_data(commands: Any) -> None:
    """The parsers of `mrcnn-lite data …`."""
    text = "What data sets there are, and what is in them."
    data = commands.add_parser("data", help="list, get, show, check data sets", description=text, allow_abbrev=False)
    actions = data.add_subparsers(title="actions", metavar="ACTION", required=True)

    text = "The data sets that have a name, and where each lies on this machine."
    add_command(actions, "data list", run_list, "list the data sets that have a name", text, "")

    text = "Download a data set. It goes on where it broke off before, and the files are checked."
    examples = """examples:
  mrcnn-lite data get nuclei
  mrcnn-lite data get coco --parts annotations val2017"""
    get = add_command(actions, "data get", run_get, "download one", text, examples)
    get.add_argument("name", metavar="NAME", help="coco, pennfudan, nuclei, nuclei-stardist")
    get.add_argument("--folder", metavar="DIR", help="put it in DIR/NAME; default: $MRCNN_LITE_DATA, else a cache")
    get.add_argument("--parts", nargs="+", help="of coco: annotations, val2017, train2017; default: all (20 GB)")
    get.add_argument("--keep-archives", action="store_true", help="do not delete the archives afterwards")

    text = "Print a data set's statistics, and draw some of its pictures with their objects on one sheet."
    examples = """examples:
  mrcnn-lite data show shapes
  mrcnn-lite data show my/folder --split val --count 20 --output sheet.png"""
    show = add_command(actions, "data show", run_show, "statistics, and a sheet of pictures", text, examples)
    show.add_argument("name", metavar="NAME|PATH", help="a name of `data list`, a folder, or a COCO JSON file")
    show.add_argument("--split", default="train", help="train or val; default %(default)s")
    show.add_argument("--count", type=positive, default=12, metavar="N", help="pictures drawn; default %(default)s")
    show.add_argument("--output", type=Path, metavar="PNG", help="the sheet; default runs/data/NAME-SPLIT.png")

    text = """Read a whole data set, both splits or one file, and report every problem with its file and annotation:
unreadable pictures, boxes in another format or outside, masks that are empty or do not fit their
box, ids that do not match, and more; then a summary by kind. The exit status is 1 if there is any."""
    examples = """examples:
  mrcnn-lite data check my/folder
  mrcnn-lite data check my/folder --fix             a corrected copy, my/folder-fixed
  mrcnn-lite data check coco --limit 1000"""
    check = add_command(actions, "data check", run_check, "find every problem, correct a copy", text, examples)
    check.add_argument("name", metavar="NAME|PATH", help="a name of `data list`, a folder, or a COCO JSON file")
    text = """write a corrected copy with the annotations that were checked and their pictures. What the data prove is
corrected (a box by its mask, say), any other wrong object or picture is left out"""
    check.add_argument("--fix", action="store_true", help=text)
    check.add_argument("--output", type=Path, metavar="DIR", help="of --fix: a new folder; default PATH-fixed")
    for command in (show, check):
        command.add_argument("--limit", type=positive, metavar="N", help="only the first N pictures of a split")
        add_data_options(command)


def run_list(arguments: argparse.Namespace) -> int:
    from ..data import SOURCES, about, locate, names
    from ..data.places import data_folder

    for name in names():
        folder = name.removesuffix("-keypoints")
        print(f"{name:<17}{about(name)}")
        if folder in SOURCES:
            print(f"{'':<17}{locate(folder) or f'not on this machine: mrcnn-lite data get {folder}'}")
    print(f"\nAny folder or COCO JSON file will do as well. Downloads go to {data_folder()} ($MRCNN_LITE_DATA).")
    return 0


def run_get(arguments: argparse.Namespace) -> int:
    from ..data import SOURCES, get, names

    name = arguments.name.removesuffix("-keypoints")
    if name in names() and name not in SOURCES:
        raise ValueError(f"{name} is drawn by this package, there is nothing to get: use it, as --data {name}")
    folder = get(name, root=arguments.folder, parts=arguments.parts, keep_archives=arguments.keep_archives)
    print(folder)
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    from ..visualize import contact_sheet, draw

    dataset = open_data(arguments.name, arguments.split, limit=arguments.limit, options=arguments.data_options)
    count = min(arguments.count, len(dataset))
    title = arguments.name if Path(arguments.name).is_file() else f"{arguments.name}, {arguments.split}"
    options: dict[str, Any] = {"skeleton": dataset.skeleton or None}
    if len(dataset.class_names) == 2:  # the name on each object would only hide it
        options["labels"], title = False, f"{title}: {dataset.class_names[1]}"
    panels, captions = [], []
    for i in range(0, len(dataset), len(dataset) // count)[:count]:
        image, target = dataset[i]
        panels.append(draw(image, target, dataset.class_names, scale=320 / max(image.shape[1:]), **options))
        captions.append(f"{dataset.image_name(i)}: {len(target['boxes'])}"[-40:])
    sheet = arguments.output or Path("runs/data") / f"{Path(arguments.name).stem}-{arguments.split}.png"
    contact_sheet(panels, captions, sheet, title=title)
    print(title)
    print("\n".join(statistics(dataset)))
    print(f"{count} of its pictures: {sheet}")
    return 0


def statistics(dataset: Any) -> Iterator[str]:
    """Lines of text on a data set: pictures and their sizes; objects by class, by size; crowds; keypoints."""
    import numpy as np
    from tqdm import tqdm

    objects, pictures, crowds, visible = Counter[int](), Counter[int](), 0, Counter[int]()
    areas, sides, sizes, empty = [], [], Counter[tuple[int, int]](), 0
    for i in tqdm(range(len(dataset)), "counting", leave=False, disable=None):
        annotations = dataset.annotations(i)
        found = [annotation for annotation in annotations if not annotation["iscrowd"]]
        labels = [annotation["category_id"] for annotation in found]
        objects.update(labels)
        pictures.update(set(labels))
        crowds, empty = crowds + len(annotations) - len(found), empty + (not found)
        for annotation in found:
            width, height = annotation["bbox"][2:]
            areas.append(annotation.get("area", width * height))
            sides.append((width * height) ** 0.5)
            visible.update(annotation.get("keypoints", [])[2::3])
        sizes[dataset.image_size(i)] += 1
    total = sum(objects.values())
    yield f"{len(dataset)} pictures ({empty} without an object), {total} objects, {crowds} crowd regions"
    (height, width), most = sizes.most_common(1)[0]
    yield f"sizes (height x width): {len(sizes)} different, most often {height} x {width} ({most} pictures)"
    if total:
        low, middle, high = np.percentile(sides, [5, 50, 95])
        yield f"side of an object, square root of its box: median {middle:.0f} px, nine in ten {low:.0f} to {high:.0f}"
        bins = np.searchsorted([side**2 for side, _ in SIDES], areas, side="right")
        counts = [f"{name} {int((bins == n).sum())}" for n, (_, name) in enumerate(SIDES)]
        yield f"objects by COCO's sizes: {', '.join(counts)}"
    if dataset.num_keypoints:
        marks = ((2, "visible"), (1, "hidden"), (0, "not labelled"))
        found_marks = ", ".join(f"{visible[mark]} {name}" for mark, name in marks)
        yield f"{dataset.num_keypoints} keypoints an object: {found_marks}"
    width = max(len(name) for name in dataset.class_names) + 2
    yield f"\n{'class':<{width}}{'objects':>9}{'pictures':>10}"
    for label, name in enumerate(dataset.class_names[1:], start=1):
        yield f"{name:<{width}}{objects[label]:>9}{pictures[label]:>10}"
    yield ""


def run_check(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ..data.check import check_data
    from ..data.repair import default_target, write_copy

    def show(problem: Any) -> None:
        if not problem.is_note:
            fix = f" -> {problem.fix or 'by hand'}" if arguments.fix else ""
            tqdm.write(f"{problem}{fix}", file=sys.stdout)

    options = pairs(arguments.data_options, "--data-options")
    target = arguments.output
    if arguments.fix and arguments.limit:
        raise ValueError("--fix corrects a whole data set: leave --limit out")
    if target is not None and target.exists():
        raise FileExistsError(f"{target} is there already: a copy is never written over anything")
    checked = check_data(arguments.name, show, limit=arguments.limit, **options)
    findings = checked.findings
    for split in checked.missing:
        print(f"not checked: there is no split {split!r}", file=sys.stderr)
    for line in findings.summary():
        print(line)
    number = (
        f"{findings.num_problems} problem{'s' * (findings.num_problems != 1)}"
        if findings.num_problems
        else "no problem"
    )
    print(f"{findings.pictures} pictures, {findings.objects} objects checked: {number}")
    if not arguments.fix or not findings.num_problems:
        return 1 if findings.num_problems else 0
    target = write_copy(checked, target or default_target(checked.root or Path(arguments.name)))
    print(f"a corrected copy, which has no problem: {target}")
    return 0
