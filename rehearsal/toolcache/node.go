package toolcache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"eks-gpu-slicing/rehearsal/engine/child"
)

// oldestNode is the oldest major version of Node.js that the component runs on.
const oldestNode = 18

// Component is the pulumi-eks component, ready to be started.
type Component struct {
	// Command is its executable and arguments.
	Command []string
	// Version of the component.
	Version string
	// Official tells that it is Pulumi's own build, installed by the user.
	Official bool
}

// EKSComponent finds the official plugin of the version that rehearsal/npm
// pins, where the Pulumi CLI installs it, or installs the npm package with the
// versions of its lock file. The error says what to do when node or npm is
// missing or too old.
func (c *Cache) EKSComponent(ctx context.Context, checkout string) (Component, error) {
	const pkg = "@pulumi/eks"
	dir := filepath.Join(checkout, rehearsalModule, "npm")
	manifest, err := os.ReadFile(filepath.Join(dir, "package.json"))
	if err != nil {
		return Component{}, fmt.Errorf("the pulumi-eks component: %w", err)
	}
	lock, err := os.ReadFile(filepath.Join(dir, "package-lock.json"))
	if err != nil {
		return Component{}, fmt.Errorf("the pulumi-eks component: %w", err)
	}
	var pinned struct{ Dependencies map[string]string }
	if err := json.Unmarshal(manifest, &pinned); err != nil {
		return Component{}, fmt.Errorf("the pulumi-eks component: %s: %w", filepath.Join(dir, "package.json"), err)
	}
	version := pinned.Dependencies[pkg]
	if plugin := officialPlugin("eks", version); plugin != "" {
		return Component{Command: []string{plugin}, Version: version, Official: true}, nil
	}
	node, err := c.node(ctx)
	if err != nil {
		return Component{}, err
	}
	packages := npmPackages{manifest: manifest, lock: lock, version: version, cache: c}
	key := keyOf(string(manifest), string(lock))
	root, err := c.shelf("npm").get(ctx, key, func(context.Context) (string, error) { return key, nil }, packages.install)
	if err != nil {
		return Component{}, fmt.Errorf("installing pulumi-eks %s: %w", version, err)
	}
	return Component{
		Command: []string{node, filepath.Join(root, "node_modules", pkg, "cmd", "provider", "index.js")},
		Version: version,
	}, nil
}

// officialPlugin is the executable of a plugin that `pulumi plugin install` or
// the CLI itself has put into the user's plugin folder, "" if there is none.
func officialPlugin(name, version string) string {
	home := os.Getenv("PULUMI_HOME")
	if home == "" {
		user, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		home = filepath.Join(user, ".pulumi")
	}
	path := filepath.Join(home, "plugins", "resource-"+name+"-v"+version, "pulumi-resource-"+name)
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
		return ""
	}
	return path
}

// node is the real executable of the node on PATH, which may be a version
// manager's script that would not work without the user's environment.
func (c *Cache) node(ctx context.Context) (string, error) {
	install := fmt.Sprintf("install Node.js %d or newer with npm (https://nodejs.org, or apt install nodejs npm)", oldestNode)
	path, err := exec.LookPath("node")
	if err != nil {
		return "", fmt.Errorf("there is no node on PATH, and the pulumi-eks component runs on it: %s", install)
	}
	said, err := c.probe(ctx, path, "-p", `process.version + "\n" + process.execPath`)
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w; %s", path, err, install)
	}
	version, real, _ := strings.Cut(said, "\n")
	major, _, _ := strings.Cut(strings.TrimPrefix(version, "v"), ".")
	if n, err := strconv.Atoi(major); err != nil || n < oldestNode {
		return "", fmt.Errorf("%s is Node.js %s, too old for the pulumi-eks component: %s", path, version, install)
	}
	return real, nil
}

// npmPackages is what is in the npm folder of the cache.
type npmPackages struct {
	manifest, lock []byte
	version        string
	cache          *Cache
}

func (p npmPackages) install(ctx context.Context, dir string) error {
	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("there is no npm on PATH: install the one that comes with Node.js (https://nodejs.org, or apt install npm)")
	}
	for name, text := range map[string][]byte{"package.json": p.manifest, "package-lock.json": p.lock} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	// The scripts would install the SDKs' provider plugins, and are not needed.
	cmd := child.Command(ctx, grace, Environment(), npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=warn")
	cmd.Dir = dir
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	done := p.cache.progress.run(ctx, "installing pulumi-eks "+p.version+" with npm", "about half a minute, 200 MB", out.state)
	err = child.Run(cmd)
	if err == nil && out.contains("TAR_ENTRY_ERROR") {
		err = errors.New("npm could not write every file") // of which it warns only, and ends well
	}
	done(err)
	if err != nil {
		return out.explain(ctx, err)
	}
	return nil
}

// probe asks a program something and remembers the answer for as long as its
// file does not change.
func (c *Cache) probe(ctx context.Context, path string, args ...string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	file := filepath.Join(c.dir, "probes", keyOf(append(
		[]string{path, strconv.FormatInt(info.Size(), 10), info.ModTime().UTC().Format(time.RFC3339Nano)}, args...)...))
	if known, err := os.ReadFile(file); err == nil {
		return string(known), nil
	}
	cmd := child.Command(ctx, grace, append(Environment(), "PULUMI_SKIP_UPDATE_CHECK=true"), path, args...)
	var said strings.Builder
	out := &output{}
	cmd.Stdout, cmd.Stderr = &said, out
	if err := child.Run(cmd); err != nil {
		return "", out.explain(ctx, err)
	}
	answer := strings.TrimSpace(said.String())
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err == nil {
		_ = writeFile(file, answer) // otherwise it is asked again the next time
	}
	return answer, nil
}
