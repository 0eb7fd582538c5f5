package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/records"
)

// isTable reports whether a file that is uploaded through the console is a table. Compressed ones are left to the command records.
func isTable(name string) bool {
	f := records.FormatOf(name)
	return f != "" && f != records.JSONL && records.Unpacked(name) == name
}

// recordsOfTable writes a record for each row of an uploaded table. The reading ends with ctx.
func (s *service) recordsOfTable(ctx context.Context, path, name, template, model string, typ batholith.InvocationType, to io.Writer) error {
	if err := onlyColumns(template); err != nil {
		return err
	}
	r := &recipe{template: template, maxTokens: defaultMaxTokens}
	made, err := r.made(familyNamed(s.settings(), model), typ, model)
	if err != nil {
		return remedied(err)
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); compressed(string(head[:n])) { // a shorter file is not compressed
		return fmt.Errorf("%s is compressed; unpack it, or use: batholith records", name)
	}
	table, err := records.Open(name, f, records.Options{Check: func() error { return context.Cause(ctx) }})
	if err != nil {
		return remedied(err)
	}
	defer table.Close()
	for rec, err := range made.Lines(table) {
		if err != nil {
			return remedied(err)
		}
		if _, err := to.Write(rec.Line); err != nil {
			return err
		}
	}
	return nil
}

// remedied returns an error with its remedy in its text, if it has one.
func remedied(err error) error {
	var table *records.Error
	var usage *usageError
	switch {
	case errors.As(err, &table) && table.Remedy != "":
		return fmt.Errorf("%w; %s", err, table.Remedy)
	case errors.As(err, &usage):
		return fmt.Errorf("%s; %s", strings.TrimPrefix(usage.reason, "--"), usage.remedy)
	}
	return err
}

// compressed reports whether a file begins as those of gzip and zstd do.
func compressed(head string) bool {
	return strings.HasPrefix(head, "\x1f\x8b") || strings.HasPrefix(head, "\x28\xb5\x2f\xfd")
}

// simple are the functions that prompts in the console may call. They need no more time and memory than their arguments have.
var simple = []string{"json", "trim", "upper", "lower", "default", "cut", "index"}

// onlyColumns refuses a template that does more than name columns. A template of a person on another machine must not occupy the
// server: a loop can take any time, and a variable that doubles any memory.
func onlyColumns(template string) error {
	known := map[string]any{"index": true}
	for _, name := range records.Functions {
		known[name] = true
	}
	trees, err := parse.Parse("prompt", template, "", "", known)
	if err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), "template: "))
	}
	plain := len(trees) <= 1 // further ones are templates that it defines
	for _, tree := range trees {
		for _, n := range tree.Root.Nodes {
			action, is := n.(*parse.ActionNode)
			plain = plain && (n.Type() == parse.NodeText || is && simplePipe(action.Pipe))
		}
	}
	if !plain {
		return fmt.Errorf("a prompt here may name columns, and call %s; for more, use: batholith records", strings.Join(simple, ", "))
	}
	return nil
}

// simplePipe reports whether a pipeline has columns, constants and simple functions only.
func simplePipe(p *parse.PipeNode) bool {
	if len(p.Decl) > 0 {
		return false
	}
	for _, c := range p.Cmds {
		for _, arg := range c.Args {
			switch arg := arg.(type) {
			case *parse.FieldNode, *parse.DotNode, *parse.StringNode, *parse.NumberNode, *parse.BoolNode:
			case *parse.IdentifierNode:
				if !slices.Contains(simple, arg.Ident) {
					return false
				}
			case *parse.PipeNode:
				if !simplePipe(arg) {
					return false
				}
			default:
				return false
			}
		}
	}
	return true
}
