// SPDX-License-Identifier: LGPL-2.1-or-later

// Package prhelper is for SCSI persistent reservations by way of a qemu-pr-helper: libprhelper(3).
//
//	conn, err := prhelper.Connect(ctx, "/run/qemu-pr-helper.sock", 0)
//	...
//	defer conn.Close()
//	err = conn.RegisterIgnore(ctx, disk, 0xabc, 0)
//
// Any outcome but GOOD is an error: StatusError (the device's answer), ProtocolError, SystemError
// (an errno) or ContextError. OutcomeOf() says of each whether the command was carried out.
//
// Waiting takes no thread: it is done by Go's own poller. A Conn may be used by many goroutines, whose
// commands are sent one after the other; a helper carries out one at a time of each connection.
package prhelper

// #cgo pkg-config: libprhelper
// #include <poll.h>
// #include <stdlib.h>
// #include <prhelper.h>
import "C"

import (
	"context"
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"
	"unsafe"
)

// Conn is a connection to a helper.
type Conn struct {
	turn   chan struct{} // the goroutine that has put something in may use the rest
	helper *C.struct_prhelper
	result *C.struct_prhelper_result // C's memory, because the library keeps the pointer
	fd     C.int                     // that file is a copy of; -1: none
	file   *os.File                  // to wait for, by Go's poller
}

// ErrClosed is returned for commands of a Conn that was closed.
var ErrClosed = &SystemError{syscall.EBADF, OutcomeNotDone}

// Version of the library.
func Version() string { return C.GoString(C.prhelper_version()) }

// Connect to the helper that listens at path. features: 0 or FeatureCleanup.
func Connect(ctx context.Context, path string, features uint32) (*Conn, error) {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	c := &Conn{turn: make(chan struct{}, 1), fd: -1}

	if err := ctx.Err(); err != nil {
		return nil, &ContextError{err, OutcomeNotDone}
	}
	r := C.prhelper_start_connect(name, C.uint32_t(features), Forever, &c.helper)
	if c.helper != nil {
		c.result = (*C.struct_prhelper_result)(C.calloc(1, C.sizeof_struct_prhelper_result))
		runtime.SetFinalizer(c, (*Conn).Close)
		var ended error
		if r, ended = c.wait(ctx, r); ended != nil {
			c.Close()
			return nil, endedBy(ended, OutcomeNotDone)
		}
	}
	if r != 0 {
		c.Close()
		return nil, errorOf(r, nil)
	}
	return c, nil
}

// Close it, and free what it has. A command that is under way is waited for.
func (c *Conn) Close() error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	runtime.SetFinalizer(c, nil)
	c.forget()
	C.prhelper_close(c.helper)
	C.free(unsafe.Pointer(c.result))
	c.helper, c.result = nil, nil
	return nil
}

// Features that were asked for and are offered.
func (c *Conn) Features() uint32 {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.helper == nil {
		return 0
	}
	return uint32(C.prhelper_features(c.helper))
}

// SetReconnect lets commands connect again after the helper was restarted: QEMU's client tries 5 times,
// a second apart. Only what has not been sent whole is sent again. tries 0: not at all, as at first.
func (c *Conn) SetReconnect(tries uint, interval time.Duration) error {
	c.turn <- struct{}{}
	defer func() { <-c.turn }()
	if c.helper == nil {
		return ErrClosed
	}
	if r := C.prhelper_set_reconnect(c.helper, C.uint(tries), C.int(interval.Milliseconds())); r != 0 {
		return errorOf(r, nil)
	}
	return nil
}

// forget the copy of a socket that is not the library's any more.
func (c *Conn) forget() {
	if c.file != nil {
		c.file.Close()
	}
	c.file, c.fd = nil, -1
}

// follow makes file a copy of the library's socket.
func (c *Conn) follow() error {
	fd := C.prhelper_fd(c.helper)
	if fd == c.fd {
		return nil
	}
	c.forget()
	if fd < 0 {
		return nil
	}
	copied, _, errno := syscall.Syscall(syscall.SYS_FCNTL, uintptr(fd), syscall.F_DUPFD_CLOEXEC, 0)
	if errno != 0 {
		return errno
	}
	// It is in non-blocking mode, and so known to the poller.
	c.file, c.fd = os.NewFile(copied, "qemu-pr-helper"), fd
	return nil
}

// wait until what returned r is over, or ctx, whose error is returned then. What is under way is
// given up in that case.
func (c *Conn) wait(ctx context.Context, r C.int) (C.int, error) {
	for r == C.PRHELPER_PENDING {
		var until time.Time
		ended := c.follow()

		if timeout := C.prhelper_timeout(c.helper); timeout >= 0 {
			until = time.Now().Add(time.Duration(timeout) * time.Millisecond)
		}
		if ended == nil {
			ended = ctx.Err()
		}
		if ended == nil && c.file == nil {
			ended = sleep(ctx, until)
			if ended == nil {
				r = C.prhelper_continue(c.helper)
			}
		} else if ended == nil {
			r, ended = c.poll(ctx, until)
		}
		if ended != nil {
			C.prhelper_cancel(c.helper)
			c.forget()
			return C.PRHELPER_CANCELLED, ended
		}
	}
	if err := c.follow(); err != nil {
		return r, nil // at the next command it is tried again
	}
	return r, nil
}

func sleep(ctx context.Context, until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()

	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// poll until the socket is ready, until has come (unless it is zero), or ctx is over; and go on.
func (c *Conn) poll(ctx context.Context, until time.Time) (C.int, error) {
	var r C.int
	fd, events := c.fd, C.prhelper_events(c.helper)

	// The poller tells of changes only, so that one has to try after having asked it, in here. It
	// is also the reason to leave when there is something else to wait for.
	step := func(uintptr) bool {
		r = C.prhelper_continue(c.helper)
		return r != C.PRHELPER_PENDING || C.prhelper_fd(c.helper) != fd ||
			C.prhelper_events(c.helper) != events
	}
	raw, err := c.file.SyscallConn()
	if err != nil {
		return r, err
	}
	if err = c.file.SetDeadline(until); err != nil {
		return r, err
	}
	if done := ctx.Done(); done != nil {
		over, stopped := make(chan struct{}), make(chan struct{})
		file := c.file
		go func() {
			defer close(stopped)
			select {
			case <-done:
				file.SetDeadline(time.Unix(1, 0))
			case <-over:
			}
		}()
		defer func() { close(over); <-stopped }()
	}
	if events&C.POLLOUT != 0 {
		err = raw.Write(step)
	} else {
		err = raw.Read(step)
	}
	switch {
	case err == nil:
		return r, nil
	case !errors.Is(err, os.ErrDeadlineExceeded):
		return r, err
	case ctx.Err() != nil:
		return r, ctx.Err()
	}
	return C.prhelper_continue(c.helper), nil
}

// perform starts a command and waits for it. The result is good unless there is an error.
func (c *Conn) perform(ctx context.Context, device *os.File,
	start func(device C.int) C.int) (*Result, error) {
	result, err := c.answer(ctx, device, start)
	if err == nil && result.Status != StatusGood {
		return nil, &StatusError{*result}
	}
	return result, err
}

// answer is the same for callers that want the result for every outcome.
func (c *Conn) answer(ctx context.Context, device *os.File,
	start func(device C.int) C.int) (*Result, error) {
	var r C.int

	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return nil, &ContextError{ctx.Err(), OutcomeNotDone}
	}
	if c.helper == nil {
		return nil, ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, &ContextError{err, OutcomeNotDone}
	}
	raw, err := device.SyscallConn()
	if err == nil {
		// The library keeps a copy if it needs the fd for longer.
		err = raw.Control(func(fd uintptr) { r = start(C.int(fd)) })
	}
	if err != nil {
		return nil, &SystemError{syscall.EBADF, OutcomeNotDone}
	}
	r, ended := c.wait(ctx, r)
	if ended != nil {
		return nil, endedBy(ended, Outcome(C.prhelper_outcome(r, c.result)))
	}
	if r != 0 {
		return nil, errorOf(r, c.result)
	}
	return c.taken(), nil
}

// taken copies the result into Go's memory.
func (c *Conn) taken() *Result {
	result := &Result{
		Status:  Status(c.result.status),
		Outcome: Outcome(C.prhelper_outcome(0, c.result)),
		Data:    C.GoBytes(unsafe.Pointer(&c.result.data), C.int(c.result.size)),
		Text:    describe(0, c.result),
	}
	if result.Status == StatusCheckCondition {
		result.Sense = C.GoBytes(unsafe.Pointer(&c.result.sense), SenseMax)
	}
	return result
}
