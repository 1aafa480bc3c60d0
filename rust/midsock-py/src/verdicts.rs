//! Verdicts from what handlers return.

use midsock_core::Verdict;
use pyo3::buffer::PyBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use crate::enums;

/// The verdict that a handler returned; it is not `None`.
pub(crate) fn of_packet(answer: &Bound<'_, PyAny>) -> PyResult<Verdict> {
    enums::to_verdict(answer)?.ok_or_else(|| {
        let kind = answer.get_type();
        PyTypeError::new_err(format!(
            "between two ports a handler returns a midsock.Verdict, such as midsock.DROP, or None, not {kind}"
        ))
    })
}

/// The verdicts on a batch's rows that a handler returned: one for all of them, or a number for each in a buffer or
/// anything else that can be iterated over.
pub(crate) fn of_rows(answer: &Bound<'_, PyAny>, rows: usize) -> PyResult<Vec<Verdict>> {
    if let Some(verdict) = enums::to_verdict(answer)? {
        return Ok(vec![verdict; rows]);
    }
    let numbers = match of_buffer(answer) {
        Some(numbers) => numbers,
        None => of_items(answer)?,
    };
    let verdict = |(row, number): (usize, &Option<u8>)| {
        let known = number.and_then(|number| Verdict::ALL.get(usize::from(number)));
        known
            .copied()
            .ok_or_else(|| PyValueError::new_err(format!("what row {row} has is no verdict: 0 to 3 are")))
    };
    numbers.iter().enumerate().map(verdict).collect()
}

/// The numbers of a buffer of integers with one dimension; none within for those that are no byte.
fn of_buffer(answer: &Bound<'_, PyAny>) -> Option<Vec<Option<u8>>> {
    macro_rules! try_types {
        ($($type:ty),*) => {
            $(if let Ok(buffer) = PyBuffer::<$type>::get(answer) {
                if buffer.dimensions() != 1 {
                    return None;
                }
                let numbers = buffer.to_vec(answer.py()).ok()?;
                return Some(numbers.into_iter().map(|number| u8::try_from(number).ok()).collect());
            })*
        };
    }
    // NumPy's own choices first.
    try_types!(i64, u8, i32, u32, u64, i8, i16, u16);
    None
}

fn of_items(answer: &Bound<'_, PyAny>) -> PyResult<Vec<Option<u8>>> {
    let wrong = |kind: String| {
        PyTypeError::new_err(format!(
            "between two ports a handler of batches returns None, a midsock.Verdict for all rows or one for each, not \
             {kind}"
        ))
    };
    let items = answer.try_iter().map_err(|_| wrong(answer.get_type().to_string()))?;
    let number = |item: PyResult<Bound<'_, PyAny>>| {
        let item = item?;
        // Which of the two a flag would stand for cannot be known.
        if item.is_instance_of::<PyBool>() {
            return Err(wrong("flags".to_owned()));
        }
        let number: i64 = item.extract().map_err(|_| wrong(format!("those of {}", item.get_type())))?;
        Ok(u8::try_from(number).ok())
    };
    items.map(number).collect()
}
