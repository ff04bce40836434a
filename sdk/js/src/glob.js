// Whole-string patterns with `*` and `?`, for settings that match names.

/** `*` is any run of characters, `?` any one character, everything else itself. Case counts. */
export class Glob {
  #pattern;

  constructor(text) {
    if (typeof text !== 'string' || text === '') throw new TypeError('a pattern must not be empty');
    this.#pattern = [...text];
  }

  /** Whether the pattern covers all of `text`. Its cost is bounded by the product of both lengths. */
  matches(text) {
    const [pattern, rest] = [this.#pattern, [...text]];
    let [p, r, star, taken] = [0, 0, -1, 0];
    while (r < rest.length) {
      if (pattern[p] === '*') {
        [star, taken] = [p, r];
        p += 1;
      } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === rest[r])) {
        p += 1;
        r += 1;
      } else if (star >= 0) {
        // What follows the last star does not fit here: that star takes one character more.
        taken += 1;
        [p, r] = [star + 1, taken];
      } else {
        return false;
      }
    }
    return pattern.slice(p).every((c) => c === '*');
  }

  toString() {
    return this.#pattern.join('');
  }
}
