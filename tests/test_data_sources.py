"""data/sources.py: small archives of the published forms, served by a server of our own."""

from __future__ import annotations

import hashlib
import io
import json
import threading
import zipfile
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from mrcnn_lite.data import download, sources
from mrcnn_lite.data.archives import ArchiveError
from mrcnn_lite.data.download import DownloadError
from mrcnn_lite.data.registry import open_dataset
from mrcnn_lite.data.sources import SOURCES, get


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def web(tmp_path, monkeypatch):
    """A folder that is served; `web.publish(name, part, entries)` puts a zip there and points the source to it."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "MRCNN_LITE_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    monkeypatch.setenv("MRCNN_LITE_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("mrcnn_lite.data.places._PACKAGE_ROOT", tmp_path / "nowhere" / "project")
    (tmp_path / "web").mkdir()
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "web")))
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()

    class Web:
        data = tmp_path / "data"

        @staticmethod
        def publish(name, part, entries, **changes):
            file = tmp_path / "web" / f"{part}.zip"
            with zipfile.ZipFile(file, "w") as archive:
                for path, content in entries:
                    archive.writestr(path, content)
            url = f"http://127.0.0.1:{http.server_port}/{file.name}"
            known = changes | {"md5": hashlib.md5(file.read_bytes()).hexdigest()}
            archives = SOURCES[name].archives
            archives = archives | {part: replace(archives[part], url=url, size=1000, sha256=None, **known)}
            monkeypatch.setitem(SOURCES, name, replace(SOURCES[name], archives=archives))

        @staticmethod
        def stop():
            http.shutdown()
            http.server_close()
            thread.join()

    yield Web
    Web.stop()


def encoded(array, form="PNG"):
    file = io.BytesIO()
    Image.fromarray(array).save(file, form)
    return file.getvalue()


def nuclei_archive(number=16, prefix=""):
    """BBBC038's form: <64 digits>/images/<same>.png as RGBA, and one file for each nucleus."""
    entries = []
    for i in range(number):
        image_id = f"{i:016d}{'ab' * 24}"
        pixels = np.full((12, 10 + i % 2, 4), 255, np.uint8)
        pixels[:, :, :3] = [i, i, i] if i % 4 else [i, 99, i]
        entries.append((f"{prefix}{image_id}/images/{image_id}.png", encoded(pixels)))
        for n in range(3):
            mask = np.zeros(pixels.shape[:2], np.uint8)
            mask[4 * n : 4 * n + 3, n : n + 4] = 255
            entries.append((f"{prefix}{image_id}/masks/{n:064d}.png", encoded(mask)))
    return entries


@pytest.mark.parametrize("prefix", ["", "stage1_train/"])
def test_nuclei_come_as_label_pictures(web, prefix):
    web.publish("nuclei", "stage1_train", nuclei_archive(prefix=prefix), pictures=16)
    folder = get("nuclei", progress=False)
    assert folder == web.data / "nuclei"
    assert {path.name for path in folder.iterdir()} == {"images", "masks", "index.json"}
    train, val = open_dataset("nuclei", "train"), open_dataset("nuclei", "val")
    assert len(train) == 14 and len(val) == 2 and train.class_names == ("background", "nucleus")
    assert {Image.open(path).mode for path in (folder / "images").iterdir()} == {"L", "RGB"}
    _, target = train[0]
    assert target["boxes"].tolist() == [[0, 0, 4, 3], [1, 4, 5, 7], [2, 8, 6, 11]]
    assert "original set" in json.loads((folder / "index.json").read_text())["source"]
    assert list((web.data / "archives").iterdir()) == []
    index = (folder / "index.json").read_bytes()
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    assert (get("nuclei", progress=False) / "index.json").read_bytes() == index  # the split is always the same


def test_the_second_get_does_not_need_the_network(web):
    web.publish("nuclei", "stage1_train", nuclei_archive(), pictures=16)
    folder = get("nuclei", progress=False)
    web.publish("nuclei", "stage1_train", [], pictures=16)
    assert get("nuclei", progress=False) == folder


def test_too_few_pictures_are_not_installed(web):
    web.publish("nuclei", "stage1_train", nuclei_archive(15), pictures=16)
    with pytest.raises(ArchiveError, match="holds 15 pictures; 16 are expected"):
        get("nuclei", progress=False)
    assert not (web.data / "nuclei").exists()


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda entries: [*entries, ("../../evil.png", b"x")], "would leave the folder"),
        (lambda entries: [e for e in entries if "/masks/" not in e[0]], "found 16 pictures and masks of 0"),
        (lambda entries: [(name, b"no picture") for name, _ in entries], "can't be read as a picture"),
        (lambda entries: [("readme.txt", b"hello")], "found 0 pictures"),
    ],
)
def test_spoiled_archives_install_nothing(web, spoil, message):
    web.publish("nuclei", "stage1_train", spoil(nuclei_archive()), pictures=16)
    with pytest.raises(ArchiveError, match=message):
        get("nuclei", progress=False)
    assert {path.name for path in web.data.iterdir()} == {"archives"}


def test_stardists_subset(web):
    rng = np.random.default_rng(0)
    entries = []
    for i, split in enumerate(("train", "train", "test")):
        ids = np.zeros((9, 9), np.uint16)
        ids[1:4, 1:4], ids[5:8, 2:9] = 1, 300
        pixels = rng.integers(0, 4096, (9, 9)).astype(np.uint16)
        entries.append((f"dsb2018/{split}/images/picture{i}.tif", encoded(pixels, "TIFF")))
        entries.append((f"dsb2018/{split}/masks/picture{i}.tif", encoded(ids, "TIFF")))
    web.publish("nuclei-stardist", "dsb2018", entries)
    get("nuclei-stardist", progress=False)
    train, val = open_dataset("nuclei-stardist"), open_dataset("nuclei-stardist", "val")
    assert (len(train), len(val)) == (2, 1)
    assert train[0][1]["boxes"].tolist() == [[1, 1, 4, 4], [2, 5, 9, 8]]
    assert train[0][0].max() > 0.8  # 12 bits in 16


def test_penn_fudan_is_checked_picture_by_picture(web):
    entries = [("PennFudanPed/readme.txt", "hello")]
    for i in range(6):
        entries.append((f"PennFudanPed/PNGImages/FudanPed{i:05d}.png", encoded(np.full((6, 8, 3), i, np.uint8))))
        entries.append((f"PennFudanPed/PedMasks/FudanPed{i:05d}_mask.png", encoded(np.eye(6, 8, dtype=np.uint8))))
    web.publish("pennfudan", "PennFudanPed", entries, pictures=6)
    get("pennfudan", progress=False)
    assert len(open_dataset("pennfudan", "train")) == 4 and len(open_dataset("pennfudan", "val")) == 2
    assert open_dataset("pennfudan").class_names == ("background", "person")


def coco_archives(web):
    annotations = {"categories": [{"id": 18, "name": "dog"}], "annotations": []}
    files = []
    for split, image_id in (("train", 1), ("val", 2)):
        content = annotations | {"images": [{"id": image_id, "file_name": "a.png", "width": 8, "height": 6}]}
        files.append((f"annotations/instances_{split}2017.json", json.dumps(content)))
        web.publish("coco", f"{split}2017", [(f"{split}2017/a.png", encoded(np.zeros((6, 8, 3), np.uint8)))])
    web.publish("coco", "annotations", files)


def test_coco_comes_in_parts(web):
    coco_archives(web)
    folder = get("coco", parts=["annotations", "val2017"], progress=False)
    assert {path.name for path in folder.iterdir()} == {"annotations", "val2017"}
    assert len(open_dataset("coco", "val")) == 1
    with pytest.raises(FileNotFoundError, match=r"a\.png, the first picture of .*instances_train2017\.json"):
        open_dataset("coco", "train")
    get("coco", keep_archives=True, progress=False)  # what is missing
    assert len(open_dataset("coco", "train")) == 1
    assert [path.name for path in (web.data / "archives").iterdir()] == ["train2017.zip"]


def test_a_place_of_ones_own(web, tmp_path):
    coco_archives(web)
    folder = get("coco", root=tmp_path / "mine", parts=["val2017"], progress=False)
    assert folder == tmp_path / "mine" / "coco" and (folder / "val2017" / "a.png").exists()


def test_wrong_names_are_answered_with_the_right_ones(web):
    with pytest.raises(ValueError, match="there are coco, pennfudan, nuclei, nuclei-stardist"):
        get("imagenet")
    with pytest.raises(ValueError, match="it has annotations, val2017, train2017"):
        get("coco", parts=["test2017"])


def test_offline_and_a_full_disk(web, monkeypatch):
    web.publish("nuclei", "stage1_train", nuclei_archive(), pictures=16)
    monkeypatch.setattr(sources.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 10}))
    with pytest.raises(DownloadError, match="are free"):
        get("nuclei", progress=False)
    monkeypatch.undo()
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    gone = replace(SOURCES["nuclei"].archives["stage1_train"], url="http://127.0.0.1:1/stage1_train.zip")
    monkeypatch.setitem(SOURCES, "nuclei", replace(SOURCES["nuclei"], archives={"stage1_train": gone}))
    with pytest.raises(DownloadError, match=r"(?s)By hand: .*archives/stage1_train\.zip"):
        get("nuclei", root=web.data, progress=False)


def test_published_addresses_are_complete():
    """Every archive has a digest or a number of pictures to check it by, and a place for its name."""
    for source in SOURCES.values():
        for part, archive in source.archives.items():
            assert archive.md5 or archive.sha256 or archive.pictures
            assert archive.file_name.endswith(".zip") and archive.max_unpacked > archive.size
            assert part and source.about
