//! `medgemma-explainer phantom`.

mod dicom;

use crate::{interrupt, output, progress};
use anyhow::Context;
use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use dicom::DicomArgs;
use model_audit::{Case, Cases, Files};
use phantom_radiograph::{
    Bits, COUNTS, Distribution, FindingKind, SIZES, SetOptions, Truth, write_set,
};
use std::io::Write;
use std::ops::{ControlFlow, RangeInclusive};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use tempfile::NamedTempFile;

pub(crate) const FILES: &str = concat!(
    "Files in --out for each picture, numbered from 000: NNN.png, the picture; NNN-mask-K-KIND.png, the mask of finding K, and ",
    "NNN-twin-K.png, the same picture without it; likewise for burnt-in letters; NNN.json, all that is known about it. With --cases also ",
    "cases.jsonl; with --dicom NNN.dcm, or NNN-ct and NNN-ct.json. No patient data is used."
);

#[derive(clap::Args, Debug)]
pub(crate) struct PhantomArgs {
    /// Seed of the first picture; each further picture takes the next number
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Number of pictures
    #[arg(long, value_name = "K", default_value_t = 1, value_parser = within(COUNTS))]
    count: u32,
    /// Pixels along each side
    #[arg(long, value_name = "N", default_value_t = 896, value_parser = within(SIZES))]
    size: u32,
    /// Bits per pixel
    #[arg(long, value_enum, default_value_t)]
    bits: BitsArg,
    /// Also write cases.jsonl, the cases of an audit: each picture is asked whether there is such a finding
    #[arg(long, value_enum, value_name = "FINDING")]
    cases: Option<FindingArg>,
    #[command(flatten)]
    dicom: DicomArgs,
    /// Folder for the pictures; created if needed, otherwise it must be empty
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(ValueEnum, Clone, Copy, Debug, Default)]
enum BitsArg {
    /// 256 grey values
    #[default]
    #[value(name = "8")]
    Eight,
    /// 65 536 grey values
    #[value(name = "16")]
    Sixteen,
}

#[derive(ValueEnum, Clone, Copy, Debug)]
enum FindingArg {
    Opacity,
    Nodule,
    Effusion,
    Pneumothorax,
    Device,
}

impl From<FindingArg> for FindingKind {
    fn from(arg: FindingArg) -> Self {
        match arg {
            FindingArg::Opacity => Self::Opacity,
            FindingArg::Nodule => Self::Nodule,
            FindingArg::Effusion => Self::Effusion,
            FindingArg::Pneumothorax => Self::Pneumothorax,
            FindingArg::Device => Self::Device,
        }
    }
}

fn within(range: RangeInclusive<u32>) -> RangedU64ValueParser<u32> {
    let (low, high) = (u64::from(*range.start()), u64::from(*range.end()));
    RangedU64ValueParser::new().range(low..=high)
}

/// Writes the pictures and says of each what is to be seen.
pub(crate) fn run(args: &PhantomArgs) -> anyhow::Result<()> {
    let bits = match args.bits {
        BitsArg::Eight => Bits::Eight,
        BitsArg::Sixteen => Bits::Sixteen,
    };
    let &PhantomArgs { seed, count, size, .. } = args;
    let options = SetOptions { seed, count, size, bits, distribution: Distribution::default() };
    let stop = interrupt::flag_of_short_steps();
    let bar = progress::counter("drawing", u64::from(count))?;
    let (mut lines, mut cases) = (Vec::new(), Vec::new());
    let mut failed = None;
    let written = write_set(&args.out, &options, |truth| {
        lines.push(line(args, truth));
        cases.extend(args.cases.map(|kind| case(truth, kind.into())));
        let name = truth.picture.as_deref().unwrap_or_default().trim_end_matches(".png");
        match args.dicom.write(&args.out, (name, truth.seed, size)) {
            Ok(path) => lines.extend(path.map(|path| path.display().to_string())),
            Err(error) => failed = Some(error),
        }
        bar.inc(1);
        if failed.is_some() || stop.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    bar.finish_and_clear();
    lines.iter().for_each(output::line);
    if let Some(error) = failed {
        return Err(error);
    }
    written?;
    if args.cases.is_some() {
        let path = args.out.join("cases.jsonl");
        let mut file = NamedTempFile::new_in(&args.out)?;
        file.write_all(Cases::to_lines(&cases).as_bytes())?;
        file.persist(&path).with_context(|| format!("cannot write {}", path.display()))?;
        output::line(path.display());
    }
    Ok(())
}

/// Whether a picture shows a finding of a kind, as a case of an audit.
fn case(truth: &Truth, kind: FindingKind) -> Case {
    let picture = truth.picture.clone().unwrap_or_default();
    let of_kind = truth.findings.iter().filter(|found| found.kind == kind);
    let boxes: Vec<[f64; 4]> =
        of_kind.filter_map(|found| Some(found.extent.box_pixels?.map(f64::from))).collect();
    let asked = if kind == FindingKind::Device { "device" } else { kind.name() };
    let article = if kind == FindingKind::Opacity { "an" } else { "a" };
    let is_there = !boxes.is_empty();
    Case {
        id: picture.trim_end_matches(".png").to_owned(),
        image: Files::One(picture.into()),
        question: format!("Is there {article} {asked}?"),
        answer: Some(if is_there { "yes" } else { "no" }.to_owned()),
        label: Some(if is_there { kind.name().to_owned() } else { format!("no {}", kind.name()) }),
        boxes,
        ..Case::default()
    }
}

fn line(args: &PhantomArgs, truth: &Truth) -> String {
    let picture = args.out.join(truth.picture.as_deref().unwrap_or_default());
    let findings: Vec<String> =
        truth.findings.iter().map(|found| format!("{}, {}", found.name, found.zone)).collect();
    let findings = if findings.is_empty() { "no finding".to_owned() } else { findings.join("; ") };
    format!("{}  {findings}", picture.display())
}
