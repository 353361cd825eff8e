package scenario

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource/plugin"
	"github.com/pulumi/pulumi/sdk/v3/go/common/tokens"

	"eks-gpu-slicing/rehearsal/session"
)

// point tells at which create of an up something happens: of its number, from 1, and of
// the resource's type.
type point func(n int, typ tokens.Type) bool

func nth(at int) point { return func(n int, _ tokens.Type) bool { return n == at } }

func firstOf(typ tokens.Type) point { return func(_ int, t tokens.Type) bool { return t == typ } }

// interrupted has an up end at a point, and lets end do it.
func (s *story) interrupted(at point, end func(create create, stop context.CancelFunc) (plugin.CreateResponse, error)) {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	defer stop()
	var there atomic.Bool
	s.watch(func(n int, typ tokens.Type, create create) (plugin.CreateResponse, error) {
		if !at(n, typ) {
			return create()
		}
		there.Store(true)
		return end(create, stop)
	})
	err := s.Pulumi(ctx, "up", "--yes", "--skip-preview")
	s.watch(nil)
	if err == nil || !there.Load() {
		s.t.Fatalf("the up ends with %v; it came to the point: %v", err, there.Load())
	}
}

// watch has creating make resources, and counts them from 1.
func (s *story) watch(creating func(n int, typ tokens.Type, create create) (plugin.CreateResponse, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.creates, s.creating = 0, creating
}

// interruptedBySIGINT has an up end as Ctrl-C ends it, at a point.
func (s *story) interruptedBySIGINT(at point) {
	s.t.Helper()
	s.interrupted(at, func(create create, stop context.CancelFunc) (plugin.CreateResponse, error) {
		stop()
		return create()
	})
}

// errNobody is the answer to a create whose engine is dead.
var errNobody = errors.New("the engine that asked is dead")

// killed kills the engine of an up at a point: after the resource is made and
// before the engine hears of it, or before it is made, and then it never is.
func (s *story) killed(at point, after bool) {
	s.t.Helper()
	s.interrupted(at, func(create create, _ context.CancelFunc) (plugin.CreateResponse, error) {
		if after {
			if _, err := create(); err != nil {
				s.t.Errorf("the create at which the up is killed: %v", err)
			}
		}
		s.killCLI()
		return plugin.CreateResponse{}, errNobody
	})
}

// killCLI kills the Pulumi CLI of the story with SIGKILL and waits until it is gone.
func (s *story) killCLI() {
	cli, err := filepath.EvalSymlinks(s.cli)
	if err != nil {
		s.t.Error(err)
		return
	}
	all, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		s.t.Error(err)
	}
	for _, exe := range all {
		process := filepath.Dir(exe)
		path, err := os.Readlink(exe)
		folder, errFolder := os.Readlink(filepath.Join(process, "cwd"))
		if err != nil || errFolder != nil || path != cli || !strings.HasPrefix(folder, s.dir) {
			continue // it has ended, or is another's
		}
		pid, err := strconv.Atoi(filepath.Base(process))
		if err == nil {
			err = syscall.Kill(pid, syscall.SIGKILL)
		}
		if err != nil {
			s.t.Error(err)
		}
		for syscall.Kill(pid, 0) == nil {
			time.Sleep(time.Millisecond)
		}
		return
	}
	s.t.Errorf("there is no process of %s in %s", cli, s.dir)
}

// created counts the resources of a state that a provider has created.
func created(t *testing.T, state []byte) int {
	t.Helper()
	var read struct {
		Deployment struct {
			Resources []struct {
				Type     string
				External bool
			}
		}
	}
	if err := json.Unmarshal(state, &read); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, r := range read.Deployment.Resources {
		if !r.External && (strings.HasPrefix(r.Type, "aws:") || strings.HasPrefix(r.Type, "kubernetes:")) {
			n++
		}
	}
	return n
}

// whole fails the test unless the stack is up, all of it and no part twice: the next
// preview changes nothing, and the account holds what is wanted, counted by type. It
// returns the counts.
func (s *story) whole(want map[string]int) map[string]int {
	s.t.Helper()
	if err := s.Pulumi(s.t.Context(), "preview", "--expect-no-changes"); err != nil {
		s.t.Error(err)
	}
	got := map[string]int{}
	for _, l := range s.World.Leftovers() {
		got[l.Type]++
	}
	// Karpenter tries its permissions with launch templates that it removes by itself.
	delete(got, "AWS::EC2::LaunchTemplate")
	if diff := gocmp.Diff(want, got); want != nil && diff != "" {
		s.t.Errorf("in the account (-want +got):\n%s", diff)
	}
	return got
}

// sweep interrupts an up by Ctrl-C, which needs no recovery. Then it kills ups at points
// that come from a seed, each time has the stack recover, and destroys it. The first of
// them is as if the engine had been writing its state just then. However an up was
// interrupted, there must be the same in the end.
func sweep(t *testing.T, points int, seed uint64) {
	s := tell(t, nil)
	const half = 30 // or so
	s.interruptedBySIGINT(nth(half))
	if _, operations := s.export(); len(operations) > 0 {
		t.Errorf("after Ctrl-C these are pending: %v", operations)
	}
	s.up()
	want := s.whole(nil)
	state, _ := s.export()
	creates := created(t, state)
	s.destroy()
	t.Logf("SIGINT at create %d of %d: nothing is pending, and the next up goes on; there are %v", half, creates, want)
	t.Logf("seed %d", seed)

	r := rand.New(rand.NewPCG(seed, 0))
	for i := range points {
		at, after, begin := 1+r.IntN(creates), i%2 == 0, time.Now()
		when := "before it is made"
		if after {
			when = "after it is made"
		}
		s.killed(nth(at), after)
		if i == 0 {
			s.tear()
		}
		pending := s.recover()
		s.whole(want)
		s.destroy()
		t.Logf("point %d: SIGKILL at create %d of %d, %s; %d were pending; %v", i+1, at, creates, when, pending, time.Since(begin).Round(time.Second))
		if t.Failed() {
			return
		}
	}
}

// TestKilled: an up that is interrupted ends orderly, and one that is killed, at two
// points, recovers by the CLI's own commands; nothing is doubled, nothing is left.
func TestKilled(t *testing.T) {
	t.Parallel()
	sweep(t, 2, 1)
}

// TestSoakKilled is TestKilled at twenty points, of a seed that it prints. SEED repeats
// one.
func TestSoakKilled(t *testing.T) {
	soak(t)
	t.Parallel()
	seed, err := strconv.ParseUint(cmp.Or(os.Getenv("SEED"), fmt.Sprint(time.Now().Unix())), 10, 64)
	if err != nil {
		t.Fatalf("SEED: %v", err)
	}
	sweep(t, 20, seed)
}

// TestSoakKilledKey is TestKilled at what its stack does not have: the KMS key of the
// cluster's secrets, which has no name, its alias, and the account's role for spot
// instances, which a destroy keeps.
func TestSoakKilledKey(t *testing.T) {
	soak(t)
	t.Parallel()
	s := tellOf(t, session.Options{World: "no-spot-role", Config: []string{"secretsEncryption=stack", "createSpotRole=true"}}, nil)
	var want map[string]int
	for _, typ := range []tokens.Type{"aws:iam/serviceLinkedRole:ServiceLinkedRole", "aws:kms/key:Key", "aws:kms/alias:Alias"} {
		s.killed(firstOf(typ), true)
		pending := s.recover()
		want = s.whole(want)
		if want["AWS::KMS::Key"] != 1 || want["AWS::KMS::Alias"] != 1 {
			t.Errorf("keys and aliases in the account: %v; want one of each", want)
		}
		s.destroy()
		t.Logf("SIGKILL after %s was made; %d were pending", typ, pending)
		if out, ok := s.try("config set createSpotRole false"); !ok {
			t.Fatal(out)
		}
	}
}
