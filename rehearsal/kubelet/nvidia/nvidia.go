// Package nvidia is NVIDIA's device plugin as containers of the simulated nodes run
// it (cmd/nvidia-device-plugin of NVIDIA/k8s-device-plugin 0.17): the same flags,
// the same environment, its own parser for its config, and the devices and
// refusals that follow from them. Only the GPUs are simulated: a node has those
// that the catalogue states for its instance type. Of the image's MPS control
// daemon there is its reading of the config; no MPS runs.
//
// Gotchas:
//   - The config is read when the container starts and never again, as by the real
//     one.
//   - MIG is not simulated: a node's GPUs are whole, whatever the MIG strategy.
//   - The plugin takes the MPS control daemon for healthy. The real one offers
//     nothing while no daemon answers on its node; that the DaemonSet of the daemon
//     puts one there is for the scenarios to check.
package nvidia

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strings"
	"time"

	spec "github.com/NVIDIA/k8s-device-plugin/api/config/v1"
	"github.com/urfave/cli/v2"
	corev1 "k8s.io/api/core/v1"

	"eks-gpu-slicing/rehearsal/catalogue"
	"eks-gpu-slicing/rehearsal/kubelet"
)

// Repository is the plugin's image without its tag.
const Repository = "nvcr.io/nvidia/k8s-device-plugin"

// resource is what the plugin calls a whole GPU.
const resource = spec.ResourceNamePrefix + "/gpu"

// Plugin is the plugin's image. Its containers are the device plugin, or by their
// command the MPS control daemon.
type Plugin struct {
	// Delay is from the container's start until its node offers the devices: the
	// time to find them and to register; a second or two in reality.
	Delay time.Duration
}

// Run implements [kubelet.Image]. The exit status is 1 when the config or a flag
// is refused, or when the node has no GPU; the log says why, in the program's words.
// It is that of a runtime, 128, for a command that the image has not.
func (p Plugin) Run(ctx context.Context, c *kubelet.Container) kubelet.Exit {
	program := "nvidia-device-plugin" // the entrypoint
	if len(c.Spec.Command) > 0 {
		program = path.Base(c.Spec.Command[0])
	}
	switch program {
	case "nvidia-device-plugin":
		return p.plugin(ctx, c)
	case "mps-control-daemon":
		return mpsDaemon(ctx, c)
	}
	logger{c.Log}.write('E', fmt.Sprintf("exec: %q: only nvidia-device-plugin and mps-control-daemon of this image are rehearsed", program))
	return kubelet.Exit{Code: 128}
}

// plugin is the device plugin.
func (p Plugin) plugin(ctx context.Context, c *kubelet.Container) kubelet.Exit {
	log := logger{c.Log}
	config, err := load(c, log)
	if err != nil {
		log.write('E', fmt.Sprintf("error starting plugins: %v", err))
		return kubelet.Exit{Code: 1}
	}
	gpus := 0
	for _, g := range nvidiaGPUs(c) {
		gpus += g.Count
	}
	if gpus == 0 {
		// No GPU means no driver that could be asked for one (getResourceManagers
		// in internal/plugin/factory.go).
		log.write('E', "Incompatible strategy detected auto")
		log.write('E', "If this is not a GPU node, you should set up a toleration or nodeSelector to only deploy this plugin on GPU nodes")
		if *config.Flags.FailOnInitError {
			log.write('E', "error starting plugins: error getting plugins: unable to create plugins: failed to construct resource managers: invalid device discovery strategy")
			return kubelet.Exit{Code: 1}
		}
		<-ctx.Done()
		return kubelet.Exit{}
	}
	select {
	case <-ctx.Done():
		return kubelet.Exit{}
	case <-time.After(p.Delay):
	}
	if config.Sharing.SharingStrategy() == spec.SharingStrategyMPS {
		log.write('I', "Simulated: the MPS daemon is taken for healthy; none runs on this node")
	}
	for _, d := range devices(config, gpus) {
		log.write('I', fmt.Sprintf("Registered device plugin for '%s' with Kubelet: %d devices", d.Resource, d.Count))
		c.Advertise(d)
	}
	<-ctx.Done()
	return kubelet.Exit{}
}

// nvidiaGPUs are the GPUs of the container's node that NVIDIA's driver drives.
func nvidiaGPUs(c *kubelet.Container) []catalogue.GPU {
	var all []catalogue.GPU
	for _, g := range c.Hardware.GPUs {
		if g.Manufacturer == "NVIDIA" {
			all = append(all, g)
		}
	}
	return all
}

// devices is what a node with so many GPUs offers under a config
// (updateDeviceMapWithReplicas in internal/rm/device_map.go): the replicas of each
// shared resource, under its new name if it is renamed, and whole GPUs otherwise.
func devices(config *spec.Config, gpus int) []kubelet.Devices {
	strategy := config.Sharing.SharingStrategy()
	offered := kubelet.Devices{Resource: resource, Count: gpus}
	if strategy == spec.SharingStrategyNone {
		return []kubelet.Devices{offered}
	}
	shared := config.Sharing.ReplicatedResources()
	for _, r := range shared.Resources {
		if r.Name != resource {
			continue // a resource this node has none of
		}
		offered.Count = gpus * r.Replicas
		if r.Rename != "" {
			offered.Resource = corev1.ResourceName(r.Rename)
		}
		// With MPS always, with time-slicing if it is asked for (ValidateRequest in
		// internal/rm/rm.go).
		if strategy == spec.SharingStrategyMPS || shared.FailRequestsGreaterThanOne {
			offered.Allocate = func(n int) error { return onlyOne(offered.Resource, n) }
		}
	}
	return []kubelet.Devices{offered}
}

// onlyOne refuses a container that asks for more than one replica, in the words of
// Allocate and ValidateRequest (internal/plugin/server.go, internal/rm/rm.go).
func onlyOne(name corev1.ResourceName, n int) error {
	if n <= 1 {
		return nil
	}
	return fmt.Errorf("invalid allocation request for %q: invalid request: maximum request size for shared resources is 1; found %d", name, n)
}

// load reads the plugin's configuration from its flags, its environment and its
// config file, as loadConfig and validateFlags of the real one do.
func load(c *kubelet.Container, log logger) (*spec.Config, error) {
	return loadAs("NVIDIA Device Plugin", flags(), c, log, func(config *spec.Config) error {
		if err := validate(config); err != nil {
			return fmt.Errorf("unable to validate flags: %w", err)
		}
		return nil
	})
}

// loadAs reads the configuration of one of the image's programs.
func loadAs(program string, flags []cli.Flag, c *kubelet.Container, log logger, validate func(*spec.Config) error) (*spec.Config, error) {
	var config *spec.Config
	app := cli.NewApp()
	app.Name = program
	app.Flags = flags
	// The library keeps these flags in variables that all its users share.
	app.HideHelp, app.HideVersion = true, true
	app.Writer, app.ErrWriter = c.Log, c.Log
	app.ExitErrHandler = func(*cli.Context, error) {} // the default ends this process
	app.Action = func(ctx *cli.Context) error {
		var err error
		if config, err = spec.NewConfig(ctx, app.Flags); err != nil {
			return fmt.Errorf("unable to load config: unable to finalize config: %w", err)
		}
		spec.DisableResourceNamingInConfig(log, config)
		return validate(config)
	}
	args := append([]string{program}, environment(c, app.Flags)...)
	if len(c.Spec.Command) > 1 {
		args = append(args, c.Spec.Command[1:]...)
	}
	args = append(args, c.Spec.Args...)
	err := app.Run(inRoot(args, c.Root))
	if err != nil {
		// The files are elsewhere than the container sees them.
		return nil, errors.New(strings.ReplaceAll(err.Error(), c.Root, ""))
	}
	return config, nil
}

// environment gives the flags that the container's environment sets: a flag's names
// in capitals. The flags' own look-up would read this process's environment.
func environment(c *kubelet.Container, all []cli.Flag) []string {
	var args []string
	for _, f := range all {
		for _, name := range f.Names() {
			variable := strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
			for _, e := range c.Spec.Env {
				if e.Name == variable && e.Value != "" {
					args = append(args, "--"+name+"="+e.Value)
				}
			}
		}
	}
	return args
}

// inRoot points --config-file to where the container's files really are.
func inRoot(args []string, root string) []string {
	const flag = "config-file"
	out := make([]string, len(args))
	for i, a := range args {
		name, value, joined := strings.Cut(strings.TrimLeft(a, "-"), "=")
		switch {
		case joined && name == flag && value != "":
			a = "--" + flag + "=" + filepath.Join(root, value)
		case i > 0 && strings.TrimLeft(args[i-1], "-") == flag && strings.HasPrefix(args[i-1], "-"):
			a = filepath.Join(root, a)
		}
		out[i] = a
	}
	return out
}

// validate refuses what validateFlags of the real plugin refuses on a node with
// NVIDIA's driver.
func validate(config *spec.Config) error {
	f := config.Flags
	if _, err := spec.NewDeviceListStrategies(*f.Plugin.DeviceListStrategy); err != nil {
		return fmt.Errorf("invalid --device-list-strategy option: %w", err)
	}
	if id := *f.Plugin.DeviceIDStrategy; id != spec.DeviceIDStrategyUUID && id != spec.DeviceIDStrategyIndex {
		return fmt.Errorf("invalid --device-id-strategy option: %v", id)
	}
	if config.Sharing.SharingStrategy() == spec.SharingStrategyMPS {
		if *f.MigStrategy == spec.MigStrategyMixed {
			return errors.New("using --mig-strategy=mixed is not supported with MPS")
		}
		if f.MpsRoot == nil || *f.MpsRoot == "" {
			return errors.New("using MPS requires --mps-root to be specified")
		}
	}
	switch s := *f.DeviceDiscoveryStrategy; s {
	case "auto", "nvml", "tegra":
	default:
		return fmt.Errorf("invalid --device-discovery-strategy option %v", s)
	}
	switch s := *f.MigStrategy; s {
	case spec.MigStrategyNone, spec.MigStrategySingle, spec.MigStrategyMixed:
	default:
		return fmt.Errorf("unknown MIG strategy: %v", s)
	}
	return nil
}

// flags are the plugin's flags with its defaults (cmd/nvidia-device-plugin/main.go).
func flags() []cli.Flag {
	text := func(name, value string, aliases ...string) cli.Flag {
		return &cli.StringFlag{Name: name, Value: value, Aliases: aliases}
	}
	yes := func(name string, value bool) cli.Flag { return &cli.BoolFlag{Name: name, Value: value} }
	return []cli.Flag{
		text("mig-strategy", spec.MigStrategyNone),
		yes("fail-on-init-error", true),
		text("driver-root", "/", "nvidia-driver-root"),
		text("dev-root", "", "nvidia-dev-root"),
		yes("pass-device-specs", false),
		&cli.StringSliceFlag{Name: "device-list-strategy", Value: cli.NewStringSlice(spec.DeviceListStrategyEnvVar)},
		text("device-id-strategy", spec.DeviceIDStrategyUUID),
		yes("gds-enabled", false),
		yes("mofed-enabled", false),
		text("kubelet-socket", ""),
		text("config-file", ""),
		text("cdi-annotation-prefix", spec.DefaultCDIAnnotationPrefix),
		text("nvidia-cdi-hook-path", spec.DefaultNvidiaCTKPath, "nvidia-ctk-path"),
		text("driver-root-ctr-path", spec.DefaultContainerDriverRoot, "container-driver-root"),
		text("mps-root", ""),
		text("device-discovery-strategy", "auto"),
		&cli.IntSliceFlag{Name: "imex-channel-ids"},
		yes("imex-required", false),
	}
}

// logger writes lines as klog does.
type logger struct{ w io.Writer }

// Warning is called by the parser.
func (l logger) Warning(args ...any) { l.write('W', fmt.Sprint(args...)) }

// Warningf is called by the parser.
func (l logger) Warningf(format string, args ...any) { l.write('W', fmt.Sprintf(format, args...)) }

func (l logger) write(severity byte, message string) {
	// A log that cannot be written has nowhere to say so.
	_, _ = fmt.Fprintf(l.w, "%c%s nvidia-device-plugin] %s\n", severity, time.Now().Format("0102 15:04:05.000000"), message)
}
