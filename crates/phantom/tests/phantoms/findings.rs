//! Masks lie where they should, and nothing beyond them changes.

use phantom_radiograph::{Distribution, Finding, FindingKind, Mask, Phantom, Scene, Zone, margin};

/// Every kind in every zone that it can be in, faint and plain, in several chests.
fn every_finding() -> impl Iterator<Item = (Scene, Finding)> {
    let zones = FindingKind::ALL.into_iter().flat_map(|kind| kind.zones().map(move |z| (kind, z)));
    zones.flat_map(|(kind, zone)| {
        (0..6).map(move |shape| {
            let strength = [0.0, 0.1, 0.4, 0.7, 0.9, 1.0][shape as usize];
            let seed = u64::from(shape) * 101 + zone.index() as u64;
            let finding = Finding { kind, zone, strength, shape };
            (Scene::healthy(seed).with(finding), finding)
        })
    })
}

fn differing<'a>(one: &'a Phantom, other: &'a Phantom) -> impl Iterator<Item = (u32, u32)> + 'a {
    let pairs = one.values().iter().zip(other.values()).enumerate();
    let size = one.size();
    pairs
        .filter(|(_, (a, b))| a.to_bits() != b.to_bits())
        .map(move |(index, _)| (index as u32 % size, index as u32 / size))
}

#[track_caller]
fn check_twin(with: &Phantom, without: &Phantom, mask: &Mask, what: &str) {
    let near = mask.dilated(margin(with.size()));
    let stray: Vec<_> = differing(with, without).filter(|(x, y)| !near.contains(*x, *y)).collect();
    assert!(stray.is_empty(), "{what}: {} pixels, the first {:?}", stray.len(), stray[0]);
}

#[test]
fn findings_are_seen_in_their_zones() {
    for (scene, finding) in every_finding() {
        let phantom = scene.render(224);
        let mask = &phantom.masks()[0];
        let what = format!("{} {} of seed {}", finding.kind, finding.zone, scene.seed());
        // A nodule has some 80 pixels; less than half of one would be no longer seen.
        assert!(mask.area() > 40, "{what}: {} pixels", mask.area());
        let [x, y] = mask.centroid().unwrap().map(|at| at as f32 / 224.0);
        let found = scene.zone_at(x, y);
        assert_eq!(found, finding.zone, "{what}: middle at {x} {y}");
    }
}

#[test]
fn twins_differ_only_near_the_mask() {
    for (scene, finding) in every_finding() {
        let (with, without) = (scene.render(224), scene.without(0).render(224));
        let what = format!("{} {} of seed {}", finding.kind, finding.zone, scene.seed());
        check_twin(&with, &without, &with.masks()[0], &what);
    }
}

#[test]
fn twins_differ_only_near_the_mask_among_other_findings_and_at_full_size() {
    let distribution = Distribution { counts: vec![0.0, 0.0, 0.0, 1.0], ..Distribution::default() };
    for (seed, size) in [(0, 896), (1, 640), (2, 64), (3, 100), (4, 333), (5, 128)] {
        let scene = Scene::random(seed, &distribution);
        let phantom = scene.render(size);
        for (index, finding) in scene.findings().iter().enumerate() {
            let what = format!("{} of seed {seed} at {size}", finding.kind);
            check_twin(
                &phantom,
                &scene.without(index).render(size),
                &phantom.masks()[index],
                &what,
            );
        }
    }
}

#[test]
fn letters_change_nothing_but_their_mask() {
    for seed in 0..4 {
        let scene = Scene::healthy(seed).with_portable(true);
        let (with, without) = (scene.render(224), scene.with_portable(false).render(224));
        let mask = with.portable_mask();
        assert!(mask.area() > 100 && without.portable_mask().is_empty());
        check_twin(&with, &without, mask, "tag");
        // Beside the patient: the tag covers nothing that means something.
        assert!(mask.tight_box().unwrap()[3] < 224 / 8);
    }
}

#[test]
fn masks_hold_what_is_seen() {
    // Grain is the same in both, so the difference is the finding itself.
    for (scene, finding) in every_finding().filter(|(_, finding)| finding.strength > 0.8) {
        let (with, without) = (scene.render(224), scene.without(0).render(224));
        let mask = &with.masks()[0];
        let change = |covered: bool| {
            let pairs = with.values().iter().zip(without.values()).zip(mask.bits());
            let chosen = pairs.filter(|(_, bit)| **bit == covered).map(|((a, b), _)| (a - b).abs());
            let (sum, count) = chosen.fold((0.0, 0), |(sum, n), c| (sum + c, n + 1));
            sum / count as f32
        };
        let (inside, outside) = (change(true), change(false));
        assert!(inside > 0.04 && outside < 1e-4, "{}: {inside} {outside}", finding.kind);
    }
}

#[test]
fn boxes_are_tight_and_cells_add_up() {
    let phantom = Scene::random(11, &Distribution::default()).render(224);
    let all = phantom.masks().iter().chain([phantom.side_letter_mask(), phantom.portable_mask()]);
    for mask in all.filter(|mask| !mask.is_empty()) {
        let [x0, y0, x1, y1] = mask.tight_box().unwrap();
        let column = |x: u32| (y0..y1).any(|y| mask.contains(x, y));
        let row = |y: u32| (x0..x1).any(|x| mask.contains(x, y));
        assert!(column(x0) && column(x1 - 1) && row(y0) && row(y1 - 1));
        let within = (y0..y1).flat_map(|y| (x0..x1).map(move |x| (x, y)));
        assert_eq!(within.filter(|(x, y)| mask.contains(*x, *y)).count(), mask.area());
        // 224 pixels make 16 cells of 14.
        let covered: f32 = mask.cells(16).iter().map(|share| share * 14.0 * 14.0).sum();
        assert!((covered - mask.area() as f32).abs() < 0.1);
    }
}

#[test]
fn sides_are_the_patients() {
    for zone in Zone::ALL {
        let finding = Finding { kind: FindingKind::Opacity, zone, strength: 1.0, shape: 9 };
        let phantom = Scene::healthy(5).with(finding).render(224);
        let [x, _] = phantom.masks()[0].centroid().unwrap();
        assert_eq!(x < 112.0, zone.side == phantom_radiograph::Side::Right, "{zone}");
    }
}
