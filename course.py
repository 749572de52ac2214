"""The one command of this project: makes what it needs on first use, then does what it is asked.

    python3 course.py lab             JupyterLab on notebooks/
    python3 course.py demo            trains a small Mask R-CNN and names a picture of what it sees
    python3 course.py test            everything: style, types, tests, notebooks
    python3 course.py gpu             demo, parity tests and benchmarks on a CUDA device
    python3 course.py colab           every notebook with the versions that Google Colab has, in .venv-colab
    python3 course.py setup           only makes (or brings up to date) the environment in .venv

What follows the command goes to the program behind it: `demo --peer torchvision`, `lab --no-browser`.
`test -k roi_ops` runs pytest alone; `colab notebooks/05_roi_align.ipynb` runs that notebook; `gpu --only
benchmarks` runs one part; `gpu --wheels DIR` adds packages that were carried along. `python3 course.py --here
COMMAND` makes no .venv and stays in the interpreter that it is started with (conda, Colab).

Standard library only, for Linux, macOS and Windows. Python 3.8 can still parse it, so that an old Python
gets a sentence instead of a syntax error. Read `main` first, then `environment`, then the command you want.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any, Iterable, NamedTuple, NoReturn  # noqa: UP035 (Python 3.8 has no other Iterable)

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
EXTRAS = "notebooks,logs,test"
OLDEST_PYTHON = (3, 10)
NBVAL = ["--nbval", "--nbval-current-env", "--nbval-cell-timeout", "300"]
NBVAL += ["--nbval-sanitize-with", "tests/nbval_sanitize.cfg"]
MOST_WORKERS = 8  # that run tests side by side: each takes 2 GB of memory at times
NEEDED_GB = 8 if sys.platform == "linux" else 4  # on Linux torch brings its CUDA libraries, GPU or not: 5.5 GB

# .venv/course-state says how far we are: MAKING, UPDATING, or the fingerprint of a complete environment.
# A .venv without it was made by somebody else's hand: it is brought up to date, not deleted.
STATE, MAKING, UPDATING = "course-state", "making", "updating"

MISSING_VENV = """this Python cannot make virtual environments: its modules venv and ensurepip are missing.
On Debian and Ubuntu: sudo apt install python3-venv. Elsewhere: install Python from python.org."""

NO_NETWORK = "no network: the packages cannot be reached. Connect, then run the same command again."
NO_NETWORK_SIGNS = (  # what pip says on Linux, macOS and Windows
    "NewConnectionError",
    "NameResolutionError",
    "ConnectTimeoutError",
    "Failed to establish a new connection",
)

INSTALLATION_FAILED = """the installation failed: the lines above say at what. Usual causes:
- the network broke off;
- the disk, or the quota of your home folder, is full (UV_CACHE_DIR and PIP_CACHE_DIR move the downloads);
- torch has no build for this Python or machine (Python 3.12 has one on Linux, Windows and Apple silicon).
Run the same command again afterwards: it mends what is half done."""


class Problem(Exception):
    """Something the reader can put right: the message says what it is and how."""


def main(arguments: list[str]) -> int:
    commands = {"lab": lab, "demo": demo, "test": test, "gpu": gpu, "colab": colab, "setup": setup}
    here = arguments[:1] == ["--here"]
    command, *rest = arguments[1 if here else 0 :] or ["--help"]
    if command in ("-h", "--help", "help"):
        say(__doc__.strip())
        return 0
    if command not in commands:
        raise Problem(f"there is no command '{command}': it is one of {', '.join(commands)}")
    check_python(sys.version_info[:2])
    return commands[command](here, rest)


# ------------------------------------------------------------------------------------------------------------
# The environment
# ------------------------------------------------------------------------------------------------------------


def environment() -> Path:
    """The interpreter of .venv: made if there is none, mended if half made, brought up to date if old."""
    python = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    state_file = VENV / STATE
    state = state_file.read_text() if state_file.exists() else ""
    version = version_of(python)
    if version and state == fingerprint(version):
        return python

    if VENV.exists() and (not version or state == MAKING):
        say("The .venv here was never finished, or its Python is gone: making it anew.")
        remove_environment()
        version = ""
    if not version:
        check_machine()
        say(f"Making .venv: a few minutes, once; up to {NEEDED_GB} GB of disk.")
        VENV.mkdir()
        state_file.write_text(MAKING)
        # Without pip: `install` adds it, to this environment as to one that somebody else made.
        if run([sys.executable, "-m", "venv", "--without-pip", VENV]) != 0:
            raise Problem(f"Python could not make {VENV}: its own words stand above.")
    else:
        say("Bringing .venv up to date.")
        state_file.write_text(UPDATING)
    install(python, again=state == UPDATING)
    state_file.write_text(fingerprint(version_of(python)))
    return python


def fingerprint(version: str, what: str = EXTRAS, files: Iterable[str] = ("pyproject.toml", "constraints.txt")) -> str:
    """A digest of all that decides what stands in .venv: two files, the Python, the extras, the place."""
    digest = hashlib.sha256(f"{version} {what} {ROOT}".encode())
    for name in files:
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def version_of(python: Path) -> str:
    """The version of an interpreter, "3.12"; empty where it is missing or does not start."""
    question = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        return subprocess.check_output([str(python), "-c", question], stderr=subprocess.DEVNULL).decode().strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def install(python: Path, again: bool) -> None:
    """The package with its extras, in the tested versions; `again` replaces what an interruption left."""
    what = ["-e", f"{ROOT}[{EXTRAS}]", "-c", ROOT / "constraints.txt"]
    # WHY: without byte code every kernel waits 14 s for torch instead of 5, and this variable prevents it.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    if run([python, "-m", "ensurepip"], env=variables, stdout=subprocess.DEVNULL) != 0:
        raise Problem(MISSING_VENV)

    pip = [python, "-m", "pip", "--disable-pip-version-check", "install"]
    refusal = words_of_failure([*pip, "--retries", "2", "uv"], variables)
    if any(sign in refusal for sign in NO_NETWORK_SIGNS):
        raise Problem(NO_NETWORK)
    if not refusal:  # four times as fast as pip
        uv = [python, "-m", "uv", "pip", "install", "--python", python, "--compile-bytecode"]
        if run([*uv, *["--reinstall"] * again, *what], env=variables) == 0:
            return
    say("Without uv: pip takes longer, but reads your settings of pip.")
    if run([*pip, *["--force-reinstall"] * again, *what], env=variables) != 0:
        raise Problem(INSTALLATION_FAILED)


def check_python(version: tuple[int, ...]) -> None:
    if version < OLDEST_PYTHON:
        found, needed = (".".join(map(str, numbers)) for numbers in (version, OLDEST_PYTHON))
        raise Problem(
            f"this is Python {found}, and the project needs {needed} or newer.\n"
            "Start course.py with a newer one, for example: python3.12 course.py setup"
        )


def check_machine() -> None:
    """Before anything is downloaded: can this Python make an environment, and is there room for it?"""
    if any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip")):
        raise Problem(MISSING_VENV)
    free_gb = shutil.disk_usage(str(ROOT)).free / 1e9
    if free_gb < NEEDED_GB:
        raise Problem(f"{ROOT} has {free_gb:.1f} GB free, and the environment needs about {NEEDED_GB} GB.")


def remove_environment() -> None:
    if Path(sys.prefix).resolve() == VENV.resolve():
        raise Problem("this Python belongs to the .venv that is to be made anew: use another.")
    shutil.rmtree(str(VENV))


# ------------------------------------------------------------------------------------------------------------
# The commands: `here` is --here, `arguments` the rest of the command line; each returns the exit code
# ------------------------------------------------------------------------------------------------------------


def interpreter(here: bool) -> Path:
    return Path(sys.executable) if here else environment()


def setup(here: bool, arguments: list[str]) -> int:
    say(f"Ready: {interpreter(here)}")
    return 0


def lab(here: bool, arguments: list[str]) -> int:
    start = ROOT / "notebooks" / "00_start_here.ipynb"
    root = f"--ServerApp.root_dir={ROOT}"  # WHY: by itself it would be notebooks/, and links to docs/ lead nowhere
    return run([interpreter(here), "-m", "jupyterlab", root, *([start] if start.exists() else []), *arguments])


def demo(here: bool, arguments: list[str]) -> int:
    return run([interpreter(here), "-m", "mrcnn_lite.demo", *arguments])


def test(here: bool, arguments: list[str]) -> int:
    python = interpreter(here)
    # WHY: two OpenMP threads gain a fifth on an idle machine and lose 13 times beside one busy process.
    variables = {**os.environ, "OMP_NUM_THREADS": "1"}
    if arguments:
        return run([python, "-m", "pytest", *arguments], cwd=ROOT, env=variables)
    prepare_browser()
    report = Report(python, variables)
    report.tool("ruff check", "ruff", "check", ".")
    report.tool("ruff format", "ruff", "format", "--check", ".")
    report.tool("mypy", "mypy")
    # A worker a core, each with one thread; what a file's tests prepare, or a notebook's kernel, they share.
    workers = ["-n", str(min(os.cpu_count() or 1, MOST_WORKERS)), "--dist", "loadfile"]
    in_order = [*workers, "--no-loadscope-reorder"]  # the order is tests/conftest.py's
    report.pytest("tests of the package", *in_order, "--ignore", "tests/widgets", "tests")
    report.pytest("tests of the widgets", *in_order, "tests/widgets")
    if any((ROOT / "notebooks").rglob("*.ipynb")):
        report.pytest("notebooks", *workers, *NBVAL, "notebooks")
    return report.close()


def prepare_browser() -> None:
    """Browser tests need a Chromium, and Korean letters: installed where that asks nobody anything, or we say how."""
    if not any((ROOT / "tests").rglob("test_browser*.py")):
        return
    packages = [] if any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))) else ["chromium"]
    packages += [] if has_korean_letters() else ["fonts-nanum"]
    if not packages:
        return
    debian = os.path.exists("/etc/debian_version") and shutil.which("apt-get") is not None
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    if debian and os.geteuid() == 0:
        run(["apt-get", "update", "-q"])
        run(command)
    else:
        how = "sudo " + " ".join(command) if debian else "install Chromium or Chrome, and a font with Korean letters"
        say(f"Not on this machine: {' and '.join(packages)}. Tests that need it will be skipped. To run them: {how}")


def has_korean_letters() -> bool:
    """Whether fontconfig knows a font with them. Windows and macOS, which have no fontconfig to ask, come with one."""
    if shutil.which("fc-list") is None:
        return not os.path.exists("/etc/debian_version")
    return bool(subprocess.run(["fc-list", ":lang=ko"], capture_output=True, text=True).stdout.strip())


# ------------------------------------------------------------------------------------------------------------
# colab: what a student meets who opens a notebook there, but for Colab's own page and its first cell's download
# ------------------------------------------------------------------------------------------------------------

COLAB_VENV = ROOT / ".venv-colab"
COLAB_PYTHON = "3.13"
COLAB_VERSIONS = "tests/colab_constraints.txt"
COLAB_HAS = ["ipykernel", "ipywidgets", "anywidget", "scikit-image", "scipy"]  # beyond what the package asks for
COLAB_TESTED_WITH = ["pytest", "pytest-timeout", "hypothesis", "nbval"]  # not Colab's, and of any version
COLAB_TESTS = ("test_panel_frame.py", "test_proposals_panel.py", "test_roi_features_panel.py", "test_training_panel.py")


def colab(here: bool, arguments: list[str]) -> int:
    python = Path(sys.executable) if here else colab_environment()
    report = Report(python, {**os.environ, "OMP_NUM_THREADS": "1"})
    report.pytest("notebooks", *NBVAL, *(arguments or ["notebooks"]))
    if not arguments:
        report.pytest("panels", *(f"tests/widgets/{name}" for name in COLAB_TESTS))
    return report.close()


def colab_environment() -> Path:
    """The interpreter of .venv-colab, made anew when anything that decides what stands in it has changed."""
    python = COLAB_VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    state_file = COLAB_VENV / STATE
    if state_file.exists() and state_file.read_text() == colab_fingerprint(version_of(python)):
        return python

    uv = [environment(), "-m", "uv"]  # the other environment has it
    check_machine()
    say(f"Making .venv-colab: a few minutes, once; up to {NEEDED_GB} GB of disk.")
    if COLAB_VENV.exists():
        shutil.rmtree(str(COLAB_VENV))
    if run([*uv, "venv", "--quiet", "--python", python_like_colabs(), COLAB_VENV]) != 0:
        say(f"There is no Python {COLAB_PYTHON}, which is Colab's: this one is taken instead.")
        if run([*uv, "venv", "--quiet", "--python", sys.executable, COLAB_VENV]) != 0:
            raise Problem(f"uv could not make {COLAB_VENV}: its own words stand above.")
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    what = ["-e", ROOT, *COLAB_HAS, *COLAB_TESTED_WITH, "-c", ROOT / COLAB_VERSIONS]
    if run([*uv, "pip", "install", "--python", python, "--compile-bytecode", *what], env=variables) != 0:
        raise Problem(INSTALLATION_FAILED)
    state_file.write_text(colab_fingerprint(version_of(python)))
    return python


def colab_fingerprint(version: str) -> str:
    return fingerprint(version, " ".join([*COLAB_HAS, *COLAB_TESTED_WITH]), ("pyproject.toml", COLAB_VERSIONS))


def python_like_colabs() -> str:
    """The path of a Python of Colab's version, in the search path or pyenv's folder; else the version alone: uv knows
    more places, and can fetch one."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [shutil.which(f"python{COLAB_PYTHON}"), *pyenv.glob(f"{COLAB_PYTHON}.*/bin/python")]
    return next((str(p) for p in found if p and version_of(Path(p)) == COLAB_PYTHON), COLAB_PYTHON)


# ------------------------------------------------------------------------------------------------------------
# gpu: also on a machine that has torch and torchvision (with numpy and pillow, which they need), nothing else
# ------------------------------------------------------------------------------------------------------------

GPU_PARTS = ("demo", "parity", "benchmarks")
# With the options that leave out what takes long and tells nothing of the GPU.
GPU_BENCHMARKS = {
    "roi_align.py": ["--device", "cuda"],
    "paste.py": ["--device", "cuda"],
    "nms.py": ["--device", "cuda"],
    "whole_model.py": ["--device", "cuda", "--no-compile"],
    "mask_branch.py": ["--device", "cuda"],
    "synchronisations.py": ["--device", "cuda"],
    "input_checks.py": ["--device", "cuda"],
}
COMPARED_WITH_TORCHVISION = ("test_boxes.py", "test_roi_ops.py", "test_torchvision_models.py", "test_weights.py")

# What the three parts import beyond that, by import name; from the second line on, what those need in turn.
CARRIED = """pycocotools safetensors certifi tqdm matplotlib pytest pytest_timeout hypothesis
    contourpy cycler fontTools kiwisolver pyparsing dateutil six
    packaging pluggy iniconfig pygments sortedcontainers""".split()  # noqa: SIM905
PACKAGE_NAMES = {"dateutil": "python-dateutil", "pytest_timeout": "pytest-timeout"}  # where they differ

PROBE = """
import importlib.util, json, sys, torch
print(json.dumps({
    "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "",
    "torch": torch.__version__,
    "python": "%d.%d" % sys.version_info[:2],
    "missing": [name for name in sys.argv[1:] if importlib.util.find_spec(name) is None],
}))
"""


def gpu(here: bool, arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="course.py gpu", description=f"Runs {', '.join(GPU_PARTS)} on a GPU.")
    parser.add_argument("--only", choices=GPU_PARTS, help="one part; otherwise all three")
    parser.add_argument("--wheels", metavar="DIR", help="a folder of wheels to add first, without a network")
    options, for_the_demo = parser.parse_known_args(arguments)
    chosen = [options.only] if options.only else GPU_PARTS

    python = interpreter(here or importlib.util.find_spec("torch") is not None)
    added = ROOT / "runs" / "gpu-packages"
    search_path = [str(ROOT), str(added), os.environ.get("PYTHONPATH", "")]
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, search_path))}
    if options.wheels:
        add_wheels(python, Path(options.wheels), added)
    try:
        answer = subprocess.check_output([str(python), "-c", PROBE, *CARRIED], env=variables)
    except subprocess.CalledProcessError as failure:
        raise Problem(f"torch does not start in {python}: its own words stand above.") from failure
    found = json.loads(answer.decode().splitlines()[-1])
    if not found["device"]:
        say(f"No CUDA device: torch {found['torch']} sees none, so there is nothing to run here.")
        return 2
    if found["missing"]:
        raise Problem(how_to_carry(found["missing"], found["python"]))
    say(f"{found['device']}, torch {found['torch']}, Python {found['python']}")

    report = Report(python, variables)
    if "demo" in chosen:
        report.tool("demo", "mrcnn_lite.demo", *for_the_demo)
    if "parity" in chosen:
        report.pytest("parity", *parity_tests())
    if "benchmarks" in chosen:
        for name, only_gpu in GPU_BENCHMARKS.items():
            report.script(f"benchmarks/{name}", ROOT / "benchmarks" / name, *only_gpu)
    return report.close()


def add_wheels(python: Path, folder: Path, added: Path) -> None:
    wheels = sorted(folder.glob("*.whl"))
    if not wheels:
        raise Problem(f"there is no wheel (*.whl) in {folder}.")
    pip = [
        python,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        "--upgrade",
        "--target",
        added,
    ]
    if run([*pip, *wheels]) != 0:
        raise Problem(f"pip could not add the wheels in {folder}: its own words stand above.")


def parity_tests() -> list[str]:
    """The test files that hold us to torchvision, and those with a test for GPUs."""
    files = sorted((ROOT / "tests").glob("test_*.py"))
    gpu_mark = "pytest.mark.gpu"
    return [str(f) for f in files if f.name in COMPARED_WITH_TORCHVISION or gpu_mark in f.read_text("utf-8")]


def how_to_carry(missing: Iterable[str], version: str) -> str:
    names = " ".join(PACKAGE_NAMES.get(name, name.lower()) for name in missing)
    platforms = " ".join(f"--platform manylinux{tag}_x86_64" for tag in ("2014", "_2_27", "_2_28"))
    target = f"--python-version {version} {platforms}"
    return f"""this Python lacks {", ".join(missing)}.
With a network: pip install {names}
Without, on another machine that has one (the platform is Linux on x86):
  python3 -m pip download -d wheels --no-deps --only-binary=:all: {target} {names}
and with the folder `wheels` carried here: python3 course.py gpu --wheels wheels"""


# ------------------------------------------------------------------------------------------------------------
# Running programs
# ------------------------------------------------------------------------------------------------------------


class Part(NamedTuple):
    name: str
    seconds: float
    passed: int
    failed: int
    skipped: int


class Report:
    """Runs one part after the other, whatever the earlier ones said; then a table and a total."""

    def __init__(self, python: Path, variables: dict[str, str]) -> None:
        self.python, self.variables = python, variables
        self.parts: list[Part] = []

    def tool(self, name: str, module: str, *arguments: str) -> None:
        self._run(name, ["-m", module, *arguments])

    def script(self, name: str, path: Path, *arguments: str) -> None:
        self._run(name, [path, *arguments])

    def pytest(self, name: str, *arguments: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            results = Path(folder) / "results.xml"
            self._run(name, ["-m", "pytest", "--junitxml", results, *arguments], results)
            if "--nbval" in arguments:
                say("".join(f"{seconds:7.1f} s  {file}\n" for file, seconds in seconds_of_files(results).items()))

    def _run(self, name: str, arguments: list, results: Path | None = None) -> None:
        say(f"\n-------- {name}")
        start = time.perf_counter()
        code = run([self.python, *arguments], cwd=ROOT, env=self.variables)
        passed, failed, skipped = count(results) if results else (int(code == 0), 0, 0)
        if code != 0:  # one failure at least, also where no test says so: a crash, a conftest.py that breaks
            failed = max(failed, 1)
        self.parts.append(Part(name, time.perf_counter() - start, passed, failed, skipped))

    def close(self) -> int:
        """Prints a line for each part and, last and alone on its line, the total; 1 if anything failed."""
        say("\n--------")
        for part in self.parts:
            word = "FAILED" if part.failed else "ok"
            say(f"{part.name:<28} {word:<6} {part.seconds:7.1f} s  {sentence(*part[2:])}")
        totals = [sum(column) for column in zip(*(part[2:] for part in self.parts))]
        say(sentence(*totals))
        return int(any(part.failed for part in self.parts))


def sentence(passed: int, failed: int, skipped: int) -> str:
    return f"{passed} passed, {failed} failed, {skipped} skipped"


def count(results: Path) -> tuple[int, int, int]:
    """Passed, failed and skipped in a JUnit file as pytest writes it; zeros where there is none."""
    if not results.exists():
        return 0, 0, 0
    suites = list(ElementTree.parse(str(results)).iter("testsuite"))
    total, failures, errors, skipped = (
        sum(int(suite.get(name, 0)) for suite in suites) for name in ("tests", "failures", "errors", "skipped")
    )
    failed = failures + errors
    return max(0, total - failed - skipped), failed, skipped


def seconds_of_files(results: Path) -> dict[str, float]:
    """What the tests of each file took together, the cells of each notebook say; {} where there is no JUnit file."""
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(str(results)).iter("testcase") if results.exists() else ():
        file = case.get("classname", "")
        seconds[file] = seconds.get(file, 0.0) + float(case.get("time", 0))
    return dict(sorted(seconds.items()))


def run(command: Iterable[Any], **options: Any) -> int:
    """Runs a program to its end in our terminal and returns its exit code.

    Ctrl-C reaches the program as well as us. It decides (JupyterLab asks back); we wait for its end.
    """
    process = subprocess.Popen([str(word) for word in command], **options)
    interrupted = False
    try:
        while process.poll() is None:
            try:
                process.wait()
            except KeyboardInterrupt:
                interrupted = True
    finally:
        if process.poll() is None:  # we are being ended ourselves: take the program along
            process.terminate()
    code = process.returncode
    if interrupted and code != 0:
        raise KeyboardInterrupt
    return code if code >= 0 else 128 - code  # ended by a signal: counted as shells do


def words_of_failure(command: Iterable[Any], variables: dict[str, str]) -> str:
    """Runs a program silently: empty if it worked, else what it said."""
    pipe, joined = subprocess.PIPE, subprocess.STDOUT
    answer = subprocess.run([str(word) for word in command], env=variables, stdout=pipe, stderr=joined)
    return "" if answer.returncode == 0 else answer.stdout.decode(errors="replace") or "no word"


def say(text: str) -> None:
    print(text, flush=True)


def ended(*_: object) -> NoReturn:
    sys.exit(143)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, ended)
    try:
        sys.exit(main(sys.argv[1:]))
    except Problem as problem:
        sys.exit(f"course.py: {problem}")
    except KeyboardInterrupt:
        sys.exit(130)
