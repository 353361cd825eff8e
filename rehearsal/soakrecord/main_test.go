package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// A run replaces the rows of the tests that ran, leaves the others, and prints what the
// tests print.
func TestRecord(t *testing.T) {
	t.Parallel()
	const events = `{"Time":"2026-11-24T20:00:00Z","Action":"run","Test":"TestSoakB"}
{"Time":"2026-11-24T20:00:00Z","Action":"output","Test":"TestSoakB","Output":"=== RUN   TestSoakB\n"}
{"Time":"2026-11-24T20:01:00Z","Action":"run","Test":"TestSoakC"}
{"Time":"2026-11-24T20:01:00Z","Action":"run","Test":"TestSoakC/part"}
{"Time":"2026-11-24T20:01:30Z","Action":"fail","Test":"TestSoakC/part","Elapsed":3}
{"Time":"2026-11-24T20:01:30Z","Action":"fail","Test":"TestSoakC","Elapsed":90.4}
{"Time":"2026-11-24T20:02:00Z","Action":"run","Test":"TestSoakD"}
{"Time":"2026-11-24T20:02:00Z","Action":"skip","Test":"TestSoakD"}
{"Time":"2026-11-24T20:02:00Z","Action":"run","Test":"TestSoakE"}
a line of the compiler's
{"Time":"2026-11-24T23:59:59-02:00","Action":"pass","Test":"TestSoakB","Elapsed":61.2}
`
	var out strings.Builder
	rows, err := read(strings.NewReader(events), &out)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("=== RUN   TestSoakB\na line of the compiler's\n", out.String()); diff != "" {
		t.Errorf("printed (-want +got):\n%s", diff)
	}
	for i := range rows {
		rows[i].commit, rows[i].machine = "new", "2 cores"
	}
	old := []row{{"TestSoakA", "passed", "5", "2026-01-01", "old", "8 cores"}, {"TestSoakB", "failed", "5", "2026-01-01", "old", "8 cores"}}
	text := write(merge(parse(write(old)), rows))
	if diff := cmp.Diff(head+`| TestSoakA | passed | 5 | 2026-01-01 | old | 8 cores |
| TestSoakB | passed | 61 | 2026-11-25 | new | 2 cores |
| TestSoakC | failed | 90 | 2026-11-24 | new | 2 cores |
| TestSoakE | failed | not ended | 2026-11-24 | new | 2 cores |
`, text); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
}
