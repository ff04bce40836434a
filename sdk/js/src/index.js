// What a policy is made of: decisions, faults, templates, patterns, tables, facts and the log.

export { abstain, allow, broken, deny, Fault, unavailable } from './answer.js';
export { cloud, LookUpError } from './cloud.js';
export { data, DataError } from './data.js';
export { Glob } from './glob.js';
export { log } from './log.js';
export { Template, Unfit } from './template.js';
