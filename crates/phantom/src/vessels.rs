//! The vessels of the lungs: trees that start at the hila.

use crate::chest::Chest;
use crate::draw::Draw;
use crate::frame::Frame;
use crate::layer::{Layer, Stroke};
use crate::zone::{Level, Side, Zone};

/// How often a branch forks.
const FORKS: u32 = 5;

struct Branch {
    at: [f32; 2],
    angle: f32,
    length: f32,
    radius: f32,
}

struct Tree<'a> {
    layer: Layer,
    frame: &'a Frame,
    side: Side,
    draw: Draw,
}

/// How much vessel is at each pixel, lung or not.
pub(crate) fn vessels(chest: &Chest, frame: &Frame) -> Layer {
    let seed = u64::from(chest.anatomy.texture);
    let mut layer = Layer::whole(frame.size);
    for side in Side::ALL {
        let mut tree = Tree { layer, frame, side, draw: Draw::new(seed, side as u64) };
        tree.grow_from_hilum(chest);
        layer = tree.layer;
    }
    layer
}

impl Tree<'_> {
    fn grow_from_hilum(&mut self, chest: &Chest) {
        let [_, middle] = chest.heights(Zone { side: self.side, level: Level::Middle });
        let hilum = middle - 0.115 + if self.side == Side::Right { 0.012 } else { -0.006 };
        let spread = [-1.35, -0.95, -0.5, -0.1, 0.3, 0.65, 0.95, 1.25, 1.5];
        for (index, angle) in spread.into_iter().enumerate() {
            let lower = index >= 4;
            let at = [0.07 + self.draw.within(-0.01, 0.01), hilum + 0.035 * angle];
            let angle = angle + self.draw.within(-0.3, 0.3);
            let radius = self.draw.within(0.0045, 0.0070) * if lower { 1.2 } else { 0.9 };
            let length = self.draw.within(0.040, 0.062);
            self.grow(Branch { at, angle, length, radius }, 0);
        }
    }

    /// Draws a branch, bent a little, and what it forks into.
    fn grow(&mut self, branch: Branch, forks: u32) {
        let Branch { at: [x, y], angle, length, radius } = branch;
        let bend = self.draw.within(-0.5, 0.5);
        let half = |at: [f32; 2], angle: f32| {
            [at[0] + 0.5 * length * angle.cos(), at[1] + 0.5 * length * angle.sin()]
        };
        let middle = half([x, y], angle);
        let end = half(middle, angle + bend);
        let (thin, thinner) = (radius * 0.92, radius * 0.82);
        self.segment([x, y], middle, [radius, thin]);
        self.segment(middle, end, [thin, thinner]);
        if forks == FORKS {
            return;
        }
        let angle = angle + bend;
        let turn = self.draw.within(0.15, 0.45);
        let sides = [-turn, self.draw.within(0.3, 0.65)];
        let flip = if self.draw.chance(0.5) { -1.0 } else { 1.0 };
        for (index, turn) in sides.into_iter().enumerate() {
            let radius = thinner * if index == 0 { 0.85 } else { 0.62 };
            let length = length * self.draw.within(0.72, 0.98);
            if index == 0 || self.draw.chance(0.75) {
                self.grow(
                    Branch { at: end, angle: angle + flip * turn, length, radius },
                    forks + 1,
                );
            }
        }
    }

    fn segment(&mut self, from: [f32; 2], to: [f32; 2], radii: [f32; 2]) {
        let place = |[x, y]: [f32; 2]| self.frame.pixel([self.side.sign() * x, y]);
        let stroke = Stroke {
            from: place(from),
            to: place(to),
            radii: radii.map(|radius| radius / self.frame.pixel),
            height: (radii[0] / 0.006).min(1.3),
        };
        // A vessel is a cylinder: as thick as it is wide.
        self.layer.stroke(stroke, |x| (1.0 - x * x * 0.7).max(0.0));
    }
}
