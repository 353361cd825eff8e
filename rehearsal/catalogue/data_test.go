package catalogue_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"eks-gpu-slicing/rehearsal/catalogue"
)

// TestFileRoundTrip checks that reading and writing loses nothing, prices
// included, so that a stale file and not rounding is what -check reports.
func TestFileRoundTrip(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("catalogue.json")
	if err != nil {
		t.Fatal(err)
	}
	data, err := catalogue.Decode(file)
	if err != nil {
		t.Fatal(err)
	}
	var again bytes.Buffer
	if err := data.Encode(&again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, again.Bytes()) {
		t.Error("the file differs from its own content encoded anew")
	}
	if kb := len(file) / 1000; kb > 1500 {
		t.Errorf("the file has %d KB, want at most 1500", kb)
	}
}

func TestOffersText(t *testing.T) {
	t.Parallel()
	const text = "eu-south-1 0.616 ~0.20944 *, us-east-2 7.2 - 2, us-west-1 0.631 0.2475 13, us-west-2 ~68.8 ~68.8 1"
	want := catalogue.Offers{
		"eu-south-1": {OnDemand: 0.616, Spot: 0.20944, SpotAssumed: true},
		"us-east-2":  {OnDemand: 7.2, Zones: "2"},
		"us-west-1":  {OnDemand: 0.631, Spot: 0.2475, Zones: "13"},
		"us-west-2":  {OnDemand: 68.8, OnDemandAssumed: true, Spot: 68.8, SpotAssumed: true, Zones: "1"},
	}
	var got catalogue.Offers
	if err := got.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("read (-want +got):\n%s", diff)
	}
	again, err := got.MarshalText()
	if err != nil || string(again) != text {
		t.Errorf("written as %q, error %v, want %q", again, err, text)
	}
}

func TestDamagedData(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ file, says string }{
		"not JSON":       {`{"types": [`, "unexpected EOF"},
		"no types":       {`{"types": []}`, "no instance types"},
		"unknown field":  {`{"types": [{"name": "a", "wheels": 4}]}`, `unknown field "wheels"`},
		"short offer":    {`{"types": [{"name": "a", "offers": "us-west-1 1 2"}]}`, `offer "us-west-1 1 2": want region, on-demand price, spot price and zones`},
		"bad price":      {`{"types": [{"name": "a", "offers": "us-west-1 1 x 13"}]}`, `offer "us-west-1 1 x 13": spot price`},
		"twice":          {`{"types": [{"name": "a"}, {"name": "a"}]}`, "type a follows a"},
		"unknown region": {`{"types": [{"name": "a", "offers": "moon-1 1 1 1"}]}`, `type a is offered in "moon-1": unknown region`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := catalogue.Decode([]byte(tt.file))
			if err == nil {
				_, err = catalogue.New(data)
			}
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error is %v, want it to contain %q", err, tt.says)
			}
		})
	}
}
