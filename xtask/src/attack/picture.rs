//! Pictures of any size in a few bytes, good and bad ones.

use std::io::Write as _;

use flate2::write::ZlibEncoder;
use flate2::{Compress, Compression, FlushCompress};

/// A grey picture that nothing is wrong with.
pub(crate) fn good() -> Vec<u8> {
    png(64, 48, |x, y| (x * 3 + y * 2) as u8)
}

/// A grey PNG of 8 bits.
pub(crate) fn png(width: u32, height: u32, grey: impl Fn(u32, u32) -> u8) -> Vec<u8> {
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::default());
    let mut row = vec![0; width as usize + 1]; // the first byte: no filter
    for y in 0..height {
        for x in 0..width {
            row[x as usize + 1] = grey(x, y);
        }
        let _ = rows.write_all(&row); // into memory
    }
    png_of(width, height, &rows.finish().unwrap_or_default())
}

/// A black PNG, of which only this many rows are there.
pub(crate) fn black_png(width: u32, height: u32, rows: u32) -> Vec<u8> {
    png_of(width, height, &zeros((width as usize + 1) * rows as usize))
}

fn png_of(width: u32, height: u32, packed: &[u8]) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let header = [&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 0, 0, 0, 0]].concat();
    for (name, body) in [(*b"IHDR", &header[..]), (*b"IDAT", packed), (*b"IEND", &[])] {
        bytes.extend(chunk(name, body));
    }
    bytes
}

/// A chunk of a PNG, with its check sum.
pub(crate) fn chunk(name: [u8; 4], body: &[u8]) -> Vec<u8> {
    let mut sum = flate2::Crc::new();
    sum.update(&name);
    sum.update(body);
    let length = (body.len() as u32).to_be_bytes();
    [&length[..], &name, body, &sum.sum().to_be_bytes()].concat()
}

/// A PNG with this chunk behind its header.
pub(crate) fn png_with(png: &[u8], extra: &[u8]) -> Vec<u8> {
    const HEADER: usize = 8 + 25;
    [&png[..HEADER], extra, &png[HEADER..]].concat()
}

/// A grey JPEG of one shade: two bits for each block of 8 × 8 pixels.
pub(crate) fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let [h, w] = [height.to_be_bytes(), width.to_be_bytes()];
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xff, 0xc0, 0, 11, 8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    for class in [0x00, 0x10] {
        // One code, a single 0: no difference, or the end of the block.
        bytes.extend([0xff, 0xc4, 0, 20, class, 1]);
        bytes.extend([0; 16]);
    }
    bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    let blocks = usize::from(width).div_ceil(8) * usize::from(height).div_ceil(8);
    bytes.extend(std::iter::repeat_n(0, (2 * blocks).div_ceil(8)));
    bytes.extend([0xff, 0xd9]);
    bytes
}

/// A black BMP of 24 bits, of which only `there` bytes of pixels are there.
pub(crate) fn bmp(width: i32, height: i32, there: usize) -> Vec<u8> {
    let mut bytes = b"BM".to_vec();
    for field in [54 + there as i32, 0, 54, 40, width, height, 1 | 24 << 16, 0, 0, 0, 0, 0, 0] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(std::iter::repeat_n(0, there));
    bytes
}

/// A grey TIFF in one strip that claims to hold all, of which `there` bytes are there.
pub(crate) fn tiff(width: u32, height: u32, there: usize) -> Vec<u8> {
    let size = u32::try_from(u64::from(width) * u64::from(height)).unwrap_or(u32::MAX);
    let fields = [
        (256, width),
        (257, height),
        (258, 8),
        (259, 1),
        (262, 1),
        (273, 8 + 2 + 9 * 12 + 4),
        (277, 1),
        (278, height),
        (279, size),
    ];
    let mut bytes = b"II*\0\x08\0\0\0".to_vec();
    bytes.extend((fields.len() as u16).to_le_bytes());
    for (tag, value) in fields {
        bytes.extend(u16::to_le_bytes(tag));
        bytes.extend(4_u16.to_le_bytes()); // u32
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend(std::iter::repeat_n(0, there));
    bytes
}

/// A lossless WebP of one colour: no bit for any pixel.
pub(crate) fn webp(width: u32, height: u32) -> Vec<u8> {
    // Fourteen bits each for the sides less one, no alpha, version 0; no transform, no colour cache, no meta code.
    let mut bits = u128::from(width - 1) | u128::from(height - 1) << 14;
    let mut at = 32 + 3;
    for _ in 0..5 {
        bits |= 1 << at; // a simple code of one symbol, which is 0
        at += 4;
    }
    let mut body = vec![0x2f];
    body.extend(&bits.to_le_bytes()[..8]);
    body.push(0); // chunks have an even length
    let mut bytes = b"RIFF".to_vec();
    bytes.extend((4 + 8 + body.len() as u32).to_le_bytes());
    bytes.extend(b"WEBPVP8L");
    bytes.extend((body.len() as u32).to_le_bytes());
    bytes.extend(body);
    bytes
}

/// This many zeros in the format zlib, without the time that packing them would take.
pub(crate) fn zeros(count: usize) -> Vec<u8> {
    // The check sum of zeros: one, and how many there are.
    let sum = ((count % 65_521) as u32) << 16 | 1;
    [&[0x78, 0x01][..], &deflated_zeros(count), &sum.to_be_bytes()].concat()
}

/// This many zeros in the format gzip.
pub(crate) fn gzip_zeros(count: usize) -> Vec<u8> {
    let header = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut sum = flate2::Crc::new();
    let mut piece = flate2::Crc::new();
    piece.update(&vec![0; PIECE]);
    for _ in 0..count / PIECE {
        sum.combine(&piece);
    }
    sum.update(&vec![0; count % PIECE]);
    let length = (count as u32).to_le_bytes();
    [&header[..], &deflated_zeros(count), &sum.sum().to_le_bytes(), &length].concat()
}

const PIECE: usize = 1 << 20;

/// One packed piece, which stands for itself, as often as it takes.
fn deflated_zeros(count: usize) -> Vec<u8> {
    let packed = |n: usize| {
        let mut bytes = Vec::with_capacity(PIECE);
        let mut packer = Compress::new(Compression::fast(), false);
        let _ = packer.compress_vec(&vec![0; n], &mut bytes, FlushCompress::Full); // into memory
        bytes
    };
    let mut bytes = packed(PIECE).repeat(count / PIECE);
    bytes.extend(packed(count % PIECE));
    bytes.extend([0x03, 0x00]); // the last block, which holds nothing
    bytes
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    #[test]
    fn packed_zeros_are_zeros_with_the_right_check_sum() {
        for count in [0, 5, PIECE, 3 * PIECE + 17] {
            let mut found = Vec::new();
            flate2::read::ZlibDecoder::new(&zeros(count)[..]).read_to_end(&mut found).unwrap();
            assert!(found == vec![0; count], "zlib {count}");
            found.clear();
            flate2::read::GzDecoder::new(&gzip_zeros(count)[..]).read_to_end(&mut found).unwrap();
            assert!(found == vec![0; count], "gzip {count}");
        }
    }
}
