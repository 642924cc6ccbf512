import json
import sys

import numpy
import requests

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "BOOL": "|b1"}
NAMES = {numpy.dtype(code): name for name, code in DTYPES.items()}


def write_safetensors(tensors, request):
    header, at = {"__metadata__": {"request": json.dumps(request)}}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": NAMES[array.dtype], "shape": array.shape, "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in tensors.values())


def read_safetensors(file):
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    response = json.loads(header.pop("__metadata__")["response"])
    def array(entry):
        begin, end = entry["data_offsets"]
        return numpy.frombuffer(file[start + begin : start + end], DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return {name: array(entry) for name, entry in header.items()}, response


def attend(url, path, tensors, **options):
    media_type = "application/vnd.safetensors"
    answer = requests.post(
        url + path,
        data=write_safetensors(tensors, options),
        headers={"Content-Type": media_type, "Accept": media_type},
        timeout=60,
    )
    if not answer.ok:
        raise RuntimeError(answer.json()["detail"])
    return read_safetensors(answer.content)


if __name__ == "__main__":
    url = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8080"
    random = numpy.random.default_rng(1)
    x = random.standard_normal((512, 768)).astype("<f4")
    w = {f"projections.w_{name}": random.standard_normal((768, 768)).astype("<f4") / 28 for name in "qkvo"}
    tensors, response = attend(
        url, "/v1/multi-head-attention", {"embeddings": x, **w}, heads=12, **{"return": {"weights": {"reduce": "mean"}}}
    )
    print(tensors["output"].shape, tensors["output"].dtype, tensors["weights"].sum(-1).round(3)[:3])
    print(response["applied"]["formula"])
