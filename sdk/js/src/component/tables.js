// The host's tables as a component sees them. The build leaves this module out of a policy that reads no table.

export { get, keys, version } from 'herald:policy/data@0.1.0';
