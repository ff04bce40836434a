// The host's facts as a component sees them. The build leaves this module out of a policy that asks for none.

export { callerInstance, callerTags } from 'herald:policy/cloud@0.1.0';
