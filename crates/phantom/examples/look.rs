//! scratch
use phantom_radiograph::*;
use std::time::Instant;
fn main() {
    let out = std::env::args().nth(1).unwrap();
    let size: u32 = std::env::args().nth(2).unwrap().parse().unwrap();
    let from: u64 = std::env::args().nth(3).unwrap().parse().unwrap();
    let n: u64 = std::env::args().nth(4).unwrap().parse().unwrap();
    let mut d = Distribution::default();
    d.counts = vec![0.0, 0.0, 1.0, 2.0];
    d.portable = 0.6;
    // montage of n with mask outlines below
    let mut sheet = image::RgbImage::new(size * n as u32, size * 2);
    for i in 0..n {
        let s = Scene::random(from + i, &d);
        let t = Instant::now();
        let p = s.render(size);
        eprintln!(
            "{} {:?} {:?}",
            from + i,
            t.elapsed(),
            s.findings()
                .iter()
                .map(|f| format!("{} {} {:.2}", f.kind.slug(), f.zone, f.strength))
                .collect::<Vec<_>>()
        );
        let g = p.grey8();
        for (x, y, v) in g.enumerate_pixels() {
            sheet.put_pixel(x + i as u32 * size, y, image::Rgb([v[0]; 3]));
            let mut c = [v[0]; 3];
            for (k, m) in
                p.masks().iter().chain([p.portable_mask(), p.side_letter_mask()]).enumerate()
            {
                if m.contains(x, y) {
                    c[k % 3] = 255;
                }
            }
            sheet.put_pixel(x + i as u32 * size, y + size, image::Rgb(c));
        }
    }
    sheet.save(out).unwrap();
}
