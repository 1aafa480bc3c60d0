//! Events as columns: what batches collect and hand over.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, LargeBinaryBuilder, PrimitiveBuilder, StringBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{DataType, Field as ColumnField, Schema, TimeUnit};

use super::{EventDetail, Field, Kind, Scene, Type, Value};

/// Which columns a batch has and when it is handed over.
#[derive(Clone, Debug)]
pub struct BatchSpec {
    /// The columns, in order.
    pub columns: Vec<Field>,
    /// Rows after which it is handed over at the end of a burst; 0: at the end of every burst that has any.
    pub size: usize,
}

/// Collects rows.
pub struct Batch {
    spec: BatchSpec,
    schema: Arc<Schema>,
    coalesces: bool,
    columns: Vec<Column>,
    rows: usize,
    /// The row of a flow's side in this burst, and the stream offset at which it ends.
    open_rows: HashMap<u64, (usize, u64), BuildHasherDefault<FlowHasher>>,
}

/// A column while rows are added.
enum Column {
    Bool(BooleanBuilder),
    U8(PrimitiveBuilder<UInt8Type>),
    U16(PrimitiveBuilder<UInt16Type>),
    U32(PrimitiveBuilder<UInt32Type>),
    U64(PrimitiveBuilder<UInt64Type>),
    Time(PrimitiveBuilder<TimestampNanosecondType>),
    Text(StringBuilder),
    Bytes(LargeBinaryBuilder),
    /// Numbers and bytes that later events of the burst may still add to.
    OpenLength(Vec<u64>),
    OpenBytes(OpenBytes),
}

/// Byte strings of which any row of the burst may still grow.
#[derive(Default)]
struct OpenBytes {
    /// Rows that are finished, one behind the other.
    data: Vec<u8>,
    ends: Vec<usize>,
    /// What rows of this burst got after the row behind them had begun: the row, and the bytes.
    late: Vec<(usize, Vec<u8>)>,
}

impl OpenBytes {
    fn push(&mut self, bytes: &[u8]) {
        self.data.extend_from_slice(bytes);
        self.ends.push(self.data.len());
    }

    fn extend(&mut self, row: usize, bytes: &[u8]) {
        if row + 1 == self.ends.len() {
            self.data.extend_from_slice(bytes);
            self.ends[row] = self.data.len();
        } else {
            self.late.push((row, bytes.to_vec()));
        }
    }

    /// Puts what came late where it belongs.
    fn close(&mut self) {
        if self.late.is_empty() {
            return;
        }
        self.late.sort_by_key(|(row, _)| *row);
        let first = self.late[0].0;
        let start = if first == 0 { 0 } else { self.ends[first - 1] };
        let tail = self.data.split_off(start);
        let (mut late, mut from) = (self.late.drain(..).peekable(), 0);
        for row in first..self.ends.len() {
            let to = self.ends[row] - start;
            self.data.extend_from_slice(&tail[from..to]);
            from = to;
            while let Some((_, bytes)) = late.next_if(|(late, _)| *late == row) {
                self.data.extend_from_slice(&bytes);
            }
            self.ends[row] = self.data.len();
        }
    }
}

/// Flow numbers are spread by a multiplication; nobody outside chooses them.
#[derive(Default)]
struct FlowHasher(u64);

impl Hasher for FlowHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = (self.0 ^ value).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}

impl Batch {
    /// A batch without rows. If `coalesces`, new data of one flow's side becomes one row per burst.
    pub fn new(spec: BatchSpec, coalesces: bool) -> Batch {
        let fields: Vec<ColumnField> = spec
            .columns
            .iter()
            .map(|field| ColumnField::new(field.name(), data_type(field.ty()), true))
            .collect();
        let columns = spec.columns.iter().map(|field| Column::new(*field, coalesces)).collect();
        let schema = Arc::new(Schema::new(fields));
        Batch { spec, schema, coalesces, columns, rows: 0, open_rows: HashMap::default() }
    }

    /// Whether it looks at the bytes of streams.
    pub fn wants_data(&self) -> bool {
        self.spec.columns.iter().any(|field| field.wants_data())
    }

    /// Adds an event as a row, or to the row that its flow's side has in this burst; returns the number of the row.
    pub fn push(&mut self, scene: &Scene<'_>) -> usize {
        if let (true, Kind::NewData, EventDetail::Bytes { offset, length }, Some(view)) =
            (self.coalesces, scene.event.kind, scene.event.detail, scene.flow)
        {
            let key = view.number << 1 | scene.event.side as u64;
            let (row, end) = self.open_rows.entry(key).or_insert((self.rows, offset));
            let continues = *row < self.rows && *end == offset;
            *end = offset + length;
            if continues {
                for column in &mut self.columns {
                    match column {
                        Column::OpenLength(lengths) => lengths[*row] += length,
                        Column::OpenBytes(bytes) => bytes.extend(*row, scene.data),
                        _ => {}
                    }
                }
                return *row;
            }
            *row = self.rows;
        }
        for (field, column) in self.spec.columns.iter().zip(&mut self.columns) {
            column.push(field.get(scene));
        }
        self.rows += 1;
        self.rows - 1
    }

    /// The burst is over: later events make rows of their own.
    pub fn end_burst(&mut self) {
        if self.rows == 0 {
            return;
        }
        self.open_rows.clear();
        for column in &mut self.columns {
            if let Column::OpenBytes(bytes) = column {
                bytes.close();
            }
        }
    }

    /// Whether there are as many rows as a batch is to have.
    pub fn is_full(&self) -> bool {
        self.rows >= self.spec.size.max(1)
    }

    /// Takes out the rows collected so far; between bursts only.
    ///
    /// # Panics
    /// Never: every column gets a value per row.
    pub fn take(&mut self) -> Option<RecordBatch> {
        if self.rows == 0 {
            return None;
        }
        self.rows = 0;
        let arrays: Vec<ArrayRef> = self.columns.iter_mut().map(Column::finish).collect();
        // Every column got a value per row, of the type that the schema was made of.
        Some(RecordBatch::try_new(self.schema.clone(), arrays).expect("columns of one length"))
    }
}

fn data_type(ty: Type) -> DataType {
    match ty {
        Type::Bool => DataType::Boolean,
        Type::U8 => DataType::UInt8,
        Type::U16 => DataType::UInt16,
        Type::U32 => DataType::UInt32,
        Type::U64 => DataType::UInt64,
        Type::Time => DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        Type::Ip | Type::Mac | Type::Text => DataType::Utf8,
        Type::Bytes => DataType::LargeBinary,
    }
}

/// Appends a number that fits the column, as its field's type promises.
fn append<T: ArrowPrimitiveType>(builder: &mut PrimitiveBuilder<T>, value: Option<Value<'_>>)
where
    T::Native: TryFrom<u64>,
{
    builder.append_option(match value {
        Some(Value::Int(value)) => T::Native::try_from(value).ok(),
        _ => None,
    });
}

impl Column {
    fn new(field: Field, coalesces: bool) -> Column {
        match field {
            Field::EventLength if coalesces => return Column::OpenLength(Vec::new()),
            Field::Data if coalesces => return Column::OpenBytes(OpenBytes::default()),
            _ => {}
        }
        match field.ty() {
            Type::Bool => Column::Bool(BooleanBuilder::new()),
            Type::U8 => Column::U8(PrimitiveBuilder::new()),
            Type::U16 => Column::U16(PrimitiveBuilder::new()),
            Type::U32 => Column::U32(PrimitiveBuilder::new()),
            Type::U64 => Column::U64(PrimitiveBuilder::new()),
            Type::Time => Column::Time(PrimitiveBuilder::new().with_timezone("UTC")),
            Type::Ip | Type::Mac | Type::Text => Column::Text(StringBuilder::new()),
            Type::Bytes => Column::Bytes(LargeBinaryBuilder::new()),
        }
    }

    fn push(&mut self, value: Option<Value<'_>>) {
        match self {
            Column::Bool(builder) => builder.append_option(match value {
                Some(Value::Int(value)) => Some(value != 0),
                _ => None,
            }),
            Column::U8(builder) => append(builder, value),
            Column::U16(builder) => append(builder, value),
            Column::U32(builder) => append(builder, value),
            Column::U64(builder) => append(builder, value),
            Column::Time(builder) => builder.append_option(match value {
                Some(Value::Time(value)) => Some(value),
                _ => None,
            }),
            Column::Text(builder) => match value {
                Some(Value::Text(text)) => builder.append_value(text),
                _ => builder.append_option(value.and_then(text)),
            },
            Column::Bytes(builder) => builder.append_option(match value {
                Some(Value::Bytes(bytes)) => Some(bytes),
                _ => None,
            }),
            Column::OpenLength(lengths) => lengths.push(match value {
                Some(Value::Int(value)) => value,
                _ => 0,
            }),
            Column::OpenBytes(open) => open.push(match value {
                Some(Value::Bytes(bytes)) => bytes,
                _ => &[],
            }),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Bool(builder) => Arc::new(builder.finish()),
            Column::U8(builder) => Arc::new(builder.finish()),
            Column::U16(builder) => Arc::new(builder.finish()),
            Column::U32(builder) => Arc::new(builder.finish()),
            Column::U64(builder) => Arc::new(builder.finish()),
            Column::Time(builder) => Arc::new(builder.finish()),
            Column::Text(builder) => Arc::new(builder.finish()),
            Column::Bytes(builder) => Arc::new(builder.finish()),
            Column::OpenLength(lengths) => Arc::new(arrow_array::UInt64Array::from(std::mem::take(lengths))),
            Column::OpenBytes(open) => Arc::new(std::mem::take(open).finish()),
        }
    }
}

impl OpenBytes {
    fn finish(self) -> arrow_array::LargeBinaryArray {
        let offsets: Vec<i64> = std::iter::once(0).chain(self.ends.iter().map(|end| *end as i64)).collect();
        let offsets = arrow_buffer::OffsetBuffer::new(offsets.into());
        arrow_array::LargeBinaryArray::new(offsets, self.data.into(), None)
    }
}

/// An address in the form people write.
#[allow(clippy::many_single_char_names)] // the bytes of a MAC address have no others
fn text(value: Value<'_>) -> Option<String> {
    match value {
        Value::Ip(ip) => Some(ip.to_string()),
        Value::Bytes(&[a, b, c, d, e, f]) => Some(format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")),
        _ => None,
    }
}
