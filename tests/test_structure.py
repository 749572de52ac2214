"""The plan of the house, held: who may import whom, how long a file may be, what the core may lean on.

Everything is read from the source with `ast`: imports inside functions and under TYPE_CHECKING count as well.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "mrcnn_lite"

# Every file of the package, by layer; a half layer holds what was cut off a neighbour to keep files short.
# A file imports only from strictly lower layers. A folder is one member of its layer: its files may also import
# each other, without circles.
LAYERS = {
    0: "boxes distributed files presets",
    0.5: "config",
    1: "checks images backbone anchors matching roi_ops",
    2: "fpn rpn box_head mask_head keypoint_head",
    3: "model",
    3.5: "build",
    4: "weights data canvas detections devices info installation notebooks",
    4.25: "coco_checks",
    4.3: "coco_results",
    4.5: "torchvision_models visualize evaluation average_precision",
    5: "prediction training",
    6: "cli demo exercises widgets",
    6.5: "__main__",
}
FOLDERS = ("cli", "data", "exercises", "training", "widgets")
LAYER_OF = {name: layer for layer, names in LAYERS.items() for name in names.split()}
CORE = [name for name, layer in LAYER_OF.items() if layer < 4]
MOST_LINES_IN_A_FILE = 260
MOST_LINES_OF_EXERCISES = 600  # of one chapter: independent classes, read one at a time
MOST_FILES_BEHIND_THE_MODEL = 15
MOST_LINES_BEHIND_THE_MODEL = 2600

# Words that choose a variant: compared in the builders (layer 3), below it the chosen object is handed down.
VARIANTS = {
    *("c4", "c5", "fpn", "pool", "warp", "align", "sigmoid", "softmax", "fcn", "mlp", "frozen_bn", "bn", "gn"),
    *("tiny", "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
}

# Where the tests of a file stand that has no test file of its own name.
TESTED_IN = {
    "__init__": "test_structure.py",
    "data": "test_data_registry.py",  # the faces of the folders
    "training": "test_training_run.py",
    "presets": "test_config.py",
    "build": "test_model.py",
    "exercises": "test_exercises.py",
    "exercises.exercise": "test_exercises.py",
    **{f"exercises.ch{number:02d}": "test_exercises.py" for number in range(13)},
    "widgets.panels": "test_panel_frame.py",
    "notebooks": "test_cli_notebooks.py",
    "__main__": "test_cli.py",
}


def module_name(path: Path) -> str:
    """mrcnn_lite/rpn.py -> "rpn", mrcnn_lite/data/coco.py -> "data.coco", mrcnn_lite/data/__init__.py -> "data"."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
INNER = [name for name in FILES if name != "__init__"]  # the face, __init__, may know everybody


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(FILES[name].read_text(encoding="utf-8"))


def lines(name: str) -> int:
    return len(FILES[name].read_text(encoding="utf-8").splitlines())


@cache
def imports(name: str) -> tuple[set[str], set[str]]:
    """The package's own modules that a file imports, and the top names of all other modules."""
    package = ["mrcnn_lite", *name.split(".")]
    if FILES[name].name != "__init__.py":
        package.pop()
    elif name == "__init__":
        package = ["mrcnn_lite"]
    dotted = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Import):
            dotted.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*start, *filter(None, [node.module])])
            dotted.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module":
            dotted.update(a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str))
    own, others = set(), set()
    for target in dotted:
        top, *rest = target.split(".")
        if top != "mrcnn_lite":
            others.add(top)
            continue
        while rest and ".".join(rest) not in FILES:  # a.b.name: the module is a.b
            rest.pop()
        own.add(".".join(rest) or "__init__")
    return own - {name}, others


def layer(name: str) -> float:
    top = name.split(".")[0]
    assert top in LAYER_OF, f"{top} stands in no layer: add it to LAYERS"
    return LAYER_OF[top]


def behind(name: str) -> set[str]:
    """A module and everything of the package that it reaches by imports."""
    reached, waiting = set(), [name]
    while waiting:
        reached.add(current := waiting.pop())
        waiting.extend(imports(current)[0] - reached)
    return reached


def test_every_file_has_a_layer_and_every_name_in_the_table_a_file():
    assert {name.split(".")[0] for name in INNER} == set(LAYER_OF)


@pytest.mark.parametrize("name", INNER)
def test_imports_point_downward(name):
    for other in imports(name)[0]:
        assert other != "__init__", f"{name} imports the package's face: name the file"
        if name.split(".")[0] == other.split(".")[0]:
            continue
        assert layer(other) < layer(name), (
            f"{name} (layer {layer(name)}) imports {other} (layer {layer(other)}): only strictly lower ones"
        )


@pytest.mark.parametrize("name", [name for name in INNER if name.split(".")[0] in FOLDERS])
def test_files_of_a_folder_import_each_other_without_circles(name):
    for other in imports(name)[0]:
        assert name not in behind(other), f"{name} and {other} import each other"


@pytest.mark.parametrize("name", [name for name in CORE if name in FILES])
def test_the_core_leans_on_torch_and_torchvision_only(name):
    foreign = imports(name)[1] - {"torch", "torchvision"} - set(sys.stdlib_module_names)
    assert not foreign, f"{name} imports {sorted(foreign)}"


def test_the_model_is_small_enough_to_read():
    assert len(behind("model")) <= MOST_FILES_BEHIND_THE_MODEL, sorted(behind("model"))
    for name in ("model", "build"):  # build is what hands the parts to the model: its lines count too
        reached = behind(name)
        assert reached <= set(CORE)
        total = sum(lines(other) for other in reached)
        assert total <= MOST_LINES_BEHIND_THE_MODEL, f"{total} lines in the {len(reached)} files behind {name}"


@pytest.mark.parametrize("name", FILES)
def test_no_file_is_long(name):
    most = MOST_LINES_OF_EXERCISES if name.startswith("exercises.ch") else MOST_LINES_IN_A_FILE
    assert lines(name) <= most, f"{FILES[name].name} has {lines(name)} lines"


def compared_words(name: str) -> set[str]:
    """The strings that a file compares with something, in ==, !=, in, not in, and in match cases."""
    words: set[str] = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Compare):
            places = [node.left, *node.comparators]
        elif isinstance(node, ast.MatchValue):
            places = [node.value]
        else:
            continue
        for place in places:
            constants = place.elts if isinstance(place, (ast.Tuple, ast.List, ast.Set)) else [place]
            words.update(c.value for c in constants if isinstance(c, ast.Constant) and isinstance(c.value, str))
    return words


@pytest.mark.parametrize("name", [name for name in CORE if LAYER_OF[name] in (1, 2) and name in FILES])
def test_parts_know_neither_config_nor_mode_nor_variant(name):
    assert "config" not in imports(name)[0], f"{name} has heard of the config: hand it plain arguments"
    modes = [n.lineno for n in ast.walk(tree(name)) if isinstance(n, ast.Attribute) and n.attr == "training"]
    assert not modes, f"{name} asks for self.training in lines {modes}: targets given or not decide"
    assert not compared_words(name) & VARIANTS, f"{name} chooses a variant by its name: hand the object down"


@pytest.mark.parametrize("name", FILES)
def test_every_file_has_its_test_file(name):
    allowed = {f"test_{name.replace('.', '_')}.py", f"test_{name.split('.')[-1]}.py"}
    allowed = {TESTED_IN[name]} if name in TESTED_IN else allowed
    found = {path.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert allowed & found, f"{FILES[name].relative_to(ROOT)} has no tests/{min(allowed, key=len)}"


@pytest.mark.parametrize("name", FILES)
def test_every_file_opens_with_what_it_does(name):
    assert ast.get_docstring(tree(name)), f"{FILES[name].relative_to(ROOT)} has no docstring"


def test_importing_the_package_is_light():
    heavy = ("torchvision", "matplotlib", "pycocotools", "jupyterlab", "ipywidgets", "tensorboard", "scipy")
    question = f"import sys, mrcnn_lite; print([name for name in {heavy} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", question], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_walk_sees_every_kind_of_import(tmp_path, monkeypatch):
    """The checks above are worth what `imports` sees."""
    source = "import os.path\nfrom . import boxes as b\nfrom .rpn import RPN\nimport mrcnn_lite.model\n"
    source += "def late():\n    from mrcnn_lite.data import locate\n    from .data.places import locate\n"
    source += "    import importlib\n    importlib.import_module('mrcnn_lite.train')\n"
    (tmp_path / "probe.py").write_text(source)
    known = dict.fromkeys(("boxes", "rpn", "model", "data", "data.places", "train"), tmp_path / "other.py")
    monkeypatch.setitem(globals(), "FILES", {**known, "probe": tmp_path / "probe.py"})
    own, others = imports.__wrapped__("probe")
    assert own == set(known)
    assert others == {"os", "importlib"}
