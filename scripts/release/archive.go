package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// entry is a file, or a directory if its path ends with a slash, in an archive.
type entry struct {
	path string
	mode int64
	body []byte
}

// tarred returns a gzipped tar of entries, with the same time and owner for all.
func (r *run) tarred(entries []entry) ([]byte, error) {
	level, at := gzip.BestCompression, r.commit.time
	if r.shared {
		level = gzip.BestSpeed
	}
	var b bytes.Buffer
	zipped, _ := gzip.NewWriterLevel(&b, level) // the level is valid
	w := tar.NewWriter(zipped)
	for _, e := range entries {
		h := &tar.Header{Name: e.path, Mode: e.mode, Size: int64(len(e.body)), ModTime: at, Uname: "root", Gname: "root", Typeflag: tar.TypeReg, Format: tar.FormatGNU}
		if strings.HasSuffix(e.path, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := zipped.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// tarball writes a .tar.gz whose files are at its top.
func (r *run) tarball(name string, entries []entry) error {
	b, err := r.tarred(entries)
	if err != nil {
		return err
	}
	return r.write(name, b)
}

// zip writes a .zip whose files are at its top.
func (r *run) zip(name string, entries []entry) error {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.path, Method: zip.Deflate, Modified: r.commit.time}
		h.SetMode(os.FileMode(e.mode))
		f, err := w.CreateHeader(h)
		if err != nil {
			return err
		}
		if _, err := f.Write(e.body); err != nil {
			return err
		}
	}
	if err := w.Close(); err != nil {
		return err
	}
	return r.write(name, b.Bytes())
}

// write writes one file of the release, and keeps its checksum.
func (r *run) write(name string, body []byte) error {
	if r.sums == nil {
		r.sums = map[string]string{}
	}
	r.files, r.sums[name] = append(r.files, name), fmt.Sprintf("%x", sha256.Sum256(body))
	return os.WriteFile(filepath.Join(r.out, name), body, 0o644)
}

// checksums writes SHA256SUMS, as sha256sum -c reads it.
func (r *run) checksums() error {
	slices.Sort(r.files)
	var b bytes.Buffer
	for _, name := range r.files {
		fmt.Fprintf(&b, "%s  %s\n", r.sums[name], name)
	}
	return os.WriteFile(filepath.Join(r.out, "SHA256SUMS"), b.Bytes(), 0o644)
}
