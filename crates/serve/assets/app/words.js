// The words of a text, and the ways to count where they stand: UTF-16 units here, characters in requests and results, bytes in a stream.

/** Words that say nothing of a picture by themselves; the list of the program. Negations are content. */
const FUNCTION_WORDS = new Set(
  ('a an and any are as at be been being but by can could did do does for from had has have he her his i if in into is it its may '
    + 'might of on or our she should so such than that the their them then there these they this those to was we were which will '
    + 'with would you your').split(' '),
);

const segmenter = new Intl.Segmenter('en', { granularity: 'word' });

/** The parts of a text in order, words and what stands between them: `{ text, start, isWord }`, `start` in UTF-16 units. */
export function cut(text) {
  const parts = [];
  for (const { segment, index, isWordLike } of segmenter.segment(text)) {
    const last = parts[parts.length - 1];
    if (!isWordLike && last && !last.isWord) last.text += segment;
    else parts.push({ text: segment, start: index, isWord: Boolean(isWordLike) });
  }
  return parts;
}

export function isContent(word) {
  return !FUNCTION_WORDS.has(word.toLowerCase());
}

/** The number of characters before a UTF-16 unit. */
export function charactersBefore(text, unit) {
  return [...text.slice(0, unit)].length;
}

/** The first bytes of a text, as text. */
export function firstBytes(text, bytes) {
  return new TextDecoder().decode(new TextEncoder().encode(text).subarray(0, bytes));
}

/** For each character of a text, and its end, the UTF-16 unit that it begins at. */
export function unitsOfCharacters(text) {
  const units = [0];
  for (const character of text) units.push(units[units.length - 1] + character.length);
  return units;
}

/** Which occurrence of itself a part of a text is, from 1; case does not matter. */
export function occurrenceOf(text, start, end) {
  const whole = text.toLowerCase();
  const part = text.slice(start, end).toLowerCase();
  let number = 1;
  for (let at = whole.indexOf(part); at >= 0 && at < start; at = whole.indexOf(part, at + 1)) number += 1;
  return number;
}
