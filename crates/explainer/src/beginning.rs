//! The beginning of a prompt, up to the end of its last picture: what stands behind does not change what the model makes of it, so that
//! many questions go on from one run over it.

use attention_capture::{Keep, PatchStates, States, key_bytes};
use gemma3_tch::Sequence;

use crate::picture_cache::{BeginningKey, Running};
use crate::{Answer, Error, ErrorKind, Profile, Request};

impl Request<'_> {
    /// A run that has come through the beginning of a sequence with these pictures: one that goes on from what the cache of the call has
    /// of it, or a new one, whose beginning the cache then has. `None` where there is nothing to keep, or no room for it: the sequence is
    /// then better run in one piece.
    pub(crate) fn begun(
        &self,
        sequence: &Sequence,
        pictures: &[String],
        keep: Option<Keep>,
    ) -> Result<Option<Running<'_>>, Error> {
        let end = sequence.images_end();
        let is_known = 0 < end && pictures.len() == sequence.images().len();
        if !is_known || end == sequence.ids().len() {
            return Ok(None);
        }
        let bytes = match keep {
            Some(keep) => keep.prefix_bytes(self.model, end),
            None => key_bytes(self.model, end),
        };
        let Some(cache) = self.picture_cache().filter(|cache| cache.takes(bytes)) else {
            return Ok(None);
        };
        let (ids, pictures) = (sequence.ids()[..end].to_vec(), pictures.to_vec());
        let key = BeginningKey { ids, pictures, keep };
        if let Some(running) = cache.continuing(self.model, &key)? {
            return Ok(Some(running));
        }
        let mut running = Running::new(self.model, keep);
        self.model.prefill(sequence, end, running.attend())?;
        match cache.keep(key, &running) {
            // It is only to save time: what has no room beside the rest is not kept.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {}
            outcome => outcome?,
        }
        Ok(Some(running))
    }

    /// What the layers compute for an answer, from a run that is made for it.
    pub(crate) fn states_of(&self, answer: &Answer) -> Result<States, Error> {
        let sequence = &answer.sequence;
        let pictures = answer.patches.iter().map(PatchStates::bytes).sum();
        let keep = self.ledger().keep_states(sequence.ids().len(), pictures)?;
        // The other profile explains another sequence than those that are answered.
        let begun = match self.profile {
            Profile::Sound => self.begun(sequence, &answer.pictures, Some(keep))?,
            Profile::PythonProgram => None,
        };
        let Some(mut running) = begun else {
            return Ok(States::of(self.model, sequence, keep)?);
        };
        self.model.prefill(sequence, sequence.ids().len(), running.attend())?;
        let recorder = running.recorder().expect("a run that keeps something is recorded");
        Ok(States::recorded(recorder, sequence)?)
    }
}
