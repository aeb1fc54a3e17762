#!/usr/bin/env python3
"""@file The same network and training step in PyTorch: what our graphs are measured against and compared with.

    pip install torch==2.13.0 numpy
    python3 bench/peer/torch_densenet.py bench --depth 100 --batch 64 [--efficient | --compile | --activation-budget 0.5] [--steps 5] [--threads 2]
    python3 bench/peer/torch_densenet.py reference --block-config 2,2,2 --batch 8 --size 16 --out DIR

`bench` times steps of SGD on the CPU and prints one line of JSON: the median seconds of a step (the first left out)
and how far the process grew during the steps above its size just before the first. The kernel's high-water mark is
reset in between, so it runs on Linux only. What torch.compile needs to compile is left out: a step is taken before, and
what it leaves to be freed is freed.

`reference` takes a few steps on one batch in float64 and writes to DIR, numbers stored as float32:
  state.safetensors   parameters, running statistics and counters before the first step
  batch.safetensors   images and labels, of a regression targets
  after.safetensors   the state after the last step, and what the optimizer keeps of each parameter: momentum.NAME,
                      for adamw, adam and rmsprop variance.NAME, for rmsprop centered gradient_mean.NAME; with --ema
                      ema.NAME, what AveragedModel holds (use_buffers=True, so of running statistics too)
  losses.json         the loss before each step, the loss in evaluation mode before the first, with --clip-norm what
                      clip_grad_norm_ gave at each update, with --ema the averaged model's loss in evaluation mode
                      after the last step, the whole configuration,
                      and how far the same steps in float32 depart from those in float64: the largest difference
                      within a tensor over the tensor's largest value, over all tensors of the state and of momentum;
                      and reluMargin, how close to 0 an operand of a ReLU came in any step. Another implementation
                      that rounds it to the other side of 0 gets other gradients, and neither is wrong: choose a seed
                      whose margin is well above float32's rounding, 2e-6 at least

`curve` trains on the batches of one file from the state in another, in float32 and in float64, and prints the loss
before each step as one line of JSON. bench/parity.mjs draws it beside ours; `npm run bench:peers -- --network` makes
sure by it that both sides are the same network.

--network takes one of torch_plain.py instead of a DenseNet, for `bench` and `curve`.
"""
import argparse
import copy
import ctypes
import gc
import json
import math
import os
import statistics
import struct
import time

import torch
import torch._functorch.config
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from torch_plain import PLAIN, plain_network

MOMENTUM = 0.9
WEIGHT_DECAY = 1e-4
BETAS = (0.9, 0.999)
EPSILON = 1e-8
ALPHA = 0.99
# Unless told, as densec's.
WEIGHT_DECAYS = {"sgd": WEIGHT_DECAY, "adamw": 0.01, "adam": 0.0, "rmsprop": 0.0}


class DenseLayer(nn.Module):
    """BN, ReLU and a 1x1 convolution over all features so far; BN, ReLU and a 3x3 convolution to new ones."""

    def __init__(self, channels, config, efficient):
        super().__init__()
        width = config["bnSize"] * config["growthRate"]
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, config["growthRate"], 3, padding=1, bias=False)
        self.drop_rate = config["dropRate"]
        self.efficient = efficient

    def bottleneck(self, *features):
        return self.conv1(F.relu(self.norm1(torch.cat(features, 1))))

    def forward(self, *features):
        if self.efficient and self.training and any(feature.requires_grad for feature in features):
            x = checkpoint(self.bottleneck, *features, use_reentrant=False)
        else:
            x = self.bottleneck(*features)
        return F.dropout(self.conv2(F.relu(self.norm2(x))), self.drop_rate, self.training)


class DenseBlock(nn.Module):
    """Every layer reads the features of all layers before it."""

    def __init__(self, channels, layers, config, efficient):
        super().__init__()
        for index in range(layers):
            layer = DenseLayer(channels + index * config["growthRate"], config, efficient)
            self.add_module(f"denselayer{index + 1}", layer)

    def forward(self, x):
        features = [x]
        for layer in self.children():
            features.append(layer(*features))
        return torch.cat(features, 1)


class Transition(nn.Module):
    """BN, ReLU, a 1x1 convolution to fewer channels, and half the height and width."""

    def __init__(self, channels, kept):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = nn.Conv2d(channels, kept, 1, bias=False)

    def forward(self, x):
        return F.avg_pool2d(self.conv(F.relu(self.norm(x))), 2)


class DenseNet(nn.Module):
    """Parameters are named as in the usual PyTorch implementations."""

    def __init__(self, config, efficient=False):
        super().__init__()
        channels = config["initFeatures"]
        self.features = nn.Sequential()
        if config["smallInputs"]:
            self.features.add_module("conv0", nn.Conv2d(config["channels"], channels, 3, padding=1, bias=False))
        else:
            self.features.add_module("conv0", nn.Conv2d(config["channels"], channels, 7, 2, padding=3, bias=False))
            self.features.add_module("norm0", nn.BatchNorm2d(channels))
            self.features.add_module("relu0", nn.ReLU())
            self.features.add_module("pool0", nn.MaxPool2d(3, 2, 1))
        for index, layers in enumerate(config["blockConfig"]):
            if index > 0:
                kept = int(channels * config["compression"])
                self.features.add_module(f"transition{index}", Transition(channels, kept))
                channels = kept
            self.features.add_module(f"denseblock{index + 1}", DenseBlock(channels, layers, config, efficient))
            channels += layers * config["growthRate"]
        self.features.add_module("norm_final", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, config["classes"])
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.normal_(module.weight, std=math.sqrt(2 / (module.out_channels * math.prod(module.kernel_size))))
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images):
        return self.classifier(F.relu(self.features(images)).mean((2, 3)))


def configuration(options):
    """The network's configuration, its fields named as in a bundle's manifest."""
    if options.block_config:
        blocks = [int(layers) for layers in options.block_config.split(",")]
    else:
        blocks = [(options.depth - 4) // 6] * 3
    return {
        "growthRate": options.growth_rate,
        "blockConfig": blocks,
        "initFeatures": options.init_features or 2 * options.growth_rate,
        "compression": options.compression,
        "bnSize": options.bn_size,
        "dropRate": 0,
        "classes": options.classes,
        "imageSize": options.size,
        "channels": options.channels,
        "smallInputs": not options.no_small_inputs,
    }


def make_optimizer(model, options):
    """The optimizer that the options name; without decay on vectors (norms and biases) where they say so."""
    parameters = list(model.parameters())
    groups = [{"params": parameters}]
    if options.no_decay_norm_bias:
        groups = [
            {"params": [p for p in parameters if p.ndim > 1]},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
    common = {"lr": options.lr, "weight_decay": weight_decay(options)}
    if options.optimizer == "adamw":
        return torch.optim.AdamW(groups, betas=BETAS, eps=EPSILON, **common)
    if options.optimizer == "adam":
        return torch.optim.Adam(groups, betas=BETAS, eps=EPSILON, **common)
    if options.optimizer == "rmsprop":
        return torch.optim.RMSprop(groups, alpha=ALPHA, eps=EPSILON, momentum=options.momentum,
                                   centered=options.centered, **common)
    return torch.optim.SGD(groups, momentum=MOMENTUM, nesterov=True, **common)


def weight_decay(options):
    return WEIGHT_DECAYS[options.optimizer] if options.weight_decay is None else options.weight_decay


def floats(text):
    return None if text is None else [float(value) for value in text.split(",")]


def make_loss(options, dtype):
    """The loss that the options name, a function of outputs and targets."""
    weights = {
        name: None if values is None else torch.tensor(values, dtype=dtype)
        for name, values in [("class", floats(options.class_weights)), ("pos", floats(options.pos_weight))]
    }
    return {
        "cross-entropy": nn.CrossEntropyLoss(weight=weights["class"], label_smoothing=options.label_smoothing),
        "bce": nn.BCEWithLogitsLoss(pos_weight=weights["pos"]),
        "mse": nn.MSELoss(),
        "l1": nn.L1Loss(),
        "huber": nn.HuberLoss(delta=options.huber_delta),
    }[options.loss]


def loss_facts(options):
    """The loss, its fields named as in a bundle's manifest."""
    own = {
        "cross-entropy": {"classWeights": floats(options.class_weights), "labelSmoothing": options.label_smoothing},
        "bce": {"positiveWeights": floats(options.pos_weight)},
        "huber": {"delta": options.huber_delta},
    }.get(options.loss, {})
    return {"kind": options.loss, **{name: value for name, value in own.items() if value is not None}}


def make_targets(options):
    """Random targets: classes, labels of 0 and 1, or numbers."""
    shape = (options.batch, options.classes)
    if options.loss == "cross-entropy":
        return torch.randint(0, options.classes, (options.batch,))
    return torch.randint(0, 2, shape).float() if options.loss == "bce" else torch.randn(shape) * 2


class Clipping:
    """Clips gradients as the options say, and remembers their norms."""

    def __init__(self, options):
        self.norm, self.value, self.norms = options.clip_norm, options.clip_value, []

    def apply(self, parameters):
        if self.norm is not None:
            self.norms.append(nn.utils.clip_grad_norm_(parameters, self.norm).item())
        if self.value is not None:
            nn.utils.clip_grad_value_(parameters, self.value)


def averaged(model, options):
    """The model whose weights are an exponential average of the model's, where the options ask for one."""
    if options.ema is None:
        return None
    average = torch.optim.swa_utils.get_ema_multi_avg_fn(options.ema)
    return torch.optim.swa_utils.AveragedModel(model, multi_avg_fn=average, use_buffers=True)


def ema_of(average):
    """The average's tensors, without the counters."""
    tensors = {} if average is None else average.module.state_dict()
    return {f"ema.{name}": tensor for name, tensor in tensors.items() if tensor.is_floating_point()}


def take_step(run, optimizer, images, labels, step=0, accumulate=1, loss_of=F.cross_entropy, clipping=None, average=None):
    """One step of training; returns the loss before it. Every `accumulate` steps the weights change."""
    loss = loss_of(run(images), labels)
    if step % accumulate == 0:
        optimizer.zero_grad()
    (loss / accumulate).backward()
    if (step + 1) % accumulate == 0:
        if clipping is not None:
            clipping.apply(run.parameters())
        optimizer.step()
        if average is not None:
            average.update_parameters(run)
    return loss.item()


# --- bench


def process_bytes(field):
    """A size of this process: VmRSS now, VmHWM its high-water mark."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def bench(options, model, images, labels):
    optimizer = make_optimizer(model, options)
    if options.activation_budget is not None:
        torch._functorch.config.activation_memory_budget = options.activation_budget
    is_compiled = options.compile or options.activation_budget is not None
    run = torch.compile(model) if is_compiled else model
    seconds, losses = [], []
    began = time.perf_counter()
    if is_compiled:
        take_step(run, optimizer, images, labels)
        optimizer.zero_grad()
        gc.collect()
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    compile_seconds = time.perf_counter() - began
    before = process_bytes("VmRSS")
    with open("/proc/self/clear_refs", "w", encoding="ascii") as clear:
        clear.write("5")
    for _ in range(options.steps):
        start = time.perf_counter()
        losses.append(take_step(run, optimizer, images, labels))
        seconds.append(time.perf_counter() - start)
    growth = process_bytes("VmHWM") - before
    print(json.dumps({
        "peer": "pytorch",
        "mode": "compile" if is_compiled else "efficient" if options.efficient else "naive",
        "batch": options.batch,
        "stepSeconds": statistics.median(seconds[1:] or seconds),
        "growthBytes": growth,
        "compileSeconds": compile_seconds if is_compiled else None,
        "activationBudget": options.activation_budget,
        "losses": losses[:3],
    }))


# --- reference


def write_safetensors(path, tensors):
    header, parts, offset = {}, [], 0
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        tensor = tensor.float() if tensor.is_floating_point() else tensor
        part = tensor.numpy().tobytes()
        header[name] = {
            "dtype": "F32" if tensor.is_floating_point() else "I64",
            "shape": list(tensor.shape),
            "data_offsets": [offset, offset + len(part)],
        }
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def momentum_of(model, optimizer):
    """What the optimizer keeps of each parameter: the averaged gradient, and its averaged square."""
    keys = {"momentum_buffer": "momentum", "exp_avg": "momentum", "exp_avg_sq": "variance",
            "square_avg": "variance", "grad_avg": "gradient_mean"}
    return {
        f"{keys[key]}.{name}": tensor
        for name, p in model.named_parameters()
        for key, tensor in optimizer.state[p].items()
        if key in keys
    }


def optimizer_facts(options):
    """The optimizer, its fields named as in a bundle's manifest."""
    own = {"momentum": MOMENTUM, "nesterov": True}
    if options.optimizer in ("adamw", "adam"):
        own = {"betas": BETAS, "epsilon": EPSILON}
    if options.optimizer == "rmsprop":
        own = {"alpha": ALPHA, "epsilon": EPSILON, "momentum": options.momentum, "centered": options.centered}
    return {
        "kind": options.optimizer,
        **own,
        "weightDecay": weight_decay(options),
        "decayNormBias": not options.no_decay_norm_bias,
        "accumulate": options.accumulate,
        **({} if options.clip_norm is None else {"clipNorm": options.clip_norm}),
        **({} if options.clip_value is None else {"clipValue": options.clip_value}),
        **({} if options.ema is None else {"ema": options.ema}),
    }


def departure(tensors, reference):
    """The largest difference within a tensor over the tensor's largest value, over all tensors."""
    return max(
        ((tensors[name].double() - exact).abs().max() / (exact.abs().max() + 1e-12)).item()
        for name, exact in reference.items()
        if exact.is_floating_point()
    )


class ReluMargin:
    """Watches how close to 0 the operands of ReLUs come; here they are the outputs of batch norms."""

    def __init__(self, model):
        self.least = math.inf
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.register_forward_hook(self.watch)

    def watch(self, _module, _inputs, output):
        self.least = min(self.least, output.abs().min().item())


def reference(options, model, images, labels):
    # Fresh norms are 1 and 0, which would hide a mistake in how they are used.
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "norm" in name and tensor.is_floating_point():
                tensor.add_(torch.rand_like(tensor) * 0.3)
    os.makedirs(options.out, exist_ok=True)
    write_safetensors(f"{options.out}/state.safetensors", model.state_dict())
    name = "targets" if options.loss in ("mse", "l1", "huber") else "labels"
    write_safetensors(f"{options.out}/batch.safetensors", {"images": images, name: labels})
    exact = labels.double() if labels.is_floating_point() else labels
    loss_of = make_loss(options, torch.float64)

    single = copy.deepcopy(model)
    model.double()
    with torch.no_grad():
        loss_in_evaluation = loss_of(model.eval()(images.double()), exact).item()
    model.train()
    optimizer = make_optimizer(model, options)
    margin = ReluMargin(model)
    accumulate = options.accumulate
    steps = range(options.steps)
    clipping, average = Clipping(options), averaged(model, options)
    losses = [
        take_step(model, optimizer, images.double(), exact, step, accumulate, loss_of, clipping, average) for step in steps
    ]
    momentum = momentum_of(model, optimizer)
    write_safetensors(f"{options.out}/after.safetensors", {**model.state_dict(), **momentum, **ema_of(average)})
    extra = {"gradientNorms": clipping.norms} if clipping.norms else {}
    if average is not None:
        with torch.no_grad():
            extra["evalLossOfAverage"] = F.cross_entropy(average.eval()(images.double()), labels).item()

    single_optimizer = make_optimizer(single, options)
    for step in steps:
        loss_in_single = make_loss(options, torch.float32)
        take_step(single, single_optimizer, images, labels, step, accumulate, loss_in_single, Clipping(options))
    facts = {
        "losses": losses,
        "evalLossBefore": loss_in_evaluation,
        **extra,
        "lr": options.lr,
        "optimizer": optimizer_facts(options),
        "loss": loss_facts(options),
        "batch": options.batch,
        "seed": options.seed,
        "torch": torch.__version__.split("+")[0],
        "config": configuration(options),
        "float32Departure": departure(single.state_dict(), model.state_dict()),
        "float32MomentumDeparture": departure(momentum_of(single, single_optimizer), momentum),
        "reluMargin": margin.least,
    }
    with open(f"{options.out}/losses.json", "w", encoding="ascii") as file:
        json.dump(facts, file, indent=2)
        file.write("\n")
    print(json.dumps({"out": options.out, "losses": losses, "reluMargin": margin.least}))


# --- curve


def read_safetensors(path):
    """The F32 and I64 tensors of a file."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    types = {"F32": torch.float32, "I64": torch.int64}
    return {
        name: torch.frombuffer(data, dtype=types[entry["dtype"]], count=math.prod(entry["shape"]),
                               offset=entry["data_offsets"][0]).reshape(entry["shape"])
        for name, entry in header.items()
    }


def curve(options, model, _images, _labels):
    """Trains on given batches from a given state, in float32 and float64, and prints the loss before each step."""
    model.load_state_dict(read_safetensors(options.state))
    batches = read_safetensors(options.batches)
    images, labels = batches["images"].split(options.batch), batches["labels"].split(options.batch)
    losses = {}
    for name, precise in [("float32", copy.deepcopy(model)), ("float64", model.double())]:
        dtype = next(precise.parameters()).dtype
        optimizer = make_optimizer(precise, options)
        losses[name] = [take_step(precise, optimizer, x.to(dtype), y) for x, y in zip(images, labels)]
    print(json.dumps({"torch": torch.__version__.split("+")[0], "losses": losses}))


def parse_options():
    parser = argparse.ArgumentParser(description="DenseNet-BC in PyTorch, timed or written down")
    parser.add_argument("task", choices=["bench", "reference", "curve"])
    parser.add_argument("--network", choices=PLAIN, help="a plain network instead of a DenseNet")
    parser.add_argument("--depth", type=int, default=100)
    parser.add_argument("--block-config", help="layers of each block, as in 6,12,24,16; instead of --depth")
    parser.add_argument("--growth-rate", type=int, default=12)
    parser.add_argument("--init-features", type=int, help="twice the growth rate unless given")
    parser.add_argument("--compression", type=float, default=0.5)
    parser.add_argument("--bn-size", type=int, default=4)
    parser.add_argument("--classes", type=int, default=10)
    parser.add_argument("--channels", type=int, default=3)
    parser.add_argument("--size", type=int, default=32, help="height and width of the images")
    parser.add_argument("--no-small-inputs", action="store_true", help="the ImageNet stem")
    parser.add_argument("--efficient", action="store_true", help="checkpoint concat, norm, ReLU and 1x1 convolution")
    parser.add_argument("--compile", action="store_true", help="torch.compile")
    parser.add_argument("--activation-budget", type=float, metavar="X",
                        help="torch.compile with this share of the activations kept: 1 all that it would keep, 0 the inputs")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--lr", type=float, default=0.05)
    parser.add_argument("--optimizer", choices=list(WEIGHT_DECAYS), default="sgd")
    parser.add_argument("--weight-decay", type=float, help=f"unless told {WEIGHT_DECAYS}")
    parser.add_argument("--momentum", type=float, default=0.0, help="of rmsprop")
    parser.add_argument("--centered", action="store_true", help="rmsprop divides by the root of the variance")
    parser.add_argument("--no-decay-norm-bias", action="store_true", help="no weight decay on norms and biases")
    parser.add_argument("--accumulate", type=int, default=1, help="steps whose mean gradient makes an update")
    parser.add_argument("--loss", choices=["cross-entropy", "bce", "mse", "l1", "huber"], default="cross-entropy")
    parser.add_argument("--class-weights", help="of the cross-entropy, as in 1,2.5,1")
    parser.add_argument("--label-smoothing", type=float, default=0.0, help="of the cross-entropy")
    parser.add_argument("--pos-weight", help="of bce, as in 1,2.5,1")
    parser.add_argument("--huber-delta", type=float, default=1.0)
    parser.add_argument("--clip-norm", type=float, help="clip_grad_norm_ before each update")
    parser.add_argument("--clip-value", type=float, help="clip_grad_value_ before each update")
    parser.add_argument("--ema", type=float, help="decay of an exponential average of the weights")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", help="safetensors that curve begins with")
    parser.add_argument("--batches", help="safetensors that curve trains on: images and labels of all batches")
    parser.add_argument("--out", default=".", help="where reference writes")
    options = parser.parse_args()
    if options.network and options.task == "reference":
        parser.error("reference writes down a DenseNet; leave out --network")
    return options


def main():
    options = parse_options()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    if options.network:
        model = plain_network(options.network, options.size, options.classes)
    else:
        model = DenseNet(configuration(options), options.efficient)
    images = torch.randn(options.batch, options.channels, options.size, options.size)
    labels = make_targets(options)
    {"bench": bench, "reference": reference, "curve": curve}[options.task](options, model, images, labels)


if __name__ == "__main__":
    main()
