//! The pictures of all cards, small enough to stand in the page.

use rayon::prelude::*;

use super::error::BlockPlace;
use super::{Block, CardPicture, Dossier, DossierError, check};
use crate::pages::picture::{Embedded, Limits, embed as embed_one};

/// All pictures in the order of the page.
pub(super) fn embed(dossier: &Dossier<'_>) -> Result<Vec<Embedded>, DossierError> {
    let found = pictures(dossier);
    let limits = Limits::of_dossier(found.len());
    let embed = |&(place, picture, found): &(BlockPlace, usize, &CardPicture<'_>)| {
        embed_one(found.image, limits).map_err(|source| DossierError::Picture {
            place,
            picture,
            source,
        })
    };
    found.par_iter().map(embed).collect()
}

fn pictures<'d>(dossier: &'d Dossier<'_>) -> Vec<(BlockPlace, usize, &'d CardPicture<'d>)> {
    let mut found = Vec::new();
    for (place, block) in check::places(dossier) {
        let Block::Cards(cards) = block else { continue };
        for (card, of_card) in cards.iter().enumerate() {
            let place = BlockPlace { card: Some(card), ..place };
            found.extend(of_card.pictures.iter().enumerate().map(|(n, found)| (place, n, found)));
        }
    }
    found
}
