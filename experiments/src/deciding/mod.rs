//! Texts in which one word decides the next: does the map of a real language model point at it?
//!
//! No pictures: what is known here is known of the text. A sentence comes with a twin in which only the deciding word is another and the
//! other continuation is right, so that the model itself says whether the word decides.

pub mod items;
pub mod measure;
pub mod page;
