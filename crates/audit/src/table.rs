//! All rows as a table in a Parquet file: a row a case, a column a number, for whoever goes on with other programs.

use std::io::Write;
use std::sync::Arc;

use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::types::Type;
use serde::Serialize;

use crate::agreement::Agreement;
use crate::observed::{Change, Observed};
use crate::summary::Row;

/// A column, whose values may be missing.
enum Column {
    Text(Vec<Option<String>>),
    Number(Vec<Option<f64>>),
    Flag(Vec<Option<bool>>),
}

impl Column {
    fn kind(&self) -> Physical {
        match self {
            Self::Text(_) => Physical::BYTE_ARRAY,
            Self::Number(_) => Physical::DOUBLE,
            Self::Flag(_) => Physical::BOOLEAN,
        }
    }

    fn schema(&self, name: &str) -> Result<Type, ParquetError> {
        let text = matches!(self, Self::Text(_)).then_some(LogicalType::String);
        Type::primitive_type_builder(name, self.kind())
            .with_repetition(Repetition::OPTIONAL)
            .with_logical_type(text)
            .build()
    }

    fn write(&self, writer: &mut SerializedColumnWriter<'_>) -> Result<(), ParquetError> {
        /// 1 where there is a value.
        fn levels<T>(values: &[Option<T>]) -> Vec<i16> {
            values.iter().map(|value| i16::from(value.is_some())).collect()
        }
        match self {
            Self::Text(values) => {
                let present = values.iter().flatten().map(|text| ByteArray::from(text.as_str()));
                let present: Vec<ByteArray> = present.collect();
                let typed = writer.typed::<ByteArrayType>();
                typed.write_batch(&present, Some(&levels(values)), None)?;
            }
            Self::Number(values) => {
                let present: Vec<f64> = values.iter().flatten().copied().collect();
                let typed = writer.typed::<DoubleType>();
                typed.write_batch(&present, Some(&levels(values)), None)?;
            }
            Self::Flag(values) => {
                let present: Vec<bool> = values.iter().flatten().copied().collect();
                let typed = writer.typed::<BoolType>();
                typed.write_batch(&present, Some(&levels(values)), None)?;
            }
        }
        Ok(())
    }
}

/// Writes the rows. Columns: what [`Row`] and [`Observed`] say, each change as `CHANGE_flipped` and `CHANGE_log_probability`, each measure
/// of the relevancy's map as `map_MEASURE`; what is unknown is null.
///
/// # Errors
/// What writing fails with.
pub fn write_parquet(rows: &[Row], out: impl Write + Send) -> Result<(), ParquetError> {
    let columns = columns(rows);
    let fields = columns.iter().map(|(name, column)| Ok(Arc::new(column.schema(name)?)));
    let fields = fields.collect::<Result<Vec<_>, ParquetError>>()?;
    let schema = Type::group_type_builder("cases").with_fields(fields).build()?;
    let properties = WriterProperties::builder().build();
    let mut file = SerializedFileWriter::new(out, Arc::new(schema), Arc::new(properties))?;
    let mut group = file.next_row_group()?;
    for (_, column) in &columns {
        if let Some(mut writer) = group.next_column()? {
            column.write(&mut writer)?;
            writer.close()?;
        }
    }
    group.close()?;
    file.close()?;
    Ok(())
}

fn columns(rows: &[Row]) -> Vec<(String, Column)> {
    let text = |of: &dyn Fn(&Row) -> Option<String>| Column::Text(rows.iter().map(of).collect());
    let number = |of: &dyn Fn(&Row) -> Option<f64>| Column::Number(rows.iter().map(of).collect());
    let flag = |of: &dyn Fn(&Row) -> Option<bool>| Column::Flag(rows.iter().map(of).collect());
    let seen = |of: fn(&Observed) -> Option<f64>| {
        Column::Number(rows.iter().map(|row| of(row.observed.as_ref()?)).collect())
    };
    let word = |of: &dyn Fn(&Observed) -> Option<String>| text(&|row| of(row.observed.as_ref()?));
    let map = |of: fn(&Agreement) -> f64| {
        number(&|row| Some(of(&row.observed.as_ref()?.maps.first()?.own?)))
    };
    let certificate = |of: fn(&crate::Certified) -> Option<f64>| {
        number(&|row| of(row.observed.as_ref()?.certificate.as_ref()?))
    };
    let mut columns = vec![
        ("id", text(&|row| Some(row.id.clone()))),
        ("patient", number(&|row| Some(row.patient as f64))),
        ("label", text(&|row| row.label.clone())),
        ("group", text(&|row| row.group.clone())),
        ("error", text(&|row| row.error.clone())),
        ("right_answer", text(&|row| row.right_answer.clone())),
        ("answer", word(&|it| Some(it.answer.clone()))),
        ("right", flag(&Row::is_right)),
        ("word", word(&|it| Some(it.word.text.clone()))),
        ("word_choice", word(&|it| name(&it.word.choice))),
        ("word_stated", word(&|it| name(&it.word.stated))),
        ("log_probability", seen(|it| Some(it.word.log_probability))),
        ("used", word(&|it| name(&it.used()?))),
        ("picture_use", seen(Observed::picture_use)),
        ("part_in_pixels", seen(|it| it.part_in_pixels().map(f64::from))),
        ("part_in_cells", seen(Observed::part_in_cells)),
        ("relevancy_outside", seen(Observed::relevancy_outside)),
        ("effect_outside", seen(Observed::effect_outside)),
        ("shortcut", seen(Observed::shortcut)),
        ("map_pointing", map(|it| it.pointing)),
        ("map_mass", map(|it| it.mass)),
        ("map_mass_over_chance", map(|it| it.mass_over_chance)),
        ("map_rank_accuracy", map(|it| it.rank_accuracy)),
        ("map_iou", map(|it| it.iou)),
        ("certificate_srg", certificate(|it| it.srg)),
        ("certificate_z", certificate(|it| it.z)),
        ("certificate_p", certificate(|it| it.p)),
        ("seconds", seen(|it| Some(it.seconds))),
    ]
    .into_iter()
    .map(|(name, column)| (name.to_owned(), column))
    .collect::<Vec<_>>();
    for change in Change::ALL {
        let named = |what: &str| format!("{}_{what}", change.name().replace('-', "_"));
        let by = |row: &Row| row.observed.as_ref()?.by(change).cloned();
        columns.push((named("flipped"), flag(&|row| by(row)?.flipped)));
        columns.push((named("answer"), text(&|row| by(row)?.answer)));
        columns.push((named("log_probability"), number(&|row| Some(by(row)?.log_probability))));
    }
    columns
}

/// The name of a value in JSON.
fn name(value: &impl Serialize) -> Option<String> {
    serde_json::to_value(value).ok()?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;

    use super::*;
    use crate::summary::tests::{row, sound};

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let mut failed = row(1, sound());
        (failed.observed, failed.error) = (None, Some("no such file: ä".to_owned()));
        let rows = [row(0, sound()), failed];
        let mut file = tempfile::tempfile().unwrap();
        write_parquet(&rows, &mut file).unwrap();
        let reader = SerializedFileReader::new(file).unwrap();
        let names: Vec<String> = reader
            .metadata()
            .file_metadata()
            .schema_descr()
            .columns()
            .iter()
            .map(|column| column.name().to_owned())
            .collect();
        let at = |name: &str| names.iter().position(|it| it == name).unwrap();
        let found: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].get_string(at("id")).unwrap(), "case 0");
        assert!(found[0].get_bool(at("blank_flipped")).unwrap());
        assert!(!found[0].get_bool(at("irrelevant_hidden_flipped")).unwrap());
        let mass = found[0].get_double(at("map_mass")).unwrap();
        assert!((mass - 0.75).abs() < 1e-12);
        assert_eq!(found[0].get_string(at("used")).unwrap(), "yes");
        assert_eq!(found[1].get_string(at("error")).unwrap(), "no such file: ä");
        assert!(found[1].get_double(at("map_mass")).is_err(), "null");
    }
}
