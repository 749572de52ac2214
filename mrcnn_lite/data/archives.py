"""Unpacks a zip archive from the network without trusting it.

Names that leave the folder, links, bombs and encrypted entries are refused before anything is written, and
the folder appears only when every file is there and its checksum (the zip's own CRC) is right.
Read next: download.py, sources.py.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from tqdm import tqdm

MOST_ENTRIES = 500_000  # COCO's largest archive has 118,288


class ArchiveError(ValueError):
    """An archive that is damaged, or that no honest data set would look like."""


def check_archive(archive: zipfile.ZipFile, *, max_bytes: int, max_ratio: float = 200.0) -> None:
    """Raises ArchiveError, which names the entry, unless every entry may be unpacked.

    max_bytes: of all entries, unpacked. max_ratio: unpacked over packed, of an entry larger than 1 MB.
    """
    name = archive.filename
    seen: set[str] = set()
    total = 0
    if len(archive.infolist()) > MOST_ENTRIES:
        raise ArchiveError(f"{name}: {len(archive.infolist()):,} entries, at most {MOST_ENTRIES:,} are expected")
    names = [f"{entry.filename}." if entry.is_dir() else entry.filename for entry in archive.infolist()]  # "a/.": in a
    folders = {str(parent).lower() for path in names for parent in PurePosixPath(path).parents}
    for entry in archive.infolist():
        path = entry.filename
        mode = entry.external_attr >> 16
        if path.startswith("/") or "\\" in path or ":" in path or "\0" in path:
            raise ArchiveError(f"{name}: the entry {path!r} is an absolute or foreign path")
        if ".." in PurePosixPath(path).parts:
            raise ArchiveError(f"{name}: the entry {path!r} would leave the folder it is unpacked to")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise ArchiveError(f"{name}: the entry {path!r} is a link or a device, not a file")
        if entry.flag_bits & 1:
            raise ArchiveError(f"{name}: the entry {path!r} is encrypted")
        if path.lower() in seen:
            raise ArchiveError(f"{name}: the entry {path!r} is there twice (capitals ignored)")
        if not entry.is_dir() and path.lower() in folders:
            raise ArchiveError(f"{name}: the entry {path!r} is a file and a folder")
        seen.add(path.lower())
        if entry.file_size > 2**20 and entry.file_size > max_ratio * max(entry.compress_size, 1):
            raise ArchiveError(
                f"{name}: the entry {path!r} grows from {entry.compress_size} to {entry.file_size} bytes, "
                f"more than {max_ratio:g} times"
            )
        total += entry.file_size
    if total > max_bytes:
        raise ArchiveError(f"{name}: unpacked it is {total:,} bytes; at most {max_bytes:,} are expected")


def open_archive(path: Path, max_bytes: int) -> zipfile.ZipFile:
    """Opens a zip and checks all its entries (`check_archive`)."""
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ArchiveError(f"{path} is no whole zip archive: {error}. Remove it, and it is downloaded again") from error
    try:
        check_archive(archive, max_bytes=max_bytes)
    except ArchiveError:
        archive.close()
        raise
    return archive


def unpack(path: Path, folder: Path, *, max_bytes: int, inside: str = "", progress: bool = True) -> Path:
    """Unpacks what lies under the folder `inside` of a zip (all of it by default) as `folder`; returns it.

    Everything goes to a folder beside it that is renamed at the end. FileExistsError if `folder` exists.
    """
    prefix = f"{inside}/" if inside else ""

    def write_all(work: Path) -> None:
        with open_archive(path, max_bytes) as archive:
            entries = [e for e in archive.infolist() if e.filename.startswith(prefix) and not e.is_dir()]
            if not entries:
                raise ArchiveError(f"{path} holds nothing under {inside!r}")
            hidden = None if progress else True  # None: shown on a terminal only
            for entry in tqdm(entries, desc=f"unpacking {path.name}", unit=" files", disable=hidden):
                target = work.joinpath(*PurePosixPath(entry.filename[len(prefix) :]).parts)
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as source, target.open("wb") as sink:
                    shutil.copyfileobj(source, sink, 2**20)

    return make_folder(folder, write_all)


def make_folder(folder: Path, write_all: Callable[[Path], None]) -> Path:
    """Makes `folder` whole or not at all: `write_all(work)` fills a folder that is then renamed to it."""
    if folder.exists():
        raise FileExistsError(f"{folder} is there already")
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        try:
            write_all(work)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
            raise ArchiveError(f"the archive is damaged: {error}") from error
        work.chmod(0o755)  # mkdtemp's folders are private
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return folder


def top_folder(path: Path, max_bytes: int, wanted: str) -> str:
    """Where in the zip the folder `wanted` lies ("a/b/wanted", or "wanted"); ArchiveError if it is absent."""
    with open_archive(path, max_bytes) as archive:
        for entry in archive.namelist():
            match = re.match(rf"((?:[^/]+/)*{re.escape(wanted)})/", entry)
            if match:
                return match.group(1)
    raise ArchiveError(f"{path} holds no folder {wanted!r}")
