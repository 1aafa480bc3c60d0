"""Columns as NumPy arrays; NumPy is needed only by those who ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

    from midsock._midsock import Batch, Column


def numbers(column: Column, dtype: npt.DTypeLike | None, copy: bool | None) -> npt.NDArray[Any]:  # noqa: FBT001
    """Give a column of numbers as an array.

    It shares the column's memory, unless another type or a copy is asked for.
    """
    import numpy as np

    shared: npt.NDArray[Any] = np.frombuffer(memoryview(column), dtype=column._dtype)  # noqa: SLF001
    if dtype is not None and np.dtype(dtype) != shared.dtype:
        if copy is False:
            msg = "a column cannot become another type without a copy"
            raise ValueError(msg)
        return shared.astype(dtype)
    return shared.copy() if copy else shared


def objects(column: Column, dtype: npt.DTypeLike | None, copy: bool | None) -> npt.NDArray[Any]:  # noqa: FBT001
    """Give a column of text or bytes as an array of Python objects."""
    import numpy as np

    if copy is False:
        msg = "a column of text or bytes cannot become an array without a copy"
        raise ValueError(msg)
    array = np.empty(len(column), dtype=object)
    array[:] = column.to_list()
    return array if dtype is None else array.astype(dtype)


def structured(batch: Batch, dtype: npt.DTypeLike | None, copy: bool | None) -> npt.NDArray[Any]:  # noqa: FBT001
    """Give a batch as one array with a named field per column."""
    import numpy as np

    if copy is False:
        msg = "a batch cannot become one array without a copy: take its columns"
        raise ValueError(msg)
    columns: dict[str, npt.NDArray[Any]] = {name: batch[name].__array__() for name in batch.columns}
    layout: list[tuple[str, np.dtype[Any]]] = [(name, column.dtype) for name, column in columns.items()]
    array = np.empty(len(batch), dtype=layout)
    for name, column in columns.items():
        array[name] = column
    return array if dtype is None else array.astype(dtype)


def frame(batch: Batch) -> pd.DataFrame:
    """Give a batch as a data frame."""
    import pandas as pd

    return pd.DataFrame({name: batch[name].__array__() for name in batch.columns})
