//! What the hybrid is asked about: one phantom, or two of the same chest.

use phantom_radiograph::{FindingKind, Scene};

use crate::recipe::Variant;
use crate::scenes::{Purpose, mix, number, scene, tagged};

/// One in so many cases has two pictures.
const PAIRS: u64 = 6;

/// Shares of a picture between which a finding is neither small nor large: the limits of the middle third of those in 400 phantoms.
const BOUNDS: [(FindingKind, [f64; 2]); 3] = [
    (FindingKind::Opacity, [0.0111, 0.0132]),
    (FindingKind::Nodule, [0.0015, 0.0021]),
    (FindingKind::Effusion, [0.0236, 0.0317]),
];

/// How large a finding is among those of its kind. What lies between is not asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// Among the smallest third.
    Small,
    /// Among the largest third.
    Large,
}

/// What a question is about: the pictures and what is known of them.
#[derive(Debug, Clone)]
pub struct Case {
    /// An earlier picture of the same chest, shown first.
    pub prior: Option<Scene>,
    /// The picture.
    pub scene: Scene,
    /// Of each finding of the picture.
    pub sizes: Vec<Option<Size>>,
}

impl Case {
    /// Case `index` of a purpose, in pictures of this size. One in six has two pictures: with one finding more or less in the second one,
    /// or the same.
    pub fn of((seed, variant): (u64, Variant), purpose: Purpose, index: u64, size: u32) -> Self {
        let scene = scene(seed, purpose, index, variant);
        let draw = mix(number(seed, purpose, index) ^ 1);
        if !index.is_multiple_of(PAIRS) {
            let sizes = sizes(&scene, size);
            return Self { prior: None, scene, sizes };
        }
        let count = scene.findings().len() as u64;
        let other =
            if count == 0 { scene.clone() } else { scene.without((mix(draw) % count) as usize) };
        let other = if variant == Variant::Shortcut { tagged(&other) } else { other };
        let (prior, scene) = match draw % 5 {
            0 => (scene.clone(), scene),
            1 | 2 => (scene, other),
            _ => (other, scene),
        };
        let sizes = vec![None; scene.findings().len()];
        Self { prior: Some(prior), scene, sizes }
    }

    /// The pictures in the order in which they are shown.
    pub fn scenes(&self) -> impl Iterator<Item = &Scene> {
        self.prior.iter().chain([&self.scene])
    }
}

/// How large the findings of a scene are.
fn sizes(scene: &Scene, side: u32) -> Vec<Option<Size>> {
    let phantom = scene.render(side);
    let area = f64::from(side).powi(2);
    let size = |kind: FindingKind, covered: usize| {
        let (_, [small, large]) = BOUNDS.into_iter().find(|(bound, _)| *bound == kind)?;
        let share = covered as f64 / area;
        (share < small).then_some(Size::Small).or((large < share).then_some(Size::Large))
    };
    let pairs = scene.findings().iter().zip(phantom.masks());
    pairs.map(|(finding, mask)| size(finding.kind, mask.area())).collect()
}
