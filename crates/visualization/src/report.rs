//! The interactive report: one HTML file that needs nothing else.
//!
//! The reader points at a word of the answer and sees where it came from. The file asks nothing of any network: its content
//! security policy allows the one script and the one style sheet that stand in it, by their hashes, and pictures that stand in it.
//! Every text, of the user and of the model, is escaped wherever it goes.
//!
//! In the order of the work: [`Report`] is checked as a whole, pictures are made small enough (`crate::pages::picture`), rows become
//! compact numbers (`pack`), series of slices are laid out (`volume`), everything becomes a block of JSON (`island`) and static HTML (`markup`), and both are put into the
//! template with style and script (`page`). Template, style and script are the files in `src/report/assets`; what the style begins
//! with, and whatever else pages share, is in `crate::pages`.
//!
//! ```
//! use relevancy_visualization::image::RgbImage;
//! use relevancy_visualization::ndarray::array;
//! use relevancy_visualization::Placement;
//! use relevancy_visualization::report::{Attribution, Grid, Method, Picture, Report, Target, Token, TokenKind};
//!
//! let radiograph = RgbImage::from_pixel(64, 48, [90; 3].into());
//! let row = array![0.1, 0.0, 0.7, 0.2, 0.1, 1.0, 0.0]; // two tokens of text, four cells less one, …
//! let token = |text: &str, kind| Token { text: text.to_owned(), kind };
//! let report = Report {
//!     answer: "effusion".to_owned(),
//!     tokens: vec![
//!         token("Look", TokenKind::Prompt),
//!         token("", TokenKind::Image),
//!         token("", TokenKind::Image),
//!         token("", TokenKind::Image),
//!         token("", TokenKind::Image),
//!         token(":", TokenKind::Prompt),
//!         token("effusion", TokenKind::Answer),
//!     ],
//!     pictures: vec![Picture { name: "chest.png".to_owned(), image: &radiograph, outlines: Vec::new(), orientation: Default::default() }],
//!     grids: vec![Grid { picture: 0, start: 1, rows: 2, columns: 2, placement: Placement::whole(&radiograph) }],
//!     methods: vec![Method::new("relevancy")],
//!     targets: vec![Target {
//!         span: Some(0..8),
//!         self_positions: vec![5],
//!         attributions: vec![Ok(Attribution::new(row.view()))],
//!         ..Target::new("effusion", 6..7)
//!     }],
//!     ..Report::default()
//! };
//! assert!(report.to_html()?.starts_with("<!doctype html>"));
//! # Ok::<(), relevancy_visualization::Error>(())
//! ```

use std::path::Path;

pub use error::{ReportError, RowPlace};
pub use input::{
    Attribution, Evidence, EvidenceTable, Grid, Method, Picture, Region, Report, Signs, Target,
    Token, TokenKind, Volume, VolumeSlice,
};

use crate::pages::picture::{self, Embedded, Limits};
pub use crate::pages::{Fact, Tone};
use crate::{Error, png};

/// How every page of this crate looks, for other pages that want to look like it: a style sheet without rules for a page's own parts.
pub const COMMON_STYLE: &str = include_str!("pages/assets/common.css");
/// How the parts of a report look, behind [`COMMON_STYLE`].
pub const REPORT_STYLE: &str = include_str!("report/assets/style.css");

mod error;
mod input;

mod check;
mod evidence;
mod island;
mod json;
mod markup;
mod pack;
mod page;
mod volume;
mod words;

impl Report<'_> {
    /// The whole page.
    ///
    /// # Errors
    /// [`ReportError`], in [`Error::Report`], for what cannot be shown: no target, rows of another length than the tokens, a
    /// value that is negative or not finite, grids that do not fit, a span outside the answer, charts and tables of evidence that do
    /// not hold together, volumes whose slices do not.
    pub fn to_html(&self) -> Result<String, Error> {
        check::check(self)?;
        let pictures = embed(&self.pictures)?;
        let words = words::words(self);
        let island = island::island(self, &pictures);
        let page = page::Page {
            title: self.title(),
            markup: markup::markup(self, &words, &pictures),
            island,
        };
        Ok(page.html())
    }

    /// Writes the page whole or not at all: under a temporary name in the same folder, then renamed over `path`.
    ///
    /// # Errors
    /// Those of [`Report::to_html`], and [`Error::Write`] when the folder or the file cannot be written; nothing is left behind.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<(), Error> {
        png::save_bytes(self.to_html()?.as_bytes(), path.as_ref())
    }
}

fn embed(pictures: &[Picture<'_>]) -> Result<Vec<Embedded>, ReportError> {
    let limits = Limits::of_report(pictures.len());
    let embed = |(index, picture): (usize, &Picture<'_>)| {
        picture::embed(picture.image, limits)
            .map_err(|source| ReportError::Picture { picture: index, source })
    };
    pictures.iter().enumerate().map(embed).collect()
}
