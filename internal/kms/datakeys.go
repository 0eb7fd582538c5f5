package kms

import "bytes"

// DataKeys makes data keys for one purpose, each stored in a form that names the key that wrapped it.
type DataKeys struct {
	ring    *Ring
	name    string // of the key; "": none, so that nothing is to be encrypted
	context Context
}

// DataKeys returns the data keys for what is bound to a context. name is any name of a key of the
// ring, "" for none; data keys of before are opened in either case.
func (r *Ring) DataKeys(name string, context Context) *DataKeys {
	return &DataKeys{r, name, context}
}

// NewKey returns a data key and what is stored to get it again; a nil key if there is none to be.
func (d *DataKeys) NewKey() (key, wrapped []byte, err error) {
	if d.name == "" {
		return nil, nil, nil
	}
	k, err := d.ring.Generate(d.name, d.context)
	if err != nil {
		return nil, nil, err
	}
	return k.Plain, append(append([]byte(k.ID), 0), k.Wrapped...), nil
}

// OpenKey returns the data key of what NewKey returned.
func (d *DataKeys) OpenKey(stored []byte) ([]byte, error) {
	id, wrapped, _ := bytes.Cut(stored, []byte{0})
	if !ValidID(string(id)) {
		return nil, fault(ErrInvalid, "restore it from a copy", "the wrapped data key is damaged")
	}
	k, err := d.ring.Unwrap(string(id), wrapped, d.context)
	return k.Plain, err
}
