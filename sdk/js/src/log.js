// Lines for the audit record of this login.

import { write } from '#log';

const at = (level) => (message) => write(level, String(message));

/** One function a level. */
export const log = Object.freeze({ debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') });
