"""Data sets in one format: synthetic shapes and stick figures, COCO JSON, label pictures, downloads.

    from mrcnn_lite.data import open_dataset
    image, target = open_dataset("shapes")[0]

Names are loaded when they are used, so that drawing pictures does not wait for torch. Files, downward:
places, instances, drawing | shapes, stick_figures, pictures | cache | dataset | synthetic, coco, label_png,
wrappers, transforms | augment, export, archives, download | nuclei, sources | registry. What can be wrong with a data
set: problems | outlines | box_rules, outline_rules, object_rules, picture_rules | coco_entries, coco_rules,
index_rules, label_rules, label_folder_rules | check | repair.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .archives import ArchiveError as ArchiveError
    from .augment import Augmented as Augmented
    from .check import check_data as check_data
    from .coco import CocoJson as CocoJson
    from .dataset import Dataset as Dataset
    from .dataset import Target as Target
    from .dataset import collate as collate
    from .dataset import split_ids as split_ids
    from .download import DownloadError as DownloadError
    from .export import export_coco as export_coco
    from .label_png import LabelPictures as LabelPictures
    from .places import cache_folder as cache_folder
    from .places import locate as locate
    from .registry import about as about
    from .registry import names as names
    from .registry import open_dataset as open_dataset
    from .repair import write_copy as write_copy
    from .sources import SOURCES as SOURCES
    from .sources import get as get
    from .synthetic import Synthetic as Synthetic
    from .wrappers import InMemory as InMemory
    from .wrappers import Subset as Subset

_HOMES = {
    "archives": ("ArchiveError",),
    "augment": ("Augmented",),
    "check": ("check_data",),
    "coco": ("CocoJson",),
    "dataset": ("Dataset", "Target", "collate", "split_ids"),
    "download": ("DownloadError",),
    "export": ("export_coco",),
    "label_png": ("LabelPictures",),
    "places": ("cache_folder", "locate"),
    "registry": ("about", "names", "open_dataset"),
    "repair": ("write_copy",),
    "sources": ("SOURCES", "get"),
    "synthetic": ("Synthetic",),
    "wrappers": ("InMemory", "Subset"),
}
_HOME_OF = {name: home for home, names_in_it in _HOMES.items() for name in names_in_it}
__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME_OF[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
