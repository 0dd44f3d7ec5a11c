"""A network with the outputs of YuNet, which finds faces of plain colours.

A face is a red square, its right eye green and its left eye blue.
"""

import cv2
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIZE = 320  # of its input
STRIDES = (8, 16, 32)
EYES = np.array([[-0.2, -0.1], [0.2, -0.1]])  # from the centre, in sides


def write_yunet(path, size=SIZE):
    """Writes the network: one face at most, found at the largest stride."""
    graph = _Graph()
    colours = np.array([[-1, -1, 1], [-1, 1, -1], [1, -1, -1]])  # of BGR
    weights = colours[..., None, None].astype(np.float32) / 255
    raw = graph("Conv", "input", graph.constant(weights))
    masks = graph(
        "Clip",
        raw,
        graph.constant(np.float32(0)),
        graph.constant(np.float32(1)),
    )
    at = np.arange(size, dtype=np.float32) + 0.5
    area = graph("ReduceSum", masks, axes=[2, 3], keepdims=0)  # [1, 3]
    least = graph("Add", area, graph.constant(np.float32(1e-3)))
    places = []  # of red, green and blue, each [1, 3]
    for grid in (at[None, None, None], at[None, None, :, None]):
        weighted = graph("Mul", masks, graph.constant(grid))
        total = graph("ReduceSum", weighted, axes=[2, 3], keepdims=0)
        places.append(graph("Div", total, least))
    red = graph("Slice", least, *graph.all_constants(_slice(0)))
    side = graph("Sqrt", red)  # [1, 1]
    seen = graph("Mul", red, graph.constant(np.float32(0.01)))
    score = graph(  # 1 from 100 pixels on
        "Clip",
        seen,
        graph.constant(np.float32(0)),
        graph.constant(np.float32(1)),
    )
    shape = graph.constant(np.array([1, 1, 1]))
    score = graph("Reshape", score, shape)
    *smaller, stride = STRIDES
    for other in smaller:
        for name, channels in _OUTPUTS:
            none = np.zeros((1, (size // other) ** 2, channels), np.float32)
            graph("Mul", score, graph.constant(none), out=f"{name}_{other}")
    cells = np.meshgrid(*[np.arange(size // stride, dtype=np.float32)] * 2)
    cells = [graph.constant(cell.reshape(1, -1, 1)) for cell in cells]
    zeros = graph("Mul", cells[0], graph.constant(np.float32(0)))
    scale = graph.constant(np.float32(1 / stride))
    centre, *eyes = (  # each x and y, in cells, from each cell
        [
            graph("Sub", graph("Mul", graph("Reshape", x, shape), scale), cell)
            for x, cell in zip(
                [graph("Slice", x, *indices) for x in places], cells
            )
        ]
        for indices in map(graph.all_constants, map(_slice, range(3)))
    )
    log = graph("Log", graph("Mul", graph("Reshape", side, shape), scale))
    log = graph("Add", log, zeros)
    found = graph("Add", score, zeros)
    graph("Identity", found, out=f"cls_{stride}")
    graph("Identity", found, out=f"obj_{stride}")
    graph("Concat", *centre, log, log, axis=2, out=f"bbox_{stride}")
    points = [*eyes[0], *eyes[1], *centre * 3]
    graph("Concat", *points, axis=2, out=f"kps_{stride}")
    graph.write(path, size)
    return path


def colour_face(height, width, box):
    """Draws a face, `[height, width, 3]`: x, y, side and angle, degrees."""
    x, y, side, angle = box
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    rotation = side * np.array([[cos, sin], [-sin, cos]])
    image = np.full((height, width, 3), 60, np.uint8)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    parts = [(0, 0, 1, 0), (*EYES[0], 0.2, 1), (*EYES[1], 0.2, 2)]
    for right, down, part, colour in parts:
        points = (corners * part + [right, down]) @ rotation + [x, y]
        shade = [0, 0, 0]
        shade[colour] = 255
        cv2.fillPoly(image, [np.round(points - 0.5).astype(int)], shade)
    return image


_OUTPUTS = (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))


def _slice(index):
    """Starts, ends and axes of one of the colours."""
    return np.array([index]), np.array([index + 1]), np.array([1])


class _Graph:
    """Nodes and constants, named by their number."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value):
        name = f"constant_{len(self.constants)}"
        array = np.asarray(value)
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def all_constants(self, values):
        return [*map(self.constant, values)]

    def __call__(self, kind, *inputs, out=None, **attributes):
        out = out or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [out], **attributes))
        return out

    def write(self, path, size):
        number = TensorProto.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "yunet",
            [
                helper.make_tensor_value_info(
                    "input", number, [1, 3, size, size]
                )
            ],
            [
                helper.make_tensor_value_info(
                    f"{name}_{stride}",
                    number,
                    [1, (size // stride) ** 2, channels],
                )
                for name, channels in _OUTPUTS
                for stride in STRIDES
            ],
            self.constants,
        )
        opset = helper.make_opsetid("", 11)
        model = helper.make_model(graph, opset_imports=[opset], ir_version=6)
        onnx.checker.check_model(model)
        onnx.save(model, str(path))
