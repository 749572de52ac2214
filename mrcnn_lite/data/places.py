"""Where data lies on this machine: the cache folder, the data folder, and `locate(name)`.

Nothing here reads or writes a data set; it only answers "which folder?". Two environment variables
move everything: MRCNN_LITE_DATA (sets to read) and MRCNN_LITE_CACHE (what the package makes itself).
Read next: registry.py, which opens what `locate` finds.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

_PACKAGE_ROOT = Path(__file__).resolve().parents[2]  # the folder that holds mrcnn_lite/
# Names under which a set may lie on a disk; the first is the one that downloads use.
_FOLDER_NAMES = {
    "coco": ("coco", "coco2017", "COCO"),
    "pennfudan": ("pennfudan", "PennFudanPed"),
}


def cache_folder() -> Path:
    """The folder for drawn pictures and downloads: $MRCNN_LITE_CACHE, else the user's cache folder."""
    chosen = os.environ.get("MRCNN_LITE_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "mrcnn_lite"


def data_folder() -> Path:
    """The folder that downloads go to: $MRCNN_LITE_DATA, else the cache folder."""
    chosen = os.environ.get("MRCNN_LITE_DATA")
    return Path(chosen).expanduser() if chosen else cache_folder()


def search_folders() -> list[Path]:
    """Where `locate` looks, in this order."""
    folders = [data_folder(), _PACKAGE_ROOT.parent / "shared" / "data", cache_folder()]
    return list(dict.fromkeys(folders))  # without repetition, order kept


def locate(name: str) -> Path | None:
    """The folder (or file) of the data set `name`, or None where this machine has none.

    Looks in $MRCNN_LITE_DATA, in ../shared/data beside the project, and in the user's cache folder.
    """
    if name in ("", "..") or Path(name).name != name:
        raise ValueError(f"locate takes the bare name of a data set, such as 'nuclei'; got {name!r}")
    for folder in search_folders():
        for folder_name in _FOLDER_NAMES.get(name, (name,)):
            if (folder / folder_name).exists():
                return folder / folder_name
    return None
