package policy

// Request is one question: who is this caller in the cluster?
type Request struct {
	// Caller is the verified caller.
	Caller Caller
	// ClusterID is this cluster's id, the one the token was signed for.
	ClusterID string
	// Now is the only clock there is: seconds since 1970-01-01T00:00:00Z, read by the host once per login.
	Now uint64
	// Current is what the stages before this one decided; nil if nobody has mapped the caller yet.
	Current *Mapping
	// Trail has the names of the stages that made or changed Current, oldest first.
	Trail []string
}

// PrincipalKind is what kind of principal the cloud says the caller is.
type PrincipalKind uint8

// The kinds of principals, in the order of the contract.
const (
	// Root is the account itself.
	Root PrincipalKind = iota
	// User is a long-lived IAM or RAM user.
	User
	// AssumedRole is a role session.
	AssumedRole
	// FederatedUser is a federated user session.
	FederatedUser
	// Other is anything this version of the contract has no word for; read Caller.ARN.
	Other
)

var kinds = [...]string{"root", "user", "assumed-role", "federated-user", "other"}

// String is the contract's name of the kind.
func (k PrincipalKind) String() string {
	if int(k) < len(kinds) {
		return kinds[k]
	}
	return "unknown"
}

// Caller is a caller whose token the cloud has verified. All fields but the session's name and a federated user's, which
// are also the end of ARN, are the cloud's own words or the host's.
type Caller struct {
	// Provider is "aws" or "alibaba". Abstain or deny when it is a name you do not know.
	Provider string
	// Partition is "aws", "aws-cn", "aws-us-gov", … for AWS and "acs" for Alibaba Cloud.
	Partition string
	// AccountID has 12 digits (AWS) or 16 (Alibaba Cloud). Callers of every account arrive verified: look here first.
	AccountID string
	// Kind is what kind of principal it is.
	Kind PrincipalKind
	// ARN is exactly as the cloud returned it.
	ARN string
	// CanonicalARN is the one that mappings name: a session becomes the role behind it.
	CanonicalARN string
	// Name is the user or role name without its path; empty for Root, and chosen by the caller for a FederatedUser.
	Name string
	// PrincipalID is the principal's stable unique id; of a FederatedUser its account and name.
	PrincipalID string
	// SessionName is the role session's name, chosen by the caller; nil for everybody else.
	SessionName *string
	// SSOPermissionSet is the AWS IAM Identity Center permission set that made the role.
	SSOPermissionSet *string
	// AccessKeyID is the key that signed the token.
	AccessKeyID string
	// STSRegion is the region of the STS endpoint that vouched; empty for a global one.
	STSRegion string
	// SignedAt is when the token was signed, in seconds since 1970-01-01T00:00:00Z.
	SignedAt uint64
	// ExpiresAt is when the token stops being valid, in seconds since 1970-01-01T00:00:00Z.
	ExpiresAt uint64
	// Attributes are facts that only some providers have. Ignore names that you do not know.
	Attributes []Attribute
}

// Attribute is a fact that only some providers have, as name and value.
type Attribute struct{ Name, Value string }

// Mapping is a Kubernetes identity, as TokenReview.status.user carries it.
type Mapping struct {
	// Username is never empty. Under "system:" only if the operator's ceiling names it.
	Username string
	// UID is the host's own for the caller if it is nil.
	UID *string
	// Groups are in order. The same rule about "system:" holds for each.
	Groups []string
	// Extra keys with their values; the host's own keys are refused.
	Extra []Extra
}

// Extra is one extra key with its values.
type Extra struct {
	Key    string
	Values []string
}
