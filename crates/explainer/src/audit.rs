//! One case of an audit: the answer, what becomes of it where pictures or parts of them are changed, and the map of its decisive word
//! beside the part that the word is about. What all cases say together is `model_audit`'s.

use std::ops::{ControlFlow, Range};
use std::time::Instant;

use attention_capture::{Occluder, SweepOptions, forced_scores};
use attention_relevancy::{Occlusion, Target};
use explanation_record::{Operator, TargetExplanation};
use gemma3_processor::{Content, Message, Picture, PreparedImage};
use gemma3_tch::{GenerationOptions, Sequence};
use model_audit::{
    Certified, Change, Changed, Choice, DecisiveWord, Hidden, Mask, MethodAgreement, Observed,
    Purpose, TraceUse, Unchanged, WordMap, is_same, stated, yes_or_no,
};

use crate::error::Cause;
use crate::setters::setters;
use crate::{
    Answer, AnswerOptions, Ask, Blank, CertificateOptions, Error, ErrorKind, ExplainOptions,
    Explanations, Objective, Question, Request, Words,
};

/// A question about pictures, and what is known of them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditCase {
    /// What is asked.
    pub question: Question,
    /// The word of the answer that is looked at, where the answer has it.
    pub word: Option<String>,
    /// What the pictures show; it is the word that is looked at where the answer has it and no other was named.
    pub label: Option<String>,
    /// A word that it is set against in the map.
    pub against: Option<String>,
    /// What of a picture is relevant.
    pub part: Option<AuditPart>,
    /// Another patient's pictures with the same label, or why there are none.
    pub same_label: Result<Vec<Picture>, String>,
    /// Another patient's pictures with another label, or why there are none.
    pub other_label: Result<Vec<Picture>, String>,
}

/// The part of a picture that is relevant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPart {
    /// Which of the pictures.
    pub picture: usize,
    /// Its pixels.
    pub mask: Mask,
}

setters!(AuditCase {
    with_word = word: Option<String>,
    with_label = label: Option<String>,
    with_against = against: Option<String>,
    with_part = part: Option<AuditPart>,
    with_same_label = same_label: Result<Vec<Picture>, String>,
    with_other_label = other_label: Result<Vec<Picture>, String>,
});

impl AuditCase {
    /// A question of which nothing else is known.
    pub fn new(question: Question) -> Self {
        let none = || Err("nobody gave one".to_owned());
        Self {
            question,
            word: None,
            label: None,
            against: None,
            part: None,
            same_label: none(),
            other_label: none(),
        }
    }
}

/// How cases are looked at.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct AuditOptions {
    /// The most tokens of an answer; the likeliest are taken.
    pub max_new_tokens: usize,
    /// How the decisive word is explained, with the methods that are held against the relevant part beside the relevancy.
    pub explain: ExplainOptions,
    /// The certificate of its map; none: no certificate.
    pub certificate: Option<CertificateOptions>,
    /// Decides which other part is hidden, and what hides it.
    pub seed: u64,
}

impl Default for AuditOptions {
    /// Answers of up to 64 tokens; a certificate by knock-out at three shares, which keeps it to about a hundred runs.
    fn default() -> Self {
        Self {
            max_new_tokens: 64,
            explain: ExplainOptions::default(),
            certificate: Some(
                CertificateOptions::default()
                    .with_operators(vec![Operator::KnockOut])
                    .with_fractions(vec![0.04, 0.16, 0.5]),
            ),
            seed: 0,
        }
    }
}

setters!(AuditOptions {
    with_max_new_tokens = max_new_tokens: usize,
    with_explain = explain: ExplainOptions,
    with_certificate = certificate: Option<CertificateOptions>,
    with_seed = seed: u64,
});

impl Request<'_> {
    /// Answers the question of a case, finds the decisive word of the answer, and says what becomes of both where pictures or parts of them
    /// are changed ([`Change`]); explains the word, and holds its map against the relevant part.
    ///
    /// New answers are made as the first one was. How likely the word is in its old place is read off the old answer (teacher forcing).
    ///
    /// # Errors
    /// [`ErrorKind::Question`] for a question without pictures, [`ErrorKind::Argument`] for a part of no picture, a mask of another size and
    /// options that cannot be, [`ErrorKind::NotInAnswer`] for an answer without any word, [`ErrorKind::Cancelled`], and what the model fails
    /// with.
    pub fn audit(&self, case: &AuditCase, options: &AuditOptions) -> Result<Observed, Error> {
        let started = Instant::now();
        check(case)?;
        let answering = AnswerOptions::default().with_max_new_tokens(options.max_new_tokens);
        let mut go_on = |_: &str| ControlFlow::Continue(());
        let answer = self.answer(case.question.clone(), &answering, &mut go_on)?;
        self.check_running()?;
        self.check_blank(&answer)?;
        let (word, choice) = self.decisive_word(case, &answer)?;
        let (explained, against) = self.explained_word(case, &answer, &word, options)?;
        let target = &explained.targets[0];
        let log_probability = f64::from(target.log_probability());
        let text = answer.text_of(&word).trim().to_owned();
        debug_assert_eq!(word, target.positions());
        let mut found = Observed {
            answer: answer.text().trim().to_owned(),
            word: DecisiveWord {
                stated: stated(answer.text(), &text),
                text: text.clone(),
                choice,
                log_probability,
                against,
            },
            changes: Vec::new(),
            unchanged: Vec::new(),
            maps: Vec::new(),
            constant: None,
            map: word_map(case, &answer, target),
            certificate: None,
            trace: self.through_trace(&answer, &[target])?[0].map(|it| TraceUse {
                picture: it.picture,
                picture_in_trace: it.picture_in_trace,
                picture_in_answer: it.picture_in_answer,
                trace: it.trace,
            }),
            seconds: 0.0,
        };
        let parts = Parts::of(case, &answer, options.seed);
        let look = Look { request: self, case, answer: &answer, target, options };
        look.at_pictures(&mut found)?;
        look.at_parts(parts.as_ref(), &mut found)?;
        look.at_cells(parts.as_ref(), &mut found)?;
        found.changes.sort_by_key(|changed| changed.change);
        if let Some(Parts { relevant, .. }) = &parts {
            maps(&answer, relevant, target, &explained.options.methods, &mut found);
        }
        if let Some(asked) = &options.certificate {
            let certificate = self.certify(&answer, &explained, asked)?;
            found.certificate = certificate.targets[0].knock_out.as_ref().map(|it| Certified {
                srg: it.srg,
                z: it.z,
                p: it.p,
                ahead: it.is_ahead(),
                undefined: it.undefined.clone(),
            });
        }
        found.seconds = started.elapsed().as_secs_f64();
        Ok(found)
    }

    fn check_running(&self) -> Result<(), Error> {
        if self.cancelled() { Err(Cause::Cancelled.into()) } else { Ok(()) }
    }

    /// The positions of the word that is looked at.
    fn decisive_word(
        &self,
        case: &AuditCase,
        answer: &Answer,
    ) -> Result<(Range<usize>, Choice), Error> {
        let place = |word: &String| {
            let ask = Ask::Keyword { word: word.clone(), occurrence: 0 };
            match self.positions(answer, &ask, false) {
                Ok(found) => Ok(found.first().cloned()),
                Err(error) if error.kind() == ErrorKind::NotInAnswer => Ok(None),
                Err(error) => Err(error),
            }
        };
        if let Some(found) = case.word.as_ref().map(place).transpose()?.flatten() {
            return Ok((found, Choice::Word));
        }
        // Before the label: after "Yes, there is an" nothing is left to decide about what was asked for.
        let all = answer.words(Words::All);
        if let (Some(_), Some(first)) = (yes_or_no(answer.text()), all.first()) {
            return Ok((first.clone(), Choice::YesOrNo));
        }
        if let Some(found) = case.label.as_ref().map(place).transpose()?.flatten() {
            return Ok((found, Choice::Label));
        }
        let content = answer.words(Words::Content);
        let words = if content.is_empty() { all } else { content };
        let gains = self.gains(answer, &words, &[Blank::Knockout, Blank::MeanEmbedding])?;
        let sums = gains.iter().map(|of| of.iter().map(explanation_record::Gain::pmi).sum::<f32>());
        let best = sums.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        match best {
            Some((at, _)) => Ok((words[at].clone(), Choice::Gain)),
            // Says why there is none.
            None => Ok((self.positions(answer, &Ask::Last, false)?[0].clone(), Choice::Gain)),
        }
    }

    /// The word explained, and the token that it was set against.
    fn explained_word(
        &self,
        case: &AuditCase,
        answer: &Answer,
        word: &Range<usize>,
        options: &AuditOptions,
    ) -> Result<(Explanations, Option<String>), Error> {
        let ask = Ask::Tokens(word.clone());
        let mut explain = options.explain.clone().with_words(Words::None);
        let mut used = None;
        if let Some(against) = &case.against {
            match self.foil(answer, &ask, against, false) {
                Ok(found) => {
                    explain.objective = Objective::Contrast(found.foil);
                    used = Some(found.token);
                }
                // The model said just that, or a word that begins as it does: it is explained as a case that names none.
                Err(error) if error.is_of_same_foil() => {}
                Err(error) => return Err(error),
            }
        }
        Ok((self.explain(answer, &[ask], &explain)?, used))
    }
}

/// An answered and explained case.
struct Look<'a> {
    request: &'a Request<'a>,
    case: &'a AuditCase,
    answer: &'a Answer,
    /// The decisive word.
    target: &'a TargetExplanation,
    options: &'a AuditOptions,
}

impl Look<'_> {
    /// Other pictures, blank ones, none.
    fn at_pictures(&self, found: &mut Observed) -> Result<(), Error> {
        let Self { request, case, answer, .. } = self;
        let mut add =
            |change: Change, prompt: Result<Sequence, String>| self.add(change, prompt, found);
        add(Change::Blank, Ok(request.prompt_with(answer, &Blank::Mean)?))?;
        let prompt = |question| Ok::<_, Error>(request.prompted(&question)?.prompt);
        add(Change::NoPicture, settled(without_pictures(&case.question).map(prompt))?)?;
        for (change, pictures) in
            [(Change::SameLabel, &case.same_label), (Change::OtherLabel, &case.other_label)]
        {
            let question = pictures.as_ref().map_err(Clone::clone).and_then(|pictures| {
                let count = case.question.pictures.len();
                let fits = pictures.len() == count;
                let why = || format!("it has {} pictures, and the case {count}", pictures.len());
                fits.then(|| case.question.clone().with_pictures(pictures.clone())).ok_or_else(why)
            });
            add(change, settled(question.map(prompt))?)?;
        }
        Ok(())
    }

    /// The relevant part hidden behind another one, and a control hidden behind a third.
    fn at_parts(&self, parts: Option<&Parts>, found: &mut Observed) -> Result<(), Error> {
        let Self { request, answer, .. } = self;
        let Some(parts) = parts else { return Ok(()) };
        for (change, hidden) in [
            (Change::RelevantHidden, parts.relevant_hidden.as_ref()),
            (Change::IrrelevantHidden, parts.other_hidden.as_ref()),
        ] {
            let prompt = hidden.map_err(Clone::clone).map(|hidden| {
                let mut question = answer.question.clone();
                let shown = &mut question.pictures[parts.relevant.picture];
                *shown = Picture::from_rgb(hidden.picture(shown.rgb()))?;
                Ok::<_, Error>(request.prompted(&question)?.prompt)
            });
            self.add(change, settled(prompt)?, found)?;
        }
        Ok(())
    }

    /// What becomes of a case with another prompt.
    fn add(
        &self,
        change: Change,
        prompt: Result<Sequence, String>,
        found: &mut Observed,
    ) -> Result<(), Error> {
        let Self { request, answer, options, .. } = self;
        request.check_running()?;
        let prompt = match prompt {
            Ok(prompt) => prompt,
            Err(reason) => {
                found.unchanged.push(Unchanged { change, reason });
                return Ok(());
            }
        };
        let generation = GenerationOptions {
            max_new_tokens: options.max_new_tokens,
            sampling: None,
            stop_ids: request.generation.eos_token_ids.clone(),
        };
        let mut on_token = |_| {
            if request.cancelled() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        // As the answer itself was made.
        let mut running = request.begun(&prompt, &[], None)?;
        let generated =
            request.model.generate(&prompt, &generation, running.attend(), &mut on_token)?;
        request.check_running()?;
        let tokenizer = request.processor.tokenizer();
        let proper = tokenizer.split_trace(&generated.tokens).answer;
        let text = tokenizer.decode(&generated.tokens[proper], true).trim().to_owned();
        // The answer stands where this prompt ends.
        let moved = |target: &Target| {
            let position = target.position() - answer.prepared.ids.len() + prompt.ids().len();
            Target::new(position, target.token()).map_err(attention_capture::Error::from)
        };
        let tokens: Vec<Target> = self.tokens().iter().map(moved).collect::<Result<_, _>>()?;
        let sequence = prompt.followed_by(&answer.generated.tokens);
        let scores = forced_scores(request.model, &sequence, &tokens)?;
        found.changes.push(Changed {
            change,
            flipped: Some(stated(&text, &found.word.text) != found.word.stated),
            rewritten: Some(!is_same(&text, &found.answer)),
            answer: Some(text),
            log_probability: scores.iter().map(|score| f64::from(score.log_probability)).sum(),
        });
        Ok(())
    }

    /// Cells hidden in the model.
    fn at_cells(&self, parts: Option<&Parts>, found: &mut Observed) -> Result<(), Error> {
        let Self { request, answer, .. } = self;
        let cells: Vec<usize> =
            answer.prepared.images.iter().flat_map(|image| image.span.clone()).collect();
        let mut sets = vec![(Change::KnockOut, cells.clone())];
        if let Some(parts) = parts {
            let relevant = cells_of(&parts.relevant, answer);
            let outside = cells.iter().copied().filter(|cell| !relevant.contains(cell)).collect();
            sets.push((Change::RelevantKnockOut, relevant));
            match &parts.other {
                Ok(other) => sets.push((Change::IrrelevantKnockOut, cells_of(other, answer))),
                Err(reason) => found
                    .unchanged
                    .push(Unchanged { change: Change::IrrelevantKnockOut, reason: reason.clone() }),
            }
            sets.push((Change::OutsideKnockOut, outside));
        }
        let by = |sets: Vec<(Change, Vec<usize>)>, occlusion: Occlusion| {
            let passes = SweepOptions {
                memory_budget: request.memory_budget(),
                cancel: request.context.cancel.clone(),
            };
            let occluder = Occluder::new(request.model, &answer.sequence, passes);
            let (changes, sets): (Vec<Change>, Vec<Vec<usize>>) = sets.into_iter().unzip();
            let table =
                occluder.log_probabilities(self.tokens(), &sets, occlusion, &mut |_, _| {})?;
            let of =
                |(change, row): (Change, attention_relevancy::ndarray::ArrayView1<'_, f64>)| {
                    Changed {
                        change,
                        answer: None,
                        flipped: None,
                        rewritten: None,
                        log_probability: row.sum(),
                    }
                };
            Ok::<_, Error>(changes.into_iter().zip(table.rows()).map(of).collect::<Vec<_>>())
        };
        found.changes.extend(by(sets, Occlusion::Knockout)?);
        found.changes.extend(by(vec![(Change::MeanEmbedding, cells)], Occlusion::MeanEmbedding)?);
        Ok(())
    }

    /// Of the decisive word.
    fn tokens(&self) -> &[Target] {
        self.target.relevancy().targets()
    }
}

/// The relevant part, and others of its shape.
struct Parts {
    relevant: AuditPart,
    relevant_hidden: Result<Hidden, String>,
    /// The control, as bright as the relevant part.
    other: Result<AuditPart, String>,
    other_hidden: Result<Hidden, String>,
}

impl Parts {
    fn of(case: &AuditCase, answer: &Answer, seed: u64) -> Option<Self> {
        let relevant = case.part.clone()?;
        let picture = relevant.picture;
        let shown = answer.question.pictures[picture].rgb();
        let no_room = || "the relevant part leaves no room for others of its shape".to_owned();
        let hidden = |mask: &Mask, avoid: &[&Mask]| {
            Hidden::new(mask, shown, avoid, seed).ok_or_else(no_room)
        };
        let relevant_hidden = hidden(&relevant.mask, &[]);
        let other = relevant.mask.elsewhere(shown, &[], Purpose::Control, seed);
        let other = other.map(|place| AuditPart { picture, mask: place.mask }).ok_or_else(no_room);
        let other_hidden = other
            .as_ref()
            .map_err(Clone::clone)
            .and_then(|other| hidden(&other.mask, &[&relevant.mask]));
        Some(Self { relevant, relevant_hidden, other, other_hidden })
    }
}

/// The positions of the cells that a part touches, in all images of its picture.
fn cells_of(part: &AuditPart, answer: &Answer) -> Vec<usize> {
    let images = answer.prepared.images.iter().filter(|image| image.picture == part.picture);
    images
        .flat_map(|image| {
            let cells = part.mask.part(image.grid, corners(image)).touched();
            cells.into_iter().map(|cell| image.span.start + cell)
        })
        .collect()
}

/// The rectangle of the picture that an image shows, `[x0, y0, x1, y1]`.
fn corners(image: &PreparedImage) -> [f64; 4] {
    let region = image.geometry.region;
    [region.x, region.y, region.x + region.width, region.y + region.height]
}

/// The first image of a picture, which shows the whole of it.
fn whole(answer: &Answer, picture: usize) -> Option<(usize, &PreparedImage)> {
    answer.prepared.images.iter().enumerate().find(|(_, image)| image.picture == picture)
}

fn word_map(case: &AuditCase, answer: &Answer, target: &TargetExplanation) -> Option<WordMap> {
    let picture = case.part.as_ref().map_or(0, |part| part.picture);
    let (index, image) = whole(answer, picture)?;
    let map = target.image_relevancy(index).filter(|_| !target.is_empty())?;
    Some(WordMap {
        picture,
        grid: image.grid,
        placement: corners(image),
        values: map.iter().copied().collect(),
    })
}

/// The maps of a word beside the relevant part.
fn maps(
    answer: &Answer,
    relevant: &AuditPart,
    target: &TargetExplanation,
    methods: &[crate::Compared],
    found: &mut Observed,
) {
    let Some((_, image)) = whole(answer, relevant.picture) else { return };
    let part = relevant.mask.part(image.grid, corners(image));
    let agreement = |method: String, map: Option<Vec<f32>>| MethodAgreement {
        method,
        own: map.as_ref().and_then(|map| part.agreement(map)),
        shifted: map.as_ref().and_then(|map| part.shifted(map)),
    };
    found.constant = Some(part.constant());
    found
        .maps
        .push(agreement("relevancy".to_owned(), found.map.as_ref().map(|map| map.values.clone())));
    for (method, row) in methods.iter().zip(target.methods()) {
        let map = row.as_ref().ok().map(|row| image.span.clone().map(|at| row[at]).collect());
        found.maps.push(agreement(method.to_string(), map));
    }
}

/// The question without its pictures.
fn without_pictures(question: &Question) -> Result<Question, String> {
    let texts = |message: &Message| {
        let content = message.content.iter().filter(|part| !matches!(part, Content::Image));
        Message { content: content.cloned().collect(), ..message.clone() }
    };
    let messages: Vec<Message> = question.messages.iter().map(texts).collect();
    if messages.iter().any(|message| message.content.is_empty()) {
        return Err("a message has nothing but pictures".to_owned());
    }
    Ok(Question { pictures: Vec::new(), messages })
}

/// A failure of the call ends it; why something cannot be done does not.
fn settled<T, E>(found: Result<Result<T, Error>, E>) -> Result<Result<T, E>, Error> {
    match found {
        Ok(done) => done.map(Ok),
        Err(reason) => Ok(Err(reason)),
    }
}

fn check(case: &AuditCase) -> Result<(), Error> {
    let Some(AuditPart { picture, mask }) = &case.part else { return Ok(()) };
    let pictures = &case.question.pictures;
    let Some(shown) = pictures.get(*picture) else {
        let (picture, pictures) = (*picture, pictures.len());
        return Err(Cause::PartOfNoPicture { picture, pictures }.into());
    };
    let (width, height) = shown.rgb().dimensions();
    let expected = [width as usize, height as usize];
    if mask.size() != expected {
        return Err(Cause::MaskSize { expected, found: mask.size() }.into());
    }
    Ok(())
}
