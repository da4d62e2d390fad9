"""Networks are cut in two: the halves give the network's answers, or it is said why the network cannot be cut."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from vizsla.vision import networks
from vizsla.vision.halves import Extractor, Halves, Indivisible, digest, halve

# timm's families, the smallest of each; what the cut at "last" and at "head" is called, and the shapes there.
FAMILIES = {
    "resnet18": ("layer3", "global_pool"),
    "test_resnet": ("layer3", "global_pool"),
    "efficientnet_lite0": ("blocks.5", "global_pool"),
    "mobilenetv3_small_050": ("blocks.4", "flatten"),
    "convnext_atto": ("stages.2", "head.global_pool"),
    "regnetx_002": ("s3", "head.global_pool"),
    "test_vit": ("blocks.4", "fc_norm"),
}


def made(name: str, classes: int = 5, dropout: float = 0.3) -> nn.Module:
    torch.manual_seed(0)
    net = networks.build(name, classes, dropout, weights="none")
    for module in net.modules():  # as timm leaves them, whole branches are zero
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    for parameter in networks.head_parameters(net):
        nn.init.normal_(parameter, std=0.1)
    return net


def photos(name: str, count: int = 2) -> Tensor:
    side = 160 if name == "test_vit" else 64  # pixels
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def cut(name: str, train_from: str = "last", net: nn.Module | None = None) -> Halves:
    net = net or made(name)
    return halve(net, networks.freeze(net, train_from), photos(name))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_every_family_is_cut_where_training_begins(name: str) -> None:
    net = made(name)
    assert (cut(name, "last", net).cut, cut(name, "head", net).cut) == FAMILIES[name]


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_convnext", "test_vit"])
def test_a_network_can_be_cut_at_each_of_its_stages_but_the_first(name: str) -> None:
    net = made(name)
    for stage in networks.stages(net)[1:]:
        halves = cut(name, stage, net)
        halves.eval_mode()
        with torch.no_grad():
            assert torch.equal(halves.tail(halves.body(photos(name))), net(photos(name))), stage


@pytest.mark.parametrize("train_from", ["last", "head"])
@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_tail_trains_as_the_whole_does(name: str, train_from: str) -> None:
    net = made(name)
    frozen = networks.freeze(net, train_from)
    halves = halve(net, frozen, photos(name))
    features = halves.body(photos(name, 4))
    gradients = []
    for run, x in ((net, photos(name, 4)), (halves.tail, features)):
        before = {key: value.clone() for key, value in net.named_buffers()}
        halves.train_mode(frozen)
        torch.manual_seed(3)  # of the dropout
        net.zero_grad()
        loss = cross_entropy(run(x), torch.tensor([0, 1, 2, 3]))
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append([loss.detach(), *(p.grad for p in networks.trainable(net)), *net.buffers()])
        gradients[-1] = [value.clone() for value in gradients[-1] if value is not None]
        for key, value in net.named_buffers():
            value.data.copy_(before[key])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.allclose(one, other, rtol=1e-5, atol=1e-7) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "convnext_atto", "test_vit"])
def test_the_dropout_before_the_head_is_in_the_tail(name: str) -> None:
    net = made(name, dropout=0.5)
    frozen = networks.freeze(net, "head")
    halves = halve(net, frozen, photos(name))
    halves.train_mode(frozen)
    features = halves.body(photos(name))
    assert torch.equal(features, halves.body(photos(name)))
    assert not torch.equal(halves.tail(features), halves.tail(features))


def test_training_the_tail_trains_the_network() -> None:
    halves = cut("test_resnet")
    own = dict(halves.whole.named_parameters())
    tail = dict(halves.tail.named_parameters())
    assert all(own[name] is parameter for name, parameter in tail.items())
    assert {name for name in own if own[name].requires_grad} == set(tail)
    assert not any(parameter.requires_grad for parameter in halves.body.parameters())


def test_the_halves_have_one_mode() -> None:
    halves = cut("test_efficientnet")
    frozen = networks.freeze(halves.whole, "last")
    halves.whole.eval()
    assert not halves.tail.training
    networks.set_train_mode(halves.whole, frozen)
    assert halves.tail.training
    halves.tail.eval()
    assert not halves.whole.training


def test_the_body_works_as_in_evaluation_and_leaves_the_mode_alone() -> None:
    halves = cut("test_resnet")
    halves.eval_mode()
    expected = halves.body(photos("test_resnet"))
    halves.whole.train()
    statistics = {name: value.clone() for name, value in halves.whole.named_buffers()}
    features = halves.body(photos("test_resnet"))
    assert torch.equal(features, expected)
    assert not features.requires_grad
    assert all(module.training for module in halves.whole.modules())
    assert all(torch.equal(value, statistics[name]) for name, value in halves.whole.named_buffers())


def test_who_watches_the_network_sees_the_tail_run_and_not_the_body() -> None:
    halves = cut("test_resnet")
    halves.eval_mode()
    seen: list[str] = []
    for name in ("", "layer4", "layer3", "fc"):
        module = halves.whole.get_submodule(name)
        module.register_forward_hook(lambda _module, _x, _y, name=name: seen.append(name or "network"))
    features = halves.body(photos("test_resnet"))
    assert seen == ["layer3"]
    halves.tail(features)
    assert seen == ["layer3", "layer4", "fc", "network"]


@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_cutting_changes_nothing(name: str) -> None:
    net = made(name)
    frozen = networks.freeze(net, "last")
    networks.set_train_mode(net, frozen)
    modes = [module.training for module in net.modules()]
    before = {key: value.clone() for key, value in net.state_dict().items()}
    drawn = torch.get_rng_state()
    halve(net, frozen, photos(name))
    assert torch.equal(torch.get_rng_state(), drawn)
    assert [module.training for module in net.modules()] == modes
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())


@pytest.mark.parametrize("name", ["resnet18", "convnext_atto", "test_vit"])
def test_a_network_fresh_from_timm_is_cut_though_its_head_is_zero(name: str) -> None:
    torch.manual_seed(0)
    net = networks.build(name, 5, 0.0, weights="none")
    halves = halve(net, networks.freeze(net, "last"), photos(name))
    assert halves.cut == FAMILIES[name][0]
    assert not any(parameter.any() for parameter in networks.head_parameters(net))


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_the_neck_gives_what_the_head_is_given(name: str) -> None:
    net = made(name)
    halves = cut(name, "last", net)
    given: list[Tensor] = []
    classifier = net.get_classifier()  # type: ignore[operator]
    classifier.register_forward_pre_hook(lambda _module, inputs: given.append(inputs[0]))
    net.eval()(photos(name))
    assert halves.neck is not None
    assert halves.unpooled == ""
    pooled = halves.neck(halves.body(photos(name)))
    assert torch.equal(pooled, given[0])
    assert pooled.shape == (2, classifier.in_features)


@pytest.mark.parametrize("name", ["test_resnet", "efficientnet_lite0", "test_vit"])
def test_features_before_the_head_alone_are_pooled(name: str) -> None:
    net = made(name)
    pooled, halves = cut(name, "head", net), cut(name, "last", net)
    assert pooled.neck is None
    assert pooled.unpooled == ""
    assert halves.neck is not None
    features = halves.body(photos(name))
    assert torch.equal(pooled.body(photos(name)), halves.neck(features))


def test_a_head_that_is_a_convolution_sees_what_is_pooled_too() -> None:
    halves = cut("resnetv2_50")
    assert halves.neck is not None
    assert halves.neck(halves.body(photos("resnetv2_50"))).shape == (2, 2048)


@pytest.mark.parametrize("name", ["test_resnet", "convnext_atto", "test_vit"])
def test_one_hash_says_what_pooled_features_depend_on(name: str) -> None:
    net, other = made(name, classes=5), made(name, classes=9)
    same = {key: value for key, value in net.state_dict().items() if value.shape == other.state_dict()[key].shape}
    other.load_state_dict(same, strict=False)
    last, head = cut(name, "last", net), cut(name, "head", other)
    parts = [half for half in (last.body, last.neck) if half], [half for half in (head.body, head.neck) if half]
    assert digest(*parts[0]) == digest(*parts[1])
    assert digest(last.body) != digest(*parts[0])
    with torch.no_grad():
        next(last.body.parameters())[0] += 1e-6
    assert digest(*parts[0]) != digest(*parts[1])


@pytest.mark.parametrize("train_from", ["all", "conv1"])
def test_a_network_of_which_nothing_is_frozen_is_not_cut(train_from: str) -> None:
    with pytest.raises(Indivisible, match=r"nothing .* is frozen"):
        cut("test_resnet", train_from)


def test_a_network_with_two_heads_is_not_cut_before_them() -> None:
    net = made("deit_tiny_distilled_patch16_224")
    example = torch.randn(2, 3, 224, 224)
    with pytest.raises(Indivisible, match="other answers"):
        halve(net, networks.freeze(net, "head"), example)
    halves = halve(net, networks.freeze(net, "last"), example)
    assert halves.neck is None
    assert "not one linear layer" in halves.unpooled


class Around(nn.Module):
    """Its last stage is given what the first one made, past the frozen second one."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.fc = nn.Linear(3, 5)

    def get_classifier(self) -> nn.Module:
        return self.fc

    def forward(self, x: Tensor) -> Tensor:
        first = self.one(x)
        answer: Tensor = self.fc((self.three(self.two(first)) + first).mean((2, 3)))
        return answer


def test_a_network_with_a_way_around_the_cut_is_not_cut() -> None:
    torch.manual_seed(0)
    net = Around()
    with pytest.raises(Indivisible, match="other answers"):
        halve(net, networks.freeze(net, "three"), photos("Around"))


class Blind(Around):
    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.fc(0 * self.three(self.two(self.one(x))).mean((2, 3)))
        return answer


def test_a_network_that_answers_everything_alike_proves_nothing() -> None:
    net = Blind()
    with pytest.raises(Indivisible, match="hardly depend"):
        halve(net, networks.freeze(net, "three"), photos("Blind"))


@pytest.mark.parametrize("outputs", [("cut",), ("pooled", "cut"), ("cut", "stages", "pooled"), ("stages",)])
@pytest.mark.parametrize("train_from", ["last", "head"])
@pytest.mark.parametrize("name", ["test_resnet", "test_vit"])
def test_one_pass_gives_all_outputs_in_the_order_asked_for(
    name: str, train_from: str, outputs: tuple[str, ...]
) -> None:
    halves = cut(name, train_from)
    taps = ("layer1", "layer4") if name == "test_resnet" else ("blocks.0", "norm")
    features = halves.body(photos(name))
    maps = _outputs(halves.whole, taps, photos(name))
    expected = {
        "cut": features,
        "pooled": halves.neck(features) if halves.neck else features,
        "stages": torch.cat([_summary(map_) for map_ in maps], dim=1),
    }
    halves.whole.train()
    found = Extractor(halves, outputs, taps)(photos(name))
    assert len(found) == len(outputs)
    assert all(torch.allclose(one, expected[output]) for one, output in zip(found, outputs, strict=True))


def _outputs(net: nn.Module, paths: tuple[str, ...], x: Tensor) -> list[Tensor]:
    found: list[Tensor] = []
    for path in paths:
        net.get_submodule(path).register_forward_hook(lambda _module, _x, y: found.append(y))
    with torch.no_grad():
        net.eval()(x)
    for path in paths:
        net.get_submodule(path)._forward_hooks.clear()
    return found


def _summary(map_: Tensor) -> Tensor:
    """By channel; of transformers, over the tokens."""
    flat_BPC = map_.flatten(2).transpose(1, 2) if map_.ndim == 4 else map_
    return torch.cat([flat_BPC.mean(1), flat_BPC.max(1).values, flat_BPC.square().mean(1).sqrt()], dim=1)
