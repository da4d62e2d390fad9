"""Networks are built, cut into stages and frozen: what a training step changes and what it leaves alone."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy

from vizsla import backbones
from vizsla.errors import UserError
from vizsla.vision import networks

LITE0_STAGES = ["conv_stem", *(f"blocks.{i}" for i in range(7)), "conv_head", "classifier"]
RESNET_STAGES = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
VIT_STAGES = ["patch_embed", *(f"blocks.{i}" for i in range(6)), "head"]


def made(name: str, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    return networks.build(name, 7, dropout, weights="none")


def side(name: str) -> int:
    return 160 if name == "test_vit" else 64  # pixels; small, where the network allows it


def photos(name: str) -> torch.Tensor:
    return torch.rand(4, 3, side(name), side(name), generator=torch.Generator().manual_seed(1))


def trained_names(net: nn.Module) -> set[str]:
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


def test_resnet18_is_torchvisions_so_its_weights_fit() -> None:
    ours = made("resnet18").state_dict()
    theirs = torchvision.models.resnet18(num_classes=7).state_dict()
    assert {name: tensor.shape for name, tensor in ours.items()} == {n: tensor.shape for n, tensor in theirs.items()}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("efficientnet_lite0", LITE0_STAGES),
        ("resnet18", RESNET_STAGES),
        ("test_vit", VIT_STAGES),
        ("convnext_atto", ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"]),
        ("regnetx_002", ["stem", "s1", "s2", "s3", "s4", "head"]),
    ],
)
def test_stages_are_the_parts_in_the_order_a_photo_passes_them(name: str, expected: list[str]) -> None:
    assert networks.stages(made(name)) == expected


@pytest.mark.parametrize("name", sorted(backbones.KNOWN))
def test_the_default_stage_is_the_one_the_facts_name(name: str) -> None:
    assert networks.freeze(networks.rebuild(name, 7), "last").train_from == backbones.find(name).train_from


@pytest.mark.parametrize(
    ("name", "train_from", "prefixes"),
    [
        ("efficientnet_lite0", "last", ("blocks.6.", "conv_head.", "bn2.", "classifier.")),
        ("efficientnet_lite0", "head", ("classifier.",)),
        ("efficientnet_lite0", "blocks.5", ("blocks.5.", "blocks.6.", "conv_head.", "bn2.", "classifier.")),
        ("resnet18", "last", ("layer4.", "fc.")),
        ("resnet18", "conv1", ("conv1.", "bn1.", "layer", "fc.")),
        ("test_vit", "last", ("blocks.5.", "norm.", "head.")),
        ("test_vit", "patch_embed", ("patch_embed.", "blocks.", "norm.", "head.")),
        ("test_vit", "all", ("",)),
        ("mobilevit_xxs", "last", ("stages.4.", "final_conv.", "head.")),
    ],
)
def test_what_is_trained_starts_at_the_stage_asked_for(name: str, train_from: str, prefixes: tuple[str, ...]) -> None:
    net = made(name)
    networks.freeze(net, train_from)
    expected = {parameter for parameter, _ in net.named_parameters() if parameter.startswith(prefixes)}
    assert trained_names(net) == expected


def test_freezing_again_forgets_the_first_time() -> None:
    net = made("test_vit")
    networks.freeze(net, "all")
    frozen = networks.freeze(net, "head")
    assert trained_names(net) == {"head.weight", "head.bias"}
    assert frozen == networks.Frozen("head", ("head",), tuple(VIT_STAGES[:-1]))


def test_a_stage_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(UserError, match="no stage called 'layer5'") as caught:
        networks.freeze(made("resnet18"), "layer5")
    assert "Did you mean layer4?" in caught.value.hint
    assert "conv1, layer1, layer2, layer3, layer4, fc" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "train_from"),
    [
        ("efficientnet_lite0", "last"),
        ("test_efficientnet", "head"),
        ("resnet18", "last"),
        ("test_resnet", "all"),
        ("test_vit", "last"),
    ],
)
def test_a_step_changes_what_is_trained_and_nothing_else(name: str, train_from: str) -> None:
    net = made(name, dropout=0.1)
    _bring_to_life(net)
    frozen = networks.freeze(net, train_from)
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    networks.set_train_mode(net, frozen)
    optimizer = torch.optim.AdamW(networks.trainable(net), lr=0.01)
    cross_entropy(net(photos(name)), torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    changed = {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == trained_names(net) | _statistics_of(net, frozen)


def test_a_fresh_network_finds_every_class_equally_likely() -> None:
    net = made("test_efficientnet")
    with torch.no_grad():
        assert torch.equal(net.eval()(photos("test_efficientnet")), torch.zeros(4, 7))


def test_kept_statistics_stay_while_the_weights_of_the_batch_norms_are_trained() -> None:
    net = made("test_efficientnet")
    _bring_to_life(net)
    frozen = networks.freeze(net, "all")
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    networks.set_train_mode(net, frozen, keep_statistics=True)
    optimizer = torch.optim.AdamW(networks.trainable(net), lr=0.01)
    cross_entropy(net(photos("test_efficientnet")), torch.arange(4)).backward()  # type: ignore[no-untyped-call]
    optimizer.step()
    changed = {key for key, tensor in net.state_dict().items() if not torch.equal(tensor, before[key])}
    assert changed == trained_names(net)


def _bring_to_life(net: nn.Module) -> None:
    """The last batch norm of a residual branch starts at zero in timm, and the head here: both cut gradients off."""
    for parameter in networks.head_parameters(net):
        nn.init.normal_(parameter, std=0.1)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)


def _statistics_of(net: nn.Module, frozen: networks.Frozen) -> set[str]:
    """The batch-norm statistics that lie behind a trained weight."""
    trained = {name.rpartition(".")[0] for name in trained_names(net)}
    return {name for name, _ in net.named_buffers() if name.rpartition(".")[0] in trained and frozen.trained}


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet", "test_vit", "convnext_atto"])
def test_the_dropout_before_the_head_works_while_the_body_is_frozen(name: str) -> None:
    net = made(name, dropout=0.5)
    _bring_to_life(net)
    networks.set_train_mode(net, networks.freeze(net, "head"))
    with torch.no_grad():
        assert not torch.equal(net(photos(name)), net(photos(name)))


def test_a_frozen_body_gives_the_same_features_in_training_as_in_use() -> None:
    net = made("test_resnet", dropout=0.0)
    _bring_to_life(net)
    with torch.no_grad():
        in_use = net.eval()(photos("test_resnet"))
        networks.set_train_mode(net, networks.freeze(net, "head"))
        assert torch.equal(net(photos("test_resnet")), in_use)


def test_the_head_is_the_classifier_alone() -> None:
    net = made("convnext_atto")
    assert sorted(parameter.numel() for parameter in networks.head_parameters(net)) == [7, 7 * 320]


def test_random_weights_are_the_same_for_the_same_seed() -> None:
    first, second = made("test_vit").state_dict(), made("test_vit").state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_pretrained_is_the_default_and_depends_on_no_seed() -> None:
    torch.manual_seed(0)
    one = networks.build("efficientnet_lite0", 7, 0.0).state_dict()
    torch.manual_seed(1)
    two = networks.build("efficientnet_lite0", 7, 0.0).state_dict()
    random = networks.build("efficientnet_lite0", 7, 0.0, weights="none").state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["conv_stem.weight"], random["conv_stem.weight"])


def test_the_rebuilt_network_takes_the_trained_ones_weights() -> None:
    net = made("test_efficientnet", dropout=0.5).eval()
    again = networks.rebuild("test_efficientnet", 7).eval()
    again.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(again(photos("test_efficientnet")), net(photos("test_efficientnet")))


@pytest.mark.parametrize(
    ("name", "near"),
    [("efficientnet-lite0", "efficientnet_lite0"), ("resnet_18", "resnet18"), ("ViT", "vit")],
)
def test_an_unknown_network_is_answered_with_three_that_are_close(name: str, near: str) -> None:
    with pytest.raises(UserError, match=f"no network called '{name}'") as caught:
        networks.build(name, 7, 0.0)
    offered = caught.value.hint.removeprefix("Did you mean ").partition("?")[0].split(", ")
    assert len(offered) == 3
    assert any(near in offer for offer in offered)


def test_an_unknown_set_of_timms_weights_is_answered_with_those_there_are() -> None:
    with pytest.raises(UserError, match="no weights called 'imagenet'") as caught:
        networks.build("resnet18.imagenet", 7, 0.0)
    assert "tv_in1k" in caught.value.hint


def test_a_network_without_a_classifier_is_refused() -> None:
    with pytest.raises(UserError, match="has no classifier"), torch.device("meta"):
        networks.build("qwen3_vit_306m_enc", 7, 0.0, weights="none")


def test_a_transformer_refuses_photos_of_another_size() -> None:
    with pytest.raises(UserError, match="160×160 pixels only, not 224×224") as caught:  # noqa: RUF001
        networks.build("test_vit", 7, 0.0, weights="none", size=224)
    assert "--set image.size=160" in caught.value.hint


@pytest.mark.parametrize(("name", "size"), [("test_vit", 160), ("test_resnet", 96), ("resnet18", 64)])
def test_a_size_the_network_can_take_is_taken(name: str, size: int) -> None:
    net = networks.build(name, 7, 0.0, weights="none", size=size).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 3, size, size)).shape == (1, 7)


def test_timms_own_facts_are_used_where_vizsla_has_none() -> None:
    facts = networks.describe("test_vit")
    assert (facts.size, facts.mean, facts.std) == (160, backbones.HALF, backbones.HALF)
    assert facts.hub_id == "timm/test_vit.r160_in1k"


@pytest.mark.parametrize("name", sorted(backbones.KNOWN))
def test_vizslas_facts_agree_with_timm_and_torchvision(name: str) -> None:
    backbone = backbones.find(name)
    assert backbones.find(backbone.timm_name) is backbone
    with torch.device("meta"):
        net = timm.create_model(backbone.timm_name)
    assert backbone.parameters_M == round(sum(p.numel() for p in net.parameters()) / 1e6, 2)
    if backbone.torchvision_weights:
        published = torchvision.models.get_weight(backbone.torchvision_weights)
        assert published.url.endswith(f"/{backbone.checkpoint}")
    else:
        config = timm.get_pretrained_cfg(backbone.timm_name)
        assert config is not None
        assert (config.input_size[-1], config.mean, config.std) == (backbone.size, backbone.mean, backbone.std)
        assert config.hf_hub_id == backbone.hub_id
