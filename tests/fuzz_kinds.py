"""The table of the eight kinds of untrusted input that are fuzzed.

Each has valid seeds, damages them (`mutate`), hands them to the package (`call`) and judges what is accepted (`check`,
by `fuzz_rules.py`). A refusal is a ValueError, TypeError or OSError whose message names the file, or image and object
(`named`). `past` says whether the damage got past the first parser, one that is not ours. Read next: `fuzz.py`, which
runs them by the thousand.
"""

from __future__ import annotations

from fuzz_checkpoints import Checkpoints
from fuzz_data import CocoFiles, ImageHeaders, LabelPngs, RunLengths
from fuzz_model import Configurations, ResultFiles, Targets
from fuzz_seeds import Kind

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        *(Targets(), CocoFiles(), RunLengths(), LabelPngs()),
        *(ImageHeaders(), Checkpoints(), Configurations(), ResultFiles()),
    )
}
