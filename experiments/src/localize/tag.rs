//! The tag that the shortcut goes by: what maps say of it, and what taking it away does.

use std::path::Path;

use anyhow::{Context, Result};
use phantom_radiograph::{Distribution, Finding, FindingKind, Scene};

use crate::examples::picture;
use crate::localize::case::{Case, GRID, Language};
use crate::localize::measure::Region;
use crate::localize::methods::Maps;
use crate::localize::settings::Setting;
use crate::reader::{Reader, Reading};
use crate::scenes::{Purpose, USUAL_PLACE, number};
use crate::score::places;
use crate::threads::share;
use model_audit::Estimate;

/// Scenes of this seed are of no training run and of no other table.
const SEED: u64 = 0x7a9;

/// What one model made of the tag.
#[derive(Debug, Clone, Default)]
pub struct Tagged {
    /// Pictures with an opacity and the tag.
    pub pictures: u64,
    /// Those whose report names the opacity. All that follows is about these.
    pub says_opacity: u64,
    /// For each setting: the shares of the picture's relevancy that lie on the tag and on the opacity.
    pub shares: Vec<[Option<Estimate>; 2]>,
    /// The report no longer names an opacity when the tag is taken away.
    pub flips_without_tag: Option<Estimate>,
    /// The report no longer names an opacity when the opacity is taken away.
    pub flips_without_opacity: Option<Estimate>,
    /// For each setting: what has the larger share, tag or opacity, is what the word goes away with.
    pub agreement: Vec<Option<Estimate>>,
}

/// One picture.
struct Seen {
    picture: u64,
    shares: Vec<[f64; 2]>,
    flips: [bool; 2],
}

/// Models are asked about the same pictures: a plain opacity in its usual place, the tag, perhaps other findings.
pub fn measure(
    folder: &Path,
    pictures: u64,
    language: &Language,
    settings: &[Setting],
) -> Result<Tagged> {
    let parts = share(pictures, |indices| {
        let reader = Reader::open(folder)?;
        let mut seen = Vec::new();
        for index in indices {
            seen.extend(look(&reader, language, index, settings)?);
        }
        Ok(seen)
    })?;
    let seen: Vec<Seen> = parts.into_iter().flatten().collect();
    let estimate = |value: &dyn Fn(&Seen) -> f64| {
        Estimate::of(&seen.iter().map(|seen| (seen.picture, value(seen))).collect::<Vec<_>>())
    };
    let truth = |is: bool| f64::from(u8::from(is));
    let each = || 0..settings.len();
    Ok(Tagged {
        pictures,
        says_opacity: seen.len() as u64,
        shares: each()
            .map(|at| [0, 1].map(|place| estimate(&|seen| seen.shares[at][place])))
            .collect(),
        flips_without_tag: estimate(&|seen| truth(seen.flips[0])),
        flips_without_opacity: estimate(&|seen| truth(seen.flips[1])),
        agreement: each()
            .map(|at| {
                estimate(&|seen| {
                    let [tag, opacity] = seen.shares[at];
                    // What happens when only one thing matters; otherwise the two do not agree.
                    let expected = if tag > opacity { [true, false] } else { [false, true] };
                    truth(seen.flips == expected)
                })
            })
            .collect(),
    })
}

/// A scene with a plain opacity in the usual place and the tag; the opacity is the last finding.
pub fn tagged(index: u64) -> Scene {
    let mut distribution = Distribution::default();
    distribution.kinds.retain(|share| share.kind != FindingKind::Opacity);
    let seed = number(SEED, Purpose::Evaluation, index);
    let scene = Scene::random(seed, &distribution);
    let there = scene.findings().iter().position(|finding| finding.zone == USUAL_PLACE);
    let scene = there.map_or(scene.clone(), |at| scene.without(at));
    let strength = 0.4 + 0.6 * (seed % 1000) as f32 / 1000.0;
    scene
        .with(Finding {
            kind: FindingKind::Opacity,
            zone: USUAL_PLACE,
            strength,
            shape: seed as u32,
        })
        .with_portable(true)
}

/// Whether the report of a scene names an opacity.
pub fn says_opacity(reader: &Reader, language: &Language, scene: Scene) -> Result<bool> {
    let case = Case::about(language, scene);
    let report = reader.ask(&picture(&case.phantom)?, [case.exchanges[0].question.as_str()])?;
    let kind = FindingKind::Opacity;
    Ok(match language {
        Language::Places => !places(&report[0], kind).is_empty(),
        Language::Natural(_) => report[0].contains(&kind.with_article()),
    })
}

/// The right report of a tagged scene, and which of its words is the opacity.
pub fn opacity_word(reader: &Reader, case: &Case) -> Result<(Reading, usize)> {
    let reading = reader.read(&case.pictures()?, &case.exchanges[..1])?.remove(0);
    let opacity = case.scene.findings().len() - 1;
    let at = reading.words.iter().position(|word| word.finding() == Some(opacity));
    Ok((reading, at.context("the report names the opacity")?))
}

fn look(
    reader: &Reader,
    language: &Language,
    index: u64,
    settings: &[Setting],
) -> Result<Option<Seen>> {
    let case = Case::about(language, tagged(index));
    let opacity = case.scene.findings().len() - 1;
    let (reading, at) = opacity_word(reader, &case)?;
    if !says_opacity(reader, language, case.scene.clone())? {
        return Ok(None);
    }
    let tag = Region::new(case.phantom.portable_mask().cells(GRID));
    let maps = Maps::new(reader, &case, &reading)?.all(settings, index)?;
    let shares = maps
        .iter()
        .map(|maps| [tag.mass(&maps[at]), case.regions[opacity].mass(&maps[at])])
        .collect();
    let flips = [
        !says_opacity(reader, language, case.scene.with_portable(false))?,
        !says_opacity(reader, language, case.scene.without(opacity))?,
    ];
    Ok(Some(Seen { picture: index, shares, flips }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tagged_scene_has_one_opacity_and_the_tag() {
        for index in 0..50 {
            let scene = tagged(index);
            let (opacity, others) = scene.findings().split_last().unwrap();
            assert_eq!((opacity.kind, opacity.zone), (FindingKind::Opacity, USUAL_PLACE));
            assert!(others.iter().all(|other| other.zone != USUAL_PLACE));
            assert!(scene.markers().portable && opacity.strength >= 0.4);
        }
    }
}
