"""The service that an engineer would write with FastAPI, pydantic and PyTorch.

Takes the folder of layers.json and of the weights as raw float32 files, and PORT. Each layer is computed with as many
threads as are fastest for it here.
"""

import json
import os
import sys
import time

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel

TRIALS = 10


class Layer:
    def __init__(self, directory, name, tokens, width, heads):
        def weight(role):
            data = np.fromfile(os.path.join(directory, f"{name}.{role}.f32"), dtype=np.float32)
            return torch.from_numpy(data.reshape(width, width)).T

        self.width = width
        self.attention = torch.nn.MultiheadAttention(width, heads, batch_first=True).eval()
        with torch.no_grad():
            self.attention.in_proj_weight.copy_(torch.cat([weight("w_q"), weight("w_k"), weight("w_v")]))
            self.attention.in_proj_bias.zero_()
            self.attention.out_proj.weight.copy_(weight("w_o"))
            self.attention.out_proj.bias.zero_()
        trial = torch.full((tokens, width), 0.1)
        self.threads = min((1, 2), key=lambda threads: self.fastest(threads, trial))
        print(f"  PyTorch {torch.__version__}, {name}: {self.threads} of 2 threads", flush=True)

    def fastest(self, threads, x):
        self.threads = threads
        times = []
        for _ in range(TRIALS):
            start = time.perf_counter()
            self(x)
            times.append(time.perf_counter() - start)
        return min(times)

    def __call__(self, x):
        if torch.get_num_threads() != self.threads:
            torch.set_num_threads(self.threads)
        with torch.inference_mode():
            x = x[None]
            return self.attention(x, x, x, need_weights=False)[0][0]


def load(directory):
    with open(os.path.join(directory, "layers.json")) as file:
        return {layer["name"]: Layer(directory, **layer) for layer in json.load(file)}


class Call(BaseModel):
    embeddings: list[list[float]]


class Answer(BaseModel):
    output: list[list[float]]


layers = load(sys.argv[1])
app = FastAPI()


@app.get("/health")
async def health():
    return {}


@app.post("/{layer}/raw")
async def raw(layer: str, request: Request):
    layer = layers[layer]
    x = torch.frombuffer(bytearray(await request.body()), dtype=torch.float32).view(-1, layer.width)
    return Response(layer(x).numpy().tobytes(), media_type="application/octet-stream")


@app.post("/{layer}/json", response_model=Answer)
async def as_json(layer: str, call: Call):
    return Answer(output=layers[layer](torch.tensor(call.embeddings)).tolist())


port = int(os.environ["PORT"])
uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, timeout_keep_alive=72)
