"""@file PyTorch's side of bench/plain-networks.ts: networks without dense blocks, parameters named as there.

`torch_densenet.py --network vgg|resnet20|resnet18` takes them instead of DenseNet-BC.
"""
import torch.nn.functional as F
from torch import nn


class Vgg(nn.Module):
    """3x3 convolutions with batch norm, three times half the height and width, one linear layer."""

    def __init__(self, size, classes):
        super().__init__()
        layers, channels = [], 3
        for width in [32, 32, "pool", 64, 64, "pool", 128, 128, "pool"]:
            if width == "pool":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            channels = width
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(channels * (size // 8) ** 2, classes)

    def forward(self, images):
        return self.classifier(self.features(images).flatten(1))


class BasicBlock(nn.Module):
    """torchvision's: two 3x3 convolutions around which the input passes."""

    def __init__(self, channels, width, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = None
        if stride != 1 or channels != width:
            self.downsample = nn.Sequential(nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width))

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class ResNet(nn.Module):
    """Stages of residual blocks behind a stem: 7x7 and a pool for large images, 3x3 for small ones."""

    def __init__(self, widths, blocks, small_inputs, classes):
        super().__init__()
        channels = widths[0]
        kernel, stride = (3, 1) if small_inputs else (7, 2)
        self.conv1 = nn.Conv2d(3, channels, kernel, stride, padding=kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.Identity() if small_inputs else nn.MaxPool2d(3, 2, 1)
        self.stages = len(widths)
        for stage, width in enumerate(widths):
            layer = nn.Sequential()
            for block in range(blocks):
                layer.append(BasicBlock(channels, width, 2 if stage > 0 and block == 0 else 1))
                channels = width
            self.add_module(f"layer{stage + 1}", layer)
        self.fc = nn.Linear(channels, classes)

    def forward(self, images):
        x = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        for stage in range(self.stages):
            x = getattr(self, f"layer{stage + 1}")(x)
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


def plain_network(name, size, classes):
    return {
        "vgg": lambda: Vgg(size, classes),
        "resnet20": lambda: ResNet([16, 32, 64], 3, True, classes),
        "resnet18": lambda: ResNet([64, 128, 256, 512], 2, False, classes),
    }[name]()


PLAIN = ["vgg", "resnet20", "resnet18"]
