package aws_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"eks-gpu-slicing/rehearsal/account"
)

// TestAccountIsCalledAsAPI: every call of the account is handed to the client, which tries again and
// lets faults in: the methods of the account stand within a function literal that is an argument of
// send or do.
func TestAccountIsCalledAsAPI(t *testing.T) {
	t.Parallel()
	actions := map[string]bool{}
	for m := range reflect.TypeFor[*account.Account]().Methods() {
		actions[m.Name] = true
	}
	for _, own := range []string{"Region", "Faults", "NoteCall"} { // are no API actions
		delete(actions, own)
	}
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		handed := map[ast.Node]bool{}
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok && (called(call) == "send" || called(call) == "do") {
				for _, a := range call.Args {
					handed[a] = true
				}
			}
			return true
		})
		var around []ast.Node
		ast.Inspect(file, func(n ast.Node) bool {
			if n == nil {
				around = around[:len(around)-1]
				return true
			}
			around = append(around, n)
			call, ok := n.(*ast.CallExpr)
			if !ok || !actions[called(call)] {
				return true
			}
			seen++
			for _, a := range around {
				if handed[a] {
					return true
				}
				// Its steps are functions that it hands to do one after the other.
				if f, ok := a.(*ast.FuncDecl); ok && f.Name.Name == "updateCluster" {
					return true
				}
			}
			t.Errorf("%s: %s is called past the client: hand it to send or do", files.Position(call.Pos()), called(call))
			return true
		})
	}
	if seen < 80 {
		t.Errorf("found %d calls of the account only", seen)
	}
}

// called is the name of the function or method that is called.
func called(call *ast.CallExpr) string {
	switch f := call.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}
