package kms

import "bytes"

// DataKeys makes and opens data keys for one purpose. The stored form of a data key is
//
//	id of the key that wrapped it | 0 | wrapped data key
//
// so it can be opened after the settings name another key. It is safe for concurrent use.
type DataKeys struct {
	ring    *Ring
	name    string // of the key; "": none, so that nothing is to be encrypted
	context Context
}

// DataKeys returns the data keys that are bound to a context. New ones are wrapped with the key name, any name of
// a key of the ring. With "", no new ones are made, and stored ones can still be opened.
func (r *Ring) DataKeys(name string, context Context) *DataKeys {
	return &DataKeys{r, name, context}
}

// NewKey returns a data key of KeySize bytes and its stored form. Both are nil, without an error, if nothing is to
// be encrypted. The error is a *Fault.
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

// OpenKey returns the data key for a stored form that NewKey returned. The error is a *Fault: ErrInvalid if the
// form was changed, or the fault of the key that wrapped it.
func (d *DataKeys) OpenKey(stored []byte) ([]byte, error) {
	id, wrapped, _ := bytes.Cut(stored, []byte{0})
	if !ValidID(string(id)) {
		return nil, fault(ErrInvalid, "restore it from a copy", "the wrapped data key is damaged")
	}
	k, err := d.ring.Unwrap(string(id), wrapped, d.context)
	return k.Plain, err
}
