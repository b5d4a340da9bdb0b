//! Draws a row of phantoms, and below it the same with their masks in colour:
//! `cargo run --release -p phantom-radiograph --example contact_sheet -- sheet.png [SEED] [COUNT] [SIZE]`.

use std::error::Error;
use std::time::Instant;

use phantom_radiograph::image::{Rgb, RgbImage};
use phantom_radiograph::{Distribution, Phantom, Scene};

#[expect(clippy::print_stdout, reason = "an example tells what it does")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().unwrap_or_else(|| "sheet.png".to_owned());
    let mut number = |default| arguments.next().map_or(Ok(default), |text| text.parse::<u32>());
    let (seed, count, size) = (number(0)?, number(4)?, number(448)?);

    let distribution = Distribution { counts: vec![0.0, 1.0, 2.0, 1.0], ..Distribution::default() };
    let mut sheet = RgbImage::new(size * count, size * 2);
    for index in 0..count {
        let scene = Scene::random(u64::from(seed + index), &distribution);
        let start = Instant::now();
        let phantom = scene.render(size);
        println!("{} ({:.1} ms)", scene.report().join(" "), start.elapsed().as_secs_f64() * 1e3);
        draw(&phantom, index * size, &mut sheet);
    }
    sheet.save(path)?;
    Ok(())
}

fn draw(phantom: &Phantom, left: u32, sheet: &mut RgbImage) {
    let letters = [phantom.portable_mask(), phantom.side_letter_mask()];
    for (x, y, grey) in phantom.grey8().enumerate_pixels() {
        sheet.put_pixel(left + x, y, Rgb([grey[0]; 3]));
        let mut colour = [grey[0]; 3];
        for (index, mask) in phantom.masks().iter().chain(letters).enumerate() {
            if mask.contains(x, y) {
                colour[index % 3] = 255;
            }
        }
        sheet.put_pixel(left + x, phantom.size() + y, Rgb(colour));
    }
}
