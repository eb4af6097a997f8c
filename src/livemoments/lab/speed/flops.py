"""Count the operations of networks in convolutions and matrix products: two for each product.

Of PyTorch's networks its own counter tells; of ONNX files their nodes do, at the sizes that they
have in a run. Both leave out what is done once per value: activations, norms, warps.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

from livemoments.errors import MissingExtraError, WeightsError
from livemoments.networks.blocks import FOLD, LATENT

COUNTED = ("Conv", "MatMul", "Gemm")
Sizes = Mapping[str, tuple[int, ...]]  # of a network's inputs


def torch_tflops(work: Callable[[], object]) -> float:
    """Count the 10^12 operations of the networks of PyTorch that some work runs."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops() / 1e12


def compact_tflops(folder: Path, size_px: int, steps: int = 1) -> float:
    """Count the 10^12 operations of the compact model on a tile of size_px, a multiple of 64.

    Raises:
        MissingExtraError: onnx is not installed.
        WeightsError: the folder's networks cannot be read.
    """
    n, h = size_px, size_px // FOLD
    maps = _features(folder / "reference.onnx", n)
    picture, plane = (1, 3, n, n), (1, 1, n, n)
    once = onnx_tflops(
        folder / "refiner.onnx", {"frame": picture, "warped": picture, "confidence": plane}
    ) + onnx_tflops(folder / "reference.onnx", {"reference": picture, "confidence": plane})
    inputs: Sizes = {
        "z": (1, LATENT, h, h), "frame": picture, "reference": picture, **maps,
        "motion": (1, 3, h, h), "t": (1,),
    }  # fmt: skip
    return once + steps * onnx_tflops(folder / "restoration.onnx", inputs)


def onnx_tflops(path: Path, sizes: Sizes) -> float:
    """Count the 10^12 operations of one run of an ONNX file with float32 inputs of these sizes.

    Raises:
        MissingExtraError: onnx is not installed.
        WeightsError: the file cannot be read, or does not take such inputs.
    """
    model = _read(path)
    nodes = [node for node in model.graph.node if node.op_type in COUNTED]
    known = _known_shapes(model, nodes)
    total = 0.0
    for node, shape in zip(nodes, _run(model, path, sizes, known), strict=True):
        total += 2.0 * float(np.prod(shape["out"])) * _inner(node, shape["weight"])
    return total / 1e12


def onnx_parameters_m(folder: Path) -> float:
    """Millions of weights in the ONNX files of a folder: what is stored in floating point."""
    total = 0
    for path in sorted(folder.glob("*.onnx")):
        for tensor in _read(path).graph.initializer:
            is_float = tensor.data_type in (1, 10)  # FLOAT and FLOAT16 of onnx.TensorProto
            total += int(np.prod(tensor.dims)) if is_float else 0
    return total / 1e6


def _features(path: Path, size_px: int) -> dict[str, tuple[int, ...]]:
    """Return the sizes of ReferenceNet's feature maps for a tile."""
    channels = {
        value.name: value.type.tensor_type.shape.dim[1].dim_value for value in _outputs(path)
    }
    return {
        name: (1, count, size_px // int(name.split("_")[1]), size_px // int(name.split("_")[1]))
        for name, count in channels.items()
    }


def _outputs(path: Path) -> Any:  # noqa: ANN401 - onnx's own, which may not be installed
    return _read(path).graph.output


def _read(path: Path) -> Any:  # noqa: ANN401
    try:
        import onnx
    except ImportError as error:
        raise MissingExtraError(
            "counting operations needs onnx: pip install 'livemoments[train]'"
        ) from error
    try:
        return onnx.load(str(path))
    except Exception as error:  # noqa: BLE001 - protobuf's errors share no base class
        raise WeightsError(f"{path}: not a network that can be read ({error})") from error


def _known_shapes(model: Any, nodes: list[Any]) -> list[dict[str, str]]:  # noqa: ANN401
    """Let a model give nothing but the shapes of what nodes take and give; returns their names.

    What is between them is only known when it runs: windows of attention are cut by sizes that the
    graph itself works out.
    """
    from onnx import TensorProto, helper

    del model.graph.output[:]
    known = []
    for at, node in enumerate(nodes):
        names = {"out": node.output[0], "weight": node.input[1]}
        known.append({part: f"livemoments_{at}_{part}" for part in names})
        for part, name in names.items():
            shape = known[-1][part]
            model.graph.node.append(helper.make_node("Shape", [name], [shape]))
            info = helper.make_tensor_value_info(shape, TensorProto.INT64, [None])
            model.graph.output.append(info)
    return known


def _run(
    model: Any,  # noqa: ANN401
    path: Path,
    sizes: Sizes,
    known: list[dict[str, str]],
) -> list[dict[str, np.ndarray]]:
    """Return the shapes that were asked for, of a run on nothing."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        wanted = [name for parts in known for name in parts.values()]
        feed = {name: np.zeros(size, np.float32) for name, size in sizes.items()}
        found = dict(zip(wanted, session.run(wanted, feed), strict=True))
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no base class
        reason = str(error).splitlines()[0]
        raise WeightsError(f"{path}: it cannot be run on {dict(sizes)}: {reason}") from error
    return [{part: found[name] for part, name in parts.items()} for parts in known]


def _inner(node: Any, weight: np.ndarray) -> float:  # noqa: ANN401
    """Return how many products make one value of a node; weight is its second input's shape."""
    if node.op_type == "Conv":
        return float(np.prod(weight[1:]))  # channels of a group, rows, columns
    turned = any(each.name == "transB" and each.i for each in node.attribute)
    return float(weight[-1] if turned else weight[-2])
