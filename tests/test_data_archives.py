"""data/archives.py: an honest zip comes out whole, a dishonest one is refused by name and leaves nothing."""

from __future__ import annotations

import stat
import zipfile

import pytest

from mrcnn_lite.data.archives import ArchiveError, make_folder, open_archive, top_folder, unpack

MB = 2**20


def make(path, entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    return path


def test_an_honest_archive(tmp_path):
    path = make(tmp_path / "a.zip", [("top/", ""), ("top/x/1.txt", "one"), ("top/2.txt", "two"), ("other.txt", "")])
    folder = unpack(path, tmp_path / "out", max_bytes=MB, inside="top", progress=False)
    found = {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}
    assert found == {"x/1.txt": "one", "2.txt": "two"}
    assert folder.stat().st_mode & 0o777 == 0o755
    with pytest.raises(FileExistsError):
        unpack(path, folder, max_bytes=MB)
    everything = unpack(path, tmp_path / "all", max_bytes=MB, progress=False)
    assert (everything / "other.txt").exists() and (everything / "top" / "2.txt").exists()
    assert top_folder(path, MB, "x") == "top/x" and top_folder(path, MB, "top") == "top"
    with pytest.raises(ArchiveError, match="holds no folder 'y'"):
        top_folder(path, MB, "y")
    with pytest.raises(ArchiveError, match="holds nothing under 'y'"):
        unpack(path, tmp_path / "y", max_bytes=MB, inside="y", progress=False)


def link():
    entry = zipfile.ZipInfo("top/link")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    "entries, message",
    [
        ([("../evil.txt", "x")], "would leave the folder"),
        ([("top/../../evil.txt", "x")], "would leave the folder"),
        ([("/etc/evil.txt", "x")], "absolute or foreign path"),
        ([("C:/evil.txt", "x")], "absolute or foreign path"),
        ([("top\\..\\evil.txt", "x")], "absolute or foreign path"),
        ([(link(), "/etc/passwd")], "a link or a device"),
        ([("a.txt", "x"), ("A.TXT", "y")], "is there twice"),
        ([("a", "x"), ("A/b", "y")], "is a file and a folder"),
        ([("bomb", b"\0" * (8 * MB))], "more than 200 times"),
        ([(f"{i}", bytes(2**20)) for i in range(41)], "at most 41,943,040 are expected"),
    ],
)
def test_dishonest_archives(tmp_path, entries, message):
    path = make(tmp_path / "a.zip", [("top/good.txt", "good"), *entries])
    with pytest.raises(ArchiveError, match=message):
        unpack(path, tmp_path / "in" / "out", max_bytes=40 * MB, progress=False)
    assert {p.name for p in tmp_path.rglob("*")} <= {"a.zip", "in"}


def test_an_archive_of_a_million_entries_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("mrcnn_lite.data.archives.MOST_ENTRIES", 3)
    path = make(tmp_path / "a.zip", [(f"{i}", "") for i in range(4)])
    with pytest.raises(ArchiveError, match="4 entries, at most 3 are expected"):
        open_archive(path, MB)


def test_damaged_archives(tmp_path):
    path = make(tmp_path / "a.zip", [("a.txt", "hello" * 1000)])
    data = bytearray(path.read_bytes())
    data[45] ^= 255  # in the packed content: the CRC will not fit
    path.write_bytes(data)
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(path, tmp_path / "out", max_bytes=MB, progress=False)
    assert not (tmp_path / "out").exists()
    path.write_bytes(data[:50])
    with pytest.raises(ArchiveError, match="no whole zip archive"):
        open_archive(path, MB)


def test_a_folder_is_made_whole_or_not_at_all(tmp_path):
    def half(work):
        (work / "one").write_text("1")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_folder(tmp_path / "out", half)
    assert list(tmp_path.iterdir()) == []
