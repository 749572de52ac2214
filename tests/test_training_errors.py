"""What goes wrong in a step, in words. How a run meets it is test_training_trainer.py's and test_faults.py's."""

import pickle

import pytest
import torch

from mrcnn_lite.training.errors import NonFiniteLoss, OutOfMemory, is_out_of_memory, what_to_lower


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: 8 bytes"),
            True,
        ),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"), True),  # Windows
        (RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_means_that_memory_is_used_up(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_cpu_that_has_no_memory_left_says_so_in_a_way_that_is_understood():
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        torch.empty(2**55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_of_many_pictures_the_largest_are_named():
    pictures = [(f"{i}.png", (10 * i, 20), i) for i in range(1, 8)]
    error = OutOfMemory(4, "cuda:0", "Tried to allocate 2.00 GiB", pictures, "a smaller batch_size")
    expected = (
        "out of memory on cuda:0 in step 5 (Tried to allocate 2.00 GiB), with 7.png (70 x 20 pixels, 7 objects); "
        "6.png (60 x 20 pixels, 6 objects); 5.png (50 x 20 pixels, 5 objects); 4.png (40 x 20 pixels, 4 objects) "
        "and 3 more. Less is needed with a smaller batch_size"
    )
    assert str(error) == str(pickle.loads(pickle.dumps(error))) == expected


def test_what_cannot_be_lowered_is_not_advised():
    assert "--accumulate" in what_to_lower(8, 1, 8) and "batch_size" in what_to_lower(8, 1, 8)
    assert "--accumulate" not in what_to_lower(8, 8, 1)
    assert "batch" not in what_to_lower(1, 1, 1)


def test_a_loss_that_is_not_finite_can_travel_between_processes():
    error = NonFiniteLoss(2, "loss_mask is nan", True, [(3, ["loss_mask"])], [3, 4])
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    assert "step 3 is not finite: loss_mask is nan" in str(error) and "number 3 (loss_mask)" in str(error)
