import json
import sys

import numpy
import requests

DTYPES = {"FP64": "<f8", "FP32": "<f4", "INT64": "<i8", "INT32": "<i4", "BOOL": "|b1"}
NAMES = {numpy.dtype(code): name for name, code in DTYPES.items()}


def infer(url, model, tensors, **parameters):
    inputs = [
        {"name": name, "shape": array.shape, "datatype": NAMES[array.dtype], "parameters": {"binary_data_size": array.nbytes}}
        for name, array in tensors.items()
    ]
    request = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True, **parameters}}).encode()
    answer = requests.post(
        f"{url}/v2/models/{model}/infer",
        data=request + b"".join(array.tobytes() for array in tensors.values()),
        headers={"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(request))},
        timeout=60,
    )
    if not answer.ok:
        raise RuntimeError(answer.json()["error"])
    at = int(answer.headers["Inference-Header-Content-Length"])
    results = {}
    for output in json.loads(answer.content[:at])["outputs"]:
        size = output["parameters"]["binary_data_size"]
        elements = numpy.frombuffer(answer.content[at : at + size], DTYPES[output["datatype"]])
        results[output["name"]] = elements.reshape(output["shape"])
        at += size
    return results


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
    random = numpy.random.default_rng(1)
    q, k, v = (random.standard_normal((2, 8, 128, 64)).astype("<f4") for _ in range(3))
    results = infer(url, "scaled-dot-product-attention", {"query": q, "key": k, "value": v}, causal="upper_left")
    scores = numpy.where(numpy.tri(128, dtype=bool), q @ k.swapaxes(-1, -2) / 8, -numpy.inf)
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    expected = weights / weights.sum(-1, keepdims=True) @ v
    print(results["output"].shape, "off from numpy by at most", abs(results["output"] - expected).max())
