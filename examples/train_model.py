"""A training script as one writes it for SageMaker: argparse, SM_* defaults, logging to stdout. It knows no vizsla.

A small network on folders of photos, one folder a class; saves model.pth where SageMaker collects it.
"""

import argparse
import json
import logging
import os
import sys
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, random_split
from torchvision import transforms
from torchvision.datasets import ImageFolder

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stdout))


def build(num_classes):
    """Two convolutions and a head."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, num_classes),
    )


def test(model, loader, criterion):
    """Logs the line a metric regex reads."""
    model.eval()
    loss, correct, count = 0.0, 0, 0
    with torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += criterion(logits, labels).item() * len(labels)
            correct += int((logits.argmax(1) == labels).sum())
            count += len(labels)
    logger.info("average test loss: %.4f; accuracy: %.4f;", loss / count, correct / count)


def main(args):
    torch.manual_seed(args.seed)
    steps = [transforms.Resize((64, 64)), transforms.ToTensor()]
    photos = ImageFolder(args.data, transforms.Compose(steps))
    held_out = max(1, len(photos) // 5)
    train_photos, test_photos = random_split(photos, [len(photos) - held_out, held_out])
    model = build(len(photos.classes))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    for _ in range(args.epochs):
        model.train()
        for images, labels in DataLoader(train_photos, args.batch_size, shuffle=True):
            loss = criterion(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        test(model, DataLoader(test_photos, args.batch_size), criterion)
    Path(args.model_dir, "classes.json").write_text(json.dumps(photos.classes))
    torch.save(model.state_dict(), Path(args.model_dir, "model.pth"))
    logger.info("saved the model to %s", args.model_dir)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "."))
    parser.add_argument("--data", default=os.environ.get("SM_CHANNEL_TRAINING"))
    main(parser.parse_args())
