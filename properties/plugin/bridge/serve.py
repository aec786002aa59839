#!/usr/bin/env python3
"""The other side of libnormproof_bridge.so: lets normproof judge a Python function of this environment, whatever its Python is.

    python3 serve.py mine.py:rms_norm --socket /tmp/mine.socket &
    NORMPROOF_BRIDGE=/tmp/mine.socket normproof verify --target ./libnormproof_bridge.so

The function is called as by normproof.testing.assert_conforms, with torch tensors on --device:

    rms_norm                             fn(x, weight, epsilon)
    fused_add_rms_norm                   fn(x, residual, weight, epsilon) -> (out, residual_out)
    rms_norm_static_fp8_quant            fn(x, weight, scale, epsilon)
    fused_add_rms_norm_static_fp8_quant  fn(x, residual, weight, scale, epsilon) -> (out, residual_out)
    rms_norm_dynamic_quant               fn(x, weight, epsilon) -> (out, scales)
    fused_add_rms_norm_dynamic_quant     fn(x, residual, weight, epsilon) -> (out, residual_out, scales)
    with --scale-ub                      fn(..., weight, scale_ub, epsilon), scale_ub None where there is none

weight is None where there is none. NotImplementedError means that it does not take the call; any other exception is a finding.
With --arrays the tensors are numpy arrays, bfloat16 as ml_dtypes has it. Ends by itself when --idle seconds pass without a call.
"""
import argparse
import importlib.util
import json
import math
import os
import selectors
import socket
import sys

# Roles of what comes out, and whose memory it has where it has none of its own.
OUTPUTS = {"out": "input", "residual_out": "residual", "scales": None}
SIZES = {"bfloat16": 2, "float16": 2, "float32": 4}  # float8, int8: 1


class Torch:
    def __init__(self, device):
        import torch
        self.torch, self.device = torch, device

    def tensor(self, data, dtype, shape):
        if not data:
            return self.torch.empty(shape, dtype=getattr(self.torch, dtype), device=self.device)
        return self.torch.frombuffer(bytearray(data), dtype=getattr(self.torch, dtype)).reshape(shape).to(self.device)

    def bytes(self, tensor, dtype, shape):
        if tensor.dtype != getattr(self.torch, dtype):
            raise TypeError(f"expected {dtype}, got {tensor.dtype}")
        if list(tensor.shape) != shape:
            raise TypeError(f"expected shape {shape}, got {list(tensor.shape)}")
        flat = tensor.detach().contiguous().reshape(-1)
        return flat.view(self.torch.uint8).cpu().numpy().tobytes() if flat.numel() else b""


class Arrays:
    def __init__(self):
        import numpy
        self.numpy = numpy

    def dtype(self, name):
        if name in ("float16", "float32", "int8"):
            return self.numpy.dtype(name)
        import ml_dtypes
        return self.numpy.dtype(getattr(ml_dtypes, name))

    def tensor(self, data, dtype, shape):
        return self.numpy.frombuffer(bytearray(data), self.dtype(dtype)).reshape(shape)

    def bytes(self, array, dtype, shape):
        array = self.numpy.asarray(array)
        if array.dtype != self.dtype(dtype):
            raise TypeError(f"expected {dtype}, got {array.dtype}")
        if list(array.shape) != shape:
            raise TypeError(f"expected shape {shape}, got {list(array.shape)}")
        return array.tobytes()


def receive(connection, count):
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(min(count - len(data), 1 << 20))
        if not piece:
            raise ConnectionError
        data += piece
    return bytes(data)


def receive_line(connection):
    line = bytearray()
    while not line.endswith(b"\n"):
        piece = connection.recv(1)
        if not piece:
            raise ConnectionError
        line += piece
    return bytes(line)


def byte_count(dtype, shape):
    return math.prod(shape) * SIZES.get(dtype, 1)


def answer(connection, function, form):
    """Carries out one call; raises ConnectionError where there is none any more."""
    call = json.loads(receive_line(connection))
    tensors = {role: (dtype, shape) for role, dtype, shape in call["tensors"]}
    inputs = {role: form.tensor(receive(connection, byte_count(*tensor)), *tensor)
              for role, tensor in tensors.items() if role not in OUTPUTS}
    # What has no memory of its own goes where what came in lay.
    outputs = [(role, *tensors.get(role, tensors.get(place))) for role, place in OUTPUTS.items()
               if role in tensors or place in tensors]
    arguments = [inputs["input"]]
    if "residual" in inputs:
        arguments.append(inputs["residual"])
    arguments.append(inputs.get("weight"))
    if "scale" in inputs:
        arguments.append(inputs["scale"])
    if form.takes_scale_ub:
        arguments.append(inputs.get("scale_ub"))
    arguments.append(float.fromhex(call["parameters"]["epsilon"]))
    try:
        results = function(*arguments)
        if not isinstance(results, (tuple, list)):
            results = (results,)
        if len(results) != len(outputs):
            raise TypeError(f"expected {len(outputs)} outputs ({', '.join(role for role, _, _ in outputs)}), got {len(results)}")
        data = b"".join(form.bytes(result, dtype, shape) for result, (_, dtype, shape) in zip(results, outputs))
    except NotImplementedError as error:
        connection.sendall(f"not taken: {one_line(error)}\n".encode())
    except Exception as error:
        connection.sendall(f"failed: {type(error).__name__}: {one_line(error)}\n".encode())
    else:
        connection.sendall(b"ok\n" + data)


def one_line(error):
    return " ".join(str(error).split()) or type(error).__name__


def serve(listener, function, form, description, idle):
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while events := selector.select(idle):
        for key, _ in events:
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.sendall(description)
                selector.register(connection, selectors.EVENT_READ)
                continue
            try:
                answer(key.fileobj, function, form)
            except ConnectionError:
                selector.unregister(key.fileobj)
                key.fileobj.close()


def load(name):
    path, _, function = name.partition(":")
    if not function:
        sys.exit(f"serve.py: expected FILE.py:FUNCTION, got '{name}'")
    spec = importlib.util.spec_from_file_location("served", path)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    spec.loader.exec_module(module)
    return getattr(module, function)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("function", metavar="FILE.py:FUNCTION")
    parser.add_argument("--socket", required=True, help="the Unix socket to listen on")
    parser.add_argument("--operation", default="rms_norm")
    parser.add_argument("--dtypes", default="bfloat16,float16,float32", help="of x, and of what it quantizes to")
    parser.add_argument("--weights", default="same", help="a list of none, same, float32")
    parser.add_argument("--scale-ub", action="store_true", help="it takes an upper bound of what the scales of rows are made of")
    parser.add_argument("--device", default="cpu", help="of torch's tensors")
    parser.add_argument("--arrays", action="store_true", help="numpy arrays instead of torch's tensors")
    parser.add_argument("--idle", type=float, default=3600, help="seconds")
    options = parser.parse_args()
    function = load(options.function)
    form = Arrays() if options.arrays else Torch(options.device)
    form.takes_scale_ub = options.scale_ub
    words = [options.function.replace(" ", "_"), "operation:" + options.operation, *options.dtypes.split(","),
             *(f"weight:{weight}" for weight in options.weights.split(",")), *(["scale_ub"] if options.scale_ub else [])]
    if os.path.exists(options.socket):
        os.unlink(options.socket)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(options.socket)
        listener.listen(64)
        try:
            serve(listener, function, form, (" ".join(words) + "\n").encode(), options.idle)
        finally:
            os.unlink(options.socket)


if __name__ == "__main__":
    main()
