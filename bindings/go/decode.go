// SPDX-License-Identifier: LGPL-2.1-or-later

package prhelper

// #include <stdlib.h>
// #include <prhelper.h>
import "C"

import "unsafe"

// TransportID is the SCSI name of an initiator port, as bytes.
type TransportID []byte

// Keys is the answer to READ KEYS.
type Keys struct {
	Generation uint32   // goes up with every change of registrations
	Keys       []uint64 // one for each registration
	Truncated  bool     // there are more than the protocol can carry
}

// Reservation is the answer to READ RESERVATION.
type Reservation struct {
	Generation uint32
	Held       bool // if not, what follows is 0
	Scope      uint8
	Type       Type
	Key        uint64 // the holder's; 0 if all registrants hold it
}

// Capabilities is the answer to REPORT CAPABILITIES.
type Capabilities struct {
	ReplaceLost, Compatible, SpecIPt, AllTgPt, Persistent, PersistentActive bool

	TypesValid    bool // Types is filled in
	Types         []Type
	AllowCommands uint8
}

// Registrant is one registration of READ FULL STATUS.
type Registrant struct {
	Key             uint64
	AllTgPt, Holder bool
	Scope           uint8
	Type            Type
	TargetPort      uint16
	Port            TransportID
}

// FullStatus is the answer to READ FULL STATUS.
type FullStatus struct {
	Generation  uint32
	Registrants []Registrant
	Truncated   bool
}

func decodeError(r C.int) error {
	err := errorOf(r, nil).(*ProtocolError)
	err.Outcome = OutcomeDone // it was GOOD
	return err
}

// walk through a list; next returns what the library does. The list points into C's memory.
func walk(data []byte, next func(list *C.struct_prhelper_list) C.int) (uint32, bool, error) {
	bytes := C.CBytes(data)
	defer C.free(bytes)
	list := (*C.struct_prhelper_list)(C.calloc(1, C.sizeof_struct_prhelper_list))
	defer C.free(unsafe.Pointer(list))

	r := C.prhelper_list_decode(bytes, C.size_t(len(data)), list)
	for r == 0 {
		r = next(list)
	}
	if r != C.PRHELPER_END && r != C.PRHELPER_TRUNCATED {
		return 0, false, decodeError(r)
	}
	return uint32(list.generation), r == C.PRHELPER_TRUNCATED, nil
}

func decodeKeys(data []byte) (keys *Keys, err error) {
	keys = &Keys{}
	keys.Generation, keys.Truncated, err = walk(data, func(list *C.struct_prhelper_list) C.int {
		var key C.uint64_t

		r := C.prhelper_key_next(list, &key)
		if r == 0 {
			keys.Keys = append(keys.Keys, uint64(key))
		}
		return r
	})
	return keys, err
}

func decodeFullStatus(data []byte) (status *FullStatus, err error) {
	status = &FullStatus{}
	status.Generation, status.Truncated, err = walk(data, func(list *C.struct_prhelper_list) C.int {
		var one C.struct_prhelper_registrant

		r := C.prhelper_registrant_next(list, &one)
		if r == 0 {
			status.Registrants = append(status.Registrants, Registrant{
				Key:        uint64(one.key),
				AllTgPt:    bool(one.all_tg_pt),
				Holder:     bool(one.holder),
				Scope:      uint8(one.scope),
				Type:       Type(one._type),
				TargetPort: uint16(one.target_port),
				Port:       C.GoBytes(unsafe.Pointer(&one.port.bytes), C.int(one.port.size)),
			})
		}
		return r
	})
	return status, err
}

func decodeReservation(data []byte) (*Reservation, error) {
	var one C.struct_prhelper_reservation
	bytes := C.CBytes(data)
	defer C.free(bytes)

	if r := C.prhelper_reservation_decode(bytes, C.size_t(len(data)), &one); r != 0 {
		return nil, decodeError(r)
	}
	return &Reservation{uint32(one.generation), bool(one.held), uint8(one.scope), Type(one._type),
		uint64(one.key)}, nil
}

func decodeCapabilities(data []byte) (*Capabilities, error) {
	var one C.struct_prhelper_capabilities
	bytes := C.CBytes(data)
	defer C.free(bytes)

	if r := C.prhelper_capabilities_decode(bytes, C.size_t(len(data)), &one); r != 0 {
		return nil, decodeError(r)
	}
	found := &Capabilities{
		ReplaceLost:      bool(one.replace_lost),
		Compatible:       bool(one.compatible),
		SpecIPt:          bool(one.spec_i_pt),
		AllTgPt:          bool(one.all_tg_pt),
		Persistent:       bool(one.persistent),
		PersistentActive: bool(one.persistent_active),
		TypesValid:       bool(one.types_valid),
		AllowCommands:    uint8(one.allow_commands),
	}
	for kind := Type(0); kind < 16; kind++ {
		if one.types>>uint(kind)&1 != 0 {
			found.Types = append(found.Types, kind)
		}
	}
	return found, nil
}

// ParseTransportID takes "iqn.2026-01.example:node,i,0x1", "sas:5000c500a1b2c3d4" and so on.
func ParseTransportID(text string) (TransportID, error) {
	var port C.struct_prhelper_transportid
	name := C.CString(text)
	defer C.free(unsafe.Pointer(name))

	if r := C.prhelper_transportid_parse(name, &port); r != 0 {
		return nil, errorOf(r, nil)
	}
	return C.GoBytes(unsafe.Pointer(&port.bytes), C.int(port.size)), nil
}

// String is the reverse.
func (id TransportID) String() string {
	array, err := newPorts([]TransportID{id})
	if err != nil {
		return "raw:"
	}
	text := (*C.char)(C.malloc(TransportidTextMax))
	defer C.free(unsafe.Pointer(text))
	C.prhelper_transportid_format(text, TransportidTextMax, &array[0])
	return C.GoString(text)
}
