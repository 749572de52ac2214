"""The files around the package agree with each other, and carry nothing that belongs to one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import course

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parent.parent
LARGEST_FILE = 4_000_000  # bytes
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
PLATFORMS = ("linux", "darwin", "win32")


def required() -> list[Requirement]:
    extras = [text for extra in PROJECT["optional-dependencies"].values() for text in extra]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *extras]]


def pins(file: str = "constraints.txt") -> list[Requirement]:
    lines = (ROOT / file).read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def carried_files() -> list[Path]:
    """What a clone contains: as git says, or everything but hidden and generated folders where there is no git."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    try:
        names = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        files = [ROOT / name for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        passed_over = {"__pycache__", "runs", "build", "dist"}
        files = [
            path
            for path in ROOT.rglob("*")
            if not any(
                part in passed_over or (part.startswith(".") and part != ".ci") or part.endswith(".egg-info")
                for part in path.relative_to(ROOT).parts
            )
        ]
    return [path for path in files if path.is_file()]


def test_environment_yml_asks_for_what_pyproject_asks_for():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    python, pip, through_pip = environment["dependencies"]
    assert python == "python" + PROJECT["requires-python"]
    assert pip == "pip"
    extras = ",".join(PROJECT["optional-dependencies"])
    assert through_pip == {"pip": ["-c constraints.txt", f"-e .[{extras}]"]}  # the floors are pyproject's own


def test_course_installs_every_extra_on_every_python_that_pyproject_allows():
    assert course.EXTRAS.split(",") == list(PROJECT["optional-dependencies"])
    assert PROJECT["requires-python"] == ">=" + ".".join(map(str, course.OLDEST_PYTHON))


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_constraints_pin_every_requirement_above_its_floor(python, platform):
    machine = {"python_version": python, "python_full_version": f"{python}.1", "sys_platform": platform}
    chosen = {pin.name: pin.specifier for pin in pins() if not pin.marker or pin.marker.evaluate(machine)}
    for requirement in required():
        pin = chosen.get(requirement.name.lower())
        assert pin is not None, f"constraints.txt does not pin {requirement.name} for Python {python}, {platform}"
        (version,) = (part.version for part in pin)
        assert version in requirement.specifier, f"{requirement} but {requirement.name}=={version}"


def test_colabs_versions_are_above_the_floors():
    pinned = {pin.name: pin.specifier for pin in pins(course.COLAB_VERSIONS)}
    needed = [*PROJECT["dependencies"], *course.COLAB_HAS]
    floors = {requirement.name.lower(): requirement for requirement in required()}
    for name in (Requirement(text).name.lower() for text in needed):
        (version,) = (part.version for part in pinned[name])
        assert version in floors[name].specifier, f"{floors[name]}, but Colab has {version}"


def test_colabs_versions_name_no_place():
    assert all(re.fullmatch("==[^,]+", str(pin.specifier)) for pin in pins(course.COLAB_VERSIONS))
    assert "://" not in (ROOT / course.COLAB_VERSIONS).read_text(encoding="utf-8")


def test_constraints_name_no_place():
    assert all(pin.url is None and re.fullmatch("==[^,]+", str(pin.specifier)) for pin in pins())
    assert not re.search("://|^-|@", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_requirements_name_no_upper_bound():
    """Colab and older GPU machines bring their own torch: floors only."""
    for requirement in required():
        assert all(part.operator == ">=" for part in requirement.specifier), str(requirement)
    assert "2.11.0" in SpecifierSet(next(str(r.specifier) for r in required() if r.name == "torch"))


def test_readme_puts_the_two_commands_first():
    commands = [f"python3 course.py {name}" for name in ("demo", "test")]
    assert all(command in README for command in commands)
    first = re.search("^```.*?^```", README, re.MULTILINE | re.DOTALL)
    assert first and all(command in first.group() for command in commands)


def test_readme_names_only_course_commands_that_exist():
    named = set(re.findall(r"course\.py (?:--here )?([a-z]\w*)", README))
    assert {"demo", "test"} <= named
    assert named <= {"lab", "demo", "test", "gpu", "colab", "setup"}


def test_paths_in_the_readme_exist():
    text = re.sub("^```.*?^```", "", README, flags=re.MULTILINE | re.DOTALL)
    quoted = re.findall("`([^`\\s]+)`", text)
    suffixes = ("py", "md", "toml", "txt", "yml", "ipynb", "png", "json", "safetensors", "cff")
    is_path = re.compile(rf"[\w.]+/|[\w./-]+/[\w.-]*|[\w.-]+\.({'|'.join(suffixes)})")
    made_later = ("..", "runs/", ".venv", "/", "~")  # beside the project, or made by running it
    paths = [q for q in quoted if is_path.fullmatch(q) and not q.startswith(made_later)]
    linked = [q.split("#")[0] for q in re.findall(r"\]\(([^)\s]+)\)", README) if "://" not in q]
    linked += re.findall(r'(?:src|href)="(?!https?:)([^"#]+)"', README)
    missing = [path for path in filter(None, linked) if not (ROOT / path).exists()]
    for path in paths:  # a bare file name may stand for a file of the package
        if not (ROOT / path).exists() and not (ROOT / "mrcnn_lite" / path).exists():
            missing.append(path)
    assert paths and not missing, f"README.md names {missing}"


def test_no_file_is_large():
    large = {str(path): path.stat().st_size for path in carried_files() if path.stat().st_size > LARGEST_FILE}
    assert not large


def test_no_file_names_a_place_on_one_machine():
    place = re.compile(rb"(?<![\w./-])/(?:root|work|home/\w+|Users/\w+|opt/\w+)/|[A-Z]:\\Users\\")
    found = []
    for path in carried_files():
        if path.suffix not in (".png", ".jpg", ".safetensors"):
            content = path.read_bytes()
            found += [f"{path.relative_to(ROOT)}: {match.group()!r}" for match in place.finditer(content)]
    assert not found


def test_versions_are_equal():
    version = PROJECT["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest and newest.group(1) == version
    face = ast.parse((ROOT / "mrcnn_lite" / "__init__.py").read_text(encoding="utf-8"))
    said = [
        node.value.value
        for node in face.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__version__"
        if isinstance(node.value, ast.Constant)
    ]
    assert said in ([], [version])


def test_licences_are_there():
    holder = PROJECT["authors"][0]["name"]
    code = (ROOT / "LICENSE").read_text(encoding="utf-8")
    notebooks = (ROOT / "LICENSE-notebooks").read_text(encoding="utf-8")
    assert code.startswith(f"{PROJECT['license']} License") and holder in code
    assert "CC BY 4.0" in notebooks and holder in notebooks
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["license"] == PROJECT["license"]


def test_every_folder_of_the_package_is_installed():
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    folders = [path.parent.relative_to(ROOT) for path in (ROOT / "mrcnn_lite").rglob("__init__.py")]
    assert sorted(setuptools["packages"]) == sorted(".".join(folder.parts) for folder in folders)


def test_continuous_integration_runs_the_command_of_the_readme():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert script.startswith("#!/usr/bin/env bash\n")
    assert "python3 course.py test" in script
