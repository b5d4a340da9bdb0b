//! Values, lists and lists of lists as the leaves of Parquet columns, and back.
//!
//! Parquet stores the values of a column in one sequence, with two small numbers for each: the repetition level says which list is
//! continued (0: a new row), the definition level how much of the way to a value exists (the highest: there is one).

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::column::reader::get_typed_column_reader;
use parquet::data_type::{
    BoolType, ByteArray, ByteArrayType, DataType, DoubleType, FloatType, Int32Type, Int64Type,
};
use parquet::errors::{ParquetError, Result};
use parquet::file::reader::RowGroupReader;
use parquet::file::writer::SerializedColumnWriter;
use parquet::schema::types::Type;

/// A value that a column holds.
pub(crate) trait Value: Sized {
    /// How Parquet stores it.
    type Stored: DataType;
    /// What Parquet calls it, beside how it is stored.
    const LOGICAL: Option<LogicalType> = None;

    fn stored(&self) -> <Self::Stored as DataType>::T;
    fn restored(stored: <Self::Stored as DataType>::T) -> Result<Self>;
}

macro_rules! plain {
    ($($value:ty as $stored:ty),*) => {$(
        impl Value for $value {
            type Stored = $stored;
            fn stored(&self) -> Self {
                *self
            }
            fn restored(stored: Self) -> Result<Self> {
                Ok(stored)
            }
        }
    )*};
}
plain!(bool as BoolType, i32 as Int32Type, i64 as Int64Type, f32 as FloatType, f64 as DoubleType);

impl Value for String {
    type Stored = ByteArrayType;
    const LOGICAL: Option<LogicalType> = Some(LogicalType::String);

    fn stored(&self) -> ByteArray {
        self.as_bytes().to_vec().into()
    }

    fn restored(stored: ByteArray) -> Result<Self> {
        Ok(stored.as_utf8()?.to_owned())
    }
}

impl Value for Bytes {
    type Stored = ByteArrayType;

    fn stored(&self) -> ByteArray {
        self.clone().into()
    }

    fn restored(stored: ByteArray) -> Result<Self> {
        Ok(Self::copy_from_slice(stored.data()))
    }
}

/// The content of a column.
pub(crate) struct Leaf<T: DataType> {
    pub(crate) values: Vec<T::T>,
    pub(crate) definition: Vec<i16>,
    pub(crate) repetition: Vec<i16>,
}

impl<T: DataType> Leaf<T> {
    fn push(&mut self, repetition: i16, definition: i16, value: Option<T::T>) {
        self.repetition.push(repetition);
        self.definition.push(definition);
        self.values.extend(value);
    }

    /// The slots: repetition, definition, and the value where the definition is the highest.
    fn slots(self, highest: i16) -> impl Iterator<Item = Result<(i16, i16, Option<T::T>)>> {
        let mut values = self.values.into_iter();
        self.repetition.into_iter().zip(self.definition).map(move |(repetition, definition)| {
            let value = if definition == highest {
                Some(values.next().ok_or_else(|| broken("a value is missing"))?)
            } else {
                None
            };
            Ok((repetition, definition, value))
        })
    }
}

/// What a column holds for a row.
pub(crate) trait Shape: Sized {
    type Item: Value;
    /// Lists in lists: 0 for a single value.
    const LISTS: i16;
    /// Whether the innermost value may be missing.
    const OPTIONAL: bool;
    /// The definition level of a value.
    const HIGHEST: i16 = Self::LISTS + Self::OPTIONAL as i16;

    fn push(&self, leaf: &mut Leaf<<Self::Item as Value>::Stored>);
    /// A cell for each row.
    fn cells(leaf: Leaf<<Self::Item as Value>::Stored>) -> Result<Vec<Self>>;
}

impl<V: Value> Shape for Option<V> {
    type Item = V;
    const LISTS: i16 = 0;
    const OPTIONAL: bool = true;

    fn push(&self, leaf: &mut Leaf<V::Stored>) {
        leaf.push(0, i16::from(self.is_some()), self.as_ref().map(V::stored));
    }

    fn cells(leaf: Leaf<V::Stored>) -> Result<Vec<Self>> {
        leaf.slots(Self::HIGHEST).map(|slot| slot?.2.map(V::restored).transpose()).collect()
    }
}

/// A list of items, each with its definition level above that of an empty list.
fn push_list<T: DataType>(leaf: &mut Leaf<T>, items: impl Iterator<Item = (i16, Option<T::T>)>) {
    let mut repetition = 0;
    for (definition, value) in items {
        leaf.push(repetition, definition, value);
        repetition = 1;
    }
    if repetition == 0 {
        leaf.push(0, 0, None);
    }
}

/// The rows of lists, and whether each slot is an item.
fn list_cells<T: DataType, I>(
    leaf: Leaf<T>,
    highest: i16,
    item: impl Fn(Option<T::T>) -> Result<I>,
) -> Result<Vec<Vec<I>>> {
    let mut rows: Vec<Vec<I>> = Vec::new();
    for slot in leaf.slots(highest) {
        let (repetition, definition, value) = slot?;
        if repetition == 0 {
            rows.push(Vec::new());
        }
        let row = rows.last_mut().ok_or_else(|| broken("it begins within a list"))?;
        if 0 < definition {
            row.push(item(value)?);
        }
    }
    Ok(rows)
}

impl<V: Value> Shape for Vec<V> {
    type Item = V;
    const LISTS: i16 = 1;
    const OPTIONAL: bool = false;

    fn push(&self, leaf: &mut Leaf<V::Stored>) {
        push_list(leaf, self.iter().map(|value| (1, Some(value.stored()))));
    }

    fn cells(leaf: Leaf<V::Stored>) -> Result<Vec<Self>> {
        list_cells(leaf, Self::HIGHEST, |value| {
            V::restored(value.ok_or_else(|| broken("an item of a list is missing"))?)
        })
    }
}

impl<V: Value> Shape for Vec<Option<V>> {
    type Item = V;
    const LISTS: i16 = 1;
    const OPTIONAL: bool = true;

    fn push(&self, leaf: &mut Leaf<V::Stored>) {
        let item =
            |value: &Option<V>| (1 + i16::from(value.is_some()), value.as_ref().map(V::stored));
        push_list(leaf, self.iter().map(item));
    }

    fn cells(leaf: Leaf<V::Stored>) -> Result<Vec<Self>> {
        list_cells(leaf, Self::HIGHEST, |value| value.map(V::restored).transpose())
    }
}

impl<V: Value> Shape for Vec<Vec<V>> {
    type Item = V;
    const LISTS: i16 = 2;
    const OPTIONAL: bool = false;

    fn push(&self, leaf: &mut Leaf<V::Stored>) {
        if self.is_empty() {
            leaf.push(0, 0, None);
        }
        for (at, inner) in self.iter().enumerate() {
            let first = i16::from(0 < at);
            if inner.is_empty() {
                leaf.push(first, 1, None);
            }
            for (at, value) in inner.iter().enumerate() {
                leaf.push(if at == 0 { first } else { 2 }, 2, Some(value.stored()));
            }
        }
    }

    fn cells(leaf: Leaf<V::Stored>) -> Result<Vec<Self>> {
        let mut rows: Vec<Self> = Vec::new();
        for slot in leaf.slots(Self::HIGHEST) {
            let (repetition, definition, value) = slot?;
            if repetition == 0 {
                rows.push(Vec::new());
            }
            let row = rows.last_mut().ok_or_else(|| broken("it begins within a list"))?;
            if repetition < 2 && 0 < definition {
                row.push(Vec::new());
            }
            if let Some(value) = value {
                let inner = row.last_mut().ok_or_else(|| broken("it begins within a list"))?;
                inner.push(V::restored(value)?);
            }
        }
        Ok(rows)
    }
}

/// The schema of a column: lists as the Parquet format wants them, `list` with `element`.
pub(crate) fn schema<S: Shape>(name: &str) -> Result<Type> {
    let innermost = if S::LISTS == 0 { name } else { "element" };
    let repetition = if S::OPTIONAL { Repetition::OPTIONAL } else { Repetition::REQUIRED };
    let physical = <<S::Item as Value>::Stored as DataType>::get_physical_type();
    let mut kind = Type::primitive_type_builder(innermost, physical)
        .with_repetition(repetition)
        .with_logical_type(S::Item::LOGICAL)
        .build()?;
    for level in (0..S::LISTS).rev() {
        let list = Type::group_type_builder("list")
            .with_repetition(Repetition::REPEATED)
            .with_fields(vec![Arc::new(kind)])
            .build()?;
        kind = Type::group_type_builder(if level == 0 { name } else { "element" })
            .with_repetition(Repetition::REQUIRED)
            .with_logical_type(Some(LogicalType::List))
            .with_fields(vec![Arc::new(list)])
            .build()?;
    }
    Ok(kind)
}

/// Writes a column of a row group.
pub(crate) fn write<'a, S: Shape + 'a>(
    cells: impl Iterator<Item = &'a S>,
    writer: &mut SerializedColumnWriter<'_>,
) -> Result<()> {
    let mut leaf = Leaf { values: Vec::new(), definition: Vec::new(), repetition: Vec::new() };
    cells.for_each(|cell| cell.push(&mut leaf));
    let repetition = (0 < S::LISTS).then_some(leaf.repetition.as_slice());
    let typed = writer.typed::<<S::Item as Value>::Stored>();
    typed.write_batch(&leaf.values, Some(&leaf.definition), repetition)?;
    Ok(())
}

/// Reads the column of this name of a row group: a cell for each row.
pub(crate) fn read<S: Shape>(group: &dyn RowGroupReader, name: &str) -> Result<Vec<S>> {
    let n_rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
    let mut columns = group.metadata().columns().iter();
    let named = |parts: &[String]| parts.first().is_some_and(|first| first == name);
    let at = columns
        .position(|column| named(column.column_descr().path().parts()))
        .ok_or_else(|| broken(&format!("it has no column {name}")))?;
    let column = group.metadata().column(at).column_descr();
    let physical: Physical = <<S::Item as Value>::Stored as DataType>::get_physical_type();
    let levels = (column.max_def_level(), column.max_rep_level());
    if column.physical_type() != physical || levels != (S::HIGHEST, S::LISTS) {
        return Err(broken(&format!("its column {name} is of another type")));
    }
    let mut reader =
        get_typed_column_reader::<<S::Item as Value>::Stored>(group.get_column_reader(at)?);
    let mut leaf = Leaf { values: Vec::new(), definition: Vec::new(), repetition: Vec::new() };
    while {
        let Leaf { values, definition, repetition } = &mut leaf;
        let levels = (0 < S::LISTS).then_some(repetition);
        0 < reader.read_records(n_rows, Some(definition), levels, values)?.0
    } {}
    leaf.repetition.resize(leaf.definition.len(), 0);
    let cells = S::cells(leaf)?;
    if cells.len() != n_rows {
        return Err(broken(&format!("its column {name} has another number of rows")));
    }
    Ok(cells)
}

pub(crate) fn broken(what: &str) -> ParquetError {
    ParquetError::General(what.to_owned())
}
