"""The sets that can be downloaded: where they are, how to know them, and how they come to lie on the disk.

`get("nuclei")` is all a user needs. Digests are the publishers'; where there is none, the content is
checked and the digest of the first download is kept. Read next: download.py, archives.py, registry.py.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .archives import ArchiveError, make_folder, open_archive, top_folder, unpack
from .download import DownloadError, fetch
from .label_png import LabelPictures
from .nuclei import convert_bbbc038, convert_stardist
from .places import data_folder, locate


@dataclass(frozen=True)
class Archive:
    """One zip file of a set."""

    url: str
    size: int  # bytes, about
    max_unpacked: int  # bytes
    md5: str | None = None
    sha256: str | None = None
    pictures: int | None = None  # how many it must hold, where no digest is published

    @property
    def file_name(self) -> str:
        return self.url.rsplit("/", 1)[1]


@dataclass(frozen=True)
class Source:
    """A set that can be downloaded."""

    about: str
    archives: dict[str, Archive]  # part -> archive


SOURCES = {
    "coco": Source(
        "COCO 2017: 118,287 + 5,000 photographs, 80 classes, persons with keypoints (Lin et al. 2014; "
        "annotations CC BY 4.0, each picture under its own licence)",
        {
            "annotations": Archive(
                "http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
                size=253_000_000,
                max_unpacked=2_000_000_000,
                md5="f4bbac642086de4f52a3fdda2de5fa2c",
            ),
            "val2017": Archive(
                "http://images.cocodataset.org/zips/val2017.zip",
                size=816_000_000,
                max_unpacked=2_000_000_000,
                md5="442b8da7639aecaf257c1dceb8ba8c80",
            ),
            "train2017": Archive(
                "http://images.cocodataset.org/zips/train2017.zip",
                size=19_400_000_000,
                max_unpacked=30_000_000_000,
                md5="cced6f7f71b7629ddf16f17bbcfab6b2",
            ),
        },
    ),
    "pennfudan": Source(
        "Penn-Fudan: 170 photographs of pedestrians (Wang et al. 2007; published for research)",
        {
            "PennFudanPed": Archive(
                "https://www.cis.upenn.edu/~jshi/ped_html/PennFudanPed.zip",
                size=53_700_000,
                max_unpacked=500_000_000,
                pictures=170,
            )
        },
    ),
    "nuclei": Source(
        "BBBC038 stage1_train: 670 microscope pictures of nuclei (Caicedo et al. 2019, Nature Methods; CC0)",
        {
            "stage1_train": Archive(
                "https://data.broadinstitute.org/bbbc/BBBC038/stage1_train.zip",
                size=83_000_000,
                max_unpacked=1_000_000_000,
                pictures=670,
            )
        },
    ),
    "nuclei-stardist": Source(
        "StarDist's fluorescence subset of BBBC038 (Schmidt et al. 2018; Caicedo et al. 2019)",
        {
            "dsb2018": Archive(
                "https://github.com/stardist/stardist/releases/download/0.1.0/dsb2018.zip",
                size=60_000_000,
                max_unpacked=1_000_000_000,
                sha256="e44921950edce378063aa4457e625581ba35b4c2dbd9a07c19d48900129f386f",
            )
        },
    ),
}


def get(
    name: str,
    *,
    root: str | Path | None = None,
    parts: Sequence[str] | None = None,
    keep_archives: bool = False,
    progress: bool = True,
) -> Path:
    """Downloads the set `name` unless it is there, and returns its folder (what `locate` then finds).

    root: the folder to put it in; None: $MRCNN_LITE_DATA, else the user's cache folder.
    parts: for COCO, some of "annotations", "val2017", "train2017"; all by default.
    Raises DownloadError (with what to do by hand) or ArchiveError; nothing half done is left in place.
    """
    if name not in SOURCES:
        raise ValueError(f"no set {name!r} can be downloaded; there are {', '.join(SOURCES)}")
    source = SOURCES[name]
    unknown = [part for part in parts or () if part not in source.archives]
    if unknown:
        raise ValueError(f"{name} has no part {unknown[0]!r}; it has {', '.join(source.archives)}")
    found = locate(name) if root is None else None
    folder = found or (data_folder() if root is None else Path(root).expanduser()) / name
    if len(source.archives) == 1 and folder.exists():
        return folder
    for part in parts or source.archives:
        place = folder / part if len(source.archives) > 1 else folder
        if not place.exists():
            archive = source.archives[part]
            path = _fetch(archive, folder.parent / "archives", progress)
            _install(name, part, path, place, archive, progress)
            if not keep_archives:
                path.unlink(missing_ok=True)
    return folder


def _fetch(archive: Archive, folder: Path, progress: bool) -> Path:
    path = folder / archive.file_name
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    needed = archive.size * (1 if path.exists() else 2)  # the archive and what is in it
    if needed > free:
        raise DownloadError(f"{archive.url} needs about {needed / 1e9:.1f} GB in {folder}; {free / 1e9:.1f} are free")
    return fetch(archive.url, path, md5=archive.md5, sha256=archive.sha256, progress=progress)


def _install(name: str, part: str, path: Path, place: Path, archive: Archive, progress: bool) -> None:
    if name in ("nuclei", "nuclei-stardist"):
        convert = convert_bbbc038 if name == "nuclei" else convert_stardist

        def write_all(work: Path) -> None:
            with open_archive(path, archive.max_unpacked) as opened:
                convert(opened, work, progress)
            _check_count(work, archive)

        make_folder(place, write_all)
        return
    inside = top_folder(path, archive.max_unpacked, wanted=part)
    unpack(path, place, max_bytes=archive.max_unpacked, inside=inside, progress=progress)
    try:
        _check_count(place, archive)
    except ArchiveError:
        shutil.rmtree(place)
        raise


def _check_count(folder: Path, archive: Archive) -> None:
    if archive.pictures is None:
        return
    found = len(LabelPictures(folder, "all"))  # raises where a label picture is missing
    if found != archive.pictures:
        raise ArchiveError(f"{archive.url} holds {found} pictures; {archive.pictures} are expected")
