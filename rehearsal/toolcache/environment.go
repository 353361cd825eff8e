package toolcache

import (
	"os"
	"slices"
	"strings"
)

// Environment is the environment of go, npm and of the programs that are
// asked for their versions: the user's, as far as it says where programs,
// caches, proxies and registries are. Nothing of AWS, Pulumi, Kubernetes or
// another cloud is in it, and no token or password: those for registries belong
// into files, such as .netrc and .npmrc, which the tools read by themselves.
func Environment() []string {
	var env []string
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if buildsNeed(strings.ToUpper(name)) {
			env = append(env, v)
		}
	}
	return env
}

func buildsNeed(name string) bool {
	switch name {
	case "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TMPDIR", "LANG", "TERM",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "NETRC",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "NODE_EXTRA_CA_CERTS", "GIT_SSL_CAINFO",
		"CC", "CXX", "AR", "PKG_CONFIG", "PKG_CONFIG_PATH",
		// of Go's variables (`go help environment`) those that are about building
		"GO111MODULE", "GOAMD64", "GOARCH", "GOARM64", "GOAUTH", "GOCACHE", "GOCACHEPROG", "GODEBUG", "GOENV",
		"GOEXPERIMENT", "GOFIPS140", "GOFLAGS", "GOGC", "GOINSECURE", "GOMAXPROCS", "GOMEMLIMIT", "GOMODCACHE",
		"GONOPROXY", "GONOSUMDB", "GOOS", "GOPATH", "GOPRIVATE", "GOPROXY", "GOROOT", "GOSUMDB", "GOTMPDIR",
		"GOTOOLCHAIN", "GOVCS":
		return true
	}
	for _, prefix := range []string{
		"CGO_", "LC_", "XDG_", "NPM_CONFIG_",
		"NVM_", "ASDF_", "MISE_", "VOLTA_", "FNM_", "NODENV_", // version managers, whose node is a script that reads them
	} {
		if strings.HasPrefix(name, prefix) {
			return !secret(name)
		}
	}
	return false
}

// secret tells a variable that may hold a credential, such as NPM_CONFIG__AUTHTOKEN or
// MISE_GITHUB_TOKEN, by its name.
func secret(name string) bool {
	return name == "NPM_CONFIG_KEY" || slices.ContainsFunc([]string{"AUTH", "TOKEN", "PASSWORD", "SECRET"}, func(word string) bool { return strings.Contains(name, word) })
}
