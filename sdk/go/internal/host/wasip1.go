//go:build wasip1

package host

import (
	"unsafe"

	"herald.dev/policy/internal/abi"
)

//go:wasmimport herald:policy/log@0.1.0 log
func log(level uint32, text unsafe.Pointer, length uint32)

//go:wasmimport herald:policy/data@0.1.0 get
func get(table unsafe.Pointer, tableLength uint32, key unsafe.Pointer, keyLength uint32, answer unsafe.Pointer)

//go:wasmimport herald:policy/data@0.1.0 keys
func keys(table unsafe.Pointer, tableLength uint32, prefix unsafe.Pointer, prefixLength uint32, limit uint32, answer unsafe.Pointer)

//go:wasmimport herald:policy/data@0.1.0 version
func version(table unsafe.Pointer, tableLength uint32, answer unsafe.Pointer)

//go:wasmimport herald:policy/cloud@0.1.0 caller-instance
func callerInstance(answer unsafe.Pointer)

//go:wasmimport herald:policy/cloud@0.1.0 caller-tags
func callerTags(answer unsafe.Pointer)

// CallerInstance is the machine that the caller is.
func CallerInstance() (*Instance, error) {
	// result<instance, lookup-error>: five texts and a list of pairs.
	answer := abi.NewArea(52)
	callerInstance(answer)
	read := abi.Reader{Base: answer}
	if found, err := lookedUp(&read); !found {
		return nil, err
	}
	// Calls in a literal happen from left to right.
	return &Instance{
		ID:             read.Text(),
		PrivateDNSName: read.Text(),
		PrivateIP:      read.Text(),
		Zone:           read.Text(),
		ImageID:        read.Text(),
		Tags:           abi.List(&read, 16, readTag),
	}, nil
}

// CallerTags are the tags of the role or user behind the caller.
func CallerTags() ([]Tag, bool, error) {
	// result<list<tuple<string, string>>, lookup-error>
	answer := abi.NewArea(12)
	callerTags(answer)
	read := abi.Reader{Base: answer}
	if found, err := lookedUp(&read); !found {
		return nil, false, err
	}
	return abi.List(&read, 16, readTag), true, nil
}

// lookedUp reads the head of the result of a look-up, whose payload is aligned to 4 bytes: whether something was found, or why not.
func lookedUp(read *abi.Reader) (bool, error) {
	failed := read.Byte() != 0
	read.Align(4)
	if failed {
		// In the order of the contract.
		return false, [...]error{nil, ErrForbidden, ErrLookUpFailed, ErrLookUpNotGranted}[read.Byte()]
	}
	return true, nil
}

func readTag(read *abi.Reader) Tag { return Tag{read.Text(), read.Text()} }

// Log writes one line.
func Log(level Level, message string) {
	log(uint32(level), bytes(message), uint32(len(message)))
}

// Get is the value of one key.
func Get(table, key string) (string, bool, error) {
	// result<option<string>, data-error>
	answer := abi.NewArea(16)
	get(bytes(table), uint32(len(table)), bytes(key), uint32(len(key)), answer)
	read := abi.Reader{Base: answer}
	if err := failure(&read); err != nil {
		return "", false, err
	}
	value := read.OptionalText()
	if value == nil {
		return "", false, nil
	}
	return *value, true, nil
}

// Keys are the keys that start with prefix, sorted.
func Keys(table, prefix string, limit uint32) ([]string, error) {
	// result<list<string>, data-error>
	answer := abi.NewArea(12)
	keys(bytes(table), uint32(len(table)), bytes(prefix), uint32(len(prefix)), limit, answer)
	read := abi.Reader{Base: answer}
	if err := failure(&read); err != nil {
		return nil, err
	}
	return abi.List(&read, 8, (*abi.Reader).Text), nil
}

// Version is the digest of a table's content.
func Version(table string) (string, error) {
	// result<string, data-error>
	answer := abi.NewArea(12)
	version(bytes(table), uint32(len(table)), answer)
	read := abi.Reader{Base: answer}
	if err := failure(&read); err != nil {
		return "", err
	}
	return read.Text(), nil
}

// failure reads the head of a result whose payload is aligned to 4 bytes.
func failure(read *abi.Reader) error {
	failed := read.Byte() != 0
	read.Align(4)
	switch {
	case !failed:
		return nil
	case read.Byte() == 1:
		return ErrNotReady
	default:
		return ErrNotGranted
	}
}

func bytes(text string) unsafe.Pointer { return unsafe.Pointer(unsafe.StringData(text)) }
