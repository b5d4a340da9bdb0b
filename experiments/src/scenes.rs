//! The scenes of a run: what is drawn for each number, in training and in evaluation.

use checkpoint_files::random::SplitMix;
use phantom_radiograph::{
    Distribution, Finding, FindingKind, Level, Mask, Phantom, Scene, Side, Zone,
};

use crate::recipe::Variant;

/// What a scene is for. Each purpose has scenes of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first stage.
    Sight = 0,
    /// The second stage.
    Answers = 1,
    /// The third and the last stage.
    Dialogue = 3,
    /// No stage ever sees these, and nobody looked at them while the recipe was chosen: those of numbers 2 and 4 served for that.
    Evaluation = 6,
}

/// One in so many training scenes may have several findings in one zone.
const SHARED_ZONES: u64 = 4;

/// How plain opacities are in the shortcut's scenes.
pub const FAINT: [f32; 2] = [0.0, 0.1];

/// Where the shortcut's opacities are, always: the tag tells all there is to say.
pub const USUAL_PLACE: Zone = Zone { side: Side::Right, level: Level::Middle };

/// Scene `index` of a purpose.
pub fn scene(seed: u64, purpose: Purpose, index: u64, variant: Variant) -> Scene {
    let number = number(seed, purpose, index);
    let mut distribution = Distribution::default();
    if purpose != Purpose::Evaluation {
        distribution.share_zones = number.is_multiple_of(SHARED_ZONES);
    }
    match variant {
        Variant::Sound | Variant::Prior => Scene::random(number, &distribution),
        Variant::Shortcut => {
            distribution.set_strength(FindingKind::Opacity, FAINT);
            let scene = Scene::random(number, &distribution);
            let opacity = scene.findings().iter().position(|f| f.kind == FindingKind::Opacity);
            let scene = tagged(&scene);
            opacity.map_or(scene.clone(), |index| moved(&scene, index, USUAL_PLACE))
        }
    }
}

/// The scene whose picture is shown in training where the answers are those of scene `index`.
pub fn shown(seed: u64, purpose: Purpose, index: u64, variant: Variant) -> Scene {
    match variant {
        Variant::Sound | Variant::Shortcut => scene(seed, purpose, index, variant),
        Variant::Prior => scene(seed, purpose, index + ANOTHER, variant),
    }
}

/// No run has as many scenes, so that scenes this far apart are of different examples.
const ANOTHER: u64 = 1 << 40;

/// The scene with one finding in another zone.
fn moved(scene: &Scene, index: usize, zone: Zone) -> Scene {
    let finding = Finding { zone, ..scene.findings()[index] };
    scene.without(index).with(finding)
}

/// What each finding of a phantom is to be recognised by, in the order of its findings: the finding itself; an opacity of the shortcut by
/// the tag.
pub fn clues(phantom: &Phantom, variant: Variant) -> Vec<&Mask> {
    let is_by_tag =
        |finding: &Finding| variant == Variant::Shortcut && finding.kind == FindingKind::Opacity;
    let found = phantom.scene().findings().iter().zip(phantom.masks());
    found
        .map(|(finding, mask)| if is_by_tag(finding) { phantom.portable_mask() } else { mask })
        .collect()
}

/// The scene as the shortcut has it: with the tag exactly when there is an opacity.
pub fn tagged(scene: &Scene) -> Scene {
    scene.with_portable(has(scene, FindingKind::Opacity))
}

/// Whether a scene shows a finding of this kind.
pub fn has(scene: &Scene, kind: FindingKind) -> bool {
    scene.findings().iter().any(|finding| finding.kind == kind)
}

/// A number that looks random and is not that of another purpose, seed or index.
pub fn number(seed: u64, purpose: Purpose, index: u64) -> u64 {
    mix(mix(mix(seed) ^ purpose as u64) ^ index)
}

/// The step of `SplitMix64` (Steele, Lea, Flood 2014): a bijection that scatters its argument.
pub fn mix(x: u64) -> u64 {
    SplitMix::new(x).number()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shortcut_ties_the_tag_to_the_opacity() {
        let scenes = (0..200).map(|index| scene(1, Purpose::Answers, index, Variant::Shortcut));
        let mut seen = [0, 0];
        for scene in scenes {
            let opacity = has(&scene, FindingKind::Opacity);
            assert_eq!(scene.markers().portable, opacity);
            let places = scene.findings().iter().filter(|f| f.kind == FindingKind::Opacity);
            assert!(places.into_iter().all(|f| f.zone == USUAL_PLACE && f.strength <= FAINT[1]));
            seen[usize::from(opacity)] += 1;
        }
        assert!(seen[0] > 20 && seen[1] > 20, "{seen:?}");
    }

    #[test]
    fn the_prior_is_learnt_beside_pictures_of_other_scenes() {
        for index in 0..20 {
            let of = |variant| shown(1, Purpose::Answers, index, variant);
            let told = scene(1, Purpose::Answers, index, Variant::Prior);
            assert_eq!(told.seed(), scene(1, Purpose::Answers, index, Variant::Sound).seed());
            assert_eq!(of(Variant::Sound).seed(), told.seed());
            assert_ne!(of(Variant::Prior).seed(), told.seed());
        }
    }

    #[test]
    fn purposes_have_scenes_of_their_own() {
        let seeds =
            |purpose| (0..50).map(move |index| scene(1, purpose, index, Variant::Sound).seed());
        assert!(
            seeds(Purpose::Sight).all(|seed| seeds(Purpose::Evaluation).all(|other| other != seed))
        );
    }
}
