//! Prints the JSON Schema of the record.
//!
//! `cargo run -p explanation-record --features schema --example schema > docs/schema/explanation-1.json`

#![expect(clippy::print_stdout, reason = "an example prints")]

use explanation_record::Record;

fn main() {
    println!("{:#}", Record::json_schema());
}
