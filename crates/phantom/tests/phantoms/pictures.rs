//! The same bytes for a seed, and a chest as a chest should look.

use phantom_radiograph::{Distribution, Phantom, Scene};

/// Mean grey value of a part of the picture, in sides of it: `[x0, y0, x1, y1]`.
fn mean(phantom: &Phantom, part: [f32; 4]) -> f32 {
    let size = phantom.size();
    let [x0, y0, x1, y1] = part.map(|edge| (edge * size as f32) as u32);
    let pixels = (y0..y1).flat_map(|y| (x0..x1).map(move |x| (y * size + x) as usize));
    let (sum, count) = pixels.fold((0.0, 0), |(sum, n), i| (sum + phantom.values()[i], n + 1));
    sum / count as f32
}

#[test]
fn a_seed_gives_the_same_bytes() {
    for seed in [0, 9, u64::MAX] {
        let draw = || Scene::random(seed, &Distribution::default()).render(224);
        let (one, other) = (draw(), draw());
        assert_eq!(one.grey8(), other.grey8());
        assert_eq!(one.grey16(), other.grey16());
        assert_eq!(one.masks(), other.masks());
    }
    let of = |seed| Scene::healthy(seed).render(64).grey8();
    assert_ne!(of(1), of(2));
}

#[test]
fn a_scene_survives_its_record() {
    let scene = Scene::random(4, &Distribution::default());
    let text = serde_json::to_string(&scene).unwrap();
    let read: Scene = serde_json::from_str(&text).unwrap();
    assert_eq!(read, scene);
    assert_eq!(read.render(96).grey16(), scene.render(96).grey16());
}

#[test]
fn values_are_grey_and_16_bits_say_more_than_8() {
    let phantom = Scene::random(2, &Distribution::default()).render(224);
    assert!(phantom.values().iter().all(|v| (0.0..=1.0).contains(v)));
    let (fine, coarse) = (phantom.grey16(), phantom.grey8());
    let worst = fine
        .pixels()
        .zip(coarse.pixels())
        .map(|(f, c)| (f32::from(f[0]) / 65535.0 - f32::from(c[0]) / 255.0).abs());
    assert!(worst.fold(0.0, f32::max) <= 0.5 / 255.0 + 1e-4);
    let distinct: std::collections::HashSet<u16> = fine.pixels().map(|p| p[0]).collect();
    assert!(distinct.len() > 2000);
}

#[test]
fn the_heart_is_on_the_pictures_right_and_the_right_dome_is_higher() {
    for seed in 0..25 {
        let phantom = Scene::healthy(seed).render(128);
        // Beside the spine above the diaphragm: heart on one side, lung on the other.
        let (right, left) =
            (mean(&phantom, [0.32, 0.5, 0.42, 0.62]), mean(&phantom, [0.58, 0.5, 0.68, 0.62]));
        assert!(left > right + 0.1, "seed {seed}: {right} {left}");
        // Lungs are dark, what is below them is white, and beside the neck there is nobody.
        let (lung, liver) =
            (mean(&phantom, [0.24, 0.3, 0.36, 0.45]), mean(&phantom, [0.25, 0.85, 0.4, 0.95]));
        let air = mean(&phantom, [0.0, 0.0, 0.12, 0.05]);
        assert!(
            air < 0.08 && air < lung && lung < 0.5 && liver > 0.65,
            "{seed}: {air} {lung} {liver}"
        );
        let scene = Scene::healthy(seed);
        assert!(scene.anatomy().dome_step > 0.0);
    }
}

/// The look of one scene, 16 × 16 means, as it was when somebody last looked and found it right. Another library of sines and
/// powers may move an edge by a fraction of a pixel; more than two grey values of 255 in a mean of 196 pixels is another picture.
#[test]
fn the_picture_looks_as_it_did() {
    let phantom = Scene::random(7, &Distribution::default()).with_portable(true).render(224);
    let side = 1.0 / 16.0;
    let cells = (0..16).flat_map(|row| (0..16).map(move |column| (row, column)));
    let means: Vec<f32> = cells
        .map(|(row, column)| {
            let (x, y) = (column as f32 * side, row as f32 * side);
            255.0 * mean(&phantom, [x, y, x + side, y + side])
        })
        .collect();
    let golden = include_str!("golden.txt");
    let golden: Vec<f32> = golden.split_whitespace().map(|word| word.parse().unwrap()).collect();
    let rounded: Vec<String> = means
        .chunks(16)
        .map(|row| row.iter().map(|mean| format!("{mean:5.1}")).collect::<Vec<_>>().join(" "))
        .collect();
    let close = golden.len() == 256 && means.iter().zip(&golden).all(|(a, b)| (a - b).abs() <= 2.0);
    assert!(close, "tests/phantoms/golden.txt would now be:\n{}", rounded.join("\n"));
}
