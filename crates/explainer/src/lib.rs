//! What a medical vision-language model looked at: load, answer, explain, export.
