// Package servers_test runs jobs through a real engine: llama.cpp, which comes prebuilt with the npm package node-llama-cpp. server.mjs is a
// model server around it that speaks the protocols of OpenAI, Anthropic and Ollama. It serves the weights of batholith.tiny-v1, so that each
// answer can be compared with that of the embedded engine, which shares no code with llama.cpp. Batholith starts the servers itself (exec).
//
// `make deps` installs the engine. Without it the tests are skipped, but fail if the variable CI is set.
package servers_test
