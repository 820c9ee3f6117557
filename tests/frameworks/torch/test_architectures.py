"""The written-down architectures against the models of transformers, layer by layer, forward and
backward: as they are built and initialised, at small size."""

from __future__ import annotations

import fnmatch
import math

import numpy as np
import pytest
import torch
import transformers

import fanin

p = fanin.propagation

NETWORKS, SCORE, HEADS = 12, 4.0, 8


def inputs_of(modules, last):
    """Records what goes into each module, and what the last one puts out."""
    found = []

    def before(module, arguments):
        found.append(arguments[0])

    hooks = [module.register_forward_pre_hook(before) for module in modules]
    hooks.append(last.register_forward_hook(lambda m, a, out: found.append(out)))
    return found, hooks


def passes_of(modules):
    """Records what goes into each module and comes out."""
    found = []

    def behind(module, arguments, out):
        found.append((arguments[0], out))

    return found, [module.register_forward_hook(behind) for module in modules]


def gpt2(layers, width, tokens, std):
    config = transformers.GPT2Config(
        n_layer=layers, n_embd=width, n_head=HEADS, n_positions=tokens, vocab_size=512,
        initializer_range=std, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.GPT2Model(config)
    norms = [norm for block in model.h for norm in (block.ln_1, block.ln_2)]
    return model, [*norms, model.ln_f], model.ln_f


def llama(layers, width, tokens, std):
    config = transformers.LlamaConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=HEADS,
        num_key_value_heads=HEADS // 2, intermediate_size=2 * width, vocab_size=512,
        initializer_range=std, attn_implementation="eager",
    )  # fmt: skip
    model = transformers.LlamaModel(config)
    norms = [n for b in model.layers for n in (b.input_layernorm, b.post_attention_layernorm)]
    return model, [*norms, model.norm], model.norm


def bert(layers, width, tokens, std):
    config = transformers.BertConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=HEADS,
        intermediate_size=4 * width, vocab_size=512, max_position_embeddings=tokens,
        initializer_range=std, attn_implementation="eager", pad_token_id=None,
    )  # fmt: skip
    model = transformers.BertModel(config, add_pooling_layer=False)
    norms = [n for b in model.encoder.layer for n in (b.attention.output.LayerNorm,
                                                      b.output.LayerNorm)]  # fmt: skip
    return model, [model.embeddings.LayerNorm, *norms], norms[-1]


def vit(layers, width, tokens, std):
    side = math.isqrt(tokens - 1)
    config = transformers.ViTConfig(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=HEADS,
        intermediate_size=4 * width, image_size=8 * side, patch_size=8, initializer_range=std,
        attn_implementation="eager",
    )  # fmt: skip
    model = transformers.ViTModel(config, add_pooling_layer=False)
    blocks = model.layers if hasattr(model, "layers") else model.encoder.layer
    norms = [n for b in blocks for n in (b.layernorm_before, b.layernorm_after)]
    return model, [*norms, model.layernorm], model.layernorm


BUILDERS = {"gpt2": gpt2, "llama": llama, "bert": bert, "vit": vit}


def samples(name, layers, width, tokens, std, networks=NETWORKS):
    """One row a network: q, mean product of two tokens, gradient of the first token and of the
    others, entry by entry."""
    rows = []
    for seed in range(networks):
        torch.manual_seed(seed)
        model, modules, last = BUILDERS[name](layers, width, tokens, std)
        model.eval()
        found, hooks = inputs_of(modules, last)
        if name == "vit":
            side = math.isqrt(tokens - 1)
            model(torch.randn(1, 3, 8 * side, 8 * side))
        else:
            model(torch.randperm(511)[None, :tokens] + 1)
        ahead = torch.randn_like(found[-1])
        gradients = torch.autograd.grad((found[-1] * ahead).sum(), found)
        row = []
        for signal, gradient in zip(found, gradients, strict=True):
            x, ahead = signal[0].detach().double(), gradient[0].double()
            products = x @ x.T / x.shape[1]
            count = len(x) * (len(x) - 1)
            row.append(
                [
                    products.diag().mean().item(),
                    ((products.sum() - products.trace()) / count).item(),
                    (ahead[0] ** 2).mean().item(),
                    (ahead[1:] ** 2).mean().item(),
                ]
            )
        rows.append(row)
        for hook in hooks:
            hook.remove()
    return np.moveaxis(np.array(rows), 1, 2)


def entries(name, profile):
    """Those that the hooks see: all behind the embedding; BERT's norms take their inputs."""
    q, c, grad = (getattr(profile, field)[1:] for field in ("q", "c", "grad"))
    if name == "bert":  # embedding, then every sum in front of its norm, and the last norm
        at = [0, *range(2, len(q) - 1, 2), len(q) - 1]
        q, c, grad = q[at], c[at], grad[at]
        return np.array([q, q * c, grad, grad])
    maps = np.array([profile.position_map(i, "grad") for i in range(1, len(profile.layers))])
    return np.array([q, q * c, maps[:, 0], maps[:, 1:].mean(axis=1)])


def effect(layers, width, tokens):
    """What a finite network moves, as a share: E 1/q - 1/E q and the like.

    Each of 2 layers + 1 norms divides by a mean over units, of relative variance 2/width, and what
    an attention puts out by way of the sums of its squared weights, each head's with a relative
    variance of its own.
    """
    logits = np.random.default_rng(0).normal(size=(20_000, tokens))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    squares = (shares**2).sum(axis=1)
    return (2 * layers + 1) * 2 / width + squares.var() / squares.mean() ** 2 / HEADS


@pytest.mark.parametrize("name", BUILDERS)
def test_transformers_agree_layer_by_layer_forward_and_backward(name):
    layers, width, tokens = 2, 512, 50 if name == "vit" else 64
    std = 1 / math.sqrt(width)  # logits of variance one
    more = {"llama": {"inner": 2 * width}, "vit": {"patch": 8}}.get(name, {})
    network = p.architecture(name, layers=layers, width=width, tokens=tokens, std=std, **more)
    expected = entries(name, network.propagate(c0=0.0))
    found = samples(name, layers, width, tokens, std)
    mean, error = found.mean(0), found.std(0, ddof=1) / math.sqrt(NETWORKS)
    share = effect(layers, width, tokens)
    assert 0.03 < share < 0.04
    room = SCORE * error + share * abs(expected)
    assert mean.shape == expected.shape
    assert (abs(mean - expected) <= room).all(), (mean / expected, error / expected)
    assert np.median(error[[0, 3]] / expected[[0, 3]]) < 0.02


#: Weights of the MLPs, in order.
MLPS = {
    "gpt2": ("mlp.c_fc.weight", "mlp.c_proj.weight"),
    "llama": ("mlp.gate_proj.weight", "mlp.up_proj.weight", "mlp.down_proj.weight"),
    "bert": ("intermediate.dense.weight", "[0-9].output.dense.weight"),
    "vit": ("mlp.fc1.weight", "mlp.fc2.weight"),
}


@pytest.mark.parametrize("name", BUILDERS)
def test_weights_of_transformers_have_the_sum_over_their_tokens(name):
    layers, width, tokens = 2, 256, 50 if name == "vit" else 64
    std = 1 / math.sqrt(width)
    more = {"llama": {"inner": 2 * width}, "vit": {"patch": 8}}.get(name, {})
    network = p.architecture(name, layers=layers, width=width, tokens=tokens, std=std, **more)
    expected = network.propagate(c0=0.0).weight_grads
    rows = []
    for seed in range(NETWORKS):
        torch.manual_seed(seed)
        model, _, last = BUILDERS[name](layers, width, tokens, std)
        found, hooks = inputs_of([], last)
        if name == "vit":
            side = 8 * math.isqrt(tokens - 1)
            model.eval()(torch.randn(1, 3, side, side))
        else:
            model.eval()(torch.randperm(511)[None, :tokens] + 1)
        (found[0] * torch.randn_like(found[0])).sum().backward()
        weights = [w for key, w in model.named_parameters()
                   if any(fnmatch.fnmatch(key, "*" + one) for one in MLPS[name])]  # fmt: skip
        rows.append([(w.grad.double() ** 2).mean().item() for w in weights])
        hooks[0].remove()
    mean, error = np.mean(rows, 0), np.std(rows, 0, ddof=1) / math.sqrt(NETWORKS)
    assert mean.shape == expected.shape
    room = SCORE * error + effect(layers, width, tokens) * expected
    assert (abs(mean - expected) <= room).all(), (mean / expected, error / expected)


def test_a_resnet_agrees_with_the_one_of_transformers():
    blocks, width, side, batch, networks = (2, 2), 16, 64, 32, 8
    config = transformers.ResNetConfig(
        embedding_size=width, hidden_sizes=[4 * width, 8 * width], depths=list(blocks)
    )
    rows = []
    for seed in range(networks):
        torch.manual_seed(seed)
        model = transformers.ResNetModel(config).train()
        stem = model.embedder.embedder
        units = [layer for stage in model.encoder.stages for layer in stage.layers]
        modules = [stem.convolution, stem.normalization, stem.activation, model.embedder.pooler]
        modules += [m for u in units for m in (u.layer[-1], u.activation)]
        found, hooks = passes_of(modules)
        model(torch.randn(batch, 3, side, side))
        signals = [out for _, out in found[:4]]
        # What goes into an activation is the sum of branch and skip.
        for a, out in found[5::2]:
            signals += [a, out]
        ahead = torch.zeros_like(signals[-1])
        ahead[0] = torch.randn_like(ahead[0])  # the loss of one input of the batch
        gradients = torch.autograd.grad((signals[-1] * ahead).sum(), signals)
        square = [(x.detach() ** 2).mean().item() for x in signals]
        rows.append([square, [(g[0] ** 2).mean().item() for g in gradients]])
        for hook in hooks:
            hook.remove()
    rows = np.array(rows)
    network = p.architecture("resnet50", blocks=blocks, width=width, image=side)
    theory = network.propagate(c0=0.0)
    expected = np.array([theory.q[1:-1], (theory.grad / theory.grad[-2])[1:-1]])
    mean, error = rows.mean(0), rows.std(0, ddof=1) / math.sqrt(networks)
    assert mean.shape == expected.shape
    # Zero padding in place of circular: 6 of the first layer's 32 x 7 taps along a side are lost,
    # so that its q is 5 % less; batch norms undo it behind.
    lost = 1 - (1 - 6 / (32 * 7)) ** 2
    room = SCORE * error + lost * abs(expected)
    assert (abs(mean - expected) <= room).all(), (mean / expected, error / expected)
    assert np.median(error / expected) < 0.03
