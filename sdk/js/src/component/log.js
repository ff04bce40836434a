// The host's log as a component sees it.

export { log as write } from 'herald:policy/log@0.1.0';
