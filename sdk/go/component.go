//go:build wasip1

package policy

import (
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"herald.dev/policy/internal/abi"
)

// The two functions of herald:policy/mapper.

var configured Policy

//go:wasmexport herald:policy/mapper@0.1.0#configure
func exportConfigure(settings unsafe.Pointer, length uint32) unsafe.Pointer {
	text := unsafe.String((*byte)(settings), length)
	abi.Begin(text)
	// result<_, string>
	answer := abi.Writer{Base: abi.NewArea(12)}
	if err := take([]byte(text)); err != nil {
		answer.Byte(1)
		answer.Text(strings.ToValidUTF8(err.Error(), "\uFFFD"))
	} else {
		answer.Byte(0)
	}
	return answer.Base
}

func take(settings []byte) (err error) {
	if exported == nil {
		return errors.New("the policy never calls policy.Export")
	}
	configured, err = exported(settings)
	return err
}

//go:wasmexport herald:policy/mapper@0.1.0#decide
func exportDecide(parameters unsafe.Pointer) unsafe.Pointer {
	request := readRequest(&abi.Reader{Base: parameters})
	abi.Begin(request)
	decision, err := decide(request)
	// result<decision, fault>: a decision's mapping is the largest there is.
	answer := abi.Writer{Base: abi.NewArea(44)}
	if err != nil {
		writeFault(&answer, err)
	} else {
		writeDecision(&answer, decision)
	}
	return answer.Base
}

func decide(request *Request) (Decision, error) {
	defer logPanic()
	if configured == nil {
		return Decision{}, Broken("configure was not called")
	}
	return configured.Decide(request)
}

// logPanic lets a panic go on: without this line it would be a bare trap, and nobody would learn what it was.
func logPanic() {
	if panicked := recover(); panicked != nil {
		Errorf("panic: %s", fmt.Sprint(panicked))
		panic(panicked)
	}
}

func readRequest(read *abi.Reader) *Request {
	request := &Request{Caller: readCaller(read), ClusterID: read.Text(), Now: read.Long()}
	mapped := read.Byte() != 0
	read.Align(4)
	current := readMapping(read)
	if mapped {
		request.Current = &current
	}
	request.Trail = abi.List(read, 8, (*abi.Reader).Text)
	return request
}

// readCaller relies on Go's order of evaluation: function calls in a literal happen from left to right.
func readCaller(read *abi.Reader) Caller {
	return Caller{
		Provider:         read.Text(),
		Partition:        read.Text(),
		AccountID:        read.Text(),
		Kind:             PrincipalKind(read.Byte()),
		ARN:              read.Text(),
		CanonicalARN:     read.Text(),
		Name:             read.Text(),
		PrincipalID:      read.Text(),
		SessionName:      read.OptionalText(),
		SSOPermissionSet: read.OptionalText(),
		AccessKeyID:      read.Text(),
		STSRegion:        read.Text(),
		SignedAt:         read.Long(),
		ExpiresAt:        read.Long(),
		Attributes:       abi.List(read, 16, readAttribute),
	}
}

func readAttribute(read *abi.Reader) Attribute { return Attribute{read.Text(), read.Text()} }

func readMapping(read *abi.Reader) Mapping {
	return Mapping{
		Username: read.Text(),
		UID:      read.OptionalText(),
		Groups:   abi.List(read, 8, (*abi.Reader).Text),
		Extra:    abi.List(read, 16, readExtra),
	}
}

func readExtra(read *abi.Reader) Extra {
	return Extra{read.Text(), abi.List(read, 8, (*abi.Reader).Text)}
}

func writeDecision(write *abi.Writer, decision Decision) {
	write.Byte(0)
	write.Align(4)
	write.Byte(uint8(decision.verdict))
	write.Align(4)
	switch decision.verdict {
	case allows:
		mapping := &decision.mapping
		write.Text(mapping.Username)
		write.OptionalText(mapping.UID)
		abi.PutList(write, 8, mapping.Groups, (*abi.Writer).Text)
		abi.PutList(write, 16, mapping.Extra, writeExtra)
	case denies:
		write.Text(strings.ToValidUTF8(decision.why, "\uFFFD"))
	}
}

func writeExtra(write *abi.Writer, extra Extra) {
	write.Text(extra.Key)
	abi.PutList(write, 8, extra.Values, (*abi.Writer).Text)
}

func writeFault(write *abi.Writer, err error) {
	write.Byte(1)
	write.Align(4)
	if isUnavailable(err) {
		write.Byte(0)
	} else {
		write.Byte(1)
	}
	write.Text(strings.ToValidUTF8(err.Error(), "\uFFFD"))
}
