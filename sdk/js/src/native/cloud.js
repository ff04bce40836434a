// The host's facts as unit tests see them: what the test has set.

/** What a look-up gives: an instance and tags, or the word for why there is none. */
export const found = { instance: 'not-granted', tags: 'not-granted' };

export function callerInstance() {
  return told(found.instance);
}

export function callerTags() {
  return told(found.tags);
}

function told(fact) {
  if (typeof fact === 'string') throw fact;
  return fact;
}
