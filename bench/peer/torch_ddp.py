"""Steps of PyTorch's DistributedDataParallel over gloo, float64: what our steps of several processes are held against.

    python3 bench/peer/torch_ddp.py test/fixtures/torch/cifar 2 test/fixtures/ddp/cifar-2

Begins with a folder of test/fixtures/torch: its configuration, optimizer, state and batch. Each process trains on its rows
of the batch, as densec deals them out (the first ones take one more where they can't be equal); its loss is scaled by its
share, since DDP averages gradients over processes and not over images. Batch norm takes each process's own statistics;
running ones are averaged at the end, weighted by the shares: they follow the batches linearly, so that is what averaging
them in each step gives. Writes after.safetensors and losses.json, whose losses are means over the whole batch.
"""

import argparse
import json
import os
import socket
import sys

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_densenet import DenseNet, momentum_of, read_safetensors, write_safetensors

STEPS = 4


def rows_of(count, rank, size):
    each, more = divmod(count, size)
    first = rank * each + min(rank, more)
    return first, each + (1 if rank < more else 0)


def make_optimizer(model, facts, lr):
    if facts["kind"] == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=lr, betas=facts["betas"], eps=facts["epsilon"],
                                 weight_decay=facts["weightDecay"])
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=facts["momentum"], nesterov=facts["nesterov"],
                           weight_decay=facts["weightDecay"])


def train(rank, size, port, source, out):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    with open(f"{source}/losses.json", encoding="ascii") as file:
        facts = json.load(file)
    model = DenseNet(facts["config"])
    model.load_state_dict(read_safetensors(f"{source}/state.safetensors"))
    model.double().train()
    batch = read_safetensors(f"{source}/batch.safetensors")
    count = len(batch["labels"])
    first, own = rows_of(count, rank, size)
    images, labels = batch["images"][first:first + own].double(), batch["labels"][first:first + own]
    share = own / count
    # Buffers stay those of each process, for the average below.
    parallel = DistributedDataParallel(model, broadcast_buffers=False)
    optimizer = make_optimizer(model, facts["optimizer"], facts["lr"])
    losses = []
    for _ in range(STEPS):
        loss = F.cross_entropy(parallel(images), labels)
        optimizer.zero_grad()
        (loss * share * size).backward()
        optimizer.step()
        whole = loss.detach() * share
        dist.all_reduce(whole)
        losses.append(whole.item())
    for name, buffer in model.named_buffers():
        if buffer.is_floating_point():
            buffer.mul_(share)
            dist.all_reduce(buffer)
    if rank == 0:
        os.makedirs(out, exist_ok=True)
        write_safetensors(f"{out}/after.safetensors", {**model.state_dict(), **momentum_of(model, optimizer)})
        with open(f"{out}/losses.json", "w", encoding="ascii") as file:
            json.dump({"from": os.path.basename(source), "processes": size, "steps": STEPS, "losses": losses,
                       "torch": torch.__version__.split("+")[0]}, file, indent=2)
            file.write("\n")
    dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("processes", type=int)
    parser.add_argument("out")
    options = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(train, (options.processes, port, options.source.rstrip("/"), options.out), options.processes)


if __name__ == "__main__":
    main()
