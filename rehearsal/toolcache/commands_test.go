package toolcache

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const repository = "../.."

// fakePath makes PATH a folder of shell scripts.
func fakePath(t *testing.T, scripts map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		write(t, filepath.Join(dir, name), "#!/bin/sh\n"+script+"\n")
		if err := os.Chmod(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	return dir
}

func TestGoThatCannotBuild(t *testing.T) {
	goEnv := func(version string) string {
		return `[ "$1" = env ] && { echo '{"GOVERSION":"` + version + `"}'; exit 0; }; [ "$1" = list ] && exit 0; `
	}
	for name, tc := range map[string]struct {
		scripts map[string]string
		want    []string
	}{
		"none":               {nil, []string{"there is no go on PATH", "Go 1.26 or newer is needed", "https://go.dev/dl/"}},
		"too old to switch":  {map[string]string{"go": goEnv("go1.19.4")}, []string{"go on PATH is go1.19.4", "Go 1.26 or newer"}},
		"told not to switch": {map[string]string{"go": "echo 'go: go.mod requires go >= 1.26 (running go 1.22.1; GOTOOLCHAIN=local)' >&2; exit 1"}, []string{"needs Go 1.26 or newer", "running go 1.22.1"}},
		"full disk":          {map[string]string{"go": goEnv("go1.26.6") + "echo 'link: write /x: no space left on device' >&2; exit 1"}, []string{"no space left", "the disk is full: free some space", "XDG_CACHE_HOME and GOCACHE"}},
		"no network":         {map[string]string{"go": goEnv("go1.26.6") + "echo 'go: m@v1: Get \"https://x\": dial tcp: lookup x: no such host' >&2; exit 1"}, []string{"dial tcp", "check the network", "GOPROXY"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakePath(t, tc.scripts)
			cache, _ := newCache(t)
			checkout := t.TempDir()
			writeCheckout(t, checkout)
			_, err := cache.Binary(t.Context(), checkout, hello)
			if err == nil {
				t.Fatal("it was built")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

func TestNodeThatCannotRunTheComponent(t *testing.T) {
	node := `echo v20.1.0; echo /usr/bin/true`
	for name, tc := range map[string]struct {
		scripts map[string]string
		want    []string
	}{
		"none":       {nil, []string{"there is no node on PATH", "install Node.js 18 or newer"}},
		"too old":    {map[string]string{"node": "echo v16.20.2; echo /opt/node"}, []string{"is Node.js v16.20.2, too old", "install Node.js 18 or newer"}},
		"broken":     {map[string]string{"node": "echo no libc >&2; exit 127"}, []string{"node does not run", "no libc", "install Node.js 18"}},
		"no npm":     {map[string]string{"node": node}, []string{"there is no npm on PATH", "apt install npm"}},
		"npm fails":  {map[string]string{"node": node, "npm": "echo 'npm error ENOTFOUND registry' >&2; exit 1"}, []string{"installing pulumi-eks 2.8.1", "ENOTFOUND registry", "check the network"}},
		"disk fills": {map[string]string{"node": node, "npm": "echo 'npm error ENOSPC: no space left on device' >&2; exit 1"}, []string{"the disk is full"}},
		"disk fills, and npm thinks nothing of it": {map[string]string{
			"node": node, "npm": "echo 'npm warn tar TAR_ENTRY_ERROR ENOSPC: no space left on device, write' >&2",
		}, []string{"installing pulumi-eks 2.8.1: npm could not write every file", "the disk is full"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakePath(t, tc.scripts)
			t.Setenv("PULUMI_HOME", t.TempDir())
			cache, _ := newCache(t)
			_, err := cache.EKSComponent(t.Context(), repository)
			if err == nil {
				t.Fatal("it was installed")
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v\nwant it to say %q", err, want)
				}
			}
		})
	}
}

func TestOfficialPluginIsUsed(t *testing.T) {
	home := t.TempDir()
	t.Setenv("PULUMI_HOME", home)
	fakePath(t, nil) // not even node
	plugin := filepath.Join(home, "plugins", "resource-eks-v2.8.1", "pulumi-resource-eks")
	write(t, plugin, "#!/bin/sh\n")
	cache, _ := newCache(t)
	if _, err := cache.EKSComponent(t.Context(), repository); err == nil {
		t.Error("a plugin that cannot be executed was taken")
	}
	if err := os.Chmod(plugin, 0o755); err != nil {
		t.Fatal(err)
	}
	got, err := cache.EKSComponent(t.Context(), repository)
	if err != nil || !got.Official || len(got.Command) != 1 || got.Command[0] != plugin {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestPulumiOnPath(t *testing.T) {
	const want = "v3.250.0"
	for name, tc := range map[string]struct {
		scripts map[string]string
		version string // of the one that is taken
		passed  string
	}{
		"none":        {},
		"the same":    {scripts: map[string]string{"pulumi": "echo v3.250.0"}, version: "v3.250.0"},
		"a patch":     {scripts: map[string]string{"pulumi": "echo v3.250.3"}, version: "v3.250.3"},
		"newer":       {scripts: map[string]string{"pulumi": "echo v3.261.0"}, version: "v3.261.0"},
		"too old":     {scripts: map[string]string{"pulumi": "echo v3.249.1"}, passed: "is v3.249.1, and v3.250 or a newer v3 is needed"},
		"other major": {scripts: map[string]string{"pulumi": "echo v4.300.0"}, passed: "is v4.300.0, and v3.250 or a newer v3 is needed"},
		"no version":  {scripts: map[string]string{"pulumi": "echo dev"}, passed: "is dev, and v3.250"},
		"broken":      {scripts: map[string]string{"pulumi": "echo no libc >&2; exit 3"}, passed: "does not run: exit status 3; its last lines:\n    no libc"},
	} {
		t.Run(name, func(t *testing.T) {
			fakePath(t, tc.scripts)
			cache, _ := newCache(t)
			cli, passed, err := cache.pulumiOnPath(t.Context(), want)
			if err != nil || cli.Version != tc.version || cli.OnPath != (tc.version != "") {
				t.Errorf("took %+v, %v; want version %q", cli, err, tc.version)
			}
			if !strings.Contains(passed, tc.passed) || tc.passed == "" && passed != "" {
				t.Errorf("passed over %q, want %q", passed, tc.passed)
			}
		})
	}
}

func TestProbeAsksOnce(t *testing.T) {
	dir := fakePath(t, map[string]string{"pulumi": "echo x >>" + filepath.Join(t.TempDir(), "asked") + "; echo v3.1.0"})
	cache, _ := newCache(t)
	path := filepath.Join(dir, "pulumi")
	for range 2 {
		if said, err := cache.probe(t.Context(), path, "version"); err != nil || said != "v3.1.0" {
			t.Fatalf("got %q, %v", said, err)
		}
	}
	write(t, path, "#!/bin/sh\necho v3.2.0 now\n")
	if said, err := cache.probe(t.Context(), path, "version"); err != nil || said != "v3.2.0 now" {
		t.Errorf("after an upgrade: got %q, %v", said, err)
	}
}

func TestNoCredentialReachesABuild(t *testing.T) {
	seen := filepath.Join(t.TempDir(), "seen")
	fakePath(t, map[string]string{"go": "export -p >" + seen + "; exit 1"})
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "PULUMI_ACCESS_TOKEN", "PULUMI_CONFIG_PASSPHRASE", "KUBECONFIG",
		"GOOGLE_APPLICATION_CREDENTIALS", "GITHUB_TOKEN", "ARM_CLIENT_SECRET", "NPM_TOKEN",
		"npm_config__auth", "NPM_CONFIG__AUTHTOKEN", "npm_config__password", "NPM_CONFIG_KEY", "MISE_GITHUB_TOKEN",
		"npm_config_//registry.example.test/:_authToken", // a shell does not show it
	} {
		t.Setenv(name, "poison")
	}
	t.Setenv("GOPROXY", "https://proxy.example.test")
	t.Setenv("https_proxy", "http://proxy.example.test")
	t.Setenv("npm_config_registry", "https://registry.example.test")
	cache, _ := newCache(t)
	checkout := t.TempDir()
	writeCheckout(t, checkout)
	_, _ = cache.Binary(t.Context(), checkout, hello) // it fails, as go does
	text, err := os.ReadFile(seen)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "poison") {
		t.Errorf("go got a credential:\n%s", text)
	}
	for _, v := range Environment() {
		if strings.HasSuffix(v, "=poison") {
			t.Errorf("children get the credential %s", v)
		}
	}
	for _, needed := range []string{"GOPROXY", "https_proxy", "npm_config_registry", "HOME", "PATH"} {
		if !regexp.MustCompile(`(?m)^export ` + needed + `=`).Match(text) {
			t.Errorf("go did not get %s:\n%s", needed, text)
		}
	}
}

// The component makes resources with SDKs of its own. With other versions than
// the program's there would be a second provider beside the program's.
func TestComponentHasTheProgramsSDKs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	program, err := modfile.ParseLax("go.mod", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Dependencies map[string]string }
	readJSON(t, "package.json", &manifest)
	for _, r := range program.Require {
		name := regexp.MustCompile(`^github.com/pulumi/pulumi-(\w+)/sdk/`).FindStringSubmatch(r.Mod.Path)
		if name == nil {
			continue
		}
		if got, want := manifest.Dependencies["@pulumi/"+name[1]], strings.TrimPrefix(r.Mod.Version, "v"); got != want {
			t.Errorf("rehearsal/npm/package.json has @pulumi/%s %q, the program's go.mod %s", name[1], got, want)
		}
	}
}

func TestLockFileNamesNoRegistry(t *testing.T) {
	t.Parallel()
	var lock struct {
		Packages map[string]struct{ Version, Resolved, Integrity string }
	}
	readJSON(t, "package-lock.json", &lock)
	if len(lock.Packages) < 100 {
		t.Fatalf("it has %d packages", len(lock.Packages))
	}
	for name, p := range lock.Packages {
		if name != "" && (p.Resolved != "" || p.Integrity == "" || p.Version == "") {
			t.Errorf("%s: %+v; write it with npm install --package-lock-only --omit-lockfile-registry-resolved", name, p)
		}
	}
}

func readJSON(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository, "rehearsal", "npm", name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}
