//! Pictures that share an object: slices of one volume, or a picture alone.

use super::{Error, FrameMap, source::Source};

/// Pictures of one size. In a volume they lie in parallel planes, in the order of depth.
#[derive(Debug)]
pub(super) struct Group {
    /// Indices of sources.
    pub(super) members: Vec<usize>,
    /// Why there is no volume: the sources do not say where they lie in the patient.
    pub(super) flat: Option<String>,
}

/// The most pixels of one object.
const MOST_PIXELS: u64 = 1 << 28;

impl Group {
    /// Sources by series, size and plane. Two pictures at one place go into different groups, as frames of an object are told
    /// apart by their place.
    pub(super) fn all(sources: &[Source]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            match groups.iter_mut().find(|group| group.takes(source, sources)) {
                Some(group) => group.members.push(index),
                None => groups.push(Self {
                    members: vec![index],
                    flat: source.plane.as_ref().err().cloned(),
                }),
            }
        }
        for group in &mut groups {
            group.members.sort_by(|a, b| depth(&sources[*a]).total_cmp(&depth(&sources[*b])));
        }
        groups
    }

    fn takes(&self, source: &Source, sources: &[Source]) -> bool {
        let Ok(plane) = &source.plane else { return false };
        self.members.iter().all(|member| {
            let member = &sources[*member];
            let apart = |other: &super::plane::Plane| {
                plane.is_parallel(other) && (plane.depth() - other.depth()).abs() > 1e-3
            };
            let alike = |source: &Source| (source.rows, source.columns);
            member.series == source.series
                && alike(member) == alike(source)
                && member.plane.as_ref().is_ok_and(apart)
        })
    }

    /// A target's maps over these pictures, with their place in the group.
    pub(super) fn maps<'a>(&self, frames: &'a [FrameMap]) -> Vec<(usize, &'a FrameMap)> {
        let map = |(place, source): (usize, &usize)| {
            Some((place, frames.iter().find(|frame| frame.source == *source)?))
        };
        self.members.iter().enumerate().filter_map(map).collect()
    }
}

/// Refuses more pixels than an object may have.
pub(super) fn check_size(what: &'static str, frames: usize, source: &Source) -> Result<(), Error> {
    let found = (frames as u64) * (source.rows as u64) * (source.columns as u64);
    if found > MOST_PIXELS {
        return Err(Error::TooLarge { what, found, most: MOST_PIXELS });
    }
    Ok(())
}

fn depth(source: &Source) -> f64 {
    source.plane.as_ref().map_or(0.0, super::plane::Plane::depth)
}
