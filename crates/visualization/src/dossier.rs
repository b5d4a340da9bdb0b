//! A page of findings about a whole data set: one HTML file that needs nothing else.
//!
//! A verdict, the few numbers that matter most, then sections of text, tables, charts of intervals and single cases with their
//! pictures. It looks as the [report](crate::report) of one answer does, and has no script at all: its content security policy allows
//! the one style sheet that stands in it, by its hash, and pictures that stand in it. Every text is escaped wherever it goes.
//!
//! In the order of the work: [`Dossier`] is checked as a whole (`check`), pictures are made small (`crate::pages::picture`),
//! everything becomes static HTML (`markup`, charts in `chart`), which is put into the template with the style. Both are in
//! `src/dossier/assets`.
//!
//! ```
//! use relevancy_visualization::dossier::{Block, Column, Dossier, Section, Table, Tone, Verdict};
//!
//! let table = Table {
//!     caption: "What a change of the picture does to the answer".to_owned(),
//!     columns: vec![Column::words("Change"), Column::numbers("Answers that change")],
//!     rows: vec![vec!["picture of another patient".to_owned(), "71 %".to_owned()]],
//! };
//! let dossier = Dossier {
//!     title: "Does the model use the picture?".to_owned(),
//!     verdict: Some(Verdict {
//!         tone: Tone::Good,
//!         headline: "It uses the picture.".to_owned(),
//!         reasons: vec!["71 % of its answers change with the picture.".to_owned()],
//!     }),
//!     sections: vec![Section {
//!         title: "Changes of the picture".to_owned(),
//!         blocks: vec![Block::Table(table)],
//!         ..Section::default()
//!     }],
//!     ..Dossier::default()
//! };
//! assert!(dossier.to_html()?.starts_with("<!doctype html>"));
//! # Ok::<(), relevancy_visualization::Error>(())
//! ```

use std::path::Path;

pub use error::{BlockPlace, DossierError};
pub use input::{
    Badge, Block, Card, CardPicture, Column, Dossier, Estimate, IntervalChart, IntervalRow,
    KeyFigure, Reference, Section, Table, Verdict,
};

pub use crate::pages::{Fact, Tone};
use crate::{Error, pages, png};

mod error;
mod input;

mod chart;
mod check;
mod markup;
mod pictures;

const TEMPLATE: &str = include_str!("dossier/assets/page.html");
const STYLE: &str =
    concat!(include_str!("pages/assets/common.css"), include_str!("dossier/assets/style.css"));

impl Dossier<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// [`DossierError`], in [`Error::Dossier`], for what cannot be shown: rows of another length than their table has columns, an axis
    /// without length, numbers that are not finite; [`Error::EmptyPicture`] for a picture without pixels.
    pub fn to_html(&self) -> Result<String, Error> {
        check::check(self)?;
        let pictures = pictures::embed(self)?;
        let policy = pages::policy(STYLE, None, "data:");
        let markup = markup::markup(self, &pictures);
        Ok(pages::filled(TEMPLATE, |place| match place {
            "policy" => &policy,
            "style" => STYLE,
            "title" => &markup.title,
            "subtitle" => &markup.subtitle,
            "verdict" => &markup.verdict,
            "figures" => &markup.figures,
            "contents" => &markup.contents,
            "sections" => &markup.sections,
            "about" => &markup.about,
            _ => "",
        }))
    }

    /// Writes the page whole or not at all: under a temporary name in the same folder, then renamed over `path`.
    ///
    /// # Errors
    /// Those of [`Dossier::to_html`], and [`Error::Write`] when the folder or the file cannot be written; nothing is left behind.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        png::save_bytes(self.to_html()?.as_bytes(), path.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_style_cannot_end_its_element() {
        assert!(!STYLE.contains("</") && !STYLE.contains("<!--") && !STYLE.contains('\r'));
    }
}
