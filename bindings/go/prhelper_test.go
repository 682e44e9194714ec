// SPDX-License-Identifier: LGPL-2.1-or-later

package prhelper

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	key   = 0xabc
	other = 0xdef
	kind  = WriteExclusiveRegistrantsOnly
)

// scene is a simulator, the program that PRHELPER_SIMULATOR names, with two hosts and a LUN.
type scene struct {
	t         *testing.T
	directory string
	simulator *exec.Cmd
	lun       *os.File
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, directory: t.TempDir()}

	s.start()
	t.Cleanup(s.stop)
	s.lun = s.open("lun")
	return s
}

func (s *scene) path(name string) string { return filepath.Join(s.directory, name) }

func (s *scene) open(name string) *os.File {
	file, err := os.OpenFile(s.path(name), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { file.Close() })
	return file
}

func (s *scene) start() {
	program := os.Getenv("PRHELPER_SIMULATOR")
	if program == "" {
		s.t.Skip("PRHELPER_SIMULATOR is not set")
	}
	s.simulator = exec.Command(program, "--nexus", "a="+s.path("a"), "--nexus", "b="+s.path("b"),
		"--faults", s.path("faults"))
	if err := s.simulator.Start(); err != nil {
		s.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		conn, err := net.Dial("unix", s.path("b"))
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			s.t.Fatal("the simulator does not serve")
		}
	}
}

func (s *scene) stop() {
	s.simulator.Process.Kill()
	s.simulator.Wait()
}

// fault of the LUN from now on.
func (s *scene) fault(what string) {
	line := []byte(s.lun.Name() + " " + what + "\n")
	if err := os.WriteFile(s.path("faults~"), line, 0o600); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(s.path("faults~"), s.path("faults")); err != nil {
		s.t.Fatal(err)
	}
}

func (s *scene) connect(name string) *Conn {
	conn, err := Connect(context.Background(), s.path(name), FeatureCleanup)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn
}

func (s *scene) good(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// news takes a unit attention that host was not told yet.
func (s *scene) news(conn *Conn) {
	var status *StatusError

	s.t.Helper()
	_, err := conn.ReadKeys(context.Background(), s.lun)
	if !errors.As(err, &status) {
		s.t.Fatalf("no unit attention but %v", err)
	}
	if sense, ok := status.SenseCode(); !ok || sense.Key != 6 || OutcomeOf(err) != OutcomeNotDone {
		s.t.Fatalf("no unit attention but %v", err)
	}
}

func TestEveryTypedCall(t *testing.T) {
	s, ctx := newScene(t), context.Background()
	a, b := s.connect("a"), s.connect("b")

	if a.Features() != FeatureCleanup {
		t.Fatal("features")
	}
	s.good("register", a.Register(ctx, s.lun, 0, key, 0))
	s.good("register", b.RegisterIgnore(ctx, s.lun, other, Aptpl))
	keys, err := a.ReadKeys(ctx, s.lun)
	s.good("read keys", err)
	if !reflect.DeepEqual(keys, &Keys{2, []uint64{key, other}, false}) {
		t.Fatal(keys)
	}
	s.good("reserve", a.Reserve(ctx, s.lun, key, kind))
	reservation, err := b.ReadReservation(ctx, s.lun)
	s.good("read reservation", err)
	if *reservation != (Reservation{2, true, 0, kind, key}) {
		t.Fatal(reservation)
	}
	if err := b.Clear(ctx, s.lun, 1); !IsReservationConflict(err) || OutcomeOf(err) != OutcomeNotDone {
		t.Fatal(err)
	}
	s.good("release", a.Release(ctx, s.lun, key, kind))
	s.news(b)
	s.good("reserve", a.Reserve(ctx, s.lun, key, kind))
	s.good("preempt", b.Preempt(ctx, s.lun, other, key, kind))
	s.news(a)
	s.good("register", a.Register(ctx, s.lun, 0, key, 0))
	s.good("preempt and abort", a.PreemptAbort(ctx, s.lun, key, other, kind))
	status, err := a.ReadFullStatus(ctx, s.lun)
	s.good("read full status", err)
	if len(status.Registrants) != 1 || status.Registrants[0].Key != key || !status.Registrants[0].Holder {
		t.Fatal(status)
	}
	mine := status.Registrants[0].Port
	theirs, err := ParseTransportID(strings.Replace(mine.String(), ":a,", ":b,", 1))
	s.good("parse", err)
	if bytes.Equal(mine, theirs) {
		t.Fatal("one TransportID for two")
	}
	s.good("register and move", a.RegisterMove(ctx, s.lun, key, other, kind, 0, 1, theirs))
	capabilities, err := a.ReportCapabilities(ctx, s.lun)
	s.good("report capabilities", err)
	if !capabilities.TypesValid || len(capabilities.Types) != 6 {
		t.Fatal(capabilities)
	}
	if err := a.ReplaceLost(ctx, s.lun, key, kind); OutcomeOf(err) != OutcomeNotDone {
		t.Fatal(err)
	}
	s.good("clear", a.Clear(ctx, s.lun, key))
	for _, err = b.ReadKeys(ctx, s.lun); err != nil; _, err = b.ReadKeys(ctx, s.lun) {
		if OutcomeOf(err) != OutcomeNotDone {
			t.Fatal(err) // and no unit attention
		}
	}
	s.good("register ports", b.RegisterPorts(ctx, s.lun, 0, other, 0, []TransportID{mine}))
	keys, err = b.ReadKeys(ctx, s.lun)
	s.good("read keys", err)
	if !reflect.DeepEqual(keys.Keys, []uint64{other, other}) {
		t.Fatal(keys)
	}
	s.good("cleanup", a.Cleanup(ctx, s.lun))
	result, err := b.Execute(ctx, s.lun, []byte{0x5e, 0, 0, 0, 0, 0, 0, 0, 8, 0}, nil)
	s.good("execute", err)
	if result.Status != StatusGood || len(result.Data) != 8 || result.Outcome != OutcomeDone {
		t.Fatal(result)
	}
}

func TestErrors(t *testing.T) {
	s, ctx := newScene(t), context.Background()
	a := s.connect("a")

	if _, err := Connect(ctx, s.path("nothing"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	if _, err := ParseTransportID("nothing"); !errors.Is(err, &ProtocolError{Code: CodeBadArgument}) {
		t.Fatal(err)
	}
	for fault, outcome := range map[string]Outcome{
		"status 8": OutcomeNotDone, "status 40": OutcomeUnknown, "sense 5/24/00": OutcomeNotDone,
		"sense b/2e/02": OutcomeUnknown,
	} {
		var status *StatusError

		s.fault(fault)
		if err := a.Clear(ctx, s.lun, key); !errors.As(err, &status) || OutcomeOf(err) != outcome {
			t.Fatalf("%s: %v, %v", fault, err, OutcomeOf(err))
		}
	}
	closed := s.open("other")
	closed.Close()
	var system *SystemError
	if err := a.Clear(ctx, closed, key); !errors.As(err, &system) || OutcomeOf(err) != OutcomeNotDone {
		t.Fatal(err)
	}
	a.Close()
	if err := a.Clear(ctx, s.lun, key); err != ErrClosed {
		t.Fatal(err)
	}
}

// A context that ends gives up the command, and says that it may have been carried out.
func TestContext(t *testing.T) {
	s := newScene(t)
	s.fault("hang")
	for _, want := range []error{context.DeadlineExceeded, context.Canceled} {
		var ctx context.Context
		var cancel context.CancelFunc
		a := s.connect("a")

		if want == context.Canceled {
			ctx, cancel = context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
		} else {
			ctx, cancel = context.WithTimeout(context.Background(), 50*time.Millisecond)
		}
		defer cancel()
		err := a.Clear(ctx, s.lun, key)
		if !errors.Is(err, want) || OutcomeOf(err) != OutcomeUnknown {
			t.Fatal(err, OutcomeOf(err))
		}
		// Before it begins, nothing is sent.
		if err = a.Clear(ctx, s.lun, key); !errors.Is(err, want) || OutcomeOf(err) != OutcomeNotDone {
			t.Fatal(err, OutcomeOf(err))
		}
		if err = a.Clear(context.Background(), s.lun, key); !errors.Is(err, &ProtocolError{Code: CodeDead}) {
			t.Fatal(err)
		}
	}
}

// While it is connecting, and while a command of another goroutine is under way.
func TestContextBeforeSending(t *testing.T) {
	s := newScene(t)
	listener, err := net.Listen("unix", s.path("silent"))
	s.good("listen", err)
	defer listener.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := Connect(ctx, s.path("silent"), 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}

	s.fault("hang")
	a := s.connect("a")
	long, stop := context.WithCancel(context.Background())
	over := make(chan error)
	go func() { over <- a.Clear(long, s.lun, key) }()
	for len(a.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	short, cancelShort := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancelShort()
	if err := a.Clear(short, s.lun, key); OutcomeOf(err) != OutcomeNotDone {
		t.Fatal(err)
	}
	stop()
	if err := <-over; OutcomeOf(err) != OutcomeUnknown {
		t.Fatal(err)
	}
}

func TestReconnect(t *testing.T) {
	s, ctx := newScene(t), context.Background()
	a := s.connect("a")

	s.good("set reconnect", a.SetReconnect(100, 10*time.Millisecond))
	s.good("register", a.Register(ctx, s.lun, 0, key, 0))
	s.stop()
	started := make(chan struct{})
	time.AfterFunc(30*time.Millisecond, func() { s.start(); close(started) })
	keys, err := a.ReadKeys(ctx, s.lun)
	<-started
	s.good("read keys", err)
	if len(keys.Keys) != 0 {
		t.Fatal(keys)
	}
}

// Many wait at once, for a disk that takes its time, and none of them has a thread of its own.
func TestManyWaitWithoutThreads(t *testing.T) {
	const conns = 200
	s, ctx := newScene(t), context.Background()
	var group sync.WaitGroup
	s.fault("latency 200")
	all := make([]*Conn, conns)
	for i := range all {
		all[i] = s.connect("a")
	}
	for _, conn := range all {
		group.Add(1)
		go func(conn *Conn) {
			defer group.Done()
			if _, err := conn.ReadKeys(ctx, s.lun); err != nil {
				t.Error(err)
			}
		}(conn)
	}
	time.Sleep(50 * time.Millisecond)
	tasks, err := os.ReadDir("/proc/self/task")
	s.good("threads", err)
	if len(tasks) > 60 {
		t.Errorf("%d threads, %d CPUs", len(tasks), runtime.NumCPU())
	}
	group.Wait()
}
