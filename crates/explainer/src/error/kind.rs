//! Errors by what a program would do about them.

use attention_capture::Error as Capture;
use attention_relevancy::ErrorKind as Relevancy;
use explanation_record::Error as Document;
use gemma3_processor::Error as Input;
use gemma3_tch::Error as Model;

use super::Cause;

/// What went wrong, as a program decides by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The caller ended the work.
    Cancelled,
    /// Too much waits already; later there may be room.
    Busy,
    /// The thread of a [`Service`](crate::Service) could not be started, or has ended.
    Service,
    /// The machine has too little memory for it.
    OutOfMemory,
    /// The memory budget of the call is too small for it: [`Context::memory_budget`](crate::Context::memory_budget).
    Budget,
    /// The checkpoint is not there or is not what it should be.
    Checkpoint,
    /// The Hugging Face hub: no connection, no access, no such model.
    Hub,
    /// The repository on the hub has GGUF files, one of which must be named: the field `file` of [`ModelSource::Hub`](crate::ModelSource::Hub).
    GgufFile,
    /// The device asked for is not there: [`LoadOptions::device`](crate::LoadOptions::device).
    Device,
    /// The question: an empty or forbidden text, too many tokens, no picture where one is needed.
    Question,
    /// A picture cannot be used.
    Picture,
    /// Something was asked of an answer that does not have it; of another answer it may.
    NotInAnswer,
    /// What is to be explained cannot be: a position before the answer, an empty range, a phrase against itself.
    Target,
    /// An option that the model does not have or that goes with none of the others.
    Argument,
    /// The model computed numbers that are not finite; another type may do ([`LoadOptions::dtype`](crate::LoadOptions::dtype)).
    NotFinite,
    /// A file beside checkpoint and results cannot be read or written.
    Io,
    /// Results cannot be written to the folder or file asked for.
    Output,
    /// Results that were written earlier cannot be read.
    Record,
    /// What should not happen: a mistake of this program, or of a library below it.
    Internal,
}

impl Cause {
    pub(super) fn kind(&self) -> ErrorKind {
        match self {
            #[cfg(not(feature = "hub"))]
            Self::NoHub { .. } => ErrorKind::Hub,
            #[cfg(not(feature = "phantom"))]
            Self::NotShipped { .. } => ErrorKind::Checkpoint,
            Self::NotACheckpoint { .. } | Self::ShippedAdapter { .. } => ErrorKind::Checkpoint,
            Self::TowerWithoutFile { .. } => ErrorKind::GgufFile,
            Self::AdapterWeight { .. }
            | Self::CompareReproduced
            | Self::OtherTokens { .. }
            | Self::OtherImages { .. } => ErrorKind::Argument,
            #[cfg(feature = "phantom")]
            Self::NoCache | Self::FolderInCache { .. } | Self::Write { .. } => ErrorKind::Io,
            Self::EmptyPrompt
            | Self::EmptySystem
            | Self::AnswerTooLong { .. }
            | Self::NoPictures
            | Self::PathNoPictures { .. }
            | Self::OcclusionNoPictures { .. } => ErrorKind::Question,
            Self::PositionZero { .. }
            | Self::PositionInPrompt { .. }
            | Self::PositionInImage { .. }
            | Self::SameFoil { .. }
            | Self::EmptyAgainst { .. }
            | Self::SamePhrase { .. }
            | Self::NoTokens { .. }
            | Self::NoAnswer { .. } => ErrorKind::Target,
            Self::PositionPastEnd { .. }
            | Self::NoSentence { .. }
            | Self::NoCharacters { .. }
            | Self::NoField { .. }
            | Self::ReproducedKeyword { .. } => ErrorKind::NotInAnswer,
            Self::BudgetForPrompt { .. } => ErrorKind::Budget,
            Self::LayersRetained
            | Self::HeadsRetained
            | Self::FinerRetained
            | Self::BackwardRetained { .. }
            | Self::NoLrp { .. }
            | Self::FinerReproduced
            | Self::SinkThreshold { .. }
            | Self::PathPoints { .. }
            | Self::PathAlone { .. }
            | Self::OcclusionReproduced { .. }
            | Self::UnknownEngine { .. }
            | Self::Fractions { .. }
            | Self::Controls { .. }
            | Self::Block { .. }
            | Self::NoOperator
            | Self::PartOfNoPicture { .. }
            | Self::MaskSize { .. }
            | Self::BlankReproduced => ErrorKind::Argument,
            Self::Base { error, .. } => error.kind(),
            Self::Busy { .. } => ErrorKind::Busy,
            Self::Service { .. } => ErrorKind::Service,
            Self::Cancelled => ErrorKind::Cancelled,
            Self::Input(error) => of_input(error),
            Self::Medical(
                medical_pictures::Error::Read { .. } | medical_pictures::Error::NotAFile { .. },
            ) => ErrorKind::Io,
            Self::Medical(_) => ErrorKind::Picture,
            Self::Model(error) => of_model(error),
            Self::Capture(error) => of_capture(error),
            Self::Relevancy(error) => of_relevancy(error),
            Self::Document(error) => of_document(error),
        }
    }
}

fn of_input(error: &Input) -> ErrorKind {
    match error {
        Input::Read { .. } | Input::NotAFile { .. } | Input::FileTooLarge { .. } => ErrorKind::Io,
        Input::NotADirectory { .. }
        | Input::JsonTooLarge { .. }
        | Input::Json { .. }
        | Input::MissingField { .. }
        | Input::Field { .. }
        | Input::Tokenizer { .. }
        | Input::NoTemplate { .. }
        | Input::UnknownTemplate { .. }
        | Input::Template { .. }
        | Input::NoPlaceholder { .. }
        | Input::PlaceholderCount { .. }
        | Input::BeginToken { .. }
        | Input::ImageSpan { .. }
        | Input::ImageCount { .. } => ErrorKind::Checkpoint,
        Input::EmptyPrompt { .. }
        | Input::ControlToken { .. }
        | Input::AnswerControlToken { .. }
        | Input::EmptyAnswer
        | Input::JoinedControlToken { .. }
        | Input::PictureCount { .. }
        | Input::TooManyTokens { .. }
        | Input::Encode { .. } => ErrorKind::Question,
        Input::NotAPicture { .. }
        | Input::ForeignFile { .. }
        | Input::UnsupportedPicture { .. }
        | Input::PictureLimit { .. }
        | Input::Decode { .. }
        | Input::Truncated { .. }
        | Input::DecoderPanic { .. }
        | Input::ZeroSize { .. } => ErrorKind::Picture,
        Input::Window { .. } | Input::CropRule { .. } => ErrorKind::Argument,
        Input::EmptyKeyword => ErrorKind::Target,
        Input::KeywordNotFound { .. } => ErrorKind::NotInAnswer,
        _ => ErrorKind::Internal,
    }
}

fn of_model(error: &Model) -> ErrorKind {
    match error {
        error if error.is_out_of_memory() => ErrorKind::OutOfMemory,
        Model::Memory { .. } => ErrorKind::OutOfMemory,
        Model::UnknownDevice { .. } | Model::UnknownDtype { .. } | Model::Threads { .. } => {
            ErrorKind::Argument
        }
        Model::NoCuda { .. } => ErrorKind::Device,
        Model::NonFinite { .. } => ErrorKind::NotFinite,
        Model::HubGguf { .. } | Model::HubFileName { .. } => ErrorKind::GgufFile,
        Model::HubCancelled { .. } => ErrorKind::Cancelled,
        Model::HubId { .. }
        | Model::HubRevision { .. }
        | Model::HubAccess { .. }
        | Model::HubDamaged { .. }
        | Model::HubUnreachable { .. }
        | Model::Offline { .. }
        | Model::Hub { .. } => ErrorKind::Hub,
        Model::Write { .. } => ErrorKind::Io,
        Model::Tower { .. }
        | Model::ImageSpans { .. }
        | Model::Prefix { .. }
        | Model::Part { .. }
        | Model::Torch { .. } => ErrorKind::Internal,
        // Its files, from the folder to the types of tensors, and parts that do not fit each other.
        _ => ErrorKind::Checkpoint,
    }
}

fn of_capture(error: &Capture) -> ErrorKind {
    match error {
        Capture::Cancelled => ErrorKind::Cancelled,
        Capture::Budget { .. } => ErrorKind::Budget,
        Capture::Target { .. } => ErrorKind::Target,
        Capture::Foil { .. }
        | Capture::UnnamedFoil
        | Capture::Layer { .. }
        | Capture::LayerChoice { .. }
        | Capture::Removed { .. }
        | Capture::Image { .. } => ErrorKind::Argument,
        Capture::Gradient { .. } | Capture::VisionGradient { .. } | Capture::Logit { .. } => {
            ErrorKind::NotFinite
        }
        Capture::Relevancy(error) => of_relevancy(error),
        Capture::Model(error) => of_model(error),
        _ => ErrorKind::Internal,
    }
}

fn of_relevancy(error: &attention_relevancy::Error) -> ErrorKind {
    match error.kind() {
        Relevancy::Head { .. } => ErrorKind::Argument,
        Relevancy::FirstPosition | Relevancy::LaterRow { .. } => ErrorKind::Target,
        _ => ErrorKind::Internal,
    }
}

fn of_document(error: &Document) -> ErrorKind {
    match error {
        Document::Cancelled => ErrorKind::Cancelled,
        Document::NoImage { .. }
        | Document::OnePicture { .. }
        | Document::NoLayers
        | Document::NoHeads
        | Document::NoFiner
        | Document::UnknownFigure { .. }
        | Document::UnknownResolution { .. }
        | Document::Picture(_) => ErrorKind::Argument,
        Document::Write { .. }
        | Document::WriteArrays { .. }
        | Document::Foreign { .. }
        | Document::IsInput { .. }
        | Document::NotAFile { .. }
        | Document::NotAPage { .. }
        | Document::InUse { .. } => ErrorKind::Output,
        Document::ReadRecord { .. } | Document::ReadArrays { .. } => ErrorKind::Record,
        Document::Relevancy(error) => of_relevancy(error),
        _ => ErrorKind::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::ErrorKind;
    use crate::Error;

    #[test]
    fn a_kind_is_that_of_the_cause_wherever_it_stands() {
        let kind = |error: Error| error.kind();
        for cancelled in [
            attention_capture::Error::Cancelled.into(),
            explanation_record::Error::Cancelled.into(),
            gemma3_tch::Error::HubCancelled { id: "a/b".to_owned() }.into(),
        ] {
            assert_eq!(kind(cancelled), ErrorKind::Cancelled);
        }
        let head = || {
            attention_relevancy::Error::from(attention_relevancy::ErrorKind::Head {
                head: 9,
                heads: 8,
            })
        };
        for head in [
            head().into(),
            attention_capture::Error::from(head()).into(),
            explanation_record::Error::from(head()).into(),
        ] {
            assert_eq!(kind(head), ErrorKind::Argument);
        }
        let missing = gemma3_tch::Error::MissingDirectory { path: "nowhere".into() };
        assert_eq!(kind(missing.into()), ErrorKind::Checkpoint);
    }
}
