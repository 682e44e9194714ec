// SPDX-License-Identifier: LGPL-2.1-or-later

// takeover SOCKET DISK KEY: register KEY for this host and take the reservation over from any holder.
// The host that held it cannot write any more after that. If the outcome is not known, this host must
// not write either: it ends with 1, and says why.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"qemu-pr-helper.invalid/prhelper"
)

const kind = prhelper.WriteExclusiveRegistrantsOnly

func fail(what string, err error) {
	outcomes := map[prhelper.Outcome]string{prhelper.OutcomeDone: "done",
		prhelper.OutcomeNotDone: "not done", prhelper.OutcomeUnknown: "perhaps done"}

	fmt.Printf("%s: %v; it was %s\n", what, err, outcomes[prhelper.OutcomeOf(err)])
	os.Exit(1)
}

// send a command; again if what comes is a unit attention, which is news of what others did, in place
// of the answer.
func send(what string, command func() error) {
	for {
		var status *prhelper.StatusError

		err := command()
		if err == nil {
			return
		}
		if errors.As(err, &status) && status.Outcome == prhelper.OutcomeNotDone {
			if sense, ok := status.SenseCode(); ok && sense.Key == 6 {
				continue
			}
		}
		fail(what, err)
	}
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintf(os.Stderr, "usage: %s SOCKET DISK KEY\n", os.Args[0])
		os.Exit(2)
	}
	key, err := strconv.ParseUint(os.Args[3], 16, 64)
	if err != nil {
		fail("key", err)
	}
	disk, err := os.OpenFile(os.Args[2], os.O_RDWR, 0)
	if err != nil {
		fail("open", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := prhelper.Connect(ctx, os.Args[1], 0)
	if err != nil {
		fail("connect", err)
	}
	defer conn.Close()
	if err = conn.SetReconnect(5, time.Second); err != nil {
		fail("set reconnect", err)
	}

	var holder *prhelper.Reservation
	readHolder := func() (err error) { holder, err = conn.ReadReservation(ctx, disk); return }

	send("register", func() error { return conn.RegisterIgnore(ctx, disk, key, 0) })
	send("read reservation", readHolder)
	if holder.Held && holder.Key != key {
		fmt.Printf("held by %x\n", holder.Key)
		send("preempt", func() error { return conn.Preempt(ctx, disk, key, holder.Key, kind) })
	} else if !holder.Held {
		send("reserve", func() error { return conn.Reserve(ctx, disk, key, kind) })
	}
	send("read reservation", readHolder)
	fmt.Printf("held by %x\n", holder.Key)
}
