//! The columns, and rows as they stand in them.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Compression;
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::Type;

use super::levels::{self, broken};
use super::row::{DataKind, DataRow};
use crate::{AnswerText, CertificateRow, ImageMap, Problem, Row, RowKind, Run};

/// The version of the form of a part, in its metadata under [`FORMAT_KEY`].
pub(crate) const FORMAT: &str = "1";
/// Where a part says its [`FORMAT`].
pub(crate) const FORMAT_KEY: &str = "explanation-jobs.format";
/// Most bytes of a row group that is read, uncompressed. Parts of this crate have far less.
const LARGEST_GROUP: i64 = 2 << 30;
/// Most rows of a row group.
const MOST_ROWS: usize = 50_000;

macro_rules! columns {
    ($($name:ident: $shape:ty,)*) => {
        /// A row, column by column. In JSON nowhere: the journal has outcomes.
        #[derive(Clone, Debug, Default, PartialEq)]
        pub(crate) struct Flat {
            $(pub(crate) $name: $shape,)*
        }

        /// The names of the columns.
        #[cfg(test)]
        pub(crate) const NAMES: &[&str] = &[$(stringify!($name)),*];

        fn schema() -> Result<Type> {
            let fields = vec![$(Arc::new(levels::schema::<$shape>(stringify!($name))?)),*];
            Type::group_type_builder("explanations").with_fields(fields).build()
        }

        fn write_columns<W: std::io::Write + Send>(
            rows: &[Flat],
            file: &mut SerializedFileWriter<W>,
        ) -> Result<()> {
            let mut group = file.next_row_group()?;
            $(
                let mut writer = group.next_column()?.ok_or_else(|| broken("a column is missing"))?;
                levels::write(rows.iter().map(|row| &row.$name), &mut writer)?;
                writer.close()?;
            )*
            group.close()?;
            Ok(())
        }

        fn read_columns(
            group: &dyn parquet::file::reader::RowGroupReader,
            wanted: &dyn Fn(&str) -> bool,
        ) -> Result<Vec<Flat>> {
            let n_rows = usize::try_from(group.metadata().num_rows()).unwrap_or(0);
            let mut rows = vec![Flat::default(); n_rows];
            $(
                if wanted(stringify!($name)) {
                    let cells = levels::read::<$shape>(group, stringify!($name))?;
                    for (row, cell) in rows.iter_mut().zip(cells) {
                        row.$name = cell;
                    }
                }
            )*
            Ok(rows)
        }
    };
}

// The table in the documentation of `dataset` describes them.
columns! {
    id: Option<String>,
    index: Option<i64>,
    kind: Option<String>,
    asked: Option<String>,
    text: Option<String>,
    positions: Vec<i64>,
    start: Option<i64>,
    end: Option<i64>,
    probability: Option<f64>,
    log_ratio: Option<f64>,
    image_share: Option<f64>,
    picture: Vec<i32>,
    region: Vec<Vec<f64>>,
    grid_rows: Vec<i32>,
    grid_columns: Vec<i32>,
    maps: Vec<Vec<f32>>,
    text_positions: Vec<i64>,
    text_relevancy: Vec<f32>,
    region_names: Vec<String>,
    region_shares: Vec<f64>,
    gain_blanks: Vec<String>,
    gain_nats: Vec<f64>,
    depends_on_picture: Option<String>,
    certificate_operator: Vec<String>,
    certificate_srg: Vec<Option<f64>>,
    certificate_p: Vec<Option<f64>>,
    certificate_ahead: Vec<Option<bool>>,
    answer: Option<String>,
    trace: Option<String>,
    stop: Option<String>,
    model: Option<String>,
    model_sha256: Vec<String>,
    pictures_sha256: Vec<String>,
    settings: Option<String>,
    notes: Vec<String>,
    seconds: Option<f64>,
    program: Option<String>,
    error_kind: Option<String>,
    error_message: Option<String>,
    thumbnail: Option<Bytes>,
}

/// The bytes of a part.
pub(crate) fn write_part(rows: &[Flat]) -> Result<Vec<u8>> {
    let format = KeyValue::new(FORMAT_KEY.to_owned(), FORMAT.to_owned());
    let properties = WriterProperties::builder()
        .set_compression(Compression::SNAPPY)
        .set_created_by(concat!("explanation-jobs version ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_key_value_metadata(Some(vec![format]))
        .build();
    let mut bytes = Vec::new();
    let mut file =
        SerializedFileWriter::new(&mut bytes, Arc::new(schema()?), Arc::new(properties))?;
    rows.chunks(MOST_ROWS).try_for_each(|rows| write_columns(rows, &mut file))?;
    file.close()?;
    Ok(bytes)
}

/// An open part.
pub(crate) struct Part {
    reader: SerializedFileReader<File>,
}

impl Part {
    pub(crate) fn open(file: File) -> Result<Self> {
        guarded(|| Self::checked(SerializedFileReader::new(file)?))
    }

    fn checked(reader: SerializedFileReader<File>) -> Result<Self> {
        let metadata = reader.metadata();
        let format = metadata
            .file_metadata()
            .key_value_metadata()
            .and_then(|pairs| pairs.iter().find(|pair| pair.key == FORMAT_KEY)?.value.as_deref());
        if format != Some(FORMAT) {
            return Err(broken("it is not of this program, or of another version of it"));
        }
        for group in metadata.row_groups() {
            let sizes = (group.num_rows(), group.total_byte_size());
            if !((0..=MOST_ROWS as i64).contains(&sizes.0)
                && (0..=LARGEST_GROUP).contains(&sizes.1))
            {
                return Err(broken("a row group of it is too large to be of this program"));
            }
        }
        Ok(Self { reader })
    }

    /// Its row groups.
    pub(crate) fn n_groups(&self) -> usize {
        self.reader.num_row_groups()
    }

    /// The rows of a row group; columns that are not wanted are empty in them.
    pub(crate) fn rows(&self, group: usize, wanted: &dyn Fn(&str) -> bool) -> Result<Vec<Flat>> {
        guarded(|| read_columns(self.reader.get_row_group(group)?.as_ref(), wanted))
    }
}

/// Numbers in a damaged file make the reader panic.
fn guarded<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(broken("it is damaged")))
}

/// What of a row cannot stand in its column.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

impl Flat {
    /// A row in its columns.
    pub(crate) fn of(data: &DataRow) -> std::result::Result<Self, Unfit> {
        let mut flat = Self {
            id: Some(data.id.clone()),
            index: Some(integer(data.index, "index")?),
            kind: Some(data.kind.name().to_owned()),
            thumbnail: data.thumbnail.clone().map(Bytes::from),
            ..Self::default()
        };
        if let Some(row) = &data.row {
            flat.set_row(row)?;
        }
        if let Some(answer) = &data.answer {
            flat.answer = Some(answer.text.clone());
            flat.trace = (!answer.trace.is_empty()).then(|| answer.trace.clone());
            flat.stop = Some(answer.stop.clone());
        }
        if let Some(run) = &data.run {
            flat.program = Some(run.program.clone());
            flat.model = Some(run.model.clone());
            flat.model_sha256.clone_from(&run.model_sha256);
            flat.pictures_sha256.clone_from(&run.pictures_sha256);
            flat.settings = Some(run.settings.clone());
            flat.notes.clone_from(&run.notes);
            flat.seconds = Some(finite(run.seconds, "seconds")?);
        }
        if let Some(problem) = &data.problem {
            flat.error_kind = Some(problem.kind.name().to_owned());
            flat.error_message = Some(problem.message.clone());
        }
        Ok(flat)
    }

    fn set_row(&mut self, row: &Row) -> std::result::Result<(), Unfit> {
        self.asked = Some(row.asked.clone());
        self.text = Some(row.text.clone());
        self.positions = integers(&row.positions, "positions")?;
        if let Some([start, end]) = row.span {
            (self.start, self.end) = (Some(integer(start, "start")?), Some(integer(end, "end")?));
        }
        self.probability = row.probability.map(|it| finite(it, "probability")).transpose()?;
        self.log_ratio = row.log_ratio.map(|it| finite(it, "log_ratio")).transpose()?;
        self.image_share = row.image_share.map(|it| finite(it, "image_share")).transpose()?;
        for map in &row.maps {
            self.picture.push(small(map.picture, "picture")?);
            self.grid_rows.push(small(map.rows, "grid_rows")?);
            self.grid_columns.push(small(map.columns, "grid_columns")?);
            if !map.region.iter().all(|it| it.is_finite()) {
                return Err(Unfit("region"));
            }
            self.region.push(map.region.to_vec());
            let cells = map.rows.checked_mul(map.columns);
            if cells != Some(map.values.len()) || !map.values.iter().all(|it| it.is_finite()) {
                return Err(Unfit("maps"));
            }
            self.maps.push(map.values.clone());
        }
        self.text_positions = integers(&row.text_positions, "text_positions")?;
        let fits = row.text_relevancy.len() == row.text_positions.len();
        if !fits || !row.text_relevancy.iter().all(|it| it.is_finite()) {
            return Err(Unfit("text_relevancy"));
        }
        self.text_relevancy.clone_from(&row.text_relevancy);
        for (name, share) in &row.regions {
            self.region_names.push(name.clone());
            self.region_shares.push(finite(*share, "region_shares")?);
        }
        for (blank, nats) in &row.gains {
            self.gain_blanks.push(blank.clone());
            self.gain_nats.push(finite(*nats, "gain_nats")?);
        }
        self.depends_on_picture.clone_from(&row.depends_on_picture);
        for certificate in &row.certificate {
            let number =
                |value: Option<f64>, column| value.map(|it| finite(it, column)).transpose();
            self.certificate_operator.push(certificate.operator.clone());
            self.certificate_srg.push(number(certificate.srg, "certificate_srg")?);
            self.certificate_p.push(number(certificate.p, "certificate_p")?);
            self.certificate_ahead.push(certificate.ahead);
        }
        Ok(())
    }

    /// The row that stands in the columns.
    pub(crate) fn into_row(mut self) -> Result<DataRow> {
        let needed = |what: &str| broken(&format!("a row has no {what}, or a foreign one"));
        let kind = self.kind.as_deref().and_then(DataKind::from_name);
        let kind = kind.ok_or_else(|| needed("kind"))?;
        let index = self.index.and_then(|index| usize::try_from(index).ok());
        let index = index.ok_or_else(|| needed("index"))?;
        let row = match kind {
            DataKind::Target => Some(self.take_row(index, RowKind::Target)?),
            DataKind::Phrase => Some(self.take_row(index, RowKind::Phrase)?),
            DataKind::Word => Some(self.take_row(index, RowKind::Word)?),
            DataKind::Missing => Some(self.take_row(index, RowKind::Missing)?),
            DataKind::Answer | DataKind::Error => None,
        };
        let answer = self.answer.map(|text| AnswerText {
            text,
            trace: self.trace.unwrap_or_default(),
            stop: self.stop.unwrap_or_default(),
            tokens: Vec::new(),
        });
        let run = self.program.map(|program| Run {
            program,
            model: self.model.unwrap_or_default(),
            model_sha256: self.model_sha256,
            pictures_sha256: self.pictures_sha256,
            settings: self.settings.unwrap_or_default(),
            notes: self.notes,
            seconds: self.seconds.unwrap_or_default(),
        });
        let problem = match self.error_kind {
            None => None,
            Some(name) => {
                let kind = serde_json::from_value(name.into()).map_err(|_| needed("error_kind"))?;
                Some(Problem::new(kind, self.error_message.unwrap_or_default()))
            }
        };
        let id = self.id.ok_or_else(|| needed("id"))?;
        let thumbnail = self.thumbnail.map(|bytes| bytes.to_vec());
        Ok(DataRow { id, index, kind, row, answer, run, problem, thumbnail })
    }

    fn take_row(&mut self, index: usize, kind: RowKind) -> Result<Row> {
        let natural = |number: i64| {
            usize::try_from(number).map_err(|_| broken("a position of a row is negative"))
        };
        let naturals = |numbers: &[i64]| -> Result<Vec<usize>> {
            numbers.iter().map(|it| natural(*it)).collect()
        };
        let span = match self.start.zip(self.end) {
            Some((start, end)) => Some([natural(start)?, natural(end)?]),
            None => None,
        };
        let certificate = self.certificates()?;
        Ok(Row {
            index,
            kind,
            asked: self.asked.take().unwrap_or_default(),
            text: self.text.take().unwrap_or_default(),
            positions: naturals(&self.positions)?,
            span,
            probability: self.probability,
            log_ratio: self.log_ratio,
            image_share: self.image_share,
            maps: self.take_maps()?,
            text_positions: naturals(&self.text_positions)?,
            text_relevancy: std::mem::take(&mut self.text_relevancy),
            regions: pairs(&self.region_names, &self.region_shares),
            gains: pairs(&self.gain_blanks, &self.gain_nats),
            depends_on_picture: self.depends_on_picture.take(),
            certificate,
        })
    }

    fn take_maps(&mut self) -> Result<Vec<ImageMap>> {
        let maps = std::mem::take(&mut self.maps).into_iter().enumerate().map(|(at, values)| {
            let number = |of: &[i32]| of.get(at).and_then(|number| usize::try_from(*number).ok());
            let region = self.region.get(at).and_then(|it| it.as_slice().try_into().ok());
            let map = ImageMap {
                picture: number(&self.picture)?,
                region: region?,
                rows: number(&self.grid_rows)?,
                columns: number(&self.grid_columns)?,
                values,
            };
            (map.rows.checked_mul(map.columns) == Some(map.values.len())).then_some(map)
        });
        maps.map(|map| map.ok_or_else(|| broken("the maps of a row do not go together"))).collect()
    }

    /// The certificates by operator.
    pub(crate) fn certificates(&self) -> Result<Vec<CertificateRow>> {
        let columns = (&self.certificate_srg, &self.certificate_p, &self.certificate_ahead);
        let certificates = self.certificate_operator.iter().enumerate().map(|(at, operator)| {
            Some(CertificateRow {
                operator: operator.clone(),
                srg: *columns.0.get(at)?,
                p: *columns.1.get(at)?,
                ahead: *columns.2.get(at)?,
            })
        });
        let error = || broken("the certificates of a row do not go together");
        certificates.map(|it| it.ok_or_else(error)).collect::<Result<Vec<_>, ParquetError>>()
    }
}

fn pairs(names: &[String], values: &[f64]) -> BTreeMap<String, f64> {
    names.iter().cloned().zip(values.iter().copied()).collect()
}

fn finite(value: f64, column: &'static str) -> std::result::Result<f64, Unfit> {
    if value.is_finite() { Ok(value) } else { Err(Unfit(column)) }
}

fn integer(value: usize, column: &'static str) -> std::result::Result<i64, Unfit> {
    i64::try_from(value).map_err(|_| Unfit(column))
}

fn integers(values: &[usize], column: &'static str) -> std::result::Result<Vec<i64>, Unfit> {
    values.iter().map(|value| integer(*value, column)).collect()
}

fn small(value: usize, column: &'static str) -> std::result::Result<i32, Unfit> {
    i32::try_from(value).map_err(|_| Unfit(column))
}
