// Package runtime answers Bedrock's runtime operations, beside the control plane on the same port: InvokeModel, Converse, both with
// streams, and CountTokens. The same models answer calls of OpenAI's and Anthropic's API.
//
//	handler.go   the way of a request: route, caller, rate, right, model, body
//	route.go     operations and their paths
//	headers.go   request headers: obeyed, ignored or refused
//	answer.go    InvokeModel and Converse, whole answers
//	stream.go    answers that are passed on as they come; frame.go is their form on Bedrock
//	count.go     CountTokens
//	doors.go     OpenAI's and Anthropic's API; door_openai.go and door_anthropic.go have their forms
//	error.go     what a failure is called in an answer
//
// A call goes to the lanes of the batch and goes ahead of it ([Lanes]). The same dialects translate both. The body and the answer of a call
// are in no log and in no line of the audit log.
//
// The package must not know lanes, limits or model servers, nor how a caller is verified.
package runtime
