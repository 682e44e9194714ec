// SPDX-License-Identifier: LGPL-2.1-or-later

package prhelper

// #include <stdlib.h>
// #include <prhelper.h>
import "C"

import (
	"context"
	"os"
	"unsafe"
)

// Execute sends any command of the protocol, with a parameter list for PERSISTENT RESERVE OUT. The result is
// returned for every status.
func (c *Conn) Execute(ctx context.Context, device *os.File, cdb, out []byte) (*Result, error) {
	cdbBytes, outBytes := C.CBytes(cdb), C.CBytes(out)
	defer C.free(cdbBytes)
	defer C.free(outBytes)

	return c.answer(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_execute(c.helper, fd, cdbBytes, C.size_t(len(cdb)), outBytes,
			C.size_t(len(out)), c.result)
	})
}

// ReadKeys reads the keys of all registrations.
func (c *Conn) ReadKeys(ctx context.Context, device *os.File) (*Keys, error) {
	result, err := c.perform(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_read_keys(c.helper, fd, c.result)
	})
	if err != nil {
		return nil, err
	}
	return decodeKeys(result.Data)
}

// ReadReservation reads who holds the reservation.
func (c *Conn) ReadReservation(ctx context.Context, device *os.File) (*Reservation, error) {
	result, err := c.perform(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_read_reservation(c.helper, fd, c.result)
	})
	if err != nil {
		return nil, err
	}
	return decodeReservation(result.Data)
}

// ReportCapabilities reads what the device can do.
func (c *Conn) ReportCapabilities(ctx context.Context, device *os.File) (*Capabilities, error) {
	result, err := c.perform(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_report_capabilities(c.helper, fd, c.result)
	})
	if err != nil {
		return nil, err
	}
	return decodeCapabilities(result.Data)
}

// ReadFullStatus reads all registrations, with their initiator ports.
func (c *Conn) ReadFullStatus(ctx context.Context, device *os.File) (*FullStatus, error) {
	result, err := c.perform(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_read_full_status(c.helper, fd, c.result)
	})
	if err != nil {
		return nil, err
	}
	return decodeFullStatus(result.Data)
}

func (c *Conn) change(ctx context.Context, device *os.File, start func(device C.int) C.int) error {
	_, err := c.perform(ctx, device, start)
	return err
}

// Register registers newKey in the place of key, 0 for none; newKey 0 takes the registration away.
// flags: Aptpl, AllTgPt.
func (c *Conn) Register(ctx context.Context, device *os.File, key, newKey uint64, flags uint) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_register(c.helper, fd, C.uint64_t(key), C.uint64_t(newKey),
			C.uint(flags), c.result)
	})
}

// RegisterPorts registers these initiator ports as well.
func (c *Conn) RegisterPorts(ctx context.Context, device *os.File, key, newKey uint64, flags uint,
	ports []TransportID) error {
	var first *C.struct_prhelper_transportid

	array, err := newPorts(ports)
	if err != nil {
		return err
	}
	if len(array) > 0 {
		first = &array[0]
	}
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_register_ports(c.helper, fd, C.uint64_t(key), C.uint64_t(newKey),
			C.uint(flags), first, C.size_t(len(array)), c.result)
	})
}

// RegisterIgnore registers newKey and replaces any key that there is.
func (c *Conn) RegisterIgnore(ctx context.Context, device *os.File, newKey uint64, flags uint) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_register_ignore(c.helper, fd, C.uint64_t(newKey), C.uint(flags),
			c.result)
	})
}

// RegisterMove moves the reservation to another initiator port. flags: Aptpl, Unreg.
func (c *Conn) RegisterMove(ctx context.Context, device *os.File, key, newKey uint64, kind Type,
	flags uint, targetPort uint16, port TransportID) error {
	array, err := newPorts([]TransportID{port})
	if err != nil {
		return err
	}
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_register_move(c.helper, fd, C.uint64_t(key), C.uint64_t(newKey),
			C.uint(kind), C.uint(flags), C.uint16_t(targetPort), &array[0], c.result)
	})
}

// Reserve reserves the device for this host, which is registered.
func (c *Conn) Reserve(ctx context.Context, device *os.File, key uint64, kind Type) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_reserve(c.helper, fd, C.uint64_t(key), C.uint(kind), c.result)
	})
}

// Release gives the reservation up.
func (c *Conn) Release(ctx context.Context, device *os.File, key uint64, kind Type) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_release(c.helper, fd, C.uint64_t(key), C.uint(kind), c.result)
	})
}

// Clear removes the reservation and all registrations.
func (c *Conn) Clear(ctx context.Context, device *os.File, key uint64) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_clear(c.helper, fd, C.uint64_t(key), c.result)
	})
}

// Preempt removes the registrations with victimKey and takes their reservation over.
func (c *Conn) Preempt(ctx context.Context, device *os.File, key, victimKey uint64, kind Type) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_preempt(c.helper, fd, C.uint64_t(key), C.uint64_t(victimKey),
			C.uint(kind), c.result)
	})
}

// PreemptAbort is Preempt, and aborts the victims' commands.
func (c *Conn) PreemptAbort(ctx context.Context, device *os.File, key, victimKey uint64,
	kind Type) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_preempt_abort(c.helper, fd, C.uint64_t(key), C.uint64_t(victimKey),
			C.uint(kind), c.result)
	})
}

// ReplaceLost replaces a reservation that the device has lost (SPC-5).
func (c *Conn) ReplaceLost(ctx context.Context, device *os.File, newKey uint64, kind Type) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_replace_lost(c.helper, fd, C.uint64_t(newKey), C.uint(kind),
			c.result)
	})
}

// Cleanup lets the helper and multipathd forget the registration on a multipath map. It needs
// FeatureCleanup.
func (c *Conn) Cleanup(ctx context.Context, device *os.File) error {
	return c.change(ctx, device, func(fd C.int) C.int {
		return C.prhelper_start_cleanup(c.helper, fd, c.result)
	})
}

// newPorts makes structs of the library's; too long ones cannot be sent.
func newPorts(ids []TransportID) ([]C.struct_prhelper_transportid, error) {
	array := make([]C.struct_prhelper_transportid, len(ids))

	for i, id := range ids {
		if len(id) > TransportidMax {
			return nil, errorOf(C.PRHELPER_BAD_ARGUMENT, nil)
		}
		array[i].size = C.uint16_t(len(id))
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&array[i].bytes)), TransportidMax), id)
	}
	return array, nil
}
