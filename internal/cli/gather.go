package cli

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/dialect"
	"github.com/batholith/batholith/internal/files"
	"github.com/batholith/batholith/internal/plain"
)

// inputSuffix ends the name of every file of records (Bedrock: other objects under the prefix are media).
const inputSuffix = ".jsonl"

// localFile is a file to upload. key is its path below the job's input prefix, with slashes; bytes is its size.
// shown is its name for people, if it is another than the path: that of the compressed file.
type localFile struct {
	path, key string
	bytes     int64
	shown     string
}

// name returns the name of a file for people.
func (f localFile) name() string { return cmp.Or(f.shown, f.path) }

// gather returns the files that the arguments name. A folder keeps its structure; if there are several arguments,
// the files of a folder get the folder's name as a prefix. Files that are not .jsonl are included, because records
// may refer to them as media.
func gather(inputs []string) ([]localFile, error) {
	files, _, err := gatherAll(inputs)
	return files, err
}

// gather is the function gather for a command: it also prints a warning for each path that was left out although
// it may hold records, and refuses files of other forms. form is that of the lines.
func (a *app) gather(inputs []string) (files []localFile, form lineForm, err error) {
	files, leftOut, err := gatherAll(inputs)
	for i, f := range files {
		files[i].shown = a.unpacked[f.path]
	}
	for _, why := range leftOut {
		a.tell("warning", "left out: "+why)
	}
	a.tellEmpty(files)
	if err == nil {
		form = lineFormOf(files)
		err = refuseForms(files)
	}
	return files, form, err
}

// tellEmpty warns about files of records without a byte: often what should have written them has failed.
func (a *app) tellEmpty(files []localFile) {
	var empty []string
	for _, f := range files {
		if f.bytes == 0 && strings.HasSuffix(f.key, inputSuffix) {
			empty = append(empty, f.name())
		}
	}
	switch len(empty) {
	case 0:
	case 1:
		a.tell("warning", empty[0]+" is empty")
	default:
		a.tell("warning", fmt.Sprintf("%d files are empty, the first is %s", len(empty), empty[0]))
	}
}

// gatherAll returns the files, and for each path that was left out a sentence with the reason. Stdin is refused: a
// job reads its input more than once.
func gatherAll(inputs []string) (all []localFile, leftOut []string, err error) {
	for _, in := range inputs {
		info, err := os.Stat(in)
		if err != nil {
			return nil, nil, hint(files.PathAndReason(err), "name a file that ends in %s, or a folder of such files", inputSuffix)
		}
		if info.IsDir() {
			g := gathering{top: in}
			if len(inputs) > 1 {
				g.prefix = filepath.Base(filepath.Clean(in))
			}
			if err := filepath.WalkDir(in, g.visit); err != nil {
				return nil, nil, files.PathAndReason(err)
			}
			all, leftOut = append(all, g.files...), append(leftOut, g.leftOut...)
			continue
		}
		if err := files.Regular(in, info); err != nil {
			return nil, nil, hint(err, "a job reads its input several times: copy it to a file whose name ends in %s", inputSuffix)
		}
		all = append(all, localFile{path: in, key: filepath.Base(in), bytes: info.Size()})
	}
	return all, leftOut, checkGathered(inputs, all)
}

// gathering walks one folder. It takes the regular files, apart from hidden ones and what this program keeps below the folder.
type gathering struct {
	top, prefix string
	files       []localFile
	leftOut     []string
}

// visit adds one path of the walk. It is an fs.WalkDirFunc. Links to files are followed, links to folders are not,
// and are reported as left out.
func (g *gathering) visit(path string, d fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case path == g.top:
		return nil
	case d.IsDir() && d.Name() == batholith.InternalFolder:
		return refuseRecordsBelow(path)
	case strings.HasPrefix(d.Name(), ".") && d.IsDir():
		return fs.SkipDir
	case strings.HasPrefix(d.Name(), "."):
		return nil
	case d.IsDir() && ours(path):
		if below, err := filepath.Glob(filepath.Join(path, "*"+inputSuffix)); err == nil && len(below) > 0 {
			g.leftOut = append(g.leftOut, fmt.Sprintf("%s, since it is an output folder of batholith run; name its %s files to have them read", path, inputSuffix))
		}
		return fs.SkipDir
	case d.IsDir():
		return nil
	}
	info, err := os.Stat(path) // follows a link to a file
	if err != nil {
		return err
	}
	if info.IsDir() {
		g.leftOut = append(g.leftOut, path+", since it is a link to a folder; name that folder to have it read")
		return nil
	}
	if err := files.Regular(path, info); err != nil {
		if strings.HasSuffix(path, inputSuffix) {
			return hint(err, "remove it, or put a file in its place")
		}
		return nil // no record refers to it
	}
	if isPacked(path) {
		g.leftOut = append(g.leftOut, path+", since it is compressed; name the file itself to have it unpacked")
		return nil
	}
	// Keys use slashes on every system, and begin below the folder that was named.
	rel, err := filepath.Rel(g.top, path)
	g.files = append(g.files, localFile{path: path, key: filepath.ToSlash(filepath.Join(g.prefix, rel)), bytes: info.Size()})
	return err
}

// refuseRecordsBelow returns fs.SkipDir for a folder of working files, or an error if it holds .jsonl files. A job
// over S3 would be refused for them too, and leaving them out without a message would lose records.
func refuseRecordsBelow(folder string) error {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, inputSuffix) {
			return hint(fmt.Errorf("%s cannot be part of a job: a folder %s holds the working files of jobs, and is emptied", path, batholith.InternalFolder),
				"move the file, or rename the folder")
		}
		return err
	})
	if err != nil {
		return err
	}
	return fs.SkipDir
}

// ours reports whether dir is an output directory of run or a data directory. Their files must not be input: the
// input would differ at each run, so an interrupted run could never be continued.
func ours(dir string) bool {
	for _, mark := range []string{filepath.Join(state, "lock"), filepath.Join(state, "worker"), filepath.Join(state, "batholith.db"), "batholith.db"} {
		if _, err := os.Lstat(filepath.Join(dir, mark)); err == nil {
			return true
		}
	}
	return false
}

// checkGathered returns an error with a remedy if the files cannot become a job: two have the same key, a name is
// not possible for an output, or none holds records.
func checkGathered(inputs []string, files []localFile) error {
	seen, records := map[string]string{}, 0
	var names, paths []string // of the files of records
	for _, f := range files {
		if other, ok := seen[f.key]; ok {
			return hint(fmt.Errorf("%s and %s would have the same name in the job", other, f.name()), "rename one, or submit their folder")
		}
		seen[f.key] = f.name()
		if strings.HasSuffix(f.key, inputSuffix) {
			records++
			names, paths = append(names, f.key), append(paths, f.path)
		}
	}
	if at, why := batholith.RefuseNames(anyPrefix, names); at >= 0 {
		return fmt.Errorf("%s cannot be part of a job: %s", paths[at], why)
	}
	if records == 0 {
		if err := otherEnding(files); err != nil {
			return err
		}
		return hint(fmt.Errorf("no file in %s ends in %s", strings.Join(inputs, ", "), inputSuffix),
			`one record a line: {"recordId": "1", "modelInput": {…}}, in a file whose name ends in %s`, inputSuffix)
	}
	return nil
}

// parseType returns the invocation type of --type, matched without regard to case. For "" it returns "", and the
// type is then detected.
func parseType(s string) (batholith.InvocationType, error) {
	switch {
	case s == "":
		return "", nil
	case strings.EqualFold(s, string(batholith.Converse)):
		return batholith.Converse, nil
	case strings.EqualFold(s, string(batholith.InvokeModel)):
		return batholith.InvokeModel, nil
	}
	return "", &usageError{reason: fmt.Sprintf("--type: %q is not a valid invocation type", s), remedy: "one of InvokeModel, Converse"}
}

// invocationType returns the type that was asked for. Otherwise it detects the type from the body of the first
// record, for a model of the family, and prints a line if it is Converse.
func (a *app) invocationType(asked batholith.InvocationType, family string, form lineForm) batholith.InvocationType {
	if asked != "" {
		return asked
	}
	if dialect.TypeOf(family, form.input) == batholith.Converse {
		plain.Fprintf(a.stderr, "the first record of %s has a Converse body: --type Converse is assumed\n", form.file)
		return batholith.Converse
	}
	return batholith.InvokeModel
}

// familyNamed returns the family of the model with this name: the one that the settings give it, otherwise the
// family that its id implies, or "" if it implies none. Aliases, ARNs and ids with a geography prefix are
// understood.
func familyNamed(c *config.Config, name string) string {
	if c != nil && name == "" && len(c.Models) == 1 {
		name = c.Models[0].ID
	}
	if m := modelNamed(c, name); m != nil {
		return cmp.Or(m.Family, dialect.FamilyOf(m.ID))
	}
	return dialect.FamilyOf(name)
}

// modelNamed returns the model of the settings with this name, or nil. It understands the names that familyNamed does.
func modelNamed(c *config.Config, name string) *config.Model {
	if c == nil {
		return nil
	}
	bare, _ := dialect.CutGeography(dialect.LastPart(name))
	for i, m := range c.Models {
		named := slices.Concat([]string{m.ID}, m.Aliases)
		if slices.Contains(named, name) || slices.Contains(named, dialect.LastPart(name)) || slices.Contains(named, bare) {
			return &c.Models[i]
		}
	}
	return nil
}
