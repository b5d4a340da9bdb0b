//! Options are made from their defaults, one field after the other: a new field breaks nobody. One file for every crate that has options;
//! its own is a link to it.

/// A method `with_FIELD` for each field of a struct of options.
macro_rules! setters {
    ($options:ident { $($with:ident = $field:ident: $type:ty),+ $(,)? }) => {
        impl $options {
            $(
                #[doc = concat!("The same with this [`", stringify!($options), "::", stringify!($field), "`].")]
                #[must_use]
                pub fn $with(mut self, $field: $type) -> Self {
                    self.$field = $field;
                    self
                }
            )+
        }
    };
}
pub(crate) use setters;
