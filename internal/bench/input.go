package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
)

// Bodies of one prompt, by family.
const (
	openaiBody    = `{"messages":[{"role":"user","content":"%s"}],"max_tokens":32}`
	anthropicBody = `{"anthropic_version":"bedrock-2023-05-31","max_tokens":32,"messages":[{"role":"user","content":"%s"}]}`
	systemBody    = `{"messages":[{"role":"system","content":"%s"},{"role":"user","content":"%s"}],"max_tokens":%d}`
)

// words fills b with letters and spaces.
func words(r *rand.Rand, b []byte) string {
	for i := 0; i < len(b); i += 8 {
		for j, x := i, r.Uint64(); j < min(i+8, len(b)); j, x = j+1, x>>8 {
			b[j] = "abcdefghijklmnopqrstuvwxyz      "[x&31]
		}
	}
	return string(b)
}

// randomly is a source of random numbers that is the same in every run.
func randomly() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// write makes a file of n records with the bodies that body makes.
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

// prompts makes a file of n records of one family's bodies, with random prompts of so many bytes.
func prompts(path string, n, bytes int, family string) error {
	r, prompt := randomly(), make([]byte, bytes)
	return write(path, n, func(int) string { return fmt.Sprintf(family, words(r, prompt)) })
}

var shared struct {
	mu   sync.Mutex
	made map[string]bool
}

// input is a file as prompts makes it, made at its first use.
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
