//! Drawing all pictures into a folder.

use std::path::Path;

use relevancy_visualization::{Figure, OverlayOptions, save_png};

use crate::control::control_overlay;
use crate::figure::{Fine, overlay};
use crate::figures::{common_scale, figure, region_chart, scale_over};
use crate::file_name::Counts;
use crate::report::certificate;
use crate::volume::Series;
use crate::{
    Drawing, DrawingKind, Error, Explained, FileName, Presentation, Shown, Subject, counterpart,
    difference,
};

/// Draws all pictures into a folder; the names of those that were drawn, in order. `cancelled` is asked before each.
///
/// # Errors
/// [`Error::Cancelled`], and what drawing and writing fail with.
pub(super) fn draw_all(
    explained: &Explained<'_>,
    presentation: &Presentation,
    folder: &Path,
    cancelled: &dyn Fn() -> bool,
) -> Result<Vec<FileName>, Error> {
    for (index, picture) in explained.pictures.iter().enumerate() {
        save_png(&picture.rgb, folder.join(FileName::Picture(index).to_string()))?;
    }
    let mut style = Style {
        presentation,
        options: presentation.overlay.clone(),
        series: Series::all(explained),
    };
    if presentation.common_scale {
        style.options.scale = common_scale(explained)?;
    }
    let mut names = Vec::new();
    for drawing in plan(explained, presentation) {
        if cancelled() {
            return Err(Error::Cancelled);
        }
        if let Some(figure) = style.draw(explained, drawing)? {
            let name = FileName::Drawing(drawing, presentation.format);
            figure.save(folder.join(name.to_string()))?;
            names.push(name);
        }
    }
    Ok(names)
}

/// All that may be drawn, in order. Kinds of one group take turns over their subjects.
fn plan(explained: &Explained<'_>, presentation: &Presentation) -> Vec<Drawing> {
    use DrawingKind::{
        Certificate, Compare, Control, Figure, Overlay, Patches, Pixels, Regions, Versus, Volume,
    };
    let counts = Counts {
        targets: explained.targets.len(),
        pairs: explained.versus.len(),
        images: explained.images(),
    };
    let fixed: [&[DrawingKind]; 8] = [
        &[Overlay],
        &[Patches, Pixels],
        &[Control],
        &[Certificate],
        &[Compare],
        &[Volume],
        &[Regions],
        &[Versus],
    ];
    let asked = presentation.figures.iter().map(|&kind| vec![Figure(kind)]);
    let groups = fixed.iter().map(|group| group.to_vec()).chain(asked);
    let mut drawings = Vec::new();
    for group in groups {
        for subject in group[0].subjects(counts) {
            drawings.extend(group.iter().map(|&kind| Drawing { kind, subject }));
        }
    }
    drawings
}

/// How drawings look.
struct Style<'a> {
    presentation: &'a Presentation,
    /// Those of the presentation, with the common scale where one was asked for.
    options: OverlayOptions,
    /// The series among the pictures.
    series: Vec<Series>,
}

impl Style<'_> {
    /// One drawing; `None` where there is nothing to draw.
    fn draw(&self, explained: &Explained<'_>, drawing: Drawing) -> Result<Option<Figure>, Error> {
        let orientation = explained.orientation(drawing.subject.image());
        let options = &self.options.clone().with_orientation(orientation);
        let options = &self.over_slices(explained, drawing.subject, options)?;
        match (drawing.kind, drawing.subject) {
            (DrawingKind::Figure(kind), subject) => figure(explained, kind, subject, options),
            (DrawingKind::Versus, Subject::PairImage { pair, image }) => {
                let how = (options, self.presentation.common_scale);
                difference::phrases(explained, &explained.versus[pair], image, how).map(Some)
            }
            (DrawingKind::Certificate, Subject::Target { target }) => {
                certificate::figure(&explained.targets[target])
            }
            (DrawingKind::Volume, Subject::Target { target }) => match self.series.last() {
                // The last one is the current study.
                Some(series) => {
                    let images: Vec<usize> = series.images().collect();
                    let orientation = explained.orientation(images.first().copied());
                    let options = self.options.clone().with_orientation(orientation);
                    series.figure(explained, &explained.targets[target].explanation, &options)
                }
                None => Ok(None),
            },
            (kind, Subject::TargetImage { target, image }) => {
                self.draw_target(explained, kind, (target, image), options)
            }
            _ => Ok(None),
        }
    }

    /// One scale for all slices of a series: heat can be compared from slice to slice.
    fn over_slices(
        &self,
        explained: &Explained<'_>,
        subject: Subject,
        options: &OverlayOptions,
    ) -> Result<OverlayOptions, Error> {
        let Subject::TargetImage { target, image } = subject else { return Ok(options.clone()) };
        let series = self.series.iter().find(|series| series.has(image));
        match series.filter(|_| !self.presentation.common_scale) {
            Some(series) => {
                let target = &explained.targets[target].explanation;
                let scale = scale_over(explained, target, series.images())?;
                Ok(options.clone().with_scale(scale))
            }
            None => Ok(options.clone()),
        }
    }

    /// What is drawn of a target over an image.
    fn draw_target(
        &self,
        explained: &Explained<'_>,
        kind: DrawingKind,
        (target, image): (usize, usize),
        options: &OverlayOptions,
    ) -> Result<Option<Figure>, Error> {
        let target = &explained.targets[target];
        let (explanation, outlines) = (&*target.explanation, explained.outlines(image));
        let fine = |fine: Fine| {
            let own = options.clone().with_scale(self.presentation.overlay.scale);
            fine.overlay(explained, explanation, image, (outlines, &own))
        };
        match kind {
            DrawingKind::Patches => fine(Fine::Patches),
            DrawingKind::Pixels => fine(Fine::Pixels),
            DrawingKind::Regions => region_chart(explained, target, image),
            DrawingKind::Control => {
                let control = target.control.as_deref();
                let draw =
                    |control| control_overlay(explained, explanation, control, image, options);
                control.map(draw).transpose()
            }
            DrawingKind::Compare => {
                let both = target.counterpart.as_deref().zip(explained.other_model.as_ref());
                let draw = |(counterpart, other)| {
                    let target = (explanation, counterpart);
                    counterpart::figure(explained, target, (other, image), options)
                };
                both.map(draw).transpose()
            }
            DrawingKind::Overlay => {
                let title = explanation.label();
                let look = (outlines, options);
                overlay(explained, explanation, image, &title, look).map(Some)
            }
            DrawingKind::Certificate
            | DrawingKind::Volume
            | DrawingKind::Versus
            | DrawingKind::Figure(_) => Ok(None),
        }
    }
}
