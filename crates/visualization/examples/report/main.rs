//! Reports from hand-made arrays, without any model: `cargo run -p relevancy-visualization --example report [FILE [SERIES]]`.
//!
//! Writes FILE, by default `report.html` in the current folder, a report on two radiographs, and SERIES, by default `series.html`, one
//! on two CT series; open them in a browser.

mod made;
mod series;

use made::{Made, evidence};
use relevancy_visualization::Error;
use series::Series;

fn main() -> Result<(), Error> {
    let mut files = std::env::args().skip(1);
    let mut file = |default: &str| files.next().unwrap_or_else(|| default.to_owned());
    let (file, series) = (file("report.html"), file("series.html"));
    let made = Made::new(
        "Compare the two radiographs. Is there an effusion?",
        "Compared with the prior radiograph there is a new small left pleural effusion with blunting of the \
         costophrenic angle. The heart is mildly enlarged. The right lung is clear. There is no pneumothorax. \
         Mediastinal contours are unchanged. \
         Impression: new small left effusion; mild cardiomegaly; \
         follow-up radiograph in two days is advised if symptoms persist or fever develops.",
        2,
    );
    let mut report = made.report();
    report
        .targets
        .iter_mut()
        .filter(|t| t.text == "effusion")
        .for_each(|t| t.evidence = Some(evidence()));
    report.save(file)?;
    let answer = "Nodule in the left upper lobe, new and solid. The heart is not enlarged.";
    Series::new(answer, [40, 24], 1, 256).report().save(series)
}
