package records

import (
	"bufio"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"math"
	"os"
	"slices"
)

// maxIndexed is how many records an output in another order than its source may have: 24 bytes of memory each.
const maxIndexed = 16 << 20

// outcomeIndex finds the line of a record by the hash of its id.
type outcomeIndex struct {
	outputs []Output
	files   []*os.File
	packed  []bool
	places  []outcomePlace // sorted by the hash, then in the order of the output
	marked  []uint64       // bits: a row has it
}

// outcomePlace is where a line is.
type outcomePlace struct {
	hash uint64
	at   int64
	file int32
}

// idSeed is that of the hashes of this process.
var idSeed = maphash.MakeSeed()

// newOutcomeIndex reads the ids of all outputs.
func newOutcomeIndex(outputs []Output) (*outcomeIndex, error) {
	x := &outcomeIndex{outputs: outputs}
	out := &outcomes{outputs: outputs}
	defer out.end()
	for {
		found, err := out.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(x.places) == maxIndexed {
			return nil, &Error{File: outputs[0].Name, Reason: fmt.Sprintf("the output has another order than the source, and more than %d records", maxIndexed), Remedy: "sort the source as it was when the records were made"}
		}
		x.places = append(x.places, outcomePlace{maphash.String(idSeed, found.ID), found.at, int32(found.file)})
	}
	slices.SortStableFunc(x.places, func(a, b outcomePlace) int {
		switch {
		case a.hash < b.hash:
			return -1
		case a.hash > b.hash:
			return 1
		}
		return 0
	})
	x.marked = make([]uint64, (len(x.places)+63)/64)
	for _, o := range outputs {
		f, packed, err := openFile(o)
		if err != nil {
			x.close()
			return nil, err
		}
		x.files, x.packed = append(x.files, f), append(x.packed, packed)
	}
	return x, nil
}

// places of a hash: the range of their indices.
func (x *outcomeIndex) rangeOf(hash uint64) (from, to int) {
	from, _ = slices.BinarySearchFunc(x.places, hash, func(p outcomePlace, h uint64) int {
		switch {
		case p.hash < h:
			return -1
		case p.hash > h:
			return 1
		}
		return 0
	})
	for to = from; to < len(x.places) && x.places[to].hash == hash; {
		to++
	}
	return from, to
}

// mark notes that a row has the id.
func (x *outcomeIndex) mark(id string) {
	for i, to := x.rangeOf(maphash.String(idSeed, id)); i < to; i++ {
		x.marked[i/64] |= 1 << (i % 64)
	}
}

// unmarked returns the first record that no row has.
func (x *outcomeIndex) unmarked() (outcome, bool, error) {
	first := -1
	for i, p := range x.places {
		if x.marked[i/64]&(1<<(i%64)) == 0 && (first < 0 || p.file < x.places[first].file || p.file == x.places[first].file && p.at < x.places[first].at) {
			first = i
		}
	}
	if first < 0 {
		return outcome{}, false, nil
	}
	o, err := x.read(x.places[first])
	return o, err == nil, err
}

// find returns the line of an id, the first if there are several.
func (x *outcomeIndex) find(id string) (outcome, bool, error) {
	for i, to := x.rangeOf(maphash.String(idSeed, id)); i < to; i++ {
		o, err := x.read(x.places[i])
		if err != nil || o.ID == id {
			return o, err == nil, err
		}
	}
	return outcome{}, false, nil
}

// read reads one line.
func (x *outcomeIndex) read(p outcomePlace) (outcome, error) {
	r := &outcomes{outputs: x.outputs, r: bufio.NewReaderSize(io.NewSectionReader(x.files[p.file], p.at, math.MaxInt64-p.at), 64<<10)}
	line, err := r.readLine()
	if err != nil && !errors.Is(err, io.EOF) {
		return outcome{}, err
	}
	o, err := parseOutcome(line)
	if err != nil {
		return o, &Error{File: x.outputs[p.file].Name, Reason: "the file changed while it was read"}
	}
	o.file = int(p.file)
	return o, nil
}

// close closes the files, and removes those that are unpacked copies.
func (x *outcomeIndex) close() {
	for i, f := range x.files {
		if x.packed[i] {
			unspool(f)
		} else {
			f.Close()
		}
	}
	x.files = nil
}
