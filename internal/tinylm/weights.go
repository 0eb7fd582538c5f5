package tinylm

import _ "embed"

// Name is the model's id, in requests and in answers.
const Name = "batholith.tiny-v1"

//go:embed tiny-v1.gguf
var weights []byte

// Weights returns the embedded GGUF file. Callers must not change it.
func Weights() []byte { return weights }
