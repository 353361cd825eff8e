// Package provider holds what the rehearsal's two stand-in resource providers
// share: serving a [plugin.Provider] to the Pulumi engine, and reading and
// comparing the property maps it sends.
//
// A stand-in embeds a [*Base], implements the resource methods and is handed
// to [Serve] as a constructor. The engine is pointed at the port with
// PULUMI_DEBUG_PROVIDERS=name:port.
//
// Gotchas:
//
//   - With PULUMI_DEBUG_PROVIDERS one port serves every provider instance of a
//     package (an explicit provider, a default one, the one that only answers
//     for the schema), and nothing in a request but Configure's says which
//     instance it is for. Each instance does have a connection of its own, so
//     Serve makes one provider value a connection: what Configure stores in it
//     is seen by that instance's calls only. State that instances share (the
//     account, the cluster) belongs behind the constructor.
//   - Values arrive wrapped: secrets always, outputs in some calls. Read them
//     through the getters of this package, never with a type switch of your own.
//   - Every value may be unknown during a preview, also inside lists and maps,
//     where a getter cannot tell "unknown" from "absent": ask [Unknown] first
//     wherever the difference matters.
package provider
