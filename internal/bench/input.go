package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
)

// Formats of bodies with one prompt, by family.
const (
	openaiBody    = `{"messages":[{"role":"user","content":"%s"}],"max_tokens":32}`
	anthropicBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"%s"}]}`
	systemBody    = `{"messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"}],"max_tokens":%d}`
)

// words fills b with random letters and spaces, and returns it as a string.
func words(r *rand.Rand, b []byte) string {
	for i := 0; i < len(b); i += 8 {
		for j, x := i, r.Uint64(); j < min(i+8, len(b)); j, x = j+1, x>>8 {
			b[j] = "abcdefghijklmnopqrstuvwxyz      "[x&31]
		}
	}
	return string(b)
}

// randomly returns a random source with the same seed in every run.
func randomly() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// write writes a file of n records, whose bodies are body(0) to body(n-1).
func write(path string, n int, body func(i int) string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	w := bufio.NewWriterSize(f, 1<<20)
	for i := range n {
		fmt.Fprintf(w, `{"recordId":"r%07d","modelInput":%s}`+"\n", i, body(i))
	}
	return w.Flush()
}

// prompts writes a file of n records of a family, with random prompts of the given number of bytes.
func prompts(path string, n, bytes int, family string) error {
	r, prompt := randomly(), make([]byte, bytes)
	return write(path, n, func(int) string { return fmt.Sprintf(family, words(r, prompt)) })
}

// shared are the files that input has made, by path.
var shared struct {
	mu   sync.Mutex
	made map[string]bool
}

// input returns the path of a file as prompts writes it. The first call for the same arguments makes it.
func (b *bench) input(n, bytes int, family string) (string, error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	name := "openai"
	if family == anthropicBody {
		name = "anthropic"
	}
	path := b.path(fmt.Sprintf("%s-%d-%d.jsonl", name, n, bytes))
	if shared.made[path] {
		return path, nil
	}
	if shared.made == nil {
		shared.made = map[string]bool{}
	}
	shared.made[path] = true
	return path, prompts(path, n, bytes, family)
}
