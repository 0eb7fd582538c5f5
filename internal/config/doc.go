// Package config holds the settings: what can be set, where each value came from, and whether it makes sense.
//
// A setting is a field of [Config]. Its comment in settings.go is its documentation, on the command line and in the sample
// file alike, and its place in the struct gives its three names: the key in the YAML file (s3.listen), the environment
// variable (BATHOLITH_S3_LISTEN) and the flag (--s3-listen). A flag beats the environment, which beats the file, which beats
// the default of the profile.
//
// The invariant: a Config that [Load] returned without an error can be served as it stands. A key that is unknown, a value that
// is wrong and a setting that this version cannot honour are problems, each with its place and its remedy; none is passed over.
//
// The package also keeps the data directory: its lock, the first access key and the addresses of the server that runs in it.
// It knows nothing of the parts that the settings are for.
package config
