"""distributed.py: means over several processes."""

import os

import pytest
import torch
import torch.multiprocessing as mp

from mrcnn_lite.distributed import mean_over_processes, rank, world_size


def test_one_process():
    assert (world_size(), rank()) == (1, 0)
    assert mean_over_processes(torch.tensor(6.0, requires_grad=True), 3).item() == 2.0
    assert mean_over_processes(torch.tensor(0.0), 0).item() == 0.0


def _worker(number: int, port: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.distributed.init_process_group("gloo", rank=number, world_size=2)
    weight = torch.tensor(1.0, requires_grad=True)
    rows = [torch.tensor([1.0, 2.0, 3.0]), torch.tensor([10.0])][number]  # the mean of all four is 4
    mean_over_processes((weight * rows).sum(), len(rows)).backward()
    torch.distributed.all_reduce(weight.grad)  # DDP averages gradients
    assert weight.grad.item() / 2 == pytest.approx(4.0)
    with torch.no_grad():
        assert mean_over_processes(rows.sum(), len(rows)).item() == rows.mean().item()
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_mean_of_all():
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    mp.spawn(_worker, (port,), nprocs=2)
