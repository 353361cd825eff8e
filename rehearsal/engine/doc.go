// Package engine runs a Pulumi program under the real Pulumi CLI, away from
// everything the user has: a work area of its own holds the project, the
// state and the CLI's home, and the providers are the ones the caller serves.
//
// [Start] prepares the work area and starts what the engine talks to: a Go
// language host for a prebuilt program, the caller's providers, and the real
// pulumi-eks component. [Engine.Run] runs one CLI command against them, and
// [Engine.Preview] the preview, with its plan as data. Close takes it all away.
//
// Gotchas:
//
//   - Every child gets an environment made from nothing (see environment). No
//     variable of the user's but PATH and those that describe the terminal
//     reaches one, HOME included: ~/.aws, ~/.kube and ~/.pulumi are out of
//     sight, not merely unused.
//   - Children live in process groups of their own and die with this process on
//     Linux, however it dies. On a terminal the CLI's group is its foreground
//     group meanwhile: Ctrl-C goes to the CLI, which cancels as it always does.
//   - The CLI attaches to a running provider only by a port that it is told
//     before it starts. The component takes longer to load than the CLI, so its
//     port is a relay's, and both start at once.
package engine
