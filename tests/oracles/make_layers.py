#!/usr/bin/env python3
"""Writes layers.safetensors: what PyTorch makes of models of every layer, for
tests/model/torch_test.cc.

For each model of MODELS, under its name: weights (P), features (B, I) and labels, as
float32; and, computed from those in double: outputs (B, O), losses (B), gradient (P),
the sum over the examples, and norms (B), of each example's own gradient, by autograd
one example at a time. The metadata has each model's description and the names and
shapes of its state_dict. Any PyTorch since 1.9 will do:

    python3 -m venv v && v/bin/pip install torch numpy
    v/bin/python make_layers.py layers.safetensors
"""
import json
import re
import struct
import sys

import torch
from torch import nn

BATCH = 5
CE, BCE, MSE = "softmax_cross_entropy", "binary_cross_entropy", "mse"
MODELS = {
    "dense": ("inputs=6 dense(5,tanh) dense(4,gelu) dense(4,sigmoid) dense(4,relu) "
              "dense(3,none)", CE),
    "regression": ("inputs=4 dense(6,tanh) dense(3,none)", MSE),
    "binary": ("inputs=4 dense(6,gelu) dense(1,none)", BCE),
    "conv": ("inputs=50 shape=2x5x5 conv2d(4,3x3,1x1,0x0,1x1,1) activation(tanh) "
             "conv2d(3,2x2,1x1,0x0,1x1,1) flatten() dense(3,none)", CE),
    "conv_strided": ("inputs=112 shape=2x7x8 conv2d(3,2x3,2x3,1x2,1x1,1) "
                     "conv2d(4,3x2,1x2,2x1,1x1,1) activation(gelu) flatten() "
                     "dense(2,none)", CE),
    "conv_dilated": ("inputs=49 shape=1x7x7 conv2d(3,3x2,1x1,1x0,2x3,1) "
                     "conv2d(2,2x2,1x1,0x0,2x1,1) flatten() dense(3,none)", CE),
    "conv_grouped": ("inputs=64 shape=4x4x4 conv2d(6,2x2,1x1,0x0,1x1,2) activation(tanh) "
                     "conv2d(6,3x3,1x1,1x1,1x1,6) flatten() dense(2,none)", CE),
    "max_pool": ("inputs=60 shape=2x6x5 conv2d(3,2x2,1x1,0x0,1x1,1) "
                 "max_pool2d(2x3,2x1,1x1) flatten() dense(3,none)", CE),
    "avg_pool": ("inputs=60 shape=2x6x5 conv2d(3,2x2,1x1,0x0,1x1,1) "
                 "avg_pool2d(3x2,1x2,1x1) flatten() dense(3,none)", CE),
    "layer_norm": ("inputs=5 dense(6,none) layer_norm() dense(4,tanh) layer_norm() "
                   "dense(3,none)", CE),
    "group_norm": ("inputs=48 shape=4x4x3 group_norm(2) conv2d(6,2x2,1x1,0x0,1x1,1) "
                   "group_norm(3) activation(gelu) flatten() dense(2,none)", CE),
    "residual": ("inputs=4 dense(5,tanh) residual(0x0) { layer_norm() dense(7,gelu) "
                 "dense(5,none) } dense(2,none)", CE),
    "residual_projection": (
        "inputs=48 shape=3x4x4 residual(2x2) { conv2d(4,3x3,2x2,1x1,1x1,1) group_norm(2) "
        "residual(0x0) { activation(tanh) conv2d(4,3x3,1x1,1x1,1x1,1) } } "
        "avg_pool2d(2x2,2x2,0x0) flatten() dense(3,none)", CE),
    "sequence": ("inputs=24 shape=6x4 dense(5,tanh) layer_norm() dense(3,gelu) flatten() "
                 "dense(3,none)", CE),
    "sequence_ghost": ("inputs=24 shape=2x12 dense(10,tanh) position_embedding() "
                       "sequence_mean() dense(3,none)", CE),
    "embedding": ("inputs=8 embedding(5,4) position_embedding() dense(4,tanh) "
                  "sequence_mean() dense(3,none)", CE),
    "attention": ("inputs=30 shape=5x6 attention(2,none) flatten() dense(3,none)", CE),
    "attention_causal": ("inputs=24 shape=3x8 dense(8,none) attention(4,causal) "
                         "sequence_mean() dense(2,none)", CE),
    "transformer": (
        "inputs=6 embedding(7,8) position_embedding() residual(0x0) { layer_norm() "
        "attention(2,causal) } residual(0x0) { layer_norm() dense(16,gelu) dense(8,none) "
        "} layer_norm() sequence_mean() dense(3,none)", CE),
    "table": ("inputs=5 table_embedding(4x0x3x0x6,3) dense(6,tanh) dense(2,none)", CE),
}
ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}


class Residual(nn.Module):
    def __init__(self, body, projection):
        super().__init__()
        self.body = body
        if projection is not None:
            self.projection = projection

    def forward(self, x):
        beside = self.projection(x) if hasattr(self, "projection") else x
        return self.body(x) + beside


class Attention(nn.MultiheadAttention):
    def __init__(self, width, heads, causal):
        super().__init__(width, heads, batch_first=True)
        self.causal = causal

    def forward(self, x):
        mask = None
        if self.causal:
            mask = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        return super().forward(x, x, x, attn_mask=mask, need_weights=False)[0]


class Codes(nn.Embedding):
    def forward(self, x):
        return super().forward(x.long())


class PositionEmbedding(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(*shape))

    def forward(self, x):
        return x + self.weight


class SequenceMean(nn.Module):
    def forward(self, x):
        return x.mean(1)


class TableEmbedding(nn.Module):
    def __init__(self, categories, units):
        super().__init__()
        self.categories = categories
        self.columns = nn.ModuleDict(
            {str(i): nn.Embedding(n, units) for i, n in enumerate(categories) if n})

    def forward(self, x):
        return torch.cat([self.columns[str(i)](x[:, i].long()) if n else x[:, i:i + 1]
                          for i, n in enumerate(self.categories)], 1)


def pair(text):
    return tuple(int(side) for side in text.split("x"))


def modules(words, shape):
    """An nn.Sequential of the layers up to the end or to a closing brace."""
    layers = []
    while words and words[0] != "}":
        name, fields = re.fullmatch(r"(\w+)\((.*)\)", words.pop(0)).groups()
        fields = fields.split(",") if fields else []
        made = list(layer(name, fields, words, shape))
        for module in made:
            module = module.double()
            layers.append(module)
            with torch.no_grad():
                shape = tuple(module(torch.zeros(1, *shape).double()).shape[1:])
    if words:
        words.pop(0)
    return nn.Sequential(*layers)


def layer(name, fields, words, shape):
    if name == "dense":
        yield nn.Linear(shape[-1], int(fields[0]))
        if fields[1] != "none":
            yield ACTIVATIONS[fields[1]]()
    elif name == "activation":
        yield ACTIVATIONS[fields[0]]()
    elif name == "conv2d":
        kernel, stride, padding, dilation = map(pair, fields[1:5])
        yield nn.Conv2d(shape[0], int(fields[0]), kernel, stride, padding, dilation,
                        int(fields[5]))
    elif name == "max_pool2d":
        yield nn.MaxPool2d(*map(pair, fields))
    elif name == "avg_pool2d":
        yield nn.AvgPool2d(*map(pair, fields))
    elif name == "flatten":
        yield nn.Flatten()
    elif name == "layer_norm":
        yield nn.LayerNorm(shape[-1])
    elif name == "group_norm":
        yield nn.GroupNorm(int(fields[0]), shape[0])
    elif name == "residual":
        assert words.pop(0) == "{"
        body = modules(words, shape)
        stride = pair(fields[0])
        projection = None
        if stride != (0, 0):
            with torch.no_grad():
                width = body(torch.zeros(1, *shape).double()).shape[1]
            projection = nn.Conv2d(shape[0], width, 1, stride)
        yield Residual(body, projection)
    elif name == "embedding":
        yield Codes(int(fields[0]), int(fields[1]))
    elif name == "position_embedding":
        yield PositionEmbedding(shape)
    elif name == "sequence_mean":
        yield SequenceMean()
    elif name == "attention":
        yield Attention(shape[1], int(fields[0]), fields[1] == "causal")
    elif name == "table_embedding":
        yield TableEmbedding(pair(fields[0]), int(fields[1]))
    else:
        raise ValueError(name)


def features_for(text, inputs):
    """Codes where the model takes codes."""
    first = re.search(r" (\w*embedding)\(([\dx]+),", text)
    x = torch.randn(BATCH, inputs)
    if first and first.group(1) == "embedding":
        x = torch.randint(int(first.group(2)), (BATCH, inputs)).float()
    if first and first.group(1) == "table_embedding":
        for i, n in enumerate(pair(first.group(2))):
            if n:
                x[:, i] = torch.randint(n, (BATCH,)).float()
    return x


def run(text, loss):
    words = text.split()
    inputs = int(words.pop(0).removeprefix("inputs="))
    shape = (inputs,)
    if words[0].startswith("shape="):
        shape = pair(words.pop(0).removeprefix("shape="))
    model = modules(words, shape)
    weights = []
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_((0.4 * torch.randn(parameter.shape)).float())
            weights.append(parameter.flatten())
    x = features_for(text, inputs)
    outputs = model(x.double().reshape(BATCH, *shape))
    classes = outputs.shape[1]
    if loss == CE:
        labels = torch.randint(classes, (BATCH,)).float()
        losses = nn.functional.cross_entropy(outputs, labels.long(), reduction="none")
    elif loss == BCE:
        labels = torch.randint(2, (BATCH,)).float()
        losses = nn.functional.binary_cross_entropy_with_logits(
            outputs[:, 0], labels.double(), reduction="none")
    else:
        labels = torch.randn(BATCH, classes)
        losses = ((outputs - labels.double()) ** 2).mean(1)
    gradients = []
    for one in losses:
        grads = torch.autograd.grad(one, list(model.parameters()), retain_graph=True)
        gradients.append(torch.cat([grad.flatten() for grad in grads]))
    gradients = torch.stack(gradients)
    names = " ".join(f"{name}:{'x'.join(map(str, value.shape))}"
                     for name, value in model.state_dict().items())
    return names, {"weights": torch.cat(weights), "features": x, "labels": labels,
                   "outputs": outputs, "losses": losses, "gradient": gradients.sum(0),
                   "norms": gradients.norm(dim=1)}


def main():
    torch.manual_seed(7)
    metadata, header, data = {}, {}, b""
    for name, (text, loss) in MODELS.items():
        names, tensors = run(text, loss)
        metadata[name] = f"hearsay-model/1 {text} loss={loss}"
        metadata[name + ".names"] = names
        for key, value in tensors.items():
            values = value.detach().float().contiguous()
            size = 4 * values.numel()
            header[f"{name}/{key}"] = {"dtype": "F32", "shape": list(values.shape),
                                       "data_offsets": [len(data), len(data) + size]}
            data += struct.pack(f"<{values.numel()}f", *values.flatten().tolist())
    metadata["made_with"] = "PyTorch " + torch.__version__
    header["__metadata__"] = metadata
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 64 + 56)
    with open(sys.argv[1], "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + data)


if __name__ == "__main__":
    main()
