"""course.py's decisions, with stand-ins for everything that installs or starts something."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

import course


class Fakes:
    """A project in an empty folder, and a record of the programs that course.py would have started."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.venv = folder, folder / ".venv"
        self.commands: list[list[str]] = []
        self.failing: str | None = None  # a word: the commands that contain it fail
        self.pip_says_of_uv = ""
        for name in ("pyproject.toml", "constraints.txt"):
            (folder / name).write_text(name)
        monkeypatch.setattr(course, "ROOT", self.root)
        monkeypatch.setattr(course, "VENV", self.venv)
        monkeypatch.setattr(course, "run", self.run)
        monkeypatch.setattr(course, "words_of_failure", lambda command, variables: self.pip_says_of_uv)
        monkeypatch.setattr(course, "version_of", self.version_of)

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def state(self) -> str:
        return (self.venv / course.STATE).read_text()

    def run(self, command, **options) -> int:
        words = [str(word) for word in command]
        self.commands.append(words)
        failed = self.failing is not None and self.failing in words
        if "venv" in words and not failed:
            self.make_python()
        return int(failed)

    def version_of(self, python: Path) -> str:
        return "3.12" if Path(python).exists() else ""

    def make_python(self) -> None:
        self.python.parent.mkdir(parents=True)
        self.python.touch()

    def started(self, word: str) -> list[list[str]]:
        return [command for command in self.commands if word in command]


@pytest.fixture
def fakes(tmp_path, monkeypatch) -> Fakes:
    return Fakes(tmp_path, monkeypatch)


# The environment


def test_an_environment_is_made_once(fakes, capsys):
    assert course.environment() == fakes.python
    assert [next(w for w in ("venv", "ensurepip", "uv") if w in c) for c in fakes.commands] == [
        "venv",
        "ensurepip",
        "uv",
    ]
    install = fakes.commands[-1]
    assert "--compile-bytecode" in install and "--reinstall" not in install
    assert f"{fakes.root}[notebooks,logs,test]" in install and str(fakes.root / "constraints.txt") in install
    assert "Making .venv" in capsys.readouterr().out

    fakes.commands.clear()
    assert course.environment() == fakes.python
    assert fakes.commands == [] and capsys.readouterr().out == ""


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_brings_it_up_to_date(fakes, changed):
    course.environment()
    fakes.commands.clear()
    (fakes.root / changed).write_text("something else")
    course.environment()
    assert not fakes.started("venv") and len(fakes.started("uv")) == 1
    assert "--reinstall" not in fakes.started("uv")[0]
    fakes.commands.clear()
    course.environment()
    assert fakes.commands == []


def test_the_fingerprint_depends_on_python_and_place(fakes, tmp_path, monkeypatch):
    first = course.fingerprint("3.12")
    assert course.fingerprint("3.12") == first != course.fingerprint("3.13")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(tmp_path / name, moved)
    monkeypatch.setattr(course, "ROOT", moved)
    assert course.fingerprint("3.12") != first


def test_what_an_interrupted_making_left_is_made_anew(fakes, capsys):
    fakes.failing = "ensurepip"
    with pytest.raises(course.Problem):
        course.environment()
    assert fakes.state == course.MAKING
    (fakes.venv / "rubbish").touch()

    fakes.failing = None
    course.environment()
    assert not (fakes.venv / "rubbish").exists()
    assert fakes.state == course.fingerprint("3.12")
    assert "making it anew" in capsys.readouterr().out


def test_an_interrupted_update_is_repeated_in_full_and_deletes_nothing(fakes):
    course.environment()
    (fakes.root / "constraints.txt").write_text("something else")

    def interrupted(command, **options):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(course, "run", interrupted)
        with pytest.raises(KeyboardInterrupt):
            course.environment()
    assert fakes.state == course.UPDATING
    (fakes.venv / "kept").touch()
    fakes.commands.clear()
    course.environment()
    assert (fakes.venv / "kept").exists() and "--reinstall" in fakes.started("uv")[0]
    assert fakes.state == course.fingerprint("3.12")


def test_an_environment_made_by_hand_is_kept(fakes):
    fakes.make_python()
    (fakes.venv / "kept").touch()
    course.environment()
    assert (fakes.venv / "kept").exists() and not fakes.started("venv")


def test_an_environment_whose_python_is_gone_is_made_anew(fakes):
    course.environment()
    fakes.python.unlink()
    fakes.commands.clear()
    course.environment()
    assert fakes.started("venv") and fakes.python.exists()


def test_it_does_not_saw_off_its_own_branch(fakes, monkeypatch):
    fakes.make_python()
    (fakes.venv / course.STATE).write_text(course.MAKING)
    monkeypatch.setattr(sys, "prefix", str(fakes.venv))
    with pytest.raises(course.Problem, match="use another"):
        course.environment()
    assert fakes.python.exists()


def test_pip_steps_in_where_uv_cannot_be_had(fakes, capsys):
    fakes.pip_says_of_uv = "ERROR: No matching distribution found for uv"
    course.environment()
    (install,) = fakes.started("install")
    assert install[1:3] == ["-m", "pip"] and fakes.state == course.fingerprint("3.12")
    assert "Without uv" in capsys.readouterr().out


def test_pip_steps_in_where_uv_fails(fakes):
    fakes.failing = "uv"
    course.environment()
    assert [command[2] for command in fakes.started("install")] == ["uv", "pip"]


def test_no_network_is_said_at_once(fakes):
    fakes.pip_says_of_uv = "WARNING: Retrying ... NewConnectionError(...) Temporary failure in name resolution"
    with pytest.raises(course.Problem, match="no network"):
        course.environment()
    assert not fakes.started("install")


def test_a_failed_installation_says_why_it_may_have(fakes):
    fakes.failing = "install"
    with pytest.raises(course.Problem, match=r"(?s)network.*UV_CACHE_DIR.*same command again"):
        course.environment()
    assert fakes.state == course.MAKING


def test_byte_code_is_compiled_although_the_variable_forbids_it(fakes, monkeypatch):
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = []
    monkeypatch.setattr(course, "run", lambda command, **options: seen.append(options["env"]) or 0)
    course.install(fakes.python, again=False)
    assert seen and all("PYTHONDONTWRITEBYTECODE" not in variables for variables in seen)
    assert all(variables["PATH"] == os.environ["PATH"] for variables in seen)


# What is refused before anything starts


def test_python_38_can_read_the_file_and_gets_a_sentence():
    source = Path(course.__file__).read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 8))
    with pytest.raises(course.Problem, match=r"this is Python 3\.8, and the project needs 3\.10 or newer"):
        course.check_python((3, 8))
    course.check_python((3, 10))
    course.check_python((4, 0))


@pytest.mark.parametrize("missing", ["venv", "ensurepip"])
def test_missing_venv_names_the_package_to_install(fakes, monkeypatch, missing):
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None if name == missing else object())
    with pytest.raises(course.Problem, match="apt install python3-venv"):
        course.environment()
    assert not fakes.venv.exists()


def test_a_small_disk_is_refused_with_figures(fakes, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: usage(100e9, 97e9, 3e9))
    with pytest.raises(course.Problem, match=rf"3\.0 GB free.*about {course.NEEDED_GB} GB"):
        course.environment()
    assert not fakes.venv.exists()


# The command line


@pytest.fixture
def called(monkeypatch) -> list:
    """The commands replaced by a record of how they were called."""
    calls: list = []
    for name in ("lab", "demo", "test", "gpu", "colab", "setup"):
        monkeypatch.setattr(course, name, lambda here, rest, name=name: calls.append((name, here, rest)) or 7)
    return calls


@pytest.mark.parametrize(
    "line, expected",
    [
        ("demo", ("demo", False, [])),
        ("demo --peer torchvision", ("demo", False, ["--peer", "torchvision"])),
        ("--here test -k roi -x", ("test", True, ["-k", "roi", "-x"])),
        ("lab --here", ("lab", False, ["--here"])),  # after the command everything is the program's
    ],
)
def test_the_command_line(called, line, expected):
    assert course.main(line.split()) == 7
    assert called == [expected]


@pytest.mark.parametrize("line", ["", "-h", "--help", "help", "--here"])
def test_help(called, capsys, line):
    assert course.main(line.split()) == 0
    text = capsys.readouterr().out
    assert all(f"course.py {name}" in text for name in ("lab", "demo", "test", "gpu", "colab", "setup"))
    assert called == []


def test_an_unknown_command_lists_the_known_ones(called):
    with pytest.raises(course.Problem, match=r"'tset'.*lab, demo, test, gpu, colab, setup"):
        course.main(["tset"])


def test_demo_and_lab_pass_their_arguments_on(fakes):
    course.demo(True, ["--minutes", "2"])
    course.lab(True, ["--no-browser"])
    (fakes.root / "notebooks").mkdir()
    start = fakes.root / "notebooks" / "00_start_here.ipynb"
    start.touch()
    course.lab(True, [])
    root = f"--ServerApp.root_dir={fakes.root}"  # so that a notebook's link to ../docs leads somewhere
    assert fakes.commands == [
        [sys.executable, "-m", "mrcnn_lite.demo", "--minutes", "2"],
        [sys.executable, "-m", "jupyterlab", root, "--no-browser"],
        [sys.executable, "-m", "jupyterlab", root, str(start)],
    ]


def test_test_runs_every_part_whatever_fails_and_says_so_last(fakes, capsys):
    (fakes.root / "notebooks").mkdir()
    (fakes.root / "notebooks" / "00.ipynb").touch()
    fakes.failing = "ruff"
    assert course.test(True, []) == 1
    assert [command[2] for command in fakes.commands] == ["ruff", "ruff", "mypy", *["pytest"] * 3]
    package, widgets, notebooks = fakes.commands[3:]
    assert package[-3:] == ["--ignore", "tests/widgets", "tests"] and widgets[-1] == "tests/widgets"  # all of tests/
    assert "--nbval-cell-timeout" in notebooks and notebooks[-1] == "notebooks"
    assert all(command[command.index("--dist") + 1] == "loadfile" for command in fakes.commands[3:])
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "1 passed, 2 failed, 0 skipped"
    assert out.count("FAILED") == 2


def test_test_with_arguments_runs_pytest_alone(fakes):
    assert course.test(True, ["-k", "roi"]) == 0
    assert fakes.commands == [[sys.executable, "-m", "pytest", "-k", "roi"]]


@pytest.mark.parametrize(
    "debian, root, said, started",
    [(True, True, "", ["apt-get", "apt-get"]), (True, False, "sudo apt-get", []), (False, False, "Chrome", [])],
)
@pytest.mark.skipif(os.name == "nt", reason="Windows has no user ids")
def test_chromium_is_installed_only_where_that_asks_nobody(fakes, monkeypatch, capsys, debian, root, said, started):
    monkeypatch.setattr(course.os.path, "exists", lambda path: debian)
    monkeypatch.setattr(course.os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(course.shutil, "which", lambda name: "found" if name == "apt-get" else None)
    course.prepare_browser()
    assert fakes.commands == []  # no browser tests, no browser
    (fakes.root / "tests").mkdir()
    (fakes.root / "tests" / "test_browser_widgets.py").touch()
    course.prepare_browser()
    assert [command[0] for command in fakes.commands] == started
    assert all(command[-2:] == ["chromium", "fonts-nanum"] for command in fakes.commands if "install" in command)
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("listed, has", [("Nanum.ttf: NanumGothic", True), ("", False)])
def test_korean_letters_are_asked_of_fontconfig(monkeypatch, listed, has):
    monkeypatch.setattr(course.shutil, "which", lambda name: name)
    done = subprocess.CompletedProcess([], 0, stdout=listed)
    monkeypatch.setattr(course.subprocess, "run", lambda *_, **__: done)
    assert course.has_korean_letters() is has


# Colab's versions


@pytest.fixture
def colab_fakes(fakes, monkeypatch) -> Fakes:
    """A finished .venv, so that what is started is for .venv-colab."""
    (fakes.root / "tests").mkdir()
    (fakes.root / course.COLAB_VERSIONS).write_text("torch==2.11.0")
    course.environment()
    fakes.venv = fakes.root / ".venv-colab"
    monkeypatch.setattr(course, "COLAB_VENV", fakes.venv)
    monkeypatch.setattr(course, "python_like_colabs", lambda: "python-of-colab")
    fakes.commands.clear()
    return fakes


def test_an_environment_of_colabs_versions_is_made_once(colab_fakes):
    assert course.colab_environment() == colab_fakes.python
    made, install = colab_fakes.commands
    assert made[1:4] == ["-m", "uv", "venv"] and made[-2:] == ["python-of-colab", str(colab_fakes.venv)]
    assert str(colab_fakes.root / course.COLAB_VERSIONS) in install and "ipywidgets" in install
    assert str(colab_fakes.root) in install and "jupyterlab" not in install  # Colab has its own page
    colab_fakes.commands.clear()
    assert course.colab_environment() == colab_fakes.python and colab_fakes.commands == []


def test_other_versions_make_it_anew(colab_fakes):
    course.colab_environment()
    (colab_fakes.venv / "rubbish").touch()
    (colab_fakes.root / course.COLAB_VERSIONS).write_text("torch==2.12.0")
    course.colab_environment()
    assert not (colab_fakes.venv / "rubbish").exists()


def test_without_colabs_python_this_one_is_taken(colab_fakes, capsys):
    colab_fakes.failing = "python-of-colab"
    course.colab_environment()
    assert [command[6] for command in colab_fakes.started("venv")] == ["python-of-colab", sys.executable]
    assert f"no Python {course.COLAB_PYTHON}" in capsys.readouterr().out


def test_a_failed_installation_of_colabs_versions_is_tried_again(colab_fakes):
    colab_fakes.failing = "pip"
    with pytest.raises(course.Problem, match="same command again"):
        course.colab_environment()
    colab_fakes.failing = None
    course.colab_environment()
    assert colab_fakes.state == course.colab_fingerprint("3.12")


def test_colab_runs_every_notebook_and_the_panels_or_what_it_is_told(fakes, capsys):
    assert course.colab(True, []) == 0
    notebooks, panels = fakes.commands
    assert notebooks[-1] == "notebooks" and "--nbval" in notebooks
    assert [Path(p).name for p in panels if p.endswith(".py")] == list(course.COLAB_TESTS)
    fakes.commands.clear()
    assert course.colab(True, ["notebooks/03_rpn_and_nms.ipynb"]) == 0
    (only,) = fakes.commands
    assert only[-1] == "notebooks/03_rpn_and_nms.ipynb"
    here = Path(__file__).parent
    assert all((here / "widgets" / name).exists() for name in course.COLAB_TESTS)


def test_colabs_python_is_found_in_pyenvs_folder(tmp_path, monkeypatch):
    python = tmp_path / "versions" / f"{course.COLAB_PYTHON}.7" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.touch()
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    monkeypatch.setattr(course.shutil, "which", lambda name: "a-shim-that-does-not-start")
    monkeypatch.setattr(course, "version_of", lambda path: course.COLAB_PYTHON if path == python else "")
    assert course.python_like_colabs() == str(python)
    python.unlink()
    assert course.python_like_colabs() == course.COLAB_PYTHON


# Running and reporting, with real programs


def test_run_returns_the_exit_code_and_counts_signals_as_shells_do():
    assert course.run([sys.executable, "-c", "raise SystemExit(5)"]) == 5
    if os.name != "nt":
        assert course.run([sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"]) == 137


@pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
@pytest.mark.parametrize("decision, code", [("sys.exit(0)", 0), ("sys.exit(3)", 130)])
def test_ctrl_c_is_the_programs_decision(decision, code):
    """The program hears Ctrl-C, takes its time and decides; course.py waits for it and stays quiet."""
    program = f"""
import signal, sys, time
def decide(*_):
    time.sleep(0.6)
    {decision}
signal.signal(signal.SIGINT, decide)
print("ready", flush=True)
time.sleep(60)
"""
    source = Path(course.__file__).read_text(encoding="utf-8")
    host = source.replace("sys.exit(main(sys.argv[1:]))", "sys.exit(run([sys.executable, '-c', sys.argv[1]]))")
    assert host != source
    process = subprocess.Popen(
        [sys.executable, "-c", host.replace("Path(__file__)", "Path('course.py')"), program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout and process.stdout.readline() == b"ready\n"
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code and errors == b""


def test_words_of_failure():
    assert course.words_of_failure([sys.executable, "-c", "print('fine')"], dict(os.environ)) == ""
    assert course.words_of_failure([sys.executable, "-c", "raise SystemExit('why')"], dict(os.environ)) == "why\n"
    assert course.words_of_failure([sys.executable, "-c", "raise SystemExit(1)"], dict(os.environ))


def test_version_of():
    assert course.version_of(Path(sys.executable)) == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert course.version_of(Path("no/such/python")) == ""


def test_count_reads_what_pytest_writes(tmp_path):
    (tmp_path / "test_some.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n"
        "def test_c(): pytest.skip()\n@pytest.fixture\ndef broken(): 1 / 0\ndef test_d(broken): pass\n"
    )
    results = tmp_path / "results.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml", results, tmp_path]
    plain = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # seconds of imports that nobody needs here
    subprocess.run(list(map(str, command)), cwd=tmp_path, stdout=subprocess.DEVNULL, env=plain)
    assert course.count(results) == (1, 2, 1)
    assert course.count(tmp_path / "none.xml") == (0, 0, 0)
    assert list(course.seconds_of_files(results)) == ["test_some"]
    assert course.seconds_of_files(tmp_path / "none.xml") == {}


def test_seconds_of_a_file_are_those_of_all_its_cells(tmp_path):
    results = tmp_path / "results.xml"
    cell = '<testcase classname="notebooks.{}.ipynb" name="Cell 0" time="{}" />'
    results.write_text(f"<testsuite>{cell.format('02', 1.5)}{cell.format('01', 2)}{cell.format('02', 3)}</testsuite>")
    assert course.seconds_of_files(results) == {"notebooks.01.ipynb": 2.0, "notebooks.02.ipynb": 4.5}


def test_a_part_that_crashes_counts_as_one_failure(fakes, capsys):
    fakes.failing = "pytest"
    report = course.Report(Path(sys.executable), {})
    report.pytest("tests", "tests")
    assert report.close() == 1
    assert capsys.readouterr().out.splitlines()[-1] == "0 passed, 1 failed, 0 skipped"


# gpu


def probe(monkeypatch, **changes) -> None:
    """What the probe of the interpreter is to find."""
    found = {"device": "A GPU", "torch": "2.11.0", "python": "3.12", "missing": [], **changes}
    monkeypatch.setattr(course.subprocess, "check_output", lambda *a, **k: json.dumps(found).encode())


def test_gpu_without_a_device_says_so_and_exits_2(fakes, monkeypatch, capsys):
    probe(monkeypatch, device="", missing=["pytest"])
    assert course.gpu(True, []) == 2
    assert "No CUDA device" in capsys.readouterr().out and fakes.commands == []


def test_gpu_stays_in_an_interpreter_with_torch_and_else_goes_to_the_environment(fakes, monkeypatch):
    probe(monkeypatch)
    course.gpu(False, ["--only", "demo", "--minutes", "1"])
    assert fakes.commands == [[sys.executable, "-m", "mrcnn_lite.demo", "--minutes", "1"]]

    find_spec = course.importlib.util.find_spec
    monkeypatch.setattr(course.importlib.util, "find_spec", lambda name: None if name == "torch" else find_spec(name))
    course.gpu(False, ["--only", "demo"])
    assert fakes.commands[-1][0] == str(fakes.python)


def test_gpu_runs_demo_parity_tests_and_every_benchmark(fakes, monkeypatch):
    probe(monkeypatch)
    for name, text in {
        "tests/test_weights.py": "",
        "tests/test_any.py": "@pytest.mark.gpu\n",
        "tests/test_other.py": "",
    }.items():
        (fakes.root / name).parent.mkdir(exist_ok=True)
        (fakes.root / name).write_text(text)
    assert course.gpu(True, []) == 0
    demo, parity, *benchmarks = fakes.commands
    assert demo[1:] == ["-m", "mrcnn_lite.demo"]
    assert [Path(word).name for word in parity if word.endswith(".py")] == ["test_any.py", "test_weights.py"]
    assert [Path(command[1]).name for command in benchmarks] == list(course.GPU_BENCHMARKS)
    assert all(command[2:4] == ["--device", "cuda"] for command in benchmarks)


def test_every_benchmark_of_a_gpu_is_there():
    for name in course.GPU_BENCHMARKS:
        assert (Path(course.__file__).parent / "benchmarks" / name).exists()


def test_gpu_says_how_to_carry_what_is_missing(fakes, monkeypatch):
    probe(monkeypatch, missing=["pycocotools", "dateutil", "fontTools"])
    with pytest.raises(course.Problem) as problem:
        course.gpu(True, [])
    text = str(problem.value)
    assert "--python-version 3.12" in text and text.count("pycocotools python-dateutil fonttools") == 2
    assert "course.py gpu --wheels wheels" in text


def test_gpu_refuses_an_empty_folder_of_wheels(fakes, tmp_path):
    with pytest.raises(course.Problem, match="no wheel"):
        course.gpu(True, ["--wheels", str(tmp_path)])


def test_carried_wheels_are_found_without_an_installation(tmp_path, monkeypatch):
    """A real wheel of one line goes through pip, offline, and the probe finds it."""
    wheels, root = tmp_path / "wheels", tmp_path / "root"
    wheels.mkdir()
    with zipfile.ZipFile(wheels / "carried_along-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("carried_along.py", "here = True\n")
        information = "carried_along-1.0.dist-info/"
        wheel.writestr(information + "METADATA", "Metadata-Version: 2.1\nName: carried-along\nVersion: 1.0\n")
        wheel.writestr(information + "WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(information + "RECORD", "")
    course.add_wheels(Path(sys.executable), wheels, root / "added")
    variables = {**os.environ, "PYTHONPATH": str(root / "added")}
    answer = subprocess.check_output(
        [sys.executable, "-c", course.PROBE, "carried_along", "no_such_module"], env=variables
    )
    assert json.loads(answer.decode().splitlines()[-1])["missing"] == ["no_such_module"]


def test_everything_that_is_carried_is_importable_here():
    """The list of import names is right: in the full environment nothing of it is missing."""
    missing = [name for name in course.CARRIED if course.importlib.util.find_spec(name) is None]
    assert missing == []


def test_the_gpu_parts_import_nothing_but_what_is_carried():
    """Where torch and torchvision are all there is, --wheels must bring the rest (but a notebook's own)."""
    brought = (
        {"torch", "torchvision", "numpy", "PIL", "IPython", "anywidget", "ipywidgets", "traitlets"}
        | set(course.CARRIED)
        | set(sys.stdlib_module_names)
    )
    own = {"mrcnn_lite", "course"} | {path.stem for path in (course.ROOT / "benchmarks").glob("*.py")}
    # What only a notebook, or whoever runs one, ever calls.
    of_notebooks = {("ch01.py", "scipy"), ("notebooks.py", "nbclient"), ("notebooks.py", "nbformat")}
    files = [*(course.ROOT / "mrcnn_lite").rglob("*.py"), *(course.ROOT / "benchmarks").glob("*.py")]
    files.remove(course.ROOT / "benchmarks" / "widgets.py")  # needs a browser and no GPU: not among GPU_BENCHMARKS
    assert "widgets.py" not in course.GPU_BENCHMARKS
    files += [course.ROOT / "tests" / "conftest.py", *map(Path, course.parity_tests())]
    known, foreign = brought | own, set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            foreign |= {(path.name, top) for top in (name.split(".")[0] for name in names) if top not in known}
    assert foreign == of_notebooks
