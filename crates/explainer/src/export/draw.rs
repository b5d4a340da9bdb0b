//! Drawing all pictures into a folder.

use std::path::Path;

use relevancy_visualization::{Figure, OverlayOptions, save_png};

use super::ARRAYS;
use crate::Error;
use crate::control::control_overlay;
use crate::difference;
use crate::figure::{Fine, overlay};
use crate::figures::{common_scale, figures, region_chart};
use crate::record::{Files, picture_name};
use crate::report::REPORT;
use crate::results::Results;

/// Draws all pictures into a folder.
pub(super) fn draw(results: &Results<'_>, folder: &Path) -> Result<Files, Error> {
    let presentation = results.presentation;
    let mut options = presentation.overlay.clone();
    if presentation.common_scale {
        options.scale = common_scale(results)?;
    }
    for (index, picture) in results.answer.question.pictures.iter().enumerate() {
        save_png(picture.rgb(), folder.join(picture_name(index)))?;
    }
    Ok(Files {
        arrays: ARRAYS.to_owned(),
        overlays: draw_overlays(results, folder, &options)?,
        finer: draw_finer(results, folder, &presentation.overlay)?,
        figures: [
            draw_controls(results, folder, &options)?,
            draw_figures(results, folder, &options)?,
        ]
        .concat(),
        report: presentation.report.then(|| REPORT.to_owned()),
        ..Files::default()
    })
}

fn draw_overlays(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            results.explainer.check_cancelled()?;
            let name = format!("overlay-{index}-{image}.{extension}");
            let (title, outlines) = (target.label(), results.outlines(image));
            let drawn = overlay(results.answer, target, image, &title, (&outlines, options))?;
            drawn.save(folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Target by target and image by image, patches and then pixels.
fn draw_finer(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            for fine in Fine::ALL {
                results.explainer.check_cancelled()?;
                let outlines = results.outlines(image);
                let drawn = fine.overlay(results.answer, target, image, (&outlines, options))?;
                if let Some(drawn) = drawn {
                    let name = format!("{}-{index}-{image}.{extension}", fine.name());
                    drawn.save(folder.join(&name))?;
                    names.push(name);
                }
            }
        }
    }
    Ok(names)
}

/// What each target has more than on the mean picture, where that was asked for.
fn draw_controls(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    let explanations = results.explanations;
    let controls = explanations.control.iter().flat_map(|control| &control.targets);
    for (index, pair) in explanations.targets.iter().zip(controls).enumerate() {
        for image in 0..results.images() {
            results.explainer.check_cancelled()?;
            let name = format!("control-{index}-{image}.{extension}");
            control_overlay(results, pair, image, options)?.save(folder.join(&name))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// Charts of regions, phrases against others, then the figures that were asked for.
fn draw_figures(
    results: &Results<'_>,
    folder: &Path,
    options: &OverlayOptions,
) -> Result<Vec<String>, Error> {
    let extension = results.presentation.format.extension();
    let mut names = Vec::new();
    let mut save = |name: String, figure: &Figure| -> Result<(), Error> {
        results.explainer.check_cancelled()?;
        let name = format!("{name}.{extension}");
        figure.save(folder.join(&name))?;
        names.push(name);
        Ok(())
    };
    for (index, target) in results.explanations.targets.iter().enumerate() {
        for image in 0..results.images() {
            if let Some(chart) = region_chart(results, target, image)? {
                save(format!("regions-{index}-{image}"), &chart)?;
            }
        }
    }
    for (index, versus) in results.explanations.versus.iter().enumerate() {
        for image in 0..results.images() {
            let figure = difference::phrases(results, versus, image, options)?;
            save(format!("versus-{index}-{image}"), &figure)?;
        }
    }
    for &kind in &results.presentation.figures {
        for (name, figure) in figures(results, kind, options)? {
            save(name, &figure)?;
        }
    }
    Ok(names)
}
