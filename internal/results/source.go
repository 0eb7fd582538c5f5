package results

import (
	"encoding/binary"
	"math/bits"
	"strings"

	"github.com/batholith/batholith"
)

// An encoded source has no bytes if it is unknown, else backend, model, dropped members and mapped members (see docs/formats.md). The recipe
// follows the backend after a #, which no address holds: so a program that knows no recipes reads these sources, and takes recipe and address
// together for an address.
const recipeMark = "#"

// appendSource appends the length of an encoded source and the source.
func appendSource(dst []byte, s *batholith.Source) []byte {
	if s == nil {
		return append(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(sourceBytes(s)))
	if marked(s) {
		dst = binary.AppendUvarint(dst, uint64(len(s.Backend)+len(recipeMark)+len(s.Recipe)))
		dst = append(append(append(dst, s.Backend...), recipeMark...), s.Recipe...)
	} else {
		dst = appendBytes(dst, s.Backend)
	}
	dst = appendBytes(dst, s.Model)
	for _, names := range [...][]string{s.Changes.Dropped, s.Changes.Mapped} {
		dst = binary.AppendUvarint(dst, uint64(len(names)))
		for _, name := range names {
			dst = appendBytes(dst, name)
		}
	}
	return dst
}

// marked reports whether the encoded backend has a recipeMark.
func marked(s *batholith.Source) bool {
	return s.Recipe != "" || strings.Contains(s.Backend, recipeMark)
}

// sourceBytes returns the length of an encoded source without its length.
func sourceBytes(s *batholith.Source) int {
	backend := len(s.Backend)
	if marked(s) {
		backend += len(recipeMark) + len(s.Recipe)
	}
	n := withLength(backend) + withLength(len(s.Model))
	for _, names := range [...][]string{s.Changes.Dropped, s.Changes.Mapped} {
		n += lengthBytes(len(names))
		for _, name := range names {
			n += withLength(len(name))
		}
	}
	return n
}

// withLength returns the length of n bytes as appendBytes writes them.
func withLength(n int) int { return lengthBytes(n) + n }

// lengthBytes returns the length of n as binary.AppendUvarint writes it.
func lengthBytes(n int) int { return max(1, (bits.Len64(uint64(n))+6)/7) }

// manySources bounds the sources that a reader keeps. Most files have one or two.
const manySources = 64

// sources are the sources that a reader has decoded, by their bytes, so that outcomes with equal sources share one value.
type sources map[string]*batholith.Source

// read decodes a source; nil for no bytes.
func (known *sources) read(b []byte) (*batholith.Source, error) {
	if len(b) == 0 {
		return nil, nil
	}
	if s := (*known)[string(b)]; s != nil {
		return s, nil
	}
	s, err := readSource(b)
	if err != nil {
		return nil, err
	}
	if *known == nil || len(*known) >= manySources {
		*known = sources{}
	}
	(*known)[string(b)] = s
	return s, nil
}

// readSource decodes a source that is not empty.
func readSource(b []byte) (*batholith.Source, error) {
	s := &batholith.Source{}
	for _, text := range [...]*string{&s.Backend, &s.Model} {
		t, rest, err := takeBytes(b)
		if err != nil {
			return nil, err
		}
		*text, b = string(t), rest
	}
	if i := strings.LastIndex(s.Backend, recipeMark); i >= 0 {
		s.Backend, s.Recipe = s.Backend[:i], s.Backend[i+len(recipeMark):]
	}
	for _, names := range [...]*[]string{&s.Changes.Dropped, &s.Changes.Mapped} {
		n, size := binary.Uvarint(b)
		if size <= 0 || n > uint64(len(b)) {
			return nil, errDamaged
		}
		b = b[size:]
		for range n {
			t, rest, err := takeBytes(b)
			if err != nil {
				return nil, err
			}
			*names, b = append(*names, string(t)), rest
		}
	}
	if len(b) > 0 {
		return nil, errDamaged
	}
	return s, nil
}
