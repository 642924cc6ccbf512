"""PyTorch and numpy as contenders: one JSON request a line on stdin, one JSON answer a line on stdout.

Requests: {"do": "open", "library", "threads", "shape", "directory"} with the inputs as raw float32 files, answered
by the library's version or an error; {"do": "results", "directory"} writes the results as raw float32 files;
{"do": "sample", "repeats"} answers the mean milliseconds of a call, measured here.
"""

import json
import math
import os
import sys
import time

import numpy as np


def load(directory, name):
    with open(os.path.join(directory, name + ".json")) as file:
        shape = json.load(file)
    return np.fromfile(os.path.join(directory, name + ".f32"), dtype=np.float32).reshape(shape)


def visibility(shape):
    """[L, S] bool, or None where every query sees every key."""
    queries, keys = shape["queries"], shape["keys"]
    if queries == 1 or not shape["causal"]:
        return None
    position = np.arange(queries)[:, None] + shape["past"]
    key = np.arange(keys)[None, :]
    visible = key <= position
    if shape["windowLeft"] is not None:
        visible &= key >= position - shape["windowLeft"]
    return visible


def additive_mask(shape, inputs):
    """What is added to the scores, prepared outside the measurement; None where nothing is."""
    if shape["biasAndPadding"]:
        mask = inputs["bias"].copy()
        mask[..., shape["keys"] - shape["keys"] // 16 :] = -np.inf
        return mask
    visible = visibility(shape)
    return None if visible is None else np.where(visible, 0, -np.inf).astype(np.float32)


class Numpy:
    version = np.__version__

    def __init__(self, shape, inputs, threads):
        if shape["gradients"]:
            raise ValueError("numpy has no gradients")
        self.shape, self.inputs = shape, inputs
        self.mask = additive_mask(shape, inputs)

    def attend(self, query, key, value):
        batch, heads, queries, size = query.shape
        groups = key.shape[1]
        # The query heads of a group share its keys; one product for each query otherwise.
        if groups != heads:
            query = query.reshape(batch, groups, heads // groups * queries, size)
        weights = query @ key.swapaxes(-1, -2)
        weights *= np.float32(1 / math.sqrt(size))
        if self.mask is not None:
            weights += self.mask
        weights -= weights.max(-1, keepdims=True)
        np.exp(weights, out=weights)
        weights /= weights.sum(-1, keepdims=True)
        return (weights @ value).reshape(batch, heads, queries, -1), weights

    def run(self):
        i, shape = self.inputs, self.shape
        if shape["kind"] == "attention":
            return {"output": self.attend(i["query"], i["key"], i["value"])[0]}
        x = i["x"]
        batch, tokens, width = x.shape

        def heads(weight):
            rows = x.reshape(-1, width) @ weight
            return rows.reshape(batch, tokens, shape["heads"], -1).swapaxes(1, 2)

        rows, weights = self.attend(heads(i["w_q"]), heads(i["w_k"]), heads(i["w_v"]))
        output = rows.swapaxes(1, 2).reshape(batch * tokens, width) @ i["w_o"]
        return {"output": output, "weights": weights}


class Torch:
    def __init__(self, shape, inputs, threads):
        import torch

        self.torch, self.shape = torch, shape
        self.version = torch.__version__
        torch.set_num_threads(threads)
        self.inputs = {name: torch.from_numpy(array) for name, array in inputs.items()}
        mask = additive_mask(shape, inputs)
        self.causal = shape["causal"] and shape["queries"] > 1 and shape["windowLeft"] is None
        self.mask = None if mask is None else torch.from_numpy(mask)
        self.fused = getattr(torch.nn.functional, "scaled_dot_product_attention", None)
        if shape["gradients"]:
            for name in ("query", "key", "value"):
                self.inputs[name].requires_grad_()

    def attend(self, query, key, value):
        torch = self.torch
        batch, heads, queries, size = query.shape
        groups = key.shape[1]
        if groups != heads:
            query = query.reshape(batch, groups, heads // groups * queries, size)
        if self.fused is not None and not self.shape["weights"]:
            options = {"is_causal": True} if self.causal else {"attn_mask": self.mask}
            return self.fused(query, key, value, **options).reshape(batch, heads, queries, -1), None
        scores = query @ key.transpose(-1, -2) * (1 / math.sqrt(size))
        if self.mask is not None:
            scores = scores + self.mask
        weights = torch.softmax(scores, -1)
        return (weights @ value).reshape(batch, heads, queries, -1), weights

    def run(self):
        i, shape = self.inputs, self.shape
        if shape["gradients"]:
            names = ("query", "key", "value")
            output = self.attend(*(i[name] for name in names))[0]
            gradients = self.torch.autograd.grad(output, [i[name] for name in names], i["grad_output"])
            results = {f"grad_{name}": gradient for name, gradient in zip(names, gradients)}
            return {"output": output.detach(), **results}
        with self.torch.inference_mode():
            if shape["kind"] == "attention":
                return {"output": self.attend(i["query"], i["key"], i["value"])[0]}
            x = i["x"]
            batch, tokens, width = x.shape

            def heads(weight):
                return (x @ weight).view(batch, tokens, shape["heads"], -1).transpose(1, 2)

            rows, weights = self.attend(heads(i["w_q"]), heads(i["w_k"]), heads(i["w_v"]))
            output = rows.transpose(1, 2).reshape(batch, tokens, width) @ i["w_o"]
            return {"output": output} if weights is None else {"output": output, "weights": weights}


LIBRARIES = {"numpy": Numpy, "torch": Torch}
peer = None


def answer(request):
    global peer
    if request["do"] == "open":
        directory = request["directory"]
        names = [name[:-4] for name in os.listdir(directory) if name.endswith(".f32")]
        inputs = {name: load(directory, name) for name in names}
        peer = LIBRARIES[request["library"]](request["shape"], inputs, request["threads"])
        return {"version": peer.version}
    if request["do"] == "results":
        for name, result in peer.run().items():
            path = os.path.join(request["directory"], name + ".result")
            np.ascontiguousarray(np.asarray(result), dtype=np.float32).tofile(path)
        return {}
    start = time.perf_counter()
    for _ in range(request["repeats"]):
        peer.run()
    return {"ms": (time.perf_counter() - start) * 1000 / request["repeats"]}


for line in sys.stdin:
    try:
        reply = answer(json.loads(line))
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(reply), flush=True)
