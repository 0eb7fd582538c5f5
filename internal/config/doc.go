// Package config holds the settings: what can be set, where each value came from, and whether
// it is valid.
//
// A setting is a field of [Config]. The field's comment in settings.go is its documentation, in
// the help text and in the sample file. Its position in the struct gives its three names: the
// key in the YAML file (s3.listen), the environment variable (BATHOLITH_S3_LISTEN) and the flag
// (--s3-listen). A flag overrides the environment, which overrides the file, which overrides
// the default of the profile.
//
// Invariant: a server can run with every Config that [Load] returns without an error. Unknown
// keys, invalid values and unsupported settings are problems, each with its place and a remedy.
// None is ignored.
//
// The package also manages the data directory: its lock, the first access key and the addresses
// of the running server. It does not know the components that use the settings.
package config
