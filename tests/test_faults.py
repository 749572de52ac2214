"""What may happen to a run: stopped, killed, out of memory or disk, two in one folder. `faults.py` kills it often.

python -m pytest tests/test_faults.py             the short form
python -m pytest tests/test_faults.py --long      400 moments instead of 30, minutes
"""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch
from training_fakes import SETTINGS, Sampler, Squares, make, same

from mrcnn_lite.training import lock, train
from mrcnn_lite.training.bad_pictures import BadPicture, TooManyBadPictures
from mrcnn_lite.training.batches import order_of_epoch
from mrcnn_lite.training.checkpoint import CheckpointError, load_checkpoint
from mrcnn_lite.training.errors import OutOfMemory
from mrcnn_lite.training.lock import FolderInUse

HERE = Path(__file__).parent
OPTIONS = {"settings": SETTINGS, "device": "cpu", "progress": False}
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither fork nor these signals")


@pytest.fixture(scope="module")
def whole():
    """The model of a run that was left in peace."""
    model = make()
    train(model, Squares(), **OPTIONS)
    return model


def resumed(output, dataset=None, **options):
    """The same run gone on with to its end."""
    model = make()
    history = train(model, dataset or Squares(), output=output, resume=True, **OPTIONS, **options)
    assert history.step == 10 and not history.interrupted
    assert len((output / "metrics.csv").read_text().splitlines()) == 11
    assert "run.lock" not in os.listdir(output)
    return model


@posix
@pytest.mark.slow
def test_killed_at_many_moments_a_run_goes_on_to_the_same_end(long_form):
    command = [sys.executable, str(HERE / "faults.py"), "--moments", "400" if long_form else "30"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=3000 if long_form else 300)
    assert said.returncode == 0, said.stdout + said.stderr
    assert f"0 of {int(command[-1]) * 6 // 5} failed" in said.stdout


# ---- asked to stop ---------------------------------------------------------------------------------------------------


class Signalling(Squares):
    """Sends signals to this process while the fourth step reads its pictures."""

    def __init__(self, *numbers):
        super().__init__()
        self.numbers = numbers

    def __getitem__(self, i):
        if self.reads == 13:
            for number in self.numbers:
                signal.raise_signal(number)
        return super().__getitem__(i)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_writes_the_checkpoint(number, tmp_path, whole, capfd):
    before = signal.getsignal(number)
    history = train(make(), Signalling(number), output=tmp_path, **OPTIONS)
    assert (history.step, history.signal, history.interrupted) == (4, number, True)
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 4
    assert "stopping after this step" in capfd.readouterr().err
    assert signal.getsignal(number) is before
    assert same(resumed(tmp_path), whole)


def test_control_c_twice_stops_at_once_and_the_checkpoint_before_is_there(tmp_path, whole):
    with pytest.raises(KeyboardInterrupt):
        train(make(), Signalling(signal.SIGINT, signal.SIGINT), output=tmp_path, checkpoint_every=2, **OPTIONS)
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 2
    assert same(resumed(tmp_path), whole)


# ---- killed processes ------------------------------------------------------------------------------------------------


class Deadly(Squares):
    """A process that reads ahead, or the one of this rank, gets a signal when it reads its 14th picture."""

    def __init__(self, rank=None, number=signal.SIGINT if sys.platform == "win32" else signal.SIGKILL):
        super().__init__()
        self.rank, self.number = rank, number

    def __getitem__(self, i):
        worker = torch.utils.data.get_worker_info() is not None
        mine = worker if self.rank is None else os.environ.get("RANK") == self.rank
        if mine and self.reads == 13:
            os.kill(os.getpid(), self.number)
        return super().__getitem__(i)


@posix
def test_a_process_that_reads_pictures_is_killed(tmp_path, whole):
    with pytest.raises(
        ChildProcessError,
        match=r"a process that reads pictures ahead \(process \d+\) has died, exit code -9.*workers, now 1",
    ):
        train(make(), Deadly(), output=tmp_path, checkpoint_every=1, workers=1, **OPTIONS)
    assert same(resumed(tmp_path), whole)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_that_reads_pictures_leaves_it_to_the_run_when_to_stop(number, whole):
    model = make()
    history = train(model, Deadly(number=number), workers=1, **OPTIONS)
    assert history.step == 10 and same(model, whole)


@pytest.fixture(scope="module")
def together():
    """The model of a run in two processes that was left in peace."""
    model = make()
    train(model, Squares(), processes=2, **OPTIONS)
    return model


@posix
@pytest.mark.parametrize("rank", [pytest.param("0", marks=pytest.mark.slow), "1"])
def test_one_of_several_training_processes_is_killed(rank, tmp_path, together):
    with pytest.raises(ChildProcessError, match=rf"process {rank} of 2 was killed by SIGKILL; .* memory runs out"):
        train(make(), Deadly(rank), output=tmp_path, checkpoint_every=1, processes=2, **OPTIONS)
    assert load_checkpoint(tmp_path / "last.pt")["step"] >= 5
    assert same(resumed(tmp_path, processes=2), together)


# ---- the folder ------------------------------------------------------------------------------------------------------

FIRST = """
    import sys, time
    sys.path.insert(0, sys.argv[1])
    from training_fakes import SETTINGS, Squares, make
    from mrcnn_lite.training import train

    class Slow(Squares):
        def __getitem__(self, i):
            if self.reads == 13:
                print("in the fourth step", flush=True)
                time.sleep(600)
            return super().__getitem__(i)

    train(make(), Slow(), settings=SETTINGS, device="cpu", progress=False, output=sys.argv[2], checkpoint_every=2)
"""


def test_a_second_run_in_the_folder_is_refused_until_the_first_is_killed(tmp_path, whole, monkeypatch):
    monkeypatch.setattr(lock, "PATIENCE", 0.2)
    command = [sys.executable, "-c", textwrap.dedent(FIRST), str(HERE), str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "in the fourth step\n"
        before = (tmp_path / "last.pt").read_bytes()
        for how in ({"resume": True}, {"overwrite": True}):
            with pytest.raises(FolderInUse, match=rf"in use by another run \(process {process.pid} on .*, since 2"):
                train(make(), Squares(), output=tmp_path, **how, **OPTIONS)
        assert (tmp_path / "last.pt").read_bytes() == before
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert same(resumed(tmp_path), whole)


@posix
def test_a_folder_that_is_removed_in_the_middle_is_made_again_with_everything(tmp_path, whole, capsys):
    class Removing(Squares):
        def __getitem__(self, i):
            if self.reads == 21:  # in the sixth step
                shutil.rmtree(tmp_path / "run")
            return super().__getitem__(i)

    options = OPTIONS | {"progress": True}
    train(make(), Removing(), output=tmp_path / "run", checkpoint_every=2, log_every=3, **options)
    assert "was gone: it is made again" in capsys.readouterr().out
    assert sorted(os.listdir(tmp_path / "run")) == ["last.pt", "metrics.csv", "validation.csv"]
    assert same(resumed(tmp_path / "run"), whole)  # which checks that all ten rows are there


FULL = """
    import resource, signal, sys
    sys.path.insert(0, sys.argv[1])
    import torch
    from training_fakes import SETTINGS, Squares, make
    from mrcnn_lite.training import train

    class Filling(Squares):
        def __getitem__(self, i):
            if self.reads == 13:  # from the fourth step on no file grows beyond this
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
            return super().__getitem__(i)

    try:
        train(make(), Filling(), settings=SETTINGS, device="cpu", progress=False, output=sys.argv[2],
              checkpoint_every=2, log_every=1)
    except OSError as error:
        print(error)
"""


@posix
@pytest.mark.parametrize(("limit", "file"), [(300, "metrics.csv"), (2000, "last.pt")])
def test_a_disk_that_fills_up_stops_the_run_and_costs_nothing_that_was_written(limit, file, tmp_path, whole):
    command = [sys.executable, "-c", textwrap.dedent(FULL), str(HERE), str(tmp_path), str(limit)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert said.returncode == 0, said.stderr
    assert file in said.stdout and ("the disk is full" in said.stdout or "cannot write the log" in said.stdout)
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 2
    assert all(not name.startswith(".") for name in os.listdir(tmp_path))
    assert same(resumed(tmp_path), whole)


@pytest.mark.parametrize("damage", ["cut off", "a bit flipped", "empty"])
def test_a_damaged_checkpoint_is_refused_by_its_name_and_left_as_it_is(damage, tmp_path):
    train(make(), Signalling(signal.SIGINT), output=tmp_path, **OPTIONS)
    path = tmp_path / "last.pt"
    data = bytearray(path.read_bytes())
    data[data.find(load_checkpoint(path)["model"]["head.weight"].numpy().tobytes())] ^= 4
    damaged = {"cut off": data[:-100], "a bit flipped": data, "empty": b""}[damage]
    path.write_bytes(damaged)
    with pytest.raises(CheckpointError, match=r"last\.pt .*put a copy of it back, or begin anew"):
        train(make(), Squares(), output=tmp_path, resume=True, **OPTIONS)
    assert path.read_bytes() == damaged


def test_a_damaged_table_is_refused_by_its_name_and_can_be_done_without(tmp_path, whole):
    train(make(), Signalling(signal.SIGINT), output=tmp_path, **OPTIONS)
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(ValueError, match=r"metrics\.csv is damaged"):
        train(make(), Squares(), output=tmp_path, resume=True, **OPTIONS)
    path.unlink()
    model = make()
    history = train(model, Squares(), output=tmp_path, resume=True, **OPTIONS)
    assert same(model, whole) and len(history.losses["loss"]) == 6


# ---- pictures and memory ---------------------------------------------------------------------------------------------


class Unreadable(Squares):
    """Some pictures cannot be read."""

    def __init__(self, *bad, length=8):
        super().__init__(length)
        self.bad = bad

    def __getitem__(self, i):
        if i in self.bad:
            raise OSError(f"cannot decode grey-{i}")
        return super().__getitem__(i)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_bad_picture_stops_the_run_by_its_name(workers, tmp_path):
    with pytest.raises(BadPicture, match=r"^picture 5 of the data set \(grey-5\.png\): cannot decode grey-5$"):
        train(make(), Unreadable(5), output=tmp_path, workers=workers, **OPTIONS)


def test_bad_pictures_are_skipped_counted_and_named(tmp_path, capsys):
    dataset = Unreadable(5, 11, length=20)
    model = make()
    history = train(model, dataset, output=tmp_path, skip_bad=True, **OPTIONS)
    steps = {number: order_of_epoch(20, 0, 0).index(number) // 4 + 1 for number in (5, 11)}
    order = [number for number in order_of_epoch(20, 0, 0) if number in steps]
    rows = [f"{steps[i]},{i},grey-{i}.png,cannot decode grey-{i}" for i in order]
    assert (tmp_path / "bad_pictures.csv").read_text().splitlines() == ["step,number,name,reason", *rows]
    assert f"2 bad picture(s) skipped, named in {tmp_path / 'bad_pictures.csv'}" in str(history)
    # Whoever reads, and wherever the run is stopped: the same pictures take their places.
    ahead = make()
    assert train(ahead, dataset, workers=2, skip_bad=True, **OPTIONS).bad_pictures == history.bad_pictures
    assert same(ahead, model)
    for stop_after in (1, 4, 7):
        output = tmp_path / str(stop_after)
        train(make(), Stopping(stop_after, dataset), output=output, skip_bad=True, **OPTIONS)
        assert load_checkpoint(output / "last.pt")["step"] == stop_after
        assert same(resumed(output, dataset, skip_bad=True), model)
        assert (output / "bad_pictures.csv").read_text() == (tmp_path / "bad_pictures.csv").read_text()


class Stopping:
    """Another data set, and Control-C in one of the steps."""

    def __init__(self, step, dataset):
        self.step, self.dataset, self.reads = step, dataset, 0
        self.image_name = dataset.image_name

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, i):
        try:
            return self.dataset[i]
        finally:
            if i not in self.dataset.bad:  # four good ones a step
                self.reads += 1
                if self.reads == 4 * self.step:
                    signal.raise_signal(signal.SIGINT)


def test_several_processes_skip_the_same(tmp_path):
    alone, together = make(), make()
    dataset = Unreadable(5, 11, length=20)
    one = train(alone, dataset, skip_bad=True, **OPTIONS)
    two = train(together, dataset, skip_bad=True, processes=2, output=tmp_path, **OPTIONS)
    assert two.bad_pictures == one.bad_pictures and len(one.bad_pictures) == 2
    for name, tensor in alone.state_dict().items():
        assert torch.allclose(tensor, together.state_dict()[name], rtol=1e-3, atol=1e-5), name


@pytest.mark.parametrize(("skip_bad", "bad", "share"), [(True, (1, 2, 3), 10), (0.25, (1, 2, 3, 4, 5, 6), 25)])
def test_too_many_bad_pictures_stop_the_run(skip_bad, bad, share, tmp_path):
    with pytest.raises(TooManyBadPictures, match=rf"of 20 pictures are bad, named in .*, more than the {share}%"):
        train(make(), Unreadable(*bad, length=20), output=tmp_path, skip_bad=skip_bad, **OPTIONS)
    assert len((tmp_path / "bad_pictures.csv").read_text().splitlines()) - 1 == len(bad)


def test_a_data_set_of_bad_pictures_ends_at_once(tmp_path):
    with pytest.raises(TooManyBadPictures, match="drawn at random one after another are bad: picture"):
        train(make(), Unreadable(*range(1000), length=1000), skip_bad=True, **OPTIONS)


class Large(Sampler):
    """Needs more memory than there is in its third step."""

    error = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the documentation")

    def forward(self, images, targets, seeds=None):
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls == 3:
            raise self.error
        return super().forward(images, targets, seeds)


@pytest.mark.parametrize(
    "error", [Large.error, RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError()]
)
def test_out_of_memory_says_with_which_pictures_and_what_needs_less(error, tmp_path, whole):
    model = make(Large)
    model.error = error
    with pytest.raises(OutOfMemory) as caught:
        train(model, Squares(), output=tmp_path, checkpoint_every=1, **OPTIONS)
    said = str(caught.value)
    assert said.startswith("out of memory on cpu in step 3 (")
    for number in order_of_epoch(8, 0, 1)[:4]:
        assert f"grey-{number}.png (8 x 8 pixels, {number % 3} objects)" in said
    assert "--accumulate, now 1" in said and "--batch-size, now 4" in said and "min_size" in said
    assert "\n" not in said
    assert same(resumed(tmp_path), whole)


def test_another_error_of_the_model_stays_what_it_is():
    model = make(Large)
    model.error = RuntimeError("shapes differ")
    with pytest.raises(RuntimeError, match="shapes differ"):
        train(model, Squares(), **OPTIONS)


def test_an_evaluation_that_fails_costs_no_step(tmp_path, monkeypatch):
    from mrcnn_lite.training import run

    def fails(*arguments):
        raise OSError("a picture of the validation set is broken")

    with monkeypatch.context() as patch:
        patch.setattr(run, "score", fails)
        with pytest.raises(OSError, match="validation set"):
            train(make(), Squares(), output=tmp_path, validation=Squares(), **OPTIONS)
    assert load_checkpoint(tmp_path / "last.pt")["step"] == 10
    scored = []
    monkeypatch.setattr(run, "score", lambda trainer, *others: scored.append(trainer.step))
    train(make(), Squares(), output=tmp_path, resume=True, validation=Squares(), **OPTIONS)
    assert scored == [10]
