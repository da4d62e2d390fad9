"""Linear classifiers on what a network pools: of its last stage they are its head, of several stages its features."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from vizsla.errors import UserError
from vizsla.plan import ProbePlan
from vizsla.training import probe
from vizsla.training.probe import Floats
from vizsla.vision import networks, pooled
from vizsla.vision.halves import Extractor, halve
from vizsla.vision.pooled import StagePooled

SMALL = {
    "test_resnet": ("layer1", "layer2", "layer3", "layer4"),
    "test_efficientnet": ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "bn2"),
    "test_convnext": ("stages.0", "stages.1", "stages.2", "stages.3"),
    "test_vit": ("blocks.0", "blocks.1", "blocks.2", "blocks.3", "blocks.4", "norm"),
}
CLASSES = 5


def made(name: str) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(name, CLASSES, 0.2, weights="none").eval()


def photos(count: int = 3, seed: int = 1) -> torch.Tensor:
    return torch.rand(count, 3, 160, 160, generator=torch.Generator().manual_seed(seed))


def classifier(width: int) -> tuple[Floats, Floats]:
    draw = np.random.default_rng(0)
    return draw.normal(size=(CLASSES, width)).astype(np.float32), draw.normal(size=CLASSES).astype(np.float32)


def several(name: str) -> StagePooled:
    """A network of `name` with some classifier of several of its stages."""
    net = made(name)
    width = len(seen_by_hand(net, name)[0])
    return StagePooled.of(name, net, pooled.taps(net), *classifier(width))


def seen_by_hand(net: nn.Module, name: str) -> torch.Tensor:
    """The features as their definition says, in a pass that knows nothing of StagePooled."""
    outputs: dict[str, torch.Tensor] = {}
    handles = [
        net.get_submodule(tap).register_forward_hook(lambda _m, _a, value, tap=tap: outputs.update({tap: value}))
        for tap in SMALL[name]
    ]
    with torch.no_grad():
        net(photos())
    for handle in handles:
        handle.remove()
    found = []
    for tap in SMALL[name]:
        values = outputs[tap] if outputs[tap].ndim == 3 else outputs[tap].flatten(2).transpose(1, 2)
        found += [values.mean(1), values.max(1).values, values.pow(2).mean(1).sqrt()]
    return torch.cat(found, dim=1)


@pytest.mark.parametrize("name", SMALL)
def test_the_taps_are_where_the_stages_of_the_body_end(name: str) -> None:
    assert pooled.taps(made(name)) == SMALL[name]


def test_the_taps_of_the_default_network() -> None:
    assert pooled.taps(networks.rebuild("efficientnet_lite0", 2)) == (*(f"blocks.{part}" for part in range(7)), "bn2")


def test_a_network_of_many_stages_is_tapped_at_some_of_them_and_at_its_last() -> None:
    taps = pooled.taps(networks.rebuild("convmixer_768_32", 2))
    assert len(taps) == pooled.MOST_TAPS
    assert taps[-1] == "blocks.31"


@pytest.mark.parametrize("name", SMALL)
def test_it_answers_linearly_in_mean_largest_and_energy_of_each_stage(name: str) -> None:
    net = several(name)
    by_hand = seen_by_hand(made(name), name)
    torch.testing.assert_close(net.features(photos()), by_hand, rtol=1e-5, atol=1e-6)
    weight_CD, bias_C = classifier(by_hand.shape[1])
    expected = by_hand @ torch.from_numpy(weight_CD).T + torch.from_numpy(bias_C)
    torch.testing.assert_close(net(photos()), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_an_extractor_gives_the_features_it_is_linear_in(name: str) -> None:
    net = made(name)
    halves = halve(net, networks.freeze(net, "head"), photos())
    (features,) = Extractor(halves, ("stages",), pooled.taps(net))(photos())
    ours = StagePooled.of(name, net, pooled.taps(net), *classifier(features.shape[1]))
    torch.testing.assert_close(ours.features(photos()).detach(), features, rtol=1e-5, atol=1e-6)


def test_a_stage_is_summed_up_before_the_next_one_writes_over_it() -> None:
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Flatten())
    before = trunk[0](photos())
    torch.testing.assert_close(StagePooled(trunk, ["0"], 12, 2).features(photos()), pooled.summary(before))
    assert before.amin() < 0


def test_maps_with_channels_last_and_vectors_are_summed_up_alike() -> None:
    maps = torch.rand(2, 6, 5, 4)
    torch.testing.assert_close(pooled.summary(maps), pooled.summary(maps.permute(0, 2, 3, 1), channels_last=True))
    torch.testing.assert_close(pooled.summary(maps), pooled.summary(maps.flatten(2).transpose(1, 2)))
    vectors = torch.rand(2, 6)
    assert torch.equal(pooled.summary(vectors), vectors)


@pytest.mark.parametrize("name", SMALL)
def test_a_bundle_of_it_is_rebuilt_from_its_architecture_and_tensors(name: str) -> None:
    net = several(name)
    again = pooled.rebuild({"model": name, "num_classes": CLASSES, "dropout": 0.2, "stages": list(net.taps)})
    again.load_state_dict({key: torch.from_numpy(value.numpy().copy()) for key, value in net.state_dict().items()})
    assert torch.equal(again.eval()(photos()), net(photos()))


def test_a_bundle_of_one_stage_is_rebuilt_as_ever() -> None:
    net = made("test_resnet")
    again = pooled.rebuild({"model": "test_resnet", "num_classes": CLASSES, "dropout": 0.2})
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(photos()), net(photos()))


def test_a_bundle_that_names_a_stage_the_network_lacks_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match=r"test_resnet has no stage called 'layer9'"):
        pooled.rebuild({"model": "test_resnet", "num_classes": 2, "stages": ["layer1", "layer9"]})


@pytest.mark.parametrize("stages", [[], "layer1", [1], [{}], [""], ["layer1", ""]])
def test_a_bundle_whose_stages_are_none_is_refused(stages: object) -> None:
    with pytest.raises(UserError, match="stage"):
        pooled.rebuild({"model": "test_resnet", "num_classes": 2, "stages": stages})


def test_the_network_it_is_made_of_is_left_alone_and_brings_nobody_who_watches_it() -> None:
    net, watched = made("test_resnet"), []
    net.get_submodule("layer2").register_forward_hook(lambda *_: watched.append(1))
    before = copy.deepcopy(net.state_dict())
    width = len(seen_by_hand(net, "test_resnet")[0])
    watched.clear()
    found = StagePooled.of("test_resnet", net, pooled.taps(net), *classifier(width))
    found(photos())
    assert not watched
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert net(photos()).shape == (3, CLASSES)


def test_threads_that_ask_at_once_get_each_their_own_answer() -> None:
    net = several("test_resnet")
    asked = [photos(2, seed) for seed in range(16)]
    with torch.inference_mode(), ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(net.features, asked))
    for x, answer in zip(asked, answers, strict=True):
        torch.testing.assert_close(answer, net.features(x), rtol=1e-5, atol=1e-6)


def test_a_copy_of_it_answers_alike() -> None:
    net = several("test_resnet")
    assert torch.equal(copy.deepcopy(net)(photos()), net(photos()))


@pytest.mark.filterwarnings("ignore")  # torch's exporter warns of itself
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet"])
def test_it_can_be_exported_and_answers_alike(name: str, tmp_path: Path) -> None:
    net, file = several(name), tmp_path / "net.onnx"
    torch.onnx.export(net, (photos(2),), file, dynamo=False, input_names=["x"], dynamic_axes={"x": {0: "batch"}})
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    for count in (1, 3):
        (answer,) = session.run(None, {"x": photos(count).numpy()})
        torch.testing.assert_close(torch.from_numpy(answer), net(photos(count)).detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", [*SMALL, "mobilenetv3_small_050", "resnetv2_18"])
def test_a_probe_of_the_last_stage_becomes_the_head_of_a_network(name: str) -> None:
    net = made(name)
    with torch.no_grad():
        features_ND = net.forward_head(net.forward_features(photos(8)), pre_logits=True).flatten(1).numpy()  # type: ignore[operator]
    labels = np.arange(8) % CLASSES
    fitted = probe.fit((features_ND, labels), (features_ND, labels), CLASSES, ProbePlan(l2=0.01))
    pooled.load_head(net, fitted.weight_CD, fitted.bias_C)
    answer = net(photos(8)).detach()
    torch.testing.assert_close(answer, torch.from_numpy(fitted.logits(features_ND)), rtol=1e-3, atol=1e-3)
    assert answer.std() > 0.01


def test_a_probe_for_other_classes_or_features_is_refused() -> None:
    net = made("test_resnet")
    weight, bias = classifier(net.num_features)  # type: ignore[arg-type]
    for wrong in ((weight[:4], bias[:4]), (weight[:, :-1], bias), (weight.T, bias)):
        with pytest.raises(UserError, match="not one linear layer"):
            pooled.load_head(net, *wrong)


def test_a_network_with_two_heads_takes_no_probe_and_says_what_to_do() -> None:
    net = networks.rebuild("deit_tiny_distilled_patch16_224", CLASSES)
    with pytest.raises(UserError, match="not one linear layer") as refused:
        pooled.load_head(net, *classifier(192))
    assert "method=finetune" in str(refused.value.hint)
