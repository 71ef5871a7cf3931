"""A plain ResNet-18 for CIFAR-10 in PyTorch with the usual recipe, as a measure to compare with.

The network: He et al., arXiv 1512.03385, with the first layer that 32 × 32 images are given
everywhere (3 × 3, no pooling). The recipe: SGD with Nesterov momentum 0.9, learning rate 0.1 down
to zero along a cosine, weight decay 5e-4, batches of 128, crops of images padded by 4, flips. The
schedule runs on the clock, so that a short training is not cut off but planned to be short.
bfloat16 where the processor has it, channels-last: the precision and layout that tenfold uses.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from tenfold.data.dataset import ImageDataset
from tenfold.training.device import choose_device

BATCH, RATE, DECAY, PADDING = 128, 0.1, 5e-4, 4


class Block(nn.Module):
    """Two convolutions and a way around them."""

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, width, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(width), nn.BatchNorm2d(width)])
        self.around = nn.Sequential()
        if stride != 1 or channels != width:
            self.around = nn.Sequential(
                nn.Conv2d(channels, width, 1, stride, bias=False), nn.BatchNorm2d(width)
            )

    def forward(self, images: Tensor) -> Tensor:
        inner = functional.relu(self.norms[0](self.first(images)))
        return functional.relu(self.norms[1](self.second(inner)) + self.around(images))


def resnet18() -> nn.Module:
    """Build the network."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for width, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [Block(channels, width, stride), Block(width, width, 1)]
        channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10)]
    return nn.Sequential(*layers)


def train_resnet18(data: ImageDataset, seconds: float, seed: int) -> dict[str, Any]:
    """Train for so many seconds and give seconds, accuracy and epochs."""
    assert data.test is not None
    device = choose_device("cpu")
    precision = device.precision("auto")
    torch.manual_seed(seed)
    generator = np.random.default_rng(seed)
    started = time.perf_counter()
    network = resnet18().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images, labels = normalized(data.train.images[:]), torch.from_numpy(data.train.labels)
    padded = functional.pad(images, (PADDING,) * 4)
    optimizer = torch.optim.SGD(
        network.parameters(), RATE, momentum=0.9, nesterov=True, weight_decay=DECAY
    )
    steps = 0
    order = np.empty(0, dtype=np.int64)
    while (share := (time.perf_counter() - started) / seconds) < 1:
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 + math.cos(math.pi * share)) / 2
        if len(order) < BATCH:
            order = generator.permutation(len(labels))
        chosen, order = order[:BATCH], order[BATCH:]
        batch = torch.stack([crop(padded[row], generator) for row in chosen.tolist()])
        batch = batch.contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", dtype=precision, enabled=precision != torch.float32):
            logits = network(batch)
        loss = functional.cross_entropy(logits.float(), labels[torch.from_numpy(chosen)])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        steps += 1
    taken = time.perf_counter() - started
    network.eval()
    correct = 0
    with torch.inference_mode(), torch.autocast("cpu", dtype=precision):
        for start in range(0, len(data.test), 500):
            logits = network(normalized(data.test.images[start : start + 500]))
            truth = torch.from_numpy(data.test.labels[start : start + 500])
            correct += int((logits.argmax(1) == truth).sum())
    return {
        "seconds": round(taken, 2),
        "accuracy": correct / len(data.test),
        "epochs": round(steps * BATCH / len(labels), 2),
    }


def normalized(images: np.ndarray[Any, np.dtype[np.uint8]]) -> Tensor:
    """Give float images (N, 3, 32, 32) with CIFAR-10's means and deviations taken out."""
    mean = torch.tensor([0.4914, 0.4822, 0.4465]).view(1, 3, 1, 1)
    deviation = torch.tensor([0.2470, 0.2435, 0.2616]).view(1, 3, 1, 1)
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    return ((pixels / 255 - mean) / deviation).contiguous(memory_format=torch.channels_last)


def crop(image: Tensor, generator: np.random.Generator) -> Tensor:
    """Cut a random 32 × 32 image out of a padded one, and flip it half of the time."""
    down, right = generator.integers(0, 2 * PADDING + 1, 2)
    cut = image[:, down : down + 32, right : right + 32]
    return cut.flip(2) if generator.random() < 0.5 else cut
