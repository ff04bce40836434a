// The two functions of `herald:policy/mapper`, made of a policy's class. The build writes the one line that calls this.

import { log } from './log.js';
import { decisionOf, faultOf, requestOf } from './request.js';

/** What the component exports. */
export function mapperOf(Policy) {
  let policy;
  return {
    configure(settings) {
      const read = JSON.parse(settings);
      try {
        policy = new Policy(read);
      } catch (error) {
        throw error instanceof Error ? error.message : String(error);
      }
    },
    decide(request) {
      let fault;
      try {
        return decisionOf(policy.decide(requestOf(request)));
      } catch (error) {
        fault = faultOf(error);
        if (fault === undefined) {
          // A mistake of the policy's own: the component ends here, and this line says where.
          log.error(`${error?.stack ? `${error} at ${error.stack.trim().split('\n')[0]}` : error}`);
          throw error;
        }
      }
      throw fault;
    },
  };
}
