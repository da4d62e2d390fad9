"""A training script of a SageMaker course that watches itself with smdebug. It knows no vizsla.

Folders of photos, one folder a class, in the channel `training`; a small network; a hook with modes and a loss.
"""

import argparse
import logging
import os
import sys
from pathlib import Path

import smdebug.pytorch as smd
import torch
from smdebug import modes
from smdebug.profiler.utils import str2bool
from smdebug.pytorch import get_hook
from torch import nn, optim
from torch.utils.data import DataLoader, random_split
from torchvision import transforms
from torchvision.datasets import ImageFolder

logger = logging.getLogger(__name__)
logger.setLevel(logging.INFO)
logger.addHandler(logging.StreamHandler(sys.stdout))


class Net(nn.Module):
    """Two convolutions and a head."""

    def __init__(self, num_classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, stride=2)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(16, 32, 3, stride=2)
        self.relu2 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(32, num_classes)

    def forward(self, x):
        x = self.relu1(self.conv1(x))
        x = self.relu2(self.conv2(x))
        return self.fc(self.pool(x).flatten(1))


def train(model, loader, criterion, optimizer, epoch):
    hook = get_hook(create_if_not_exists=True)
    if hook:
        hook.set_mode(modes.TRAIN)
    model.train()
    for inputs, labels in loader:
        optimizer.zero_grad()
        loss = criterion(model(inputs), labels)
        loss.backward()
        optimizer.step()
    logger.info("epoch %d; train loss: %.4f;", epoch, loss.item())


def test(model, loader, criterion):
    hook = get_hook(create_if_not_exists=True)
    if hook:
        hook.set_mode(modes.EVAL)
    model.eval()
    running_loss, running_corrects, count = 0.0, 0, 0
    with torch.no_grad():
        for inputs, labels in loader:
            outputs = model(inputs)
            running_loss += criterion(outputs, labels).item() * inputs.size(0)
            running_corrects += torch.sum(outputs.argmax(1) == labels).item()
            count += inputs.size(0)
    if hook:
        hook.save_scalar("test_accuracy", running_corrects / count, sm_metric=True)
    logger.info("average test loss: %.4f; accuracy: %.4f;", running_loss / count, running_corrects / count)


def create_data_loaders(data, batch_size, seed):
    photos = ImageFolder(data, transforms.Compose([transforms.Resize((64, 64)), transforms.ToTensor()]))
    held_out = max(1, len(photos) // 5)
    parts = [len(photos) - held_out, held_out]
    train_photos, test_photos = random_split(photos, parts, torch.Generator().manual_seed(seed))
    return len(photos.classes), DataLoader(train_photos, batch_size, shuffle=True), DataLoader(test_photos, batch_size)


def main(args):
    logger.info("hyperparameters: %s", vars(args))
    torch.manual_seed(args.seed)
    num_classes, train_loader, test_loader = create_data_loaders(args.data, args.batch_size, args.seed)
    model = Net(num_classes)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=args.lr)

    if args.debug:
        hook = smd.Hook.create_from_json_file()
        hook.register_hook(model)
        hook.register_loss(criterion)

    for epoch in range(1, args.epochs + 1):
        train(model, train_loader, criterion, optimizer, epoch)
        test(model, test_loader, criterion)
    torch.save(model.state_dict(), Path(args.model_dir, "model.pth"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--lr", type=float, default=0.001)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--debug", type=str2bool, default=True)
    parser.add_argument("--model-dir", default=os.environ.get("SM_MODEL_DIR", "."))
    parser.add_argument("--data", default=os.environ.get("SM_CHANNEL_TRAINING"))
    main(parser.parse_args())
