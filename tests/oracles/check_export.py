#!/usr/bin/env python3
"""Runs an exported model with ONNX Runtime and with PyTorch on a shard, and compares
what they say with `hearsay predict`. Exits 1 where a probability is further off than
1e-5; 77 if neither is installed (onnxruntime from Python's registry; torch, or Debian's
python3-torch). Needs a shard of numeric columns only, such as MNIST's.

    check_export.py MODEL.onnx WEIGHTS.safetensors SHARD.safetensors PREDICTIONS.csv
"""
import csv
import json
import re
import struct
import sys

TOLERANCE = 1e-5


def safetensors(path):
    """Header, and tensors as flat numpy arrays of their shape."""
    import numpy
    data = open(path, "rb").read()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8:8 + length])
    metadata = header.pop("__metadata__", {})
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        kind = {"F32": "<f4", "U8": "u1"}[entry["dtype"]]
        tensors[name] = numpy.frombuffer(data[8 + length + begin:8 + length + end],
                                         kind).reshape(entry["shape"])
    return metadata, tensors


def sequential(text):
    """nn.Sequential of a canonical description: activations are modules of their own."""
    from torch import nn
    inputs = int(re.search(r"inputs=(\d+)", text)[1])
    shape = re.search(r"shape=([\dx]+)", text)
    channels = int(shape[1].split("x")[0]) if shape else None
    activations = {"relu": nn.ReLU, "tanh": nn.Tanh, "gelu": nn.GELU, "sigmoid": nn.Sigmoid}
    size = lambda word: tuple(int(n) for n in word.split("x"))
    modules, width = [], inputs
    for name, fields in re.findall(r"(\w+)\(([^)]*)\)", text):
        fields = fields.split(",")
        if name == "dense":
            modules.append(nn.LazyLinear(int(fields[0])))
            if fields[1] != "none":
                modules.append(activations[fields[1]]())
        elif name == "conv2d":
            filters, kernel, stride, padding, dilation, groups = fields
            modules.append(nn.Conv2d(channels, int(filters), size(kernel), size(stride),
                                     size(padding), size(dilation), int(groups)))
            channels = int(filters)
        elif name == "max_pool2d":
            modules.append(nn.MaxPool2d(*map(size, fields)))
        elif name == "avg_pool2d":
            modules.append(nn.AvgPool2d(*map(size, fields)))
        elif name == "flatten":
            modules.append(nn.Flatten())
        elif name == "activation":
            modules.append(activations[fields[0]]())
        else:
            sys.exit(f"check_export.py does not know the layer {name}")
    return nn.Sequential(*modules)


def main(onnx, weights, shard, predictions):
    import numpy
    _, rows = safetensors(shard)
    metadata, tensors = safetensors(weights)
    features = rows["values"].astype(numpy.float32)
    shape = re.search(r"shape=([\dx]+)", metadata["hearsay.model"])
    if shape:
        features = features.reshape(-1, *(int(n) for n in shape[1].split("x")))
    with open(predictions, newline="") as file:
        said = numpy.array([[float(v) for v in row[3:]] for row in list(csv.reader(file))[1:]])
    outputs = {}
    try:
        import onnxruntime
        session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
        outputs["ONNX Runtime " + onnxruntime.__version__] = session.run(
            None, {"input": features})[0]
    except ImportError:
        pass
    try:
        import torch
        module = sequential(metadata["hearsay.model"])
        with torch.no_grad():
            module(torch.from_numpy(features[:1]))  # gives lazy layers their width
            module.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in tensors.items()})
            outputs["PyTorch " + torch.__version__] = module(torch.from_numpy(features)).numpy()
    except ImportError:
        pass
    if not outputs:
        sys.exit(77)
    worst = 0.0
    for name, z in outputs.items():
        z = z.astype(numpy.float64)
        p = numpy.exp(z - z.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        off = float(numpy.abs(p - said).max())
        worst = max(worst, off)
        print(f"{name}: {len(z)} rows, probabilities off by {off:.1e} at most")
    sys.exit(0 if worst <= TOLERANCE else 1)


if __name__ == "__main__":
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.exit(77)
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
