//! What a loaded model is, for records: where it comes from, what its files are, which adapters it has.

use explanation_record::Presentation;
use explanation_record::record::{AdapterRecord, ModelRecord, sha256};

use crate::weight_files::WeightFiles;
use crate::{AppliedAdapter, Error, Explainer, ModelSource};

/// What a loaded model is, with whole paths: what is shown of them is decided by whoever writes.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    source: ModelSource,
    /// With `source` empty and the sources of adapters likewise.
    record: ModelRecord,
    adapters: Vec<AppliedAdapter>,
}

impl Explainer {
    /// What it is, as records have it: where it comes from, the SHA-256 of its files, its adapters. Of paths only file names are left, because
    /// a path can name people, unless `keep_paths`.
    ///
    /// # Errors
    /// Files that cannot be read again.
    pub fn model_record(&self, keep_paths: bool) -> Result<ModelRecord, Error> {
        Ok(self.identity()?.record(&Presentation::default().with_keep_paths(keep_paths)))
    }

    /// What it is.
    ///
    /// # Errors
    /// Files that cannot be read again.
    pub(crate) fn identity(&self) -> Result<Identity, Error> {
        let adapter = |(applied, files): (&AppliedAdapter, &WeightFiles)| {
            Ok(AdapterRecord {
                source: String::new(),
                revision: applied.revision.clone(),
                weight: applied.weight,
                kind: applied.kind.to_owned(),
                base: None,
                files: files.records(&self.context)?.to_vec(),
            })
        };
        let adapters = self.inspection.adapters();
        let described = adapters.iter().zip(&self.adapter_files);
        Ok(Identity {
            source: self.source().clone(),
            record: ModelRecord {
                source: String::new(),
                revision: self.revision().map(str::to_owned),
                architecture: self.inspection.architecture().to_owned(),
                config_sha256: sha256(&self.place.configuration()?),
                storage: self.inspection.stored().clone(),
                files: self.weight_files.records(&self.context)?.to_vec(),
                adapters: described.map(adapter).collect::<Result<_, Error>>()?,
            },
            adapters: adapters.to_vec(),
        })
    }
}

impl Identity {
    /// For people, with its adapters.
    pub(crate) fn name(&self) -> String {
        self.adapters.iter().fold(self.source.to_string(), |name, adapter| {
            format!("{name} with {}", adapter.source)
        })
    }

    /// As a record, with as much of its paths as `presentation` shows.
    pub(crate) fn record(&self, presentation: &Presentation) -> ModelRecord {
        let shown = |source: &ModelSource| match source {
            ModelSource::Directory(path) => presentation.shown_path(path),
            other => other.to_string(),
        };
        // Whoever trained it may have named a folder, and a path can name people.
        let base = |name: &String| {
            if name.starts_with(['/', '.', '~']) {
                presentation.shown_path(name.as_ref())
            } else {
                name.clone()
            }
        };
        let adapters = self.record.adapters.iter().zip(&self.adapters);
        let adapters = adapters.map(|(record, applied)| AdapterRecord {
            source: shown(&applied.source),
            base: applied.base.as_ref().map(base),
            ..record.clone()
        });
        ModelRecord {
            source: shown(&self.source),
            adapters: adapters.collect(),
            ..self.record.clone()
        }
    }
}
