//! Values that are one word, written in a job as on the command line.

use medgemma_explainer::{
    Colormap, DeviceSpec, DtypeSpec, Engine, FigureKind, HeadWeights, Interpolation, Layers,
    Orientation, RegionSpec, Resolution,
};
use serde::de::{DeserializeOwned, Error};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is one word.
pub(crate) trait Spelled: Sized {
    fn read(text: &str) -> Result<Self, String>;
    /// What [`Spelled::read`] reads.
    fn spell(&self) -> String;
}

macro_rules! spelled {
    ($($name:ty),*) => {$(
        impl Spelled for $name {
            fn read(text: &str) -> Result<Self, String> {
                text.parse().map_err(|error: <Self as std::str::FromStr>::Err| error.to_string())
            }

            fn spell(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

spelled!(
    Colormap,
    DeviceSpec,
    DtypeSpec,
    Engine,
    FigureKind,
    Interpolation,
    Orientation,
    RegionSpec,
    Resolution
);

impl Spelled for Layers {
    fn read(text: &str) -> Result<Self, String> {
        crate::methods::layers(text)
    }

    fn spell(&self) -> String {
        self.to_string()
    }
}

impl Spelled for HeadWeights {
    fn read(text: &str) -> Result<Self, String> {
        crate::methods::heads(text)
    }

    fn spell(&self) -> String {
        crate::methods::spell_heads(*self)
    }
}

/// One such value, perhaps one, or several.
pub(crate) trait Field: Sized {
    type Plain: Serialize + DeserializeOwned;
    fn plain(&self) -> Self::Plain;
    fn from_plain(plain: Self::Plain) -> Result<Self, String>;
}

impl<T: Spelled> Field for T {
    type Plain = String;

    fn plain(&self) -> String {
        self.spell()
    }

    fn from_plain(plain: String) -> Result<Self, String> {
        Self::read(&plain)
    }
}

impl<T: Spelled> Field for Option<T> {
    type Plain = Option<String>;

    fn plain(&self) -> Option<String> {
        self.as_ref().map(Spelled::spell)
    }

    fn from_plain(plain: Option<String>) -> Result<Self, String> {
        plain.as_deref().map(T::read).transpose()
    }
}

impl<T: Spelled> Field for Vec<T> {
    type Plain = Vec<String>;

    fn plain(&self) -> Vec<String> {
        self.iter().map(Spelled::spell).collect()
    }

    fn from_plain(plain: Vec<String>) -> Result<Self, String> {
        plain.iter().map(|text| T::read(text)).collect()
    }
}

/// For `#[serde(with = "crate::spelled")]`.
pub(crate) fn serialize<T: Field, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    value.plain().serialize(to)
}

/// For `#[serde(with = "crate::spelled")]`.
pub(crate) fn deserialize<'de, T: Field, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    T::from_plain(T::Plain::deserialize(from)?).map_err(D::Error::custom)
}
