//! Rows of events as columns.

use std::sync::Arc;

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, to_ffi};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchIterator, StructArray};
use arrow_schema::DataType;
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyCapsule, PyList, PyString};

use crate::buffer::Numbers;

/// Columns of one length: what `on_batch` hands over and `batches` yields.
///
/// `batch["event.length"]` is a column. `numpy.asarray` of a column shares its memory; `polars.DataFrame(batch)`,
/// `pyarrow.table(batch)` and everything else that speaks the Arrow PyCapsule interface share all of it.
#[pyclass(frozen, mapping, module = "midsock")]
pub(crate) struct Batch {
    rows: RecordBatch,
}

fn arrow_error(error: &arrow_schema::ArrowError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

impl Batch {
    pub(crate) fn new(rows: RecordBatch) -> Batch {
        Batch { rows }
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows.num_rows()
    }
}

#[pymethods]
impl Batch {
    /// Number of rows.
    fn __len__(&self) -> usize {
        self.rows.num_rows()
    }

    /// Names of the columns, in order.
    #[getter]
    fn columns(&self) -> Vec<String> {
        self.rows.schema().fields().iter().map(|field| field.name().clone()).collect()
    }

    /// Names of the columns, as of a mapping.
    fn keys(&self) -> Vec<String> {
        self.columns()
    }

    /// A column by its name.
    fn __getitem__(&self, name: &str) -> PyResult<Column> {
        let array = self.rows.column_by_name(name).ok_or_else(|| {
            PyKeyError::new_err(format!("no column {name:?} among {}", self.columns().join(", ")))
        })?;
        Ok(Column { array: array.clone(), numbers: Numbers::of(array) })
    }

    fn __contains__(&self, name: &str) -> bool {
        self.rows.column_by_name(name).is_some()
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(PyList::new(py, self.columns())?.try_iter()?.into_any().unbind())
    }

    /// A `pandas.DataFrame` of the rows; with pandas 3, `DataFrame.from_arrow(batch)` does the same.
    fn to_pandas(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        slf.py().import("midsock._columns")?.call_method1("frame", (slf,)).map(Bound::unbind)
    }

    /// A structured NumPy array, a copy, with a named field per column; for `numpy.asarray(batch)`.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__(slf: &Bound<'_, Self>, dtype: Option<Py<PyAny>>, copy: Option<bool>) -> PyResult<Py<PyAny>> {
        slf.py().import("midsock._columns")?.call_method1("structured", (slf, dtype, copy)).map(Bound::unbind)
    }

    /// The batch as one Arrow struct array (Arrow PyCapsule interface).
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<(Bound<'py, PyCapsule>, Bound<'py, PyCapsule>)> {
        // The interface lets the producer keep its own schema.
        drop(requested_schema);
        export(py, &(Arc::new(StructArray::from(self.rows.clone())) as ArrayRef))
    }

    /// The batch as a stream of one Arrow record batch (Arrow PyCapsule interface).
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        drop(requested_schema);
        let reader = RecordBatchIterator::new([Ok(self.rows.clone())], self.rows.schema());
        let stream = FFI_ArrowArrayStream::new(Box::new(reader));
        PyCapsule::new_with_value(py, stream, c"arrow_array_stream")
    }

    /// The Arrow schema (Arrow PyCapsule interface).
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let schema = FFI_ArrowSchema::try_from(&*self.rows.schema()).map_err(|error| arrow_error(&error))?;
        PyCapsule::new_with_value(py, schema, c"arrow_schema")
    }

    fn __repr__(&self) -> String {
        format!("<midsock.Batch {} rows of {}>", self.rows.num_rows(), self.columns().join(", "))
    }
}

type Capsules<'py> = (Bound<'py, PyCapsule>, Bound<'py, PyCapsule>);

fn export<'py>(py: Python<'py>, array: &ArrayRef) -> PyResult<Capsules<'py>> {
    let (array, schema): (FFI_ArrowArray, FFI_ArrowSchema) =
        to_ffi(&array.to_data()).map_err(|error| arrow_error(&error))?;
    let schema = PyCapsule::new_with_value(py, schema, c"arrow_schema")?;
    let array = PyCapsule::new_with_value(py, array, c"arrow_array")?;
    Ok((schema, array))
}

/// One column of a batch.
///
/// A column of numbers has the buffer protocol: `numpy.asarray(column)` and `memoryview(column)` share its memory. Where
/// a field did not apply, Arrow sees a null and the buffer 0. The buffer protocol knows no times: there they are signed
/// 64-bit nanoseconds, which `.view("M8[ns]")` makes NumPy's times without a copy.
#[pyclass(frozen, sequence, module = "midsock")]
pub(crate) struct Column {
    array: ArrayRef,
    pub(crate) numbers: Option<Numbers>,
}

impl Column {
    fn at(&self, py: Python<'_>, row: usize) -> PyResult<Py<PyAny>> {
        use arrow_array::cast::AsArray;
        use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
        let array = &self.array;
        if array.is_null(row) {
            return Ok(py.None());
        }
        Ok(match array.data_type() {
            DataType::Boolean => {
                array.as_boolean().value(row).into_pyobject(py)?.to_owned().into_any().unbind()
            }
            DataType::UInt8 => {
                array.as_primitive::<UInt8Type>().value(row).into_pyobject(py)?.into_any().unbind()
            }
            DataType::UInt16 => {
                array.as_primitive::<UInt16Type>().value(row).into_pyobject(py)?.into_any().unbind()
            }
            DataType::UInt32 => {
                array.as_primitive::<UInt32Type>().value(row).into_pyobject(py)?.into_any().unbind()
            }
            DataType::UInt64 => {
                array.as_primitive::<UInt64Type>().value(row).into_pyobject(py)?.into_any().unbind()
            }
            DataType::Timestamp(..) => array
                .as_primitive::<TimestampNanosecondType>()
                .value(row)
                .into_pyobject(py)?
                .into_any()
                .unbind(),
            DataType::Utf8 => PyString::new(py, array.as_string::<i32>().value(row)).into_any().unbind(),
            _ => PyBytes::new(py, array.as_binary::<i64>().value(row)).into_any().unbind(),
        })
    }
}

#[pymethods]
impl Column {
    fn __len__(&self) -> usize {
        self.array.len()
    }

    fn __getitem__(&self, py: Python<'_>, row: isize) -> PyResult<Py<PyAny>> {
        let length = self.array.len();
        let row = if row < 0 { row.checked_add_unsigned(length) } else { Some(row) };
        let row = row.and_then(|row| usize::try_from(row).ok()).filter(|row| *row < length);
        self.at(py, row.ok_or_else(|| pyo3::exceptions::PyIndexError::new_err("no such row"))?)
    }

    fn __iter__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(PyList::new(py, self.to_list(py)?)?.try_iter()?.into_any().unbind())
    }

    /// Its values as a list; `None` where the field did not apply.
    fn to_list(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        (0..self.array.len()).map(|row| self.at(py, row)).collect()
    }

    /// A NumPy array: of numbers, without a copy; of text and bytes, of objects.
    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__(slf: &Bound<'_, Self>, dtype: Option<Py<PyAny>>, copy: Option<bool>) -> PyResult<Py<PyAny>> {
        let name = if slf.get().numbers.is_some() { "numbers" } else { "objects" };
        slf.py().import("midsock._columns")?.call_method1(name, (slf, dtype, copy)).map(Bound::unbind)
    }

    /// NumPy's name for its type; `None` for text and bytes.
    #[getter]
    fn _dtype(&self) -> Option<&'static str> {
        Some(match self.array.data_type() {
            DataType::Boolean => "?",
            DataType::UInt8 => "u1",
            DataType::UInt16 => "u2",
            DataType::UInt32 => "u4",
            DataType::UInt64 => "u8",
            DataType::Timestamp(..) => "M8[ns]",
            _ => return None,
        })
    }

    /// The column as an Arrow array (Arrow PyCapsule interface).
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_array__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Capsules<'py>> {
        drop(requested_schema);
        export(py, &self.array)
    }

    #[allow(unsafe_code)] // the buffer protocol hands out a pointer; see `buffer`
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut pyo3::ffi::Py_buffer,
        flags: std::ffi::c_int,
    ) -> PyResult<()> {
        // SAFETY: Python calls this with a view that it owns and that is not yet filled.
        unsafe { crate::buffer::fill(slf, view, flags) }
    }

    #[allow(unsafe_code)] // see `__getbuffer__`
    unsafe fn __releasebuffer__(&self, view: *mut pyo3::ffi::Py_buffer) {
        // SAFETY: Python calls this once for a view that `__getbuffer__` filled.
        unsafe { crate::buffer::release(view) }
    }

    fn __repr__(&self) -> String {
        format!("<midsock.Column {} of {}>", self.array.len(), self.array.data_type())
    }
}
