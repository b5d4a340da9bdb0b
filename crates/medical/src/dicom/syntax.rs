//! Transfer syntaxes (PS3.6 Annex A, PS3.5 Section 10): how elements are written and how pixels are compressed.

use dicom_object::mem::InMemDicomObject;
use dicom_transfer_syntax_registry::entries;

use crate::TransferSyntax;

/// How elements are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Encoding {
    /// Whether each element says its type.
    pub(crate) explicit: bool,
    pub(crate) big_endian: bool,
}

impl Encoding {
    pub(crate) const IMPLICIT: Self = Self { explicit: false, big_endian: false };
    pub(crate) const EXPLICIT: Self = Self { explicit: true, big_endian: false };
    pub(crate) const BIG_ENDIAN: Self = Self { explicit: true, big_endian: true };

    /// The data set of these bytes, parsed.
    pub(crate) fn parse(self, bytes: &[u8]) -> Result<InMemDicomObject, dicom_object::ReadError> {
        let syntax = match self {
            Self { big_endian: true, .. } => entries::EXPLICIT_VR_BIG_ENDIAN.erased(),
            Self { explicit: true, .. } => entries::EXPLICIT_VR_LITTLE_ENDIAN.erased(),
            _ => entries::IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        };
        InMemDicomObject::read_dataset_with_ts(bytes, &syntax)
    }
}

/// How pixels are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// Not at all.
    Native,
    Rle,
    /// Baseline, extended and lossless JPEG: the file says which.
    Jpeg,
    JpegLs,
    Jpeg2000,
    /// Named, and not decoded.
    Other,
}

/// A transfer syntax.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Syntax {
    pub(crate) uid: String,
    pub(crate) name: &'static str,
    pub(crate) encoding: Encoding,
    pub(crate) deflated: bool,
    pub(crate) codec: Codec,
}

impl Syntax {
    /// The syntax of that UID; unknown ones are taken as explicit little endian with pixels that nobody decodes, as PS3.5 A.4 has it for
    /// compressed ones.
    pub(crate) fn of_uid(uid: &str) -> Self {
        let known = SYNTAXES.iter().find(|(known, ..)| *known == uid);
        let (name, codec) =
            known.map_or(("an unknown transfer syntax", Codec::Other), |entry| (entry.1, entry.2));
        let encoding = match uid {
            IMPLICIT => Encoding::IMPLICIT,
            "1.2.840.10008.1.2.2" => Encoding::BIG_ENDIAN,
            _ => Encoding::EXPLICIT,
        };
        Self { uid: uid.into(), name, encoding, deflated: uid == DEFLATED, codec }
    }

    /// The uncompressed syntax of that encoding.
    pub(crate) fn of_encoding(encoding: Encoding) -> Self {
        Self::of_uid(match encoding {
            Encoding { explicit: false, .. } => IMPLICIT,
            Encoding { big_endian: true, .. } => "1.2.840.10008.1.2.2",
            _ => "1.2.840.10008.1.2.1",
        })
    }

    pub(crate) fn to_record(&self) -> TransferSyntax {
        TransferSyntax { uid: self.uid.clone(), name: self.name.into() }
    }
}

const IMPLICIT: &str = "1.2.840.10008.1.2";
const DEFLATED: &str = "1.2.840.10008.1.2.1.99";

/// UID, name of PS3.6, codec.
const SYNTAXES: &[(&str, &str, Codec)] = &[
    (IMPLICIT, "Implicit VR Little Endian", Codec::Native),
    ("1.2.840.10008.1.2.1", "Explicit VR Little Endian", Codec::Native),
    (DEFLATED, "Deflated Explicit VR Little Endian", Codec::Native),
    ("1.2.840.10008.1.2.2", "Explicit VR Big Endian", Codec::Native),
    ("1.2.840.10008.1.2.5", "RLE Lossless", Codec::Rle),
    ("1.2.840.10008.1.2.4.50", "JPEG Baseline", Codec::Jpeg),
    ("1.2.840.10008.1.2.4.51", "JPEG Extended", Codec::Jpeg),
    ("1.2.840.10008.1.2.4.57", "JPEG Lossless, Process 14", Codec::Jpeg),
    ("1.2.840.10008.1.2.4.70", "JPEG Lossless, Process 14, Selection Value 1", Codec::Jpeg),
    ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless", Codec::JpegLs),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS Near-Lossless", Codec::JpegLs),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless", Codec::Jpeg2000),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000", Codec::Jpeg2000),
    ("1.2.840.10008.1.2.4.92", "JPEG 2000 Part 2 Lossless", Codec::Other),
    ("1.2.840.10008.1.2.4.93", "JPEG 2000 Part 2", Codec::Other),
    ("1.2.840.10008.1.2.4.94", "JPIP Referenced", Codec::Other),
    ("1.2.840.10008.1.2.4.95", "JPIP Referenced Deflate", Codec::Other),
    ("1.2.840.10008.1.2.4.100", "MPEG2 Main Profile / Main Level", Codec::Other),
    ("1.2.840.10008.1.2.4.101", "MPEG2 Main Profile / High Level", Codec::Other),
    ("1.2.840.10008.1.2.4.102", "MPEG-4 AVC/H.264 High Profile", Codec::Other),
    ("1.2.840.10008.1.2.4.103", "MPEG-4 AVC/H.264 BD-compatible High Profile", Codec::Other),
    ("1.2.840.10008.1.2.4.107", "HEVC/H.265 Main Profile", Codec::Other),
    ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless", Codec::Other),
    ("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression", Codec::Other),
    ("1.2.840.10008.1.2.4.112", "JPEG XL", Codec::Other),
    ("1.2.840.10008.1.2.4.201", "High-Throughput JPEG 2000 Lossless", Codec::Jpeg2000),
    ("1.2.840.10008.1.2.4.202", "High-Throughput JPEG 2000 RPCL Lossless", Codec::Jpeg2000),
    ("1.2.840.10008.1.2.4.203", "High-Throughput JPEG 2000", Codec::Jpeg2000),
];
