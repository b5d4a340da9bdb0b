//! The beginning of a prompt, up to the end of its last picture: what stands behind does not change what the model makes of it, so that
//! many questions go on from one run over it.

use attention_capture::{Keep, key_bytes};
use gemma3_tch::Sequence;

use crate::picture_cache::{BeginningKey, Running};
use crate::{Error, ErrorKind, Request};

impl Request<'_> {
    /// A run that has come through the beginning of a prompt with these pictures: one that goes on from what the cache of the call has
    /// of it, or a new one, whose beginning the cache then has, if there is room for it.
    ///
    /// A prompt with pictures is run in the same two pieces with a cache and without, for rounding depends on how many tokens are run at
    /// once: in bfloat16 enough to be seen in a map. Without, the weights are read once more, as for another token of the answer.
    /// What is given in the place of an answer is run in one piece, as all are that it is compared with: on blank pictures, by other
    /// weights.
    pub(crate) fn begun(
        &self,
        prompt: &Sequence,
        pictures: &[String],
        keep: Option<Keep>,
    ) -> Result<Running<'_>, Error> {
        let mut new = Running::new(self.model, keep);
        let end = prompt.images_end();
        if end == 0 || end == prompt.ids().len() {
            return Ok(new);
        }
        let bytes = match keep {
            Some(keep) => keep.prefix_bytes(self.model, end),
            None => key_bytes(self.model, end),
        };
        let are_named = pictures.len() == prompt.images().len();
        let cache = self.picture_cache().filter(|cache| are_named && cache.takes(bytes));
        let Some(cache) = cache else {
            self.model.prefill(prompt, end, new.attend())?;
            return Ok(new);
        };
        let (ids, pictures) = (prompt.ids()[..end].to_vec(), pictures.to_vec());
        let key = BeginningKey { ids, pictures, keep };
        if let Some(running) = cache.continuing(self.model, &key)? {
            return Ok(running);
        }
        self.model.prefill(prompt, end, new.attend())?;
        match cache.keep(key, &new) {
            // It is only to save time: what has no room beside the rest is not kept.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {}
            outcome => outcome?,
        }
        Ok(new)
    }
}
