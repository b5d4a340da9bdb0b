//! The document of an explained answer: what was asked, answered and explained as one value, and all that is made of it.
//!
#![doc = include_str!("../README.md")]

mod explained; // the value
mod findings; // regions and boxes in it
mod shown;
mod target;
mod token;
mod versus;
mod volume;

mod certificate;
mod control;
mod counterpart;
mod method;
mod reliance;

mod arrays; // explanation.npz
pub mod record; // explanation.json
mod report; // report.html

mod difference; // figures
mod figure;
mod figures;
mod presentation;
mod smooth;
mod text;

mod export; // a folder, written
mod file_name;
mod stored; // and read

mod error;
mod setters;

#[cfg(test)]
mod tests;

pub use certificate::{
    CertificateSettings, ControlGain, ControlKind, Faithfulness, LEAST_GAIN, MapChange, MethodGain,
    NO_EFFECT, Operator, OperatorCertificate, RandomParts, SIGNIFICANT, TargetCertificate,
    WordGain,
};
pub use control::TargetControl;
pub use counterpart::{Counterpart, MapAgreement, OtherModel};
pub use error::Error;
pub use explained::{Explained, ExplainedImage, ExplainedPicture, ExplainedTarget};
pub use export::{
    BoxAgreement, Exported, OutputFolder, RegionTable, peak_memory, remove_unfinished,
};
pub use file_name::{Drawing, DrawingKind, FileName, Subject};
pub use method::{ComparedMethod, MethodId};
pub use presentation::{FigureFormat, FigureKind, Presentation};
pub use record::{Record, SCHEMA, SCHEMA_VERSION};
pub use reliance::{
    BlankKind, DependsOnPicture, Flag, Flagged, Gain, NATS_OF_A_CHANGE, TargetReliance,
    ThroughTrace,
};
pub use shown::Shown;
pub use stored::Stored;
pub use target::{Resolution, SpanRule, TargetExplanation, TargetParts};
pub use text::{NOTHING_SPEAKS, log_probability_text};
pub use token::{Token, TokenKind, template_tokens};
pub use versus::{Phrase, Versus};
pub use volume::{PRIOR, SliceShare};

pub use attention_relevancy;
pub use relevancy_visualization::{self, image};

impl Explained<'_> {
    /// One HTML file that shows all explanations of an answer, targets and words: it works from disk and asks nothing of any
    /// network. The first target is the one that it opens with. [`OutputFolder::write`] writes it as `report.html`.
    ///
    /// # Errors
    /// What [`relevancy_visualization::report::Report::to_html`] refuses.
    pub fn report(&self) -> Result<String, Error> {
        report::html(self)
    }
}
