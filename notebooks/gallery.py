# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Gallery of the widgets, for instructors
#
# Every widget of the course in presenter size, with what to ask the room and its prepared states. **Run a cell** to get the
# widget itself: here only its picture is stored. Let the room vote, or write its guess down, before anything is dragged.
#
# Another state: `show("roi_align", size="presenter", state="jump")`, or values, `state={"side": 7}`. In each widget *Aa* changes
# the size of its text, ◐ light and dark, 한 the language, ↺ goes back to the start. `theme="dark"` and `language="ko"` start so.
#
# Without a notebook: `python -m mrcnn_lite.widgets.gallery --output gallery.html` makes one page that works offline, whose
# address may say a state: `gallery.html#roi_align/tiny`.

# %% tags=["nbval-ignore-output"]
import subprocess
import sys
from pathlib import Path

REPOSITORY = "https://github.com/mrcnn-lite/mrcnn_lite"  # as in pyproject.toml; a test holds the two equal

if "google.colab" in sys.modules:
    if not Path("mrcnn_lite").exists():
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", REPOSITORY, "mrcnn_lite"], check=True)
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "-e", "mrcnn_lite"], check=True)
    sys.path.insert(0, "mrcnn_lite")  # before the folder of that name, which Python would take for the package

from mrcnn_lite.widgets import show
from mrcnn_lite.widgets.gallery import ask

# %% tags=["nbval-ignore-output", "picture-only"]
ask("self_test")
show("self_test", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("tasks")
show("tasks", size="presenter", state="touching")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("anchors")
show("anchors", size="presenter", state="between")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("nms")
show("nms", size="presenter", state="hug")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("roi_pool")
show("roi_pool", size="presenter", state="half")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("roi_align")
show("roi_align", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("mask_loss")
show("mask_loss", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("architecture")
show("architecture", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("precision_recall")
show("precision_recall", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("keypoints")
show("keypoints", size="presenter", state="unsure")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("xray")
show("xray", size="presenter")

# %% tags=["nbval-ignore-output", "picture-only"]
ask("training_replay")
show("training_replay", size="presenter")
