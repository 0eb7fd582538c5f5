// Package sdk_test has the AWS SDKs and the AWS CLI, unmodified, work with the built binary: one story, told in Go, JavaScript,
// Python and shell, against a server with its own data directory on free ports.
//
// The clients of other languages are programs beside this file (story.mjs, story.py); they print what is wrong and exit with 1.
// They come from scripts/deps.sh; a test whose client is missing fails and says so.
package sdk_test
