"""ONNX nodes for dates and times: the formula of `calendar_parts`, written as nodes."""

from dataclasses import dataclass
from typing import Any

from skl2onnx import update_registered_converter
from skl2onnx.common.data_types import DoubleTensorType

from modelkit.calendar_parts import PARTS, CalendarParts, calendar_parts
from modelkit.onnx_nodes import Nodes


def register() -> None:
    """Make skl2onnx use the nodes of this module, in this process."""
    update_registered_converter(CalendarParts, "CellarCalendarParts", _shapes, _parts)


@dataclass(frozen=True)
class _Values:
    """What a node gives, to be computed with like an array of float64."""

    nodes: Nodes
    name: str

    def _with(self, op_type: str, other: "_Values | float") -> "_Values":
        return _Values(self.nodes, self.nodes(op_type, self.name, _name(self.nodes, other)))

    def __add__(self, other: "_Values | float") -> "_Values":
        return self._with("Add", other)

    def __sub__(self, other: "_Values | float") -> "_Values":
        return self._with("Sub", other)

    def __mul__(self, other: "_Values | float") -> "_Values":
        return self._with("Mul", other)

    def __truediv__(self, other: "_Values | float") -> "_Values":
        return self._with("Div", other)

    def __gt__(self, other: float) -> "_Values":
        return self._with("Greater", other)


def _name(nodes: Nodes, value: _Values | float) -> str:
    return value.name if isinstance(value, _Values) else nodes.constant([[value]])


def _shapes(operator: Any) -> None:
    count, width = operator.inputs[0].type.shape
    operator.outputs[0].type = DoubleTensorType([count, width * len(PARTS)])


def _parts(scope: Any, operator: Any, container: Any) -> None:
    nodes = Nodes(scope, operator, container)

    def floor(values: _Values) -> _Values:
        return _Values(nodes, nodes("Floor", values.name))

    def where(holds: _Values, then: _Values | float, other: _Values | float) -> _Values:
        names = holds.name, _name(nodes, then), _name(nodes, other)
        return _Values(nodes, nodes("Where", *names))

    parts = calendar_parts(_Values(nodes, nodes.input), floor, where)
    nodes("Concat", *(part.name for part in parts), axis=1, output=nodes.outputs[0])
