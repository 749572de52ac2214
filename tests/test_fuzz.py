"""Damaged input of eight kinds is refused by name or read rightly: a minute of it here, ten thousand with `--long`.

Hypothesis drives the same mutations that `fuzz.py` draws from a seed, so a failure here is made small; the long form
runs each call in a process of its own, so that a crash costs one mutation. The first tests show that the judge sees.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import fuzz
import pytest
import torch
from fuzz_kinds import KINDS
from fuzz_seeds import Kind
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

EXAMPLES = 150  # of each kind
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the workers of the long form are forked")


class Planted(Kind):
    """A kind whose mutations come to all that can be wrong, in turn."""

    name, named = "planted", "image 3"
    does = ("accept", "refuse", "unnamed", "KeyError", "silent", "memory", "swallowed", "wrapped", "hang", "die")

    def mutate(self, random, folder):
        return {"n": random}  # the number of the mutation, see below

    def past(self, mutant):
        return True

    def call(self, mutant):
        what = self.does[mutant["n"] % len(self.does)]
        if what == "refuse":
            raise ValueError("image 3: no")
        if what == "unnamed":
            raise ValueError("no")
        if what == "KeyError":
            raise KeyError("image 3")
        if what == "memory":
            bytearray(2 * fuzz.MEMORY)
        if what == "swallowed":
            try:
                bytearray(2 * fuzz.MEMORY)
            except MemoryError as error:
                raise ValueError("image 3: too large") from error
        if what == "wrapped":
            try:
                torch.zeros(2 * fuzz.MEMORY, dtype=torch.uint8)
            except RuntimeError as error:
                raise ValueError("image 3: torch says no") from error
        while what == "hang":
            try:
                time.sleep(0)
            except Exception:
                continue
        if what == "die":
            os.abort()
        return what

    def check(self, mutant, result):
        assert result != "silent"


def judged() -> fuzz.Tally:
    """The planted mutations, with limits that they reach at once."""
    fuzz.CPU_SECONDS, fuzz.BATCH, fuzz.MEMORY = 0.3, 4, 2**28
    fuzz.seeded = lambda kind, number: number
    return fuzz.fuzzed(Planted(), range(len(Planted.does) + 1))


@needs_fork
def test_the_judge_sees_what_is_wrong():
    # WHY a new interpreter: this one may hold half a gigabyte freed by earlier tests, which its forks would take
    # instead of new memory, and the limit is on new memory.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        tally = pool.submit(judged).result()
    found = [outcome.result for _, outcome in sorted(tally.outcomes.items())]
    limits_memory = sys.platform == "linux"
    memory = ["memory"] * 3 if limits_memory else found[5:8]
    assert found == ["accepted", "refused", "unnamed", "exception", "silent", *memory, "hang", "crash", "accepted"]
    assert len(tally.bugs) == 8 if limits_memory else 5
    row = dict(zip(["kind", *fuzz.COLUMNS], fuzz.table([tally]).splitlines()[1].split()))
    assert (row["mutations"], row["past"], row["hang"], row["crash"]) == ("11", "11", "1", "1")
    assert any("--kind planted --number 9" in line for line in fuzz.bugs(tally))


@pytest.mark.parametrize("name", KINDS)
def test_seeds_are_accepted_before_they_are_damaged(name, tmp_path, monkeypatch):
    """Else everything would be refused, for the wrong reason."""
    for module in ("fuzz_mutations", "fuzz_data", "fuzz_model", "fuzz_checkpoints"):
        for function in ("mutate_tree", "mutate_bytes", "mutate_png", "mutate_tensor"):
            monkeypatch.setattr(f"{module}.{function}", lambda value, *_, **__: value, raising=False)
    results = Counter(
        fuzz.tried(KINDS[name], fuzz.seeded(KINDS[name], number), tmp_path).result for number in range(12)
    )
    assert results["accepted"] >= 2, results
    assert results.keys() <= {"accepted", "refused"}


def test_the_same_number_is_the_same_mutation(tmp_path):
    kind = KINDS["COCO JSON"]
    texts = [kind.mutate(fuzz.seeded(kind, number), tmp_path)["file"].read_bytes() for number in (5, 6, 5)]
    assert texts[0] == texts[2] != texts[1]


def test_bytes_can_drive_the_mutations(tmp_path):
    """As atheris does: any bytes are a mutation, even none."""
    kind = KINDS["RLE"]
    for data in (b"", b"\x00", bytes(range(256)), b"\xff" * 40):
        assert fuzz.tried(kind, fuzz.FromBytes(data), tmp_path).result in ("accepted", "refused")


@pytest.mark.parametrize("name", KINDS)
def test_damaged_input_is_refused_by_name_or_read_rightly(name, tmp_path_factory):
    kind, folder = KINDS[name], tmp_path_factory.mktemp("fuzz")
    counts: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.randoms(use_true_random=False))
    def run(random):
        outcome = fuzz.tried(kind, random, folder)
        counts.update(["mutations", outcome.result, *["past"] * outcome.past])
        assert outcome.result in ("accepted", "refused"), outcome

    run()
    print(f"{name}: {dict(counts)}")
    assert counts["mutations"] >= EXAMPLES / 2 and counts["refused"] and counts["accepted"]
    assert counts["past"] >= counts["mutations"] / 2


@needs_fork
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("name", KINDS)
def test_ten_thousand(name, long_form):
    """A thousand mutations and more of each kind, at least half of them past the first parser; memory is bounded."""
    if not long_form:
        pytest.skip("with --long; alone: python tests/fuzz.py")
    tally = fuzz.fuzzed(KINDS[name], range(1250))
    print(fuzz.table([tally]), fuzz.refusals(tally), *fuzz.bugs(tally), sep="\n")
    assert not tally.bugs
    assert len(tally.outcomes) == 1250 and tally.past >= 625
    assert tally.peak < fuzz.MEMORY and tally.count("accepted") and tally.count("refused")
