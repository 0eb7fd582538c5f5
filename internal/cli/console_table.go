package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/template/parse"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/confine"
	"github.com/batholith/batholith/internal/console"
	"github.com/batholith/batholith/internal/plain"
	"github.com/batholith/batholith/internal/records"
)

// isTable reports whether a file that is uploaded through the console is a table. Compressed ones are left to the command records.
func isTable(name string) bool {
	f := records.FormatOf(name)
	return f != "" && f != records.JSONL && records.Unpacked(name) == name
}

// tableCommand is the argument with which the program makes records of one uploaded table, see tableProcess.
const tableCommand = "make-records-of-table"

// Limits of that process. A row of the largest size has its text, its record and the library's pages in memory.
const (
	tableCPU   = 600      // seconds: 2 GiB at more than 4 MB/s
	tableHeap  = 1 << 30  // bytes of memory
	tableStack = 64 << 20 // bytes of one stack
	tableSlots = 2        // tables that are read at the same time
	mostSaid   = 64 << 10 // bytes of an error
)

// tableWork is what the process reads from stdin: what recordsOfTable was given.
type tableWork struct {
	Path, Name, Family, Model string
	Recipe                    console.Recipe
	Type                      batholith.InvocationType
	Heap                      uint64 // bytes of memory that the process may have
}

// readingTables bounds the processes that read tables.
var readingTables = make(chan struct{}, tableSlots)

// recordsOfTable writes a record for each row of an uploaded table. The reading ends with ctx.
func (s *service) recordsOfTable(ctx context.Context, path, name string, recipe console.Recipe, model string, typ batholith.InvocationType, to io.Writer) error {
	if err := onlyColumns(recipe.Template); err != nil {
		return err
	}
	w := tableWork{Path: path, Name: name, Recipe: recipe, Family: familyNamed(s.settings(), model), Model: model, Type: typ, Heap: tableHeap}
	return w.run(ctx, to)
}

// run does the work in a process of its own, since a small table can take any memory: the pages of a Parquet file are compressed, and tell
// their own sizes.
func (w *tableWork) run(ctx context.Context, to io.Writer) error {
	select {
	case readingTables <- struct{}{}:
		defer func() { <-readingTables }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	self, err := confine.Self()
	if err != nil {
		return err
	}
	work, err := json.Marshal(w)
	if err != nil {
		return err
	}
	cmd := self.Command(ctx, tableCommand)
	said := confine.Beginning{Most: mostSaid}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(work), to, &said
	err = cmd.Run()
	if err == nil {
		return nil
	}
	cause := confine.Death(err, false, said.String())
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case cause == confine.Memory:
		return fmt.Errorf("%s takes more than %d MB of memory to read; make its rows, or the pages and row groups of a Parquet file, smaller, or use: batholith records", w.Name, w.Heap>>20)
	case cause == confine.Time:
		return fmt.Errorf("%s takes more than %d s to read; split it, or use: batholith records", w.Name, tableCPU)
	case cause == confine.Stack:
		return fmt.Errorf("%s is nested too deeply to be read", w.Name)
	case cause == confine.Broken && said.Len() > 0:
		return errors.New(said.String())
	}
	return fmt.Errorf("a process that reads %s: %w", w.Name, err)
}

// tableProcess is the main function of the process that reads a table. It writes the records to out, or to problems why there are none. ok is
// false if args are not those of such a process.
func tableProcess(args []string, in io.Reader, out, problems io.Writer) (code int, ok bool) {
	if len(args) != 1 || args[0] != tableCommand {
		return 0, false
	}
	var w tableWork
	err := json.NewDecoder(in).Decode(&w)
	if err == nil {
		confine.Enter(confine.Limits{CPU: tableCPU, Heap: w.Heap, Stack: tableStack})
		err = w.do(out)
	}
	if err != nil {
		plain.Fprintf(problems, "%s", remedied(err))
		return 1, true
	}
	return 0, true
}

// do writes the records.
func (w *tableWork) do(out io.Writer) error {
	r := &recipe{template: w.Recipe.Template, system: w.Recipe.System, id: w.Recipe.ID, maxTokens: defaultMaxTokens}
	if n := w.Recipe.MaxTokens; n != nil {
		r.maxTokens = *n
	}
	if n := w.Recipe.Temperature; n != nil {
		r.temperature, r.warm = *n, true
	}
	made, err := r.made(w.Family, w.Type, w.Model)
	if err != nil {
		return err
	}
	f, err := os.Open(w.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	head := make([]byte, 4)
	if n, _ := f.ReadAt(head, 0); compressed(string(head[:n])) { // a shorter file is not compressed
		return fmt.Errorf("%s is compressed; unpack it, or use: batholith records", w.Name)
	}
	table, err := records.Open(w.Name, f, records.Options{})
	if err != nil {
		return err
	}
	defer table.Close()
	buffered := bufio.NewWriterSize(out, 256<<10)
	for rec, err := range made.Lines(table) {
		if err != nil {
			return err
		}
		if _, err := buffered.Write(rec.Line); err != nil {
			return err
		}
	}
	return buffered.Flush()
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
