"""data/cache.py: drawn once, read for ever, whoever draws and whatever breaks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from mrcnn_lite.data import cache, shapes
from mrcnn_lite.data.cache import Recipe, drawn
from mrcnn_lite.data.cache_files import open_arrays
from mrcnn_lite.data.synthetic import Synthetic


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path))
    return tmp_path / "drawn"


def same(first, second):
    return all(
        (first[i][0] == second[i][0]).all()
        and all(np.array_equal(first[i][1][key], second[i][1][key]) for key in first[i][1])
        for i in range(len(first))
    )


def test_several_processes_draw_the_same_as_one():
    recipe = Recipe("shapes", {"size": 64})
    one = open_arrays(drawn(recipe, 203, workers=1, progress=False))
    images, ids = np.array(one.images), np.array(one.ids)
    folder = drawn(recipe, 203)
    for path in folder.glob("*"):
        path.unlink()
    folder.rmdir()
    several = open_arrays(drawn(recipe, 203, workers=2, progress=False))
    assert (several.images == images).all() and (several.ids == ids).all()


def test_processes_load_neither_torch_nor_the_callers_script(tmp_path):
    """A script without the `if __name__ == "__main__"` that `multiprocessing` would ask for."""
    script = tmp_path / "script.py"
    script.write_text(
        "print('script runs')\n"
        "from mrcnn_lite.data import cache\n"
        "cache.drawn(cache.Recipe('shapes', {'size': 32}), 200, workers=2, progress=False)\n"
        "import sys; print('torch' in sys.modules)\n"
    )
    answer = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert answer.stdout.split("\n")[:2] == ["script runs", "False"], answer.stdout + answer.stderr


def test_the_second_opening_draws_nothing(folder, monkeypatch):
    Synthetic("shapes", length=5, progress=False)
    monkeypatch.setattr(cache, "_draw_all", None)
    Synthetic("shapes", length=5, progress=False)
    assert [path.suffix for path in folder.iterdir()] == [""]  # no locks, no half drawn folders


def test_the_folder_name_changes_with_options_length_and_code_only():
    base = Recipe("shapes", {"seed": 0}).folder_name(10)
    assert Recipe("shapes", {}).folder_name(10) == base  # a default said aloud
    others = [Recipe("shapes", {"seed": 1}).folder_name(10), Recipe("shapes", {}).folder_name(11)]
    others += [Recipe("shapes", {"kind": "thin"}).folder_name(10), Recipe("stick_figures", {}).folder_name(10)]
    assert len({base, *others}) == 5


def test_drawing_that_fails_leaves_nothing_behind(folder, monkeypatch):
    monkeypatch.setattr(shapes, "draw", lambda index, size=32, split=0: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Synthetic("shapes", length=5, progress=False)
    assert list(folder.iterdir()) == []


def test_a_process_that_dies_while_drawing_is_reported(folder, monkeypatch):
    """The workers find a recipe that their `draw` refuses: the caller is told, and nothing is left in place."""
    recipe = Recipe("shapes", {"size": 32})
    recipe.options["kind"] = "no such kind"
    with pytest.raises(RuntimeError, match="ended with the codes"):
        drawn(recipe, 200, workers=2, progress=False)
    assert list(folder.iterdir()) == []


def test_a_process_that_waits_gets_what_the_other_draws(folder):
    recipe = Recipe("shapes", {"size": 32})
    ready = drawn(recipe, 20, progress=False)
    ready.rename(folder / "elsewhere")
    lock = folder / f"{recipe.folder_name(20)}.lock"
    lock.touch()  # another process is at it
    found = []
    thread = threading.Thread(target=lambda: found.append(drawn(recipe, 20, progress=False)))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive() and not found
    (folder / "elsewhere").rename(ready)  # … and is ready
    thread.join(10)
    assert found == [ready]


def test_a_dead_process_does_not_block_the_others(folder):
    recipe = Recipe("shapes", {"size": 32})
    folder.mkdir()
    lock = folder / f"{recipe.folder_name(5)}.lock"
    lock.touch()
    os.utime(lock, (time.time() - 100, time.time() - 100))
    assert drawn(recipe, 5, progress=False).is_dir() and not lock.exists()


def test_two_that_draw_at_once_both_succeed(folder, monkeypatch):
    """Even without the lock: each has its own files, and the first to be ready wins."""
    monkeypatch.setattr(cache, "_wait_for_turn", lambda lock, folder: None)
    recipe = Recipe("shapes", {"size": 32})
    barrier = threading.Barrier(2)
    original = cache._draw_all
    monkeypatch.setattr(cache, "_draw_all", lambda *a, **k: (barrier.wait(10), original(*a, **k)))
    threads = [threading.Thread(target=drawn, args=(recipe, 30), kwargs={"progress": False}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [path.name for path in folder.iterdir()] == [recipe.folder_name(30)]
    assert open_arrays(folder / recipe.folder_name(30)).counts.min() > 0


def test_a_folder_that_cannot_be_written_is_said_and_done_without(tmp_path, monkeypatch):
    blocked = tmp_path / "a file, not a folder"
    blocked.write_text("")
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(blocked))
    with pytest.warns(UserWarning, match="set MRCNN_LITE_CACHE to a folder that can be written"):
        dataset = Synthetic("shapes", length=3, progress=False)
    assert same(dataset, Synthetic("shapes", length=3, cached=False))


def test_a_full_disk_is_noticed_before_drawing(monkeypatch):
    monkeypatch.setattr(cache.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.warns(UserWarning, match="the disk has not that much left"):
        Synthetic("shapes", length=3, progress=False)


def test_what_nobody_used_for_a_month_goes(folder):
    Synthetic("shapes", length=3, progress=False)
    old = next(folder.iterdir())
    os.utime(old, (time.time() - 40 * 86_400,) * 2)
    Synthetic("shapes", length=4, progress=False)
    assert old not in list(folder.iterdir())


def test_a_damaged_cache_is_said_and_drawn_anew(folder):
    before = list(Synthetic("shapes", length=5, progress=False))  # copies: the file under its map is going to be cut
    images = next(folder.iterdir()) / "images.npy"
    whole = images.read_bytes()
    for damage in (whole[:-1000], whole[:50], b"", whole.replace(b"'|u1'", b"'|i1'")):
        images.write_bytes(damage)
        with pytest.warns(UserWarning, match=r"images\.npy is damaged.*drawn anew"):
            after = Synthetic("shapes", length=5, progress=False)
        assert images.read_bytes() == whole and same(before, after)
    images.unlink()
    with pytest.warns(UserWarning, match=r"images\.npy is damaged"):
        Synthetic("shapes", length=5, progress=False)
    assert images.read_bytes() == whole and [path.name for path in folder.iterdir()] == [images.parent.name]


def test_drawing_that_is_killed_leaves_no_folder_that_looks_whole(folder, monkeypatch):
    """Whatever is in a .part folder, nobody takes it for a cache."""
    recipe = Recipe("shapes", {"size": 32})
    part = folder / f"{recipe.folder_name(5)}.abc.part"
    part.mkdir(parents=True)
    np.save(part / "images.npy", np.zeros((5, 32, 32, 3), np.uint8))
    whole = drawn(recipe, 5, progress=False)
    assert whole != part and open_arrays(whole).counts.min() > 0
