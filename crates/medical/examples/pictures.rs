//! `pictures PATH FOLDER [RECIPE]`: writes the pictures of a file or series as PNG, and prints where they came from.

#![allow(clippy::print_stdout, missing_docs)]

use std::path::Path;

use medical_pictures::{Options, Recipe, open};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, folder, rest @ ..] = arguments.as_slice() else {
        return Err("give a path and a folder for the pictures".into());
    };
    let recipe = rest.first().and_then(|name| Recipe::named(name));
    for (i, picture) in
        open(Path::new(path), &Options::default().with_recipe(recipe))?.iter().enumerate()
    {
        picture.rgb.save(Path::new(folder).join(format!("{i:03}.png")))?;
        println!("{:?} {}", picture.label, serde_json::to_string(&picture.provenance)?);
    }
    Ok(())
}
