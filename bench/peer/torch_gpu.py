#!/usr/bin/env python3
"""A training step of DenseNet-BC in PyTorch on CUDA: what `npm run bench:gpu` puts beside ours.

    python3 torch_gpu.py naive|checkpointed|compiled|graph --block-config 16,16,16 --batch 64 [--no-tf32] [--steps 15]

The network is described by the flags of torch_densenet.py beside this file. `graph` captures a whole step as one CUDA
graph: the GPU's own time, without the host's. Prints a JSON line: median milliseconds a step, the allocator's peak and
reserve in bytes, and the seconds until the first step was done.
"""
import json
import sys
import time

import torch
import torch.nn.functional as F

import torch_densenet as peer

WARM_UP = 5


def main():
    mode, tf32 = sys.argv.pop(1), "--no-tf32" not in sys.argv
    sys.argv = ["torch_gpu.py", "bench"] + [flag for flag in sys.argv[1:] if flag != "--no-tf32"]
    options = peer.parse_options()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(options.seed)
    model = peer.DenseNet(peer.configuration(options), mode == "checkpointed").cuda()
    optimizer = peer.make_optimizer(model, options)
    images = torch.randn(options.batch, options.channels, options.size, options.size).cuda()
    labels = torch.randint(0, options.classes, (options.batch,)).cuda()
    forward = torch.compile(model, mode="reduce-overhead") if mode == "compiled" else model

    def backward():
        loss = F.cross_entropy(forward(images), labels)
        loss.backward()
        return loss

    def step():
        optimizer.zero_grad(set_to_none=True)
        loss = backward()
        optimizer.step()
        return loss

    began = time.perf_counter()
    if mode == "graph":
        step = captured(step, backward, optimizer)
    step().item()
    first = time.perf_counter() - began
    for _ in range(WARM_UP):
        step().item()
    torch.cuda.reset_peak_memory_stats()
    times = []
    for _ in range(options.steps):
        began = time.perf_counter()
        step().item()
        times.append(time.perf_counter() - began)
    print(json.dumps({
        "torch": torch.__version__,
        "stepMs": 1000 * sorted(times)[len(times) // 2],
        "peakBytes": torch.cuda.max_memory_allocated(),
        "reservedBytes": torch.cuda.max_memory_reserved(),
        "firstSeconds": first,
    }))


def captured(step, backward, optimizer):
    """The step as a CUDA graph, after a few plain ones on a side stream."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(4):
            step()
    torch.cuda.current_stream().wait_stream(side)
    optimizer.zero_grad(set_to_none=True)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = backward()
        optimizer.step()

    def replay():
        graph.replay()
        return loss

    return replay


if __name__ == "__main__":
    main()
