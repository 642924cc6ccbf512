/** Characters of a text that a message repeats at most; names of tensors in common files are shorter. */
const LONGEST_QUOTE = 96;

/** The beginning of a text that came with a request, for a message: megabytes of it are not to come back. */
export function cut(text: string, longest = LONGEST_QUOTE): string {
  if (text.length <= longest) return text;
  // Not between the two halves of a character.
  const isSplit = (text.charCodeAt(longest - 1) & 0xfc00) === 0xd800;
  return `${text.slice(0, isSplit ? longest - 1 : longest)}…`;
}

/** The beginning of such a text in double quotes, as JSON writes a string. */
export function quoted(text: string): string {
  return JSON.stringify(cut(text));
}
