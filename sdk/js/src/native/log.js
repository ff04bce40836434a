// The host's log as unit tests see it: what is logged is kept.

/** Level and text of each line. */
export const logged = [];

export function write(level, message) {
  logged.push([level, message]);
}
