package cli

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/batholith/batholith"
)

// inputSuffix ends the name of every file of records (Bedrock: other objects under the prefix are media).
const inputSuffix = ".jsonl"

// localFile is a file to upload, and its key below the job's input prefix.
type localFile struct {
	path, key string
	bytes     int64
}

// gather lists the files that a person means by files and folders. A folder keeps its structure; with several inputs, a folder's
// files stand below its name.
func gather(inputs []string) ([]localFile, error) {
	var files []localFile
	for _, in := range inputs {
		info, err := os.Stat(in)
		if err != nil {
			return nil, hint(plainPath(err), "name a file that ends in %s, or a folder of such files", inputSuffix)
		}
		if !info.IsDir() {
			files = append(files, localFile{path: in, key: filepath.Base(in), bytes: info.Size()})
			continue
		}
		prefix := ""
		if len(inputs) > 1 {
			prefix = filepath.Base(filepath.Clean(in))
		}
		found, err := gatherFolder(in, prefix)
		if err != nil {
			return nil, err
		}
		files = append(files, found...)
	}
	return files, checkGathered(inputs, files)
}

// gatherFolder lists the regular files of a folder, apart from hidden ones and what this program keeps below it.
func gatherFolder(dir, prefix string) ([]localFile, error) {
	var files []localFile
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path != dir && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if path != dir && d.IsDir() && ours(path) {
			return fs.SkipDir
		}
		info, err := os.Stat(path) // follows a link to a file
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		files = append(files, localFile{path: path, key: filepath.ToSlash(filepath.Join(prefix, rel)), bytes: info.Size()})
		return err
	})
	return files, err
}

// ours tells an output directory of run and a data directory from folders of records. Were they taken in, no run over the folder that
// holds them could go on, since its input would differ each time.
func ours(dir string) bool {
	for _, mark := range []string{state, "batholith.db"} {
		if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
			return true
		}
	}
	return false
}

// checkGathered refuses what cannot become a job: two files of one name, and no file of records at all.
func checkGathered(inputs []string, files []localFile) error {
	seen, records := map[string]string{}, 0
	for _, f := range files {
		if other, ok := seen[f.key]; ok {
			return hint(fmt.Errorf("%s and %s would have the same name in the job", other, f.path), "rename one, or submit their folder")
		}
		seen[f.key] = f.path
		if strings.HasSuffix(f.key, inputSuffix) {
			records++
		}
	}
	if records == 0 {
		return hint(fmt.Errorf("no file in %s ends in %s", strings.Join(inputs, ", "), inputSuffix),
			`one record a line: {"recordId": "1", "modelInput": {…}}, in a file whose name ends in %s`, inputSuffix)
	}
	return nil
}

// plainPath leaves the system call out of an error about a path.
func plainPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: %w", p.Path, p.Err)
	}
	return err
}

// parseType reads --type; "" is no answer, which detection then gives.
func parseType(s string) (batholith.InvocationType, error) {
	switch {
	case s == "":
		return "", nil
	case strings.EqualFold(s, string(batholith.Converse)):
		return batholith.Converse, nil
	case strings.EqualFold(s, string(batholith.InvokeModel)):
		return batholith.InvokeModel, nil
	}
	return "", &usageError{reason: fmt.Sprintf("--type: %q is no invocation type", s), remedy: "one of InvokeModel, Converse"}
}

// invocationType is the type that was asked for, or the one that the first record looks like, which is then said.
func (a *app) invocationType(asked batholith.InvocationType, files []localFile) batholith.InvocationType {
	if asked != "" {
		return asked
	}
	for _, f := range files {
		if strings.HasSuffix(f.key, inputSuffix) && looksLikeConverse(f.path) {
			fmt.Fprintf(a.stderr, "the first record of %s has a Converse body: --type Converse is assumed\n", f.path)
			return batholith.Converse
		} else if strings.HasSuffix(f.key, inputSuffix) {
			break
		}
	}
	return batholith.InvokeModel
}

// firstRecordBytes is how much of a file detection reads at most. A longer first record counts as InvokeModel.
const firstRecordBytes = 1 << 20

// looksLikeConverse peeks at the first record of a file. Converse content blocks have a text and no type, which sets them apart
// from the messages of every model family but Nova, whose bodies Converse serves alike.
func looksLikeConverse(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(io.LimitReader(f, firstRecordBytes), 1<<16).ReadBytes('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return false
	}
	var record struct {
		ModelInput struct {
			SchemaVersion   string          `json:"schemaVersion"` // Nova's own bodies have one
			InferenceConfig json.RawMessage `json:"inferenceConfig"`
			Messages        []struct {
				Content json.RawMessage `json:"content"`
			} `json:"messages"`
		} `json:"modelInput"`
	}
	if json.Unmarshal(line, &record) != nil || record.ModelInput.SchemaVersion != "" {
		return false
	}
	if record.ModelInput.InferenceConfig != nil {
		return true
	}
	for _, m := range record.ModelInput.Messages {
		var blocks []map[string]json.RawMessage
		if json.Unmarshal(m.Content, &blocks) != nil {
			continue // a plain string
		}
		for _, b := range blocks {
			if b["text"] != nil && b["type"] == nil {
				return true
			}
		}
	}
	return false
}
