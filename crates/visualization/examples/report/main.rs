//! A report from hand-made arrays, without any model: `cargo run -p relevancy-visualization --example report [FILE]`.
//!
//! Writes FILE, by default `report.html` in the current folder; open it in a browser.

mod made;

use made::{Made, evidence};
use relevancy_visualization::Error;

fn main() -> Result<(), Error> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "report.html".to_owned());
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
    report.save(file)
}
