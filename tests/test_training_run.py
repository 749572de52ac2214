"""Whole runs: as long as asked, alone or together, stopped and gone on with, to the same weights bit for bit."""

import math
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_fakes import SETTINGS, Squares, Unseeded, make, same

from mrcnn_lite import train as package_train
from mrcnn_lite.build import build_model
from mrcnn_lite.config import Config
from mrcnn_lite.data import open_dataset
from mrcnn_lite.devices import cpu_units
from mrcnn_lite.training import train, validation_loss
from mrcnn_lite.training.batches import order_of_epoch
from mrcnn_lite.training.errors import NonFiniteLoss
from mrcnn_lite.weights import load

HERE = Path(__file__).parent
QUIET = {"settings": SETTINGS, "device": "cpu", "progress": False}


def small(**changes):
    """The real model, as small as it gets, on four pictures of 64 pixels."""
    config = Config.tiny(num_classes=7, min_size=64, train__batch_size=4, train__warmup_steps=2, **changes)
    torch.manual_seed(0)
    return build_model(config)


@pytest.fixture(scope="module")
def shapes():
    return open_dataset("shapes", length=4, size=64, cached=False)


def test_it_is_one_of_the_packages_names():
    assert package_train is train


def test_a_run_has_as_many_steps_as_asked_and_the_loss_falls():
    model = make()
    history = train(model, Squares(), steps=60, **QUIET)
    assert history.step == len(history.losses["loss"]) == len(history.lr) == 60
    assert list(history.losses) == ["loss", "loss_first", "loss_second"]
    assert history.losses["loss"][-1] < 0.6 * history.losses["loss"][0]
    assert history.lr[0] == pytest.approx(0.05 / 3) and max(history.lr) > 0.049 and history.lr[-1] < 0.001
    assert history.images_per_second > 0 and not history.interrupted
    assert "60 steps" in str(history)


def test_a_run_in_minutes_ends_in_time_with_a_whole_schedule():
    start = time.perf_counter()
    history = train(make(), Squares(), minutes=1 / 30, **QUIET)  # two seconds
    assert 1.5 < time.perf_counter() - start < 4
    assert history.step > 20
    assert history.lr[-1] < 0.05 * max(history.lr)


def test_the_same_seed_gives_the_same_weights_another_seed_others():
    models = [make() for _ in range(3)]
    for model, seed in zip(models, (0, 0, 1)):
        train(model, Squares(), steps=4, seed=seed, **QUIET)
    assert same(models[0], models[1]) and not same(models[0], models[2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 3, "minutes": 1}, "given twice"),
        ({"settings": None}, "config.train"),
        ({"accumulate": 3}, "shared equally"),
        ({"precision": "float16"}, "not computed by this hardware"),
        ({"freeze": "steam"}, "'steam'"),
        ({"processes": 0}, "processes"),
        ({"threads": 0}, "threads"),
        ({"minutes": 0}, "minutes"),
        ({"resume": True}, "output"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        train(make(), Squares(), **(QUIET | arguments))


def test_frozen_layers_stay_and_the_mode_is_restored():
    model, before = make().eval(), make()
    train(model, Squares(), steps=3, freeze="stem", **QUIET)
    assert torch.equal(model.stem.weight, before.stem.weight)
    assert not torch.equal(model.head.weight, before.head.weight)
    assert model.stem.weight.requires_grad and not model.training


def test_a_broken_picture_stops_the_run_by_its_name_and_the_checkpoint_stays(tmp_path):
    broken = order_of_epoch(8, 0, 0)[6]  # in the second step of four
    with pytest.raises(NonFiniteLoss, match=rf"step 2 .*grey-{broken}\.png \(number {broken}\)"):
        train(make(), Squares(broken=broken), output=tmp_path, checkpoint_every=1, **QUIET)
    assert len((tmp_path / "metrics.csv").read_text().splitlines()) == 2
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == 1


class Interrupted(Squares):
    """Control-C while the fourth step reads its pictures."""

    def __getitem__(self, i):
        if self.reads == 13:
            signal.raise_signal(signal.SIGINT)
        return super().__getitem__(i)


@pytest.mark.parametrize("kind", ["seeded", "unseeded"])
def test_control_c_finishes_the_step_and_the_run_goes_on_later(kind, tmp_path, capsys):
    kinds = {"unseeded": [Unseeded]}.get(kind, [])
    options = QUIET | {"settings": replace(SETTINGS, ema=0.9)}
    whole, stopped, resumed = (make(*kinds) for _ in range(3))
    expected = train(whole, Squares(), **options)
    history = train(stopped, Interrupted(), output=tmp_path, **(options | {"progress": True}))
    assert history.interrupted and history.step == 4
    assert f"stopped after step 4. {tmp_path / 'last.pt'} is written" in capsys.readouterr().out
    history = train(resumed, Squares(), output=tmp_path, resume=True, **options)
    assert not history.interrupted and history.step == 10
    assert same(whole, resumed)
    assert list(history.losses["loss"]) == pytest.approx(list(expected.losses["loss"]), rel=1e-8)
    again = make(*kinds)  # a finished run has nothing left to do
    assert train(again, Squares(), output=tmp_path, resume=True, **options).step == 10
    assert same(whole, again)


def test_a_run_of_other_settings_is_not_gone_on_with(tmp_path):
    train(make(), Squares(), output=tmp_path, **QUIET)
    other = QUIET | {"settings": replace(SETTINGS, lr=0.1)}
    with pytest.raises(ValueError, match=r"pictures was 8, is 6; seed was 0, is 1; settings.lr was 0.05, is 0.1"):
        train(make(), Squares(6), output=tmp_path, resume=True, seed=1, **other)
    with pytest.raises(FileExistsError):
        train(make(), Squares(), output=tmp_path, **QUIET)
    train(make(), Squares(), output=tmp_path, overwrite=True, **QUIET)


def test_a_model_of_ours_with_everything_on(tmp_path, shapes):
    model = small(train__ema=0.9, train__scale_range=(0.8, 1.25))
    history = train(model, shapes, steps=4, output=tmp_path, validation=shapes, validate_every=3, progress=False)
    assert [row["step"] for row in history.validation] == [3, 4]
    assert {"box AP", "mask AP"} <= set(history.validation[0])
    assert model.class_names == shapes.class_names
    saved = load(tmp_path / "model.safetensors")
    assert same(saved, model) and saved.class_names == shapes.class_names
    raw = torch.load(tmp_path / "last.pt", weights_only=True)
    assert not all(torch.equal(raw["model"][name], tensor) for name, tensor in model.state_dict().items())
    assert raw["identity"]["classes"] == shapes.class_names
    model.eval()
    loss = validation_loss(model, shapes, batch_size=3)
    assert math.isfinite(loss["loss"]) and loss == validation_loss(model, shapes, batch_size=3)
    assert loss["loss"] == pytest.approx(sum(value for name, value in loss.items() if name != "loss"))


def test_a_model_of_too_few_classes_is_refused(shapes):
    torch.manual_seed(0)
    with pytest.raises(ValueError, match="7 classes with the background, the model 3"):
        train(build_model(Config.tiny(num_classes=3)), shapes, steps=1, progress=False)


def test_torchvisions_model_trains_in_the_same_loop(shapes):
    from torchvision.models.detection import maskrcnn_resnet50_fpn

    sizes = {"min_size": 64, "max_size": 64, "box_detections_per_img": 5, "rpn_post_nms_top_n_train": 20}
    model = maskrcnn_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=7, box_batch_size_per_image=8, **sizes
    )
    settings = replace(SETTINGS, batch_size=1, lr=1e-4)
    history = train(model, shapes, steps=2, freeze=("backbone",), **(QUIET | {"settings": settings}))
    assert len(history.losses) == 6 and all(map(math.isfinite, history.losses["loss"]))


@pytest.mark.skipif(not cpu_units(), reason="this CPU has no unit for bfloat16")
def test_bfloat16_where_the_cpu_has_a_unit_for_it(shapes):
    one, other = ({"steps": 2, "device": "cpu", "progress": False, "precision": p} for p in ("float32", "bfloat16"))
    exact, rough = train(small(), shapes, **one).losses, train(small(), shapes, **other).losses
    assert exact["loss"][0] != rough["loss"][0]
    assert rough["loss"][0] == pytest.approx(exact["loss"][0], rel=0.1)


# ---- several processes --------------------------------------------------------------------------------


def test_two_processes_have_the_losses_of_one(tmp_path, shapes):
    settings = {
        "train__optimizer": "sgd",
        "train__lr": 0.01,
        "norm": "gn",
    }  # GroupNorm: BatchNorm would see half a batch
    alone, together = small(**settings), small(**settings)
    options = {"steps": 6, "device": "cpu", "progress": False, "seed": 3}
    one = train(alone, shapes, **options)
    two = train(together, shapes, processes=2, output=tmp_path, **options)
    assert list(one.losses) == list(two.losses)
    for name, losses in one.losses.items():
        assert list(two.losses[name]) == pytest.approx(list(losses), rel=1e-4, abs=1e-6), name
    for (name, mine), other in zip(together.state_dict().items(), alone.state_dict().values()):
        assert torch.allclose(mine, other, rtol=1e-3, atol=1e-5), name
    assert same(together, load(tmp_path / "model.safetensors"))
    assert together.class_names == shapes.class_names


TORCHRUN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from mrcnn_lite.distributed import rank
    from mrcnn_lite.training import train
    from training_fakes import SETTINGS, Squares, make

    if __name__ == "__main__":
        history = train(make(), Squares(), settings=SETTINGS, device="cpu", accumulate=2, output=sys.argv[2])
        tasks = Path("/proc/self/task")  # on Linux: the names of this process's threads
        threads = [(task / "comm").read_text().strip() for task in tasks.iterdir()] if tasks.exists() else []
        left = [name for name in threads if "gloo" in name]
        assert not left, f"{left} would run into the end of the interpreter, and abort it now and then"
"""


def test_under_torchrun(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(TORCHRUN))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"GLOO_SOCKET_IFNAME": "lo"} if sys.platform == "linux" else None
    subprocess.run([*launcher, script, HERE, tmp_path / "run"], check=True, timeout=120, env=environment)
    model = make()
    train(model, Squares(), accumulate=2, **QUIET)
    state = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert state["finished"] and state["step"] == 10
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, state["model"][name], rtol=1e-3, atol=1e-4), name


# ---- killed -------------------------------------------------------------------------------------------

KILLED = """
    import sys, time
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    import torch
    torch.set_num_threads(1)
    from test_training_run import Waiting, small
    from mrcnn_lite.training import train

    train(small(train__ema=0.9), Waiting(Path(sys.argv[2])), steps=9, output=sys.argv[3], checkpoint_every=2, seed=5,
          device="cpu", log_every=1)
"""


class Waiting:
    """The shapes; in the sixth step it writes a file and waits to be killed."""

    def __init__(self, flag=None):
        self.shapes, self.flag, self.reads = open_dataset("shapes", length=8, size=64, cached=False), flag, 0
        self.class_names = self.shapes.class_names

    def __len__(self):
        return len(self.shapes)

    def __getitem__(self, i):
        self.reads += 1
        if self.flag is not None and self.reads == 5 * 4 + 3:
            self.flag.touch()
            time.sleep(600)
        return self.shapes[i]


def test_a_run_that_was_killed_goes_on_to_the_same_weights_bit_for_bit(tmp_path):
    script, flag, output = tmp_path / "script.py", tmp_path / "flag", tmp_path / "run"
    script.write_text(textwrap.dedent(KILLED))
    process = subprocess.Popen([sys.executable, script, HERE, flag, output], stdout=subprocess.DEVNULL)
    while not flag.exists():
        assert process.poll() is None, "ended before it was killed"
        time.sleep(0.05)
    process.kill()  # kill -9
    process.wait()
    assert len((output / "metrics.csv").read_text().splitlines()) - 1 == 5
    assert torch.load(output / "last.pt", weights_only=True)["step"] == 4
    assert not (output / "model.safetensors").exists()

    options = {"steps": 9, "checkpoint_every": 2, "seed": 5, "device": "cpu", "progress": False}
    resumed = small(train__ema=0.9)
    history = train(resumed, Waiting(), output=output, resume=True, **options)
    whole = small(train__ema=0.9)
    expected = train(whole, Waiting(), output=tmp_path / "whole", **options)
    assert same(resumed, whole)
    assert same(load(output / "model.safetensors"), load(tmp_path / "whole" / "model.safetensors"))
    assert history.step == 9 and history.losses.keys() == expected.losses.keys()
    for name, losses in expected.losses.items():
        assert list(history.losses[name]) == pytest.approx(list(losses), rel=1e-8)
