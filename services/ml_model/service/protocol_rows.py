"""Rows as foreign protocols give them, read against a model's columns."""

from collections.abc import Mapping, Sequence
from typing import Any

from contracts.predictions import InvocationsRequest, V2InferRequest, V2Tensor
from ml_model.service.prediction import ReadRows
from modelkit.input_rows import InvalidRows
from servicekit.errors import Detail

V2_NUMBERS = {
    *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"),
    *("FP16", "FP32", "FP64"),
}
V2_OUTPUTS = ("predict", "predict_proba")
V2_TYPES = {*V2_NUMBERS, "BOOL", "BYTES"}


def rows_of_invocation(body: InvocationsRequest) -> ReadRows:
    """Return what reads the rows of MLflow's protocol.

    Raises
    ------
    InvalidRows
        Columns of different lengths, or a column named twice.
    """
    if body.dataframe_split is not None:
        split = body.dataframe_split
        if split.columns is None:
            return _lists(split.data, "dataframe_split.data")
        return _named_lists(split.columns, split.data)
    if body.dataframe_records is not None:
        return _records(body.dataframe_records, "dataframe_records")
    given, path = (body.instances, "instances") if body.inputs is None else (body.inputs, "inputs")
    if isinstance(given, Mapping):
        rows = _rows_of_columns(given)
        return _records(rows, path)
    rows_given: Sequence[Any] = given or []
    if rows_given and isinstance(rows_given[0], Mapping):
        return _records(rows_given, path)
    return _lists(rows_given, path)


def rows_of_v2(body: V2InferRequest) -> ReadRows:
    """Return what reads the rows of the Open Inference Protocol.

    Either one input of shape (n, k), k being the model's columns, or one input of shape (n) or
    (n, 1) per column, by its name.

    Raises
    ------
    InvalidRows
        An output or a datatype that is none, data of another size than the shape says, or columns
        of different lengths.
    """
    for number, output in enumerate(body.outputs or ()):
        if output.name not in V2_OUTPUTS:
            raise _invalid(f"outputs.{number}.name", f"must be one of {', '.join(V2_OUTPUTS)}")
    for number, tensor in enumerate(body.inputs):
        if tensor.datatype not in V2_TYPES:
            raise _invalid(
                f"inputs.{number}.datatype", f"must be one of {', '.join(sorted(V2_TYPES))}"
            )
    if len(body.inputs) == 1 and len(body.inputs[0].shape) == 2 and body.inputs[0].shape[1] != 1:
        rows = _matrix(body.inputs[0], 0)
        return _lists(rows, "inputs.0.data")
    columns = {
        tensor.name: [row[0] for row in _matrix(tensor, number)]
        for number, tensor in enumerate(body.inputs)
    }
    if len(columns) != len(body.inputs):
        raise _invalid("inputs", "holds a name twice")
    records = _rows_of_columns(columns)
    if len(columns) == 1:
        # One column: clients of a one-column model call the input what they like.
        values = [list(record.values()) for record in records]
        return _lists(values, "inputs.0.data")
    return _records(records, "inputs")


def _matrix(tensor: V2Tensor, number: int) -> list[list[Any]]:
    height, width = tensor.shape[0], tensor.shape[1] if len(tensor.shape) == 2 else 1
    flat = tensor.data
    if flat and all(isinstance(row, list) for row in flat):
        flat = [value for row in flat for value in row]
    if height < 1 or width < 1 or len(flat) != height * width:
        raise _invalid(
            f"inputs.{number}.data",
            f"holds {len(flat)} values where the shape {tensor.shape} says {height * width}",
        )
    return [flat[start : start + width] for start in range(0, len(flat), width)]


def _lists(rows: Sequence[Any], path: str) -> ReadRows:
    return lambda model: model.rows_from_lists(rows, path=path)


def _records(rows: Sequence[Any], path: str) -> ReadRows:
    return lambda model: model.rows_from_records(rows, path=path)


def _named_lists(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> ReadRows:
    if len(set(columns)) != len(columns):
        raise _invalid("dataframe_split.columns", "holds a name twice")
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise _invalid(
                f"dataframe_split.data.{number}",
                f"has {len(row)} values where columns names {len(columns)}",
            )
    records = [dict(zip(columns, row, strict=True)) for row in rows]
    return _records(records, "dataframe_split.data")


def _rows_of_columns(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    lists = {
        name: values if isinstance(values, list) else [values] for name, values in columns.items()
    }
    lengths = {len(values) for values in lists.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise _invalid("inputs", "must give the same number of values for every column")
    return [
        {name: _unwrapped(value) for name, value in zip(lists, values, strict=True)}
        for values in zip(*lists.values(), strict=True)
    ]


def _unwrapped(value: Any) -> Any:
    # Clients send a column as (n, 1) as well as (n).
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _invalid(path: str, problem: str) -> InvalidRows:
    return InvalidRows(f"{path} {problem}.", details=[Detail(path, problem)])
