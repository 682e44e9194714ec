// SPDX-License-Identifier: LGPL-2.1-or-later

package prhelper

// #include <stdlib.h>
// #include <prhelper.h>
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"
)

// Sense is what sense data says.
type Sense struct {
	Key, ASC, ASCQ uint8
}

// Result is an answer, good or bad.
type Result struct {
	Status  Status
	Outcome Outcome
	Sense   []byte // for StatusCheckCondition
	Data    []byte // for PERSISTENT RESERVE IN with StatusGood
	Text    string // in words
}

// SenseCode returns what the sense data says, if there is any that can be understood.
func (r *Result) SenseCode() (Sense, bool) {
	var sense C.struct_prhelper_sense

	if len(r.Sense) == 0 {
		return Sense{}, false
	}
	data := C.CBytes(r.Sense)
	defer C.free(data)
	if C.prhelper_sense_decode(data, C.size_t(len(r.Sense)), &sense) != 0 {
		return Sense{}, false
	}
	return Sense{uint8(sense.key), uint8(sense.asc), uint8(sense.ascq)}, true
}

// StatusError is an answer that is not GOOD.
type StatusError struct {
	Result
}

func (e *StatusError) Error() string { return e.Text }

// IsReservationConflict tells whether err is an answer RESERVATION CONFLICT.
func IsReservationConflict(err error) bool {
	var status *StatusError

	return errors.As(err, &status) && status.Status == StatusReservationConflict
}

// ProtocolError says that the helper, or the caller, broke the rules of the protocol.
type ProtocolError struct {
	Code    Code
	Outcome Outcome
	Text    string
}

func (e *ProtocolError) Error() string { return e.Text }

// Is compares codes: errors.Is(err, &ProtocolError{Code: CodeClosed}).
func (e *ProtocolError) Is(target error) bool {
	other, ok := target.(*ProtocolError)

	return ok && other.Code == e.Code
}

// SystemError is an errno: there is no helper, no permission, no time left. errors.Is() finds it as
// fs.ErrNotExist and so on; Timeout() is true for ETIMEDOUT.
type SystemError struct {
	Errno   syscall.Errno
	Outcome Outcome
}

func (e *SystemError) Error() string { return e.Errno.Error() }

func (e *SystemError) Unwrap() error { return e.Errno }

// Timeout makes it a net.Error's.
func (e *SystemError) Timeout() bool { return e.Errno.Timeout() }

// ContextError says that the context ended while the command was under way, which calls no command
// back: Outcome is what is known of it. errors.Is() finds context.Canceled or DeadlineExceeded.
type ContextError struct {
	Err     error
	Outcome Outcome
}

func (e *ContextError) Error() string { return e.Err.Error() }

func (e *ContextError) Unwrap() error { return e.Err }

// endedBy makes the error of a command that was given up because of err: the context's or an errno.
func endedBy(err error, outcome Outcome) error {
	var errno syscall.Errno

	if errors.As(err, &errno) {
		return &SystemError{errno, outcome}
	}
	return &ContextError{err, outcome}
}

// OutcomeOf tells whether the command that returned err was carried out. If it is OutcomeUnknown, look at
// the device before anything is written to it. For errors of other packages that is the answer.
func OutcomeOf(err error) Outcome {
	var status *StatusError
	var protocol *ProtocolError
	var system *SystemError
	var ended *ContextError

	switch {
	case err == nil:
		return OutcomeDone
	case errors.As(err, &status):
		return status.Outcome
	case errors.As(err, &protocol):
		return protocol.Outcome
	case errors.As(err, &system):
		return system.Outcome
	case errors.As(err, &ended):
		return ended.Outcome
	}
	return OutcomeUnknown
}

func describe(r C.int, result *C.struct_prhelper_result) string {
	text := (*C.char)(C.malloc(TextMax))
	defer C.free(unsafe.Pointer(text))

	C.prhelper_describe(text, TextMax, r, result)
	return C.GoString(text)
}

// errorOf makes an error of what a call returned that was not 0. Without a result no command was sent.
func errorOf(r C.int, result *C.struct_prhelper_result) error {
	outcome := OutcomeNotDone

	if result != nil {
		outcome = Outcome(C.prhelper_outcome(r, result))
	}
	if r < 0 {
		return &SystemError{syscall.Errno(-r), outcome}
	}
	return &ProtocolError{Code(r), outcome, describe(r, result)}
}

func (o Outcome) String() string {
	switch o {
	case OutcomeDone:
		return "done"
	case OutcomeNotDone:
		return "not done"
	case OutcomeUnknown:
		return "unknown"
	}
	return fmt.Sprintf("Outcome(%d)", int(o))
}
