// Package sdk_test has the AWS SDKs and the AWS CLI, unmodified, work with the built binary: one story, told in Go, JavaScript,
// Python and shell, against a server with its own data directory on free ports.
//
// The clients of other languages are programs beside this file (story.mjs, story.py); they print what is wrong and exit with 1.
// They come from scripts/deps.sh. Where boto3 or the AWS CLI is missing, its test is skipped and says so; the SDKs for Go and JavaScript
// are never missing.
package sdk_test
