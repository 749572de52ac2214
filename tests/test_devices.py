"""Which device, precision, processes and threads a machine gets: tables of machines."""

import pytest
import torch

from mrcnn_lite import devices


@pytest.mark.parametrize(
    ("machine", "device_type", "capability", "units", "expected"),
    [
        ("H100", "cuda", (9, 0), set(), "bfloat16"),
        ("A100", "cuda", (8, 0), set(), "bfloat16"),
        ("RTX 3060", "cuda", (8, 6), set(), "bfloat16"),
        ("T4, which emulates bfloat16", "cuda", (7, 5), set(), "float16"),
        ("V100", "cuda", (7, 0), set(), "float16"),
        ("GTX 1080, no tensor cores", "cuda", (6, 1), set(), "float32"),
        ("CPU with AVX2", "cpu", (0, 0), set(), "float32"),
        ("CPU with AMX", "cpu", (0, 0), {"amx_tile", "avx512_bf16"}, "float32"),
        ("Apple", "mps", (0, 0), set(), "float32"),
    ],
)
def test_automatic_precision(machine, device_type, capability, units, expected):
    assert devices.choose_precision(device_type, capability, units) == expected


@pytest.mark.parametrize(
    ("device_type", "capability", "units", "wanted", "allowed"),
    [
        ("cpu", (0, 0), set(), "bfloat16", False),
        ("cpu", (0, 0), {"avx512_bf16"}, "bfloat16", True),
        ("cpu", (0, 0), {"avx512_bf16"}, "float16", False),
        ("cuda", (7, 5), set(), "bfloat16", False),
        ("cuda", (7, 5), set(), "float16", True),
        ("cuda", (8, 0), set(), "float16", True),
        ("cuda", (8, 0), set(), "float32", True),
        ("mps", (0, 0), set(), "bfloat16", False),
    ],
)
def test_a_precision_that_was_asked_for(device_type, capability, units, wanted, allowed):
    if allowed:
        assert devices.choose_precision(device_type, capability, units, wanted) == wanted
    else:
        with pytest.raises(ValueError, match="not computed by this hardware"):
            devices.choose_precision(device_type, capability, units, wanted)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="'half'"):
        devices.choose_precision("cuda", (9, 0), set(), "half")


@pytest.mark.parametrize(
    ("device_type", "cores", "images", "expected"),
    [
        ("cpu", 1, 8, (1, 1)),
        ("cpu", 2, 8, (2, 1)),
        ("cpu", 2, 7, (1, 2)),  # seven pictures can't be halved
        ("cpu", 4, 6, (3, 1)),
        ("cpu", 8, 8, (8, 1)),
        ("cpu", 16, 4, (4, 4)),
        ("cpu", 64, 64, (8, 8)),  # each process costs memory
        ("cuda", 16, 16, (1, 1)),
    ],
)
def test_processes_and_threads(device_type, cores, images, expected):
    assert devices.choose_processes_and_threads(device_type, cores, images) == expected


def test_a_number_of_processes_shares_the_cores(monkeypatch):
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    assert devices.processes_and_threads(2, "cpu", 8) == (2, 4)
    assert devices.processes_and_threads(16, "cpu", 16) == (16, 1)
    assert devices.processes_and_threads("auto", "cpu", 4) == (4, 2)
    for wrong in (0, -1, "two"):
        with pytest.raises(ValueError, match="processes"):
            devices.processes_and_threads(wrong, "cpu", 8)


@pytest.mark.parametrize(
    ("cpu_max", "expected"),
    [("max 100000\n", 12), ("200000 100000\n", 2), ("50000 100000\n", 1), ("250000 100000\n", 2)],
)
def test_a_containers_quota(cpu_max, expected):
    assert devices.cores_of_quota(cpu_max, 12) == expected


VM_STAT = """Mach Virtual Memory Statistics: (page size of 16384 bytes)
Pages free:                               10.
Pages active:                           2000.
Pages inactive:                          300.
Pages speculative:                         5.
"Translation faults":                9000000.
"""


def test_free_memory_on_a_mac():
    assert devices.free_in_vm_stat(VM_STAT) == 16384 * 315


def test_there_is_some_memory_and_a_containers_limit_counts(monkeypatch):
    free = devices.available_memory()
    if free is None:
        pytest.skip("this system does not say how much memory is free")
    assert 2**27 < free < 2**45
    files = {"memory.max": "1000", "memory.current": "700", "memory.stat": "anon 500\ninactive_file 150\n"}
    read_text = devices.Path.read_text
    monkeypatch.setattr(
        devices.Path, "read_text", lambda path, **options: files.get(path.name) or read_text(path, **options)
    )
    assert devices.available_memory() == 450
    files["memory.max"] = "max"
    assert devices.available_memory() > 2**27


def test_there_is_at_least_one_core():
    assert devices.available_cores() >= 1


def test_threads_are_limited_within_the_block_only():
    before = torch.get_num_threads()
    with devices.thread_limit(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with devices.thread_limit(None):
        assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads is 0"), devices.thread_limit(0):
        pass


def test_the_device_that_was_asked_for():
    assert devices.choose_device("cpu") == torch.device("cpu")
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="no CUDA device"):
            devices.choose_device("cuda")


def test_one_of_several_processes_takes_its_own_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.choose_device() == torch.device("cuda", 0)
    assert devices.choose_device("cuda:1") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert devices.choose_device("cuda:0") == torch.device("cuda", 1)
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(ValueError, match="no GPU 2"):
        devices.choose_device("cuda")


def test_autocast_casts_only_where_it_is_asked_to():
    a = torch.ones(4, 4)
    with devices.autocast(torch.device("cpu"), "float32"):
        assert (a @ a).dtype == torch.float32
    with devices.autocast(torch.device("cpu"), "bfloat16"):
        assert (a @ a).dtype == torch.bfloat16
