"""data/places.py: where is looked, on each system and with each variable."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from mrcnn_lite.data import places
from mrcnn_lite.data.places import locate


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "_PACKAGE_ROOT", tmp_path / "git" / "project")
    monkeypatch.setenv("MRCNN_LITE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("MRCNN_LITE_DATA", raising=False)


def test_locate_looks_in_three_places_in_order(tmp_path, monkeypatch):
    assert locate("nuclei") is None
    monkeypatch.setenv("MRCNN_LITE_DATA", str(tmp_path / "mine"))
    places_in_order = [tmp_path / "mine", tmp_path / "git" / "shared" / "data", tmp_path / "cache"]
    for folder in reversed(places_in_order):
        (folder / "nuclei").mkdir(parents=True)
        assert locate("nuclei") == folder / "nuclei"
    for name in ("", "a/b", "..", "../nuclei"):
        with pytest.raises(ValueError, match="bare name"):
            locate(name)


def test_folders_under_the_names_that_people_give_them(tmp_path):
    (tmp_path / "cache" / "PennFudanPed").mkdir(parents=True)
    assert locate("pennfudan") == tmp_path / "cache" / "PennFudanPed"


@pytest.mark.parametrize(
    "platform, variable, expected",
    [
        ("linux", "XDG_CACHE_HOME", "mrcnn_lite"),
        ("win32", "LOCALAPPDATA", "mrcnn_lite"),
        ("darwin", "HOME", "Library/Caches/mrcnn_lite"),
    ],
)
def test_the_cache_folder_of_each_system(tmp_path, monkeypatch, platform, variable, expected):
    monkeypatch.delenv("MRCNN_LITE_CACHE")
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv(variable, str(tmp_path))
    assert places.cache_folder() == tmp_path / expected
    monkeypatch.delenv(variable)
    assert places.cache_folder().is_relative_to(tmp_path)


def test_downloads_go_where_data_is_looked_for_first(tmp_path, monkeypatch):
    assert places.data_folder() == tmp_path / "cache" == places.search_folders()[0]
    monkeypatch.setenv("MRCNN_LITE_DATA", str(tmp_path / "mine"))
    assert places.data_folder() == tmp_path / "mine" == places.search_folders()[0]
    assert places.search_folders()[-1] == tmp_path / "cache"
