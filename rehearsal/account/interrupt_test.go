package account_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/account"
)

// interruptible is an account whose instance events reach a queue, by the clock of the test's bubble,
// with an instance on demand and a spot instance.
func interruptible(t *testing.T) (a *account.Account, q account.Queue, onDemand, spot string) {
	t.Helper()
	a, err := account.New(account.Options{Region: "us-west-2"})
	ok(t, err)
	a.SetDelays(account.Delays{ShuttingDown: 30 * time.Second, Stopping: 20 * time.Second, SpotNotice: 2 * time.Minute})
	q = queueForEvents(t, a)
	in := launchInput(t, a)
	launched, err := a.RunInstances(in)
	onDemand = must(t, launched, err)[0].ID
	in.Spot = true
	launched, err = a.RunInstances(in)
	spot = must(t, launched, err)[0].ID
	synctest.Wait()
	_, err = a.PutRule(account.EventRule{Name: "r", EventPattern: `{"source":["aws.ec2","aws.health"]}`})
	ok(t, err)
	ok(t, a.PutTarget("", "r", account.EventTarget{ID: "q", ARN: q.ARN}))
	return a, q, onDemand, spot
}

func state(t *testing.T, a *account.Account, id string) string {
	t.Helper()
	got, err := a.DescribeInstances([]string{id})
	return must(t, got, err)[0].State
}

// after is the instance's state once a while has passed.
func after(t *testing.T, a *account.Account, id string, d time.Duration) string {
	t.Helper()
	time.Sleep(d)
	synctest.Wait()
	return state(t, a, id)
}

func TestSpotNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _, _, id := interruptible(t)
		ok(t, a.InterruptSpotInstance(id))
		for _, step := range []struct {
			wait time.Duration
			want string
		}{{119 * time.Second, account.StateRunning}, {2 * time.Second, account.StateShuttingDown}, {30 * time.Second, account.StateTerminated}} {
			if got := after(t, a, id, step.wait); got != step.want {
				t.Errorf("%s on it is %s, want %s", step.wait, got, step.want)
			}
		}
		if got, err := a.DescribeInstances([]string{id}); err != nil || got[0].StateReason != "Server.SpotInstanceTermination" {
			t.Errorf("it ended by %q (%v)", got[0].StateReason, err)
		}
		if err := a.InterruptSpotInstance(id); err == nil {
			t.Error("an instance that has ended was interrupted")
		}
	})
}

// TestSpotEndsBeforeTheNotice: who leaves in time is not ended twice.
func TestSpotEndsBeforeTheNotice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _, _, id := interruptible(t)
		ok(t, a.InterruptSpotInstance(id))
		time.Sleep(time.Minute)
		_, err := a.TerminateInstances(id)
		ok(t, err)
		after(t, a, id, 3*time.Minute)
		if got, err := a.DescribeInstances([]string{id}); err != nil || got[0].StateReason != "Client.UserInitiatedShutdown" {
			t.Errorf("it ended by %q (%v)", got[0].StateReason, err)
		}
	})
}

func TestStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, q, id, spot := interruptible(t)
		_, err := a.StopInstances(spot)
		wantRefusal(t, err, "UnsupportedOperation", "You can't stop the Spot Instance '"+spot+"' because it is associated with a one-time Spot Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.")
		changes, err := a.StopInstances(id)
		if d := cmp.Diff([]account.StateChange{{ID: id, Previous: account.StateRunning, Current: account.StateStopping}}, must(t, changes, err)); d != "" {
			t.Error(d)
		}
		if got := after(t, a, id, 20*time.Second); got != account.StateStopped {
			t.Errorf("it is %s", got)
		}
		if got, err := a.DescribeInstances([]string{id}); err != nil || got[0].PrivateIP == "" {
			t.Errorf("a stopped instance has lost its address: %+v (%v)", got, err)
		}
		_, err = a.TerminateInstances(id)
		ok(t, err)
		if got := after(t, a, id, time.Minute); got != account.StateTerminated {
			t.Errorf("it is %s", got)
		}
		_, err = a.StopInstances(id)
		wantRefusal(t, err, "IncorrectInstanceState", "This instance '"+id+"' is not in a state from which it can be stopped.")
		messages, err := a.ReceiveMessage(t.Context(), q.URL, 10, 0, 0)
		var told []string
		for _, m := range must(t, messages, err) {
			_, rest, _ := strings.Cut(m.Body, `"state":"`)
			told = append(told, rest[:strings.Index(rest, `"`)])
		}
		if got := strings.Join(told, " "); got != "stopping stopped shutting-down terminated" {
			t.Errorf("events of %s", got)
		}
	})
}

// TestEndedWhileStopping: an instance that is terminated before it has stopped stays so.
func TestEndedWhileStopping(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _, id, _ := interruptible(t)
		_, err := a.StopInstances(id)
		ok(t, err)
		_, err = a.TerminateInstances(id)
		ok(t, err)
		if got := after(t, a, id, 25*time.Second); got != account.StateShuttingDown {
			t.Errorf("it is %s", got)
		}
	})
}

// TestStoppedMember: an Auto Scaling group replaces what does not run.
func TestStoppedMember(t *testing.T) {
	t.Parallel()
	a := withCluster(t, "1.28")
	_, err := a.CreateNodegroup(nodegroupInput(t, a))
	ok(t, err)
	members, err := a.DescribeInstances(nil)
	_, err = a.StopInstances(must(t, members, err)[0].ID)
	ok(t, err)
	running, err := a.DescribeInstances(nil, account.Filter{Name: "instance-state-name", Values: []string{account.StateRunning}})
	if len(must(t, running, err)) != 2 || state(t, a, members[0].ID) != account.StateTerminated {
		t.Errorf("%d run; the stopped one is %s", len(running), state(t, a, members[0].ID))
	}
}

func TestRetirement(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, _, id, spot := interruptible(t)
		ok(t, a.ScheduleRetirement(id, time.Hour))
		ok(t, a.ScheduleRetirement(spot, time.Hour))
		if got := after(t, a, id, 59*time.Minute); got != account.StateRunning {
			t.Errorf("before its time it is %s", got)
		}
		if one, other := after(t, a, id, 2*time.Minute), state(t, a, spot); one != account.StateStopped || other != account.StateTerminated {
			t.Errorf("on demand it is %s, spot %s", one, other)
		}
		if err := a.ScheduleRetirement(spot, time.Hour); err == nil {
			t.Error("an instance that has ended is retired")
		}
	})
}
