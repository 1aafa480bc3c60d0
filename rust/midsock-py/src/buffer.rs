//! What cannot be said without raw pointers: the buffer protocol for columns of numbers, and whether an object is
//! shared. The only unsafe code of the binding.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_int, c_void};
use std::ptr;

use arrow_array::cast::AsArray;
use arrow_array::types::{TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type};
use arrow_array::{Array, ArrayRef};
use arrow_buffer::Buffer;
use arrow_schema::DataType;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::batch::Column;

/// Numbers in memory, and how Python names their type.
pub(crate) struct Numbers {
    buffer: Buffer,
    format: &'static CStr,
    item_size: usize,
}

impl Numbers {
    /// The numbers of an array; none if it holds text or bytes.
    pub(crate) fn of(array: &ArrayRef) -> Option<Numbers> {
        let (buffer, format, item_size) = match array.data_type() {
            // Arrow packs eight flags to a byte, the buffer protocol does not.
            DataType::Boolean => {
                let bytes: Vec<u8> = array.as_boolean().values().iter().map(u8::from).collect();
                (Buffer::from_vec(bytes), c"?", 1)
            }
            DataType::UInt8 => (array.as_primitive::<UInt8Type>().values().inner().clone(), c"B", 1),
            DataType::UInt16 => (array.as_primitive::<UInt16Type>().values().inner().clone(), c"H", 2),
            DataType::UInt32 => (array.as_primitive::<UInt32Type>().values().inner().clone(), c"I", 4),
            DataType::UInt64 => (array.as_primitive::<UInt64Type>().values().inner().clone(), c"Q", 8),
            DataType::Timestamp(..) => {
                (array.as_primitive::<TimestampNanosecondType>().values().inner().clone(), c"q", 8)
            }
            _ => return None,
        };
        Some(Numbers { buffer, format, item_size })
    }
}

/// Shape and strides of a view, which it points to.
struct Shape {
    shape: [ffi::Py_ssize_t; 1],
    strides: [ffi::Py_ssize_t; 1],
}

/// Fills a view of a column's numbers.
///
/// # Safety
/// `view` must be valid for writing, as Python promises to `__getbuffer__`.
pub(crate) unsafe fn fill(
    column: Bound<'_, Column>,
    view: *mut ffi::Py_buffer,
    flags: c_int,
) -> PyResult<()> {
    if view.is_null() {
        return Err(PyBufferError::new_err("no view to fill"));
    }
    if flags & ffi::PyBUF_WRITABLE == ffi::PyBUF_WRITABLE {
        return Err(PyBufferError::new_err("a column is read-only: copy it to change it"));
    }
    let Some(numbers) = &column.get().numbers else {
        return Err(PyBufferError::new_err(
            "a column of text or bytes has no buffer: use to_list() or Arrow",
        ));
    };
    let shape = Box::new(Shape {
        shape: [(numbers.buffer.len() / numbers.item_size) as ffi::Py_ssize_t],
        strides: [numbers.item_size as ffi::Py_ssize_t],
    });
    let shape = Box::into_raw(shape);
    // SAFETY: the view is valid for writing. What it points to lives as long as it: the numbers belong to the column,
    // of which the view holds a reference, are never changed or moved, and the shape is freed by `release` only.
    unsafe {
        (*view).buf = numbers.buffer.as_ptr().cast_mut().cast::<c_void>();
        (*view).len = numbers.buffer.len() as ffi::Py_ssize_t;
        (*view).readonly = 1;
        (*view).itemsize = numbers.item_size as ffi::Py_ssize_t;
        (*view).format = if flags & ffi::PyBUF_FORMAT == ffi::PyBUF_FORMAT {
            numbers.format.as_ptr().cast_mut()
        } else {
            ptr::null_mut()
        };
        (*view).ndim = 1;
        (*view).shape = (&raw mut (*shape).shape).cast();
        (*view).strides = (&raw mut (*shape).strides).cast();
        (*view).suboffsets = ptr::null_mut();
        (*view).internal = shape.cast::<c_void>();
        (*view).obj = column.into_any().into_ptr();
    }
    Ok(())
}

/// Frees what `fill` allocated for a view.
///
/// # Safety
/// `view` must have been filled by [`fill`] and not been released before.
pub(crate) unsafe fn release(view: *mut ffi::Py_buffer) {
    // SAFETY: `internal` is the shape that `fill` leaked into this view, freed once.
    drop(unsafe { Box::from_raw((*view).internal.cast::<Shape>()) });
}

/// Whether nobody but the caller holds a reference to this object.
pub(crate) fn is_unshared<T>(object: &Py<T>, _attached: Python<'_>) -> bool {
    // SAFETY: the pointer is that of a live object, and the interpreter is attached.
    unsafe { ffi::Py_REFCNT(object.as_ptr()) == 1 }
}
