"""files.py: a file is the old one or the new one, never a part."""

import os
import stat
from pathlib import Path

import pytest

from mrcnn_lite import files
from mrcnn_lite.files import atomic, inside, naming, read_json, remove_leftovers


def test_the_new_content_takes_its_place(tmp_path):
    path = tmp_path / "folder" / "a.txt"
    for text in ("old", "new"):
        with atomic(path) as temporary:
            assert temporary.suffix == ".txt" and temporary.parent == path.parent
            temporary.write_text(text)
        assert path.read_text() == text
    assert os.listdir(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)), atomic(path) as temporary:
        temporary.write_text("half")
        raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    with atomic(tmp_path / "atomic") as temporary:
        temporary.write_text("x")
    (tmp_path / "plain").write_text("x")
    mode = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("atomic", "plain")]
    assert mode[0] == mode[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows brings no folder to the disk")
def test_the_new_name_is_brought_to_the_disk_after_the_content(tmp_path, monkeypatch):
    flushed = []
    true_fsync, true_replace = os.fsync, os.replace

    def fsync(handle):
        flushed.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "file")
        true_fsync(handle)

    def replace(*paths):
        flushed.append("rename")
        true_replace(*paths)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.os, "replace", replace)
    with atomic(tmp_path / "a.txt") as temporary:
        temporary.write_text("x")
    assert flushed == ["file", "rename", "folder"]


def test_what_a_killed_process_left_is_removed(tmp_path):
    for name in ("last.pt", ".last-x7.pt", ".last.txt", "model.safetensors"):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path / "last.pt")
    assert sorted(file.name for file in tmp_path.iterdir()) == [".last.txt", "last.pt", "model.safetensors"]


@pytest.mark.parametrize("name", ["1.jpg", "val2017/1.jpg", "a.b/ä 1.png", "./1.jpg"])
def test_a_name_may_go_into_folders(tmp_path, name):
    assert tmp_path in inside(tmp_path, name).parents


@pytest.mark.parametrize(
    "name", ["", "..", "../1.jpg", "a/../../1", "/etc/passwd", "C:/1.jpg", "a\\b", "a\0b", None, 3]
)
def test_a_name_may_not_leave_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match="expected one such as"):
        inside(tmp_path, name)


def test_json_is_read_with_and_without_the_mark_of_windows(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1, 2.5]}')
    assert read_json(tmp_path / "a.json") == {"a": [1, 2.5]}


@pytest.mark.parametrize("content", [b"[{", b"", b"\xff\xfe", b"[" * 100_000, b"1" * 5000, b"{'a': 1}"])
def test_what_is_no_json_is_named(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json is not JSON"):
        read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("source, message", [("a.json", "^a.json: no"), (Path("a.json"), "^a.json: no"), (3, "^no$")])
def test_an_error_names_its_file_once(source, message):
    with pytest.raises(ValueError, match=message) as caught, naming(source), naming(source):
        raise ValueError("no")
    assert str(caught.value).count("a.json") <= 1
    with pytest.raises(TypeError, match=r"^no$"), naming(source):  # a mistake of ours stays one
        raise TypeError("no")
