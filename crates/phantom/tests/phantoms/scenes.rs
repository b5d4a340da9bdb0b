//! What a distribution draws, and how scenes change.

use std::collections::HashSet;

use phantom_radiograph::{Distribution, FindingKind, Level, Scene, Side, Zone};

#[test]
fn the_default_has_at_most_one_of_a_kind_and_of_a_zone() {
    let mut counts = [0i32; 4];
    for seed in 0..600 {
        let scene = Scene::random(seed, &Distribution::default());
        let findings = scene.findings();
        counts[findings.len()] += 1;
        assert!(
            findings.iter().all(|f| f.kind.occurs_in(f.zone) && (0.4..=1.0).contains(&f.strength))
        );
        let kinds: HashSet<FindingKind> = findings.iter().map(|f| f.kind).collect();
        let zones: HashSet<Zone> = findings.iter().map(|f| f.zone).collect();
        assert_eq!((kinds.len(), zones.len()), (findings.len(), findings.len()));
        assert!(findings.windows(2).all(|pair| pair[0].zone < pair[1].zone), "in order of zones");
    }
    // Weights 1, 2, 2, 1 of 6; four standard deviations are 36 and 46.
    let expected = [100, 200, 200, 100];
    assert!(counts.iter().zip(expected).all(|(c, e)| (*c - e).abs() < 48), "{counts:?}");
}

#[test]
fn every_kind_comes_to_every_zone_that_it_can_be_in() {
    let scenes = (0..800).map(|seed| Scene::random(seed, &Distribution::default()));
    let seen: HashSet<(FindingKind, Zone)> =
        scenes.flat_map(|s| s.findings().to_vec()).map(|f| (f.kind, f.zone)).collect();
    assert_eq!(seen.len(), 6 + 6 + 2 + 2 + 2);
}

#[test]
fn all_five_kinds_find_room() {
    let distribution =
        Distribution { counts: vec![0., 0., 0., 0., 0., 1.], ..Distribution::default() };
    for seed in 0..100 {
        assert_eq!(Scene::random(seed, &distribution).findings().len(), 5);
    }
}

#[test]
fn several_of_a_kind_and_in_a_zone_must_be_wanted() {
    let mut distribution = Distribution::only(&[FindingKind::Nodule]);
    distribution.counts = vec![0.0, 0.0, 0.0, 1.0];
    assert_eq!(Scene::random(1, &distribution).findings().len(), 1, "kinds run out");
    distribution.repeat_kinds = true;
    assert_eq!(Scene::random(1, &distribution).findings().len(), 3);
    distribution.share_zones = true;
    let shares = |seed| {
        let scene = Scene::random(seed, &distribution);
        let zones: HashSet<Zone> = scene.findings().iter().map(|f| f.zone).collect();
        zones.len() < 3
    };
    assert!((0..50).any(shares));
}

#[test]
fn letters_and_findings_do_not_disturb_the_chest() {
    let quiet = Distribution { side_letter: 0.0, portable: 0.0, ..Distribution::default() };
    let other =
        Distribution { side_letter: 1.0, portable: 1.0, counts: vec![0.0, 1.0], ..quiet.clone() };
    for seed in 0..20 {
        let (a, b) = (Scene::random(seed, &quiet), Scene::random(seed, &other));
        assert_eq!(a.anatomy(), b.anatomy());
        assert!(!a.markers().side_letter && b.markers().portable);
        assert_eq!(b.with_portable(false).markers().side_letter, b.markers().side_letter);
    }
}

#[test]
fn the_report_says_what_is_there_and_what_is_not() {
    let distribution = Distribution { counts: vec![0.0, 0.0, 1.0], ..Distribution::default() };
    for seed in 0..50 {
        let scene = Scene::random(seed, &distribution);
        let report = scene.report();
        assert_eq!(report.len(), 5);
        for (finding, sentence) in scene.findings().iter().zip(&report) {
            assert!(
                sentence.contains(finding.kind.name()) && sentence.contains(finding.zone.name())
            );
        }
        assert!(report[2..].iter().all(|sentence| sentence.starts_with("There is no ")));
        assert!(scene.without(0).report()[1..].iter().all(|s| s.starts_with("There is no ")));
    }
    assert_eq!(Scene::healthy(0).without(3), Scene::healthy(0));
}

#[test]
fn zones_follow_the_picture() {
    let scene = Scene::healthy(3);
    let at = |x, y| scene.zone_at(x, y);
    assert_eq!(at(0.25, 0.2), Zone { side: Side::Right, level: Level::Upper });
    assert_eq!(at(0.75, 0.43), Zone { side: Side::Left, level: Level::Middle });
    assert_eq!(at(0.75, 0.7), Zone { side: Side::Left, level: Level::Lower });
}
