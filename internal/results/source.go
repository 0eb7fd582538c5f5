package results

import (
	"encoding/binary"

	"github.com/batholith/batholith"
)

// A source is bytes: none where it is not known, or backend, model, the dropped members and the mapped ones (see docs/formats.md).

// appendSource appends a source behind its length.
func appendSource(dst []byte, s *batholith.Source) []byte {
	if s == nil {
		return append(dst, 0)
	}
	b := appendBytes(make([]byte, 0, 128), s.Backend)
	b = appendBytes(b, s.Model)
	for _, names := range [...][]string{s.Changes.Dropped, s.Changes.Mapped} {
		b = binary.AppendUvarint(b, uint64(len(names)))
		for _, name := range names {
			b = appendBytes(b, name)
		}
	}
	return appendBytes(dst, b)
}

// manySources bounds how many sources a reader remembers. Most files have one or two.
const manySources = 64

// sources are those that a reader has met, by their bytes, so that outcomes with the same source share one.
type sources map[string]*batholith.Source

// read returns the source that appendSource wrote, nil for none.
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

func readSource(b []byte) (*batholith.Source, error) {
	s := &batholith.Source{}
	for _, text := range [...]*string{&s.Backend, &s.Model} {
		t, rest, err := takeBytes(b)
		if err != nil {
			return nil, err
		}
		*text, b = string(t), rest
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
