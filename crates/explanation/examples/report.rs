//! Makes the page of a folder that `explain` wrote again, and says what was explained: without a model and without libtorch.
//!
//! `cargo run -p explanation-record --example report -- FOLDER PAGE.html`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::path::Path;

use explanation_record::{Error, Stored};

fn main() -> Result<(), Error> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, page] = arguments.as_slice() else {
        eprintln!("usage: report FOLDER PAGE.html");
        std::process::exit(2);
    };
    let stored = Stored::open(Path::new(folder))?;
    for target in &stored.explained().targets {
        let (target, shares) = (&target.explanation, target.explanation.relevancy().shares());
        let share = shares.map_or(0.0, |shares| shares.image());
        println!("{:>5.1} %  {}", 100.0 * share, target.label());
    }
    stored.write_report_to(Path::new(page))
}
