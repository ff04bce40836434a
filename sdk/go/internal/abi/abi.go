//go:build wasip1

// Package abi reads and writes values of the contract as they lie in a component's memory (WebAssembly component
// model, "Canonical ABI"): pointers and lengths of 4 bytes, everything aligned to its size.
package abi

import "unsafe"

// kept holds what the host reads or writes, until the next call begins.
var kept []any

// Begin starts a call: what the last one left may go.
func Begin(parameters ...any) { kept = append(kept[:0], parameters...) }

// NewArea is memory for so many bytes, aligned to 8, that stays until the next call.
func NewArea(bytes uint32) unsafe.Pointer {
	words := make([]uint64, bytes/8+1)
	kept = append(kept, words)
	return unsafe.Pointer(&words[0])
}

// The host asks for memory for what it hands over. It may ask before anything else runs, and nothing here needs the
// rest of the program.
//
//go:wasmexport cabi_realloc
func realloc(old unsafe.Pointer, oldSize, _ uint32, size uint32) unsafe.Pointer {
	area := NewArea(size)
	if old != nil {
		copy(unsafe.Slice((*byte)(area), size), unsafe.Slice((*byte)(old), oldSize))
	}
	return area
}

// Reader reads fields one after the other.
type Reader struct {
	Base unsafe.Pointer
	at   uintptr
}

// Align goes on to the next multiple of to, a power of two.
func (r *Reader) Align(to uintptr) { r.at = (r.at + to - 1) &^ (to - 1) }

// Byte reads an 8-bit number: an enum, or the head of an option, a result or a variant.
func (r *Reader) Byte() uint8 {
	value := *(*uint8)(unsafe.Add(r.Base, r.at))
	r.at++
	return value
}

// Word reads a 32-bit number.
func (r *Reader) Word() uint32 {
	r.Align(4)
	value := *(*uint32)(unsafe.Add(r.Base, r.at))
	r.at += 4
	return value
}

// Long reads a 64-bit number.
func (r *Reader) Long() uint64 {
	r.Align(8)
	value := *(*uint64)(unsafe.Add(r.Base, r.at))
	r.at += 8
	return value
}

// Text reads a string. It stays where it is: the memory is ours since realloc.
func (r *Reader) Text() string {
	pointer, length := r.Word(), r.Word()
	if length == 0 {
		return ""
	}
	return unsafe.String((*byte)(address(pointer)), length)
}

// OptionalText reads an option of a string.
func (r *Reader) OptionalText() *string {
	r.Align(4)
	there := r.Byte() != 0
	text := r.Text()
	if !there {
		return nil
	}
	return &text
}

// List reads a list whose elements have so many bytes.
func List[T any](r *Reader, bytes uintptr, element func(*Reader) T) []T {
	pointer, length := r.Word(), r.Word()
	if length == 0 {
		return nil
	}
	list := make([]T, length)
	for i := range list {
		list[i] = element(&Reader{Base: unsafe.Add(address(pointer), uintptr(i)*bytes)})
	}
	return list
}

// Writer writes fields one after the other into an area.
type Writer struct {
	Base unsafe.Pointer
	at   uintptr
}

// Align goes on to the next multiple of to, a power of two.
func (w *Writer) Align(to uintptr) { w.at = (w.at + to - 1) &^ (to - 1) }

// Byte writes an 8-bit number.
func (w *Writer) Byte(value uint8) {
	*(*uint8)(unsafe.Add(w.Base, w.at)) = value
	w.at++
}

// Word writes a 32-bit number.
func (w *Writer) Word(value uint32) {
	w.Align(4)
	*(*uint32)(unsafe.Add(w.Base, w.at)) = value
	w.at += 4
}

// Text writes a string.
func (w *Writer) Text(text string) {
	kept = append(kept, text)
	w.pointer(unsafe.Pointer(unsafe.StringData(text)))
	w.Word(uint32(len(text)))
}

// OptionalText writes an option of a string.
func (w *Writer) OptionalText(text *string) {
	w.Align(4)
	if text == nil {
		w.Byte(0)
		w.at += 11
		return
	}
	w.Byte(1)
	w.Text(*text)
}

// PutList writes a list whose elements have so many bytes.
func PutList[T any](w *Writer, bytes uint32, list []T, element func(*Writer, T)) {
	area := NewArea(bytes * uint32(len(list)))
	for i, value := range list {
		element(&Writer{Base: unsafe.Add(area, uintptr(i)*uintptr(bytes))}, value)
	}
	w.pointer(area)
	w.Word(uint32(len(list)))
}

func (w *Writer) pointer(to unsafe.Pointer) { w.Word(uint32(uintptr(to))) }

func address(pointer uint32) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), pointer) }
