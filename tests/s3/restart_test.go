package s3_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/s3serve"
)

var (
	noOptions = object.Options{}
	errDenied = batholith.ErrAccessDenied
)

func TestObjectsOutliveTheServer(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, dir)
	must(t, e.server.EnsureBucket("kept"))
	must(t, e.server.EnsureBucket("kept")) // twice is no error
	must(t, client(t, e, keyID, secret).Bucket("kept", noOptions).Put(t.Context(), "a/b", []byte("body")))
	e.stop()
	e = serve(t, dir)
	b := client(t, e, keyID, secret).Bucket("kept", object.Options{Owner: accountID})
	if got, err := read(t, b, "a/b"); err != nil || got != "body" {
		t.Errorf("%q, %v", got, err)
	}
}

// A process that dies while it completes an upload leaves it claimed under another name. The gateway would say ever after that
// the upload is complete, and there would be no object.
func TestUploadSurvivesADeathWhileItWasCompleted(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, dir)
	must(t, e.server.EnsureBucket("box"))
	b := client(t, e, keyID, secret).Bucket("box", noOptions)
	id, err := b.CreateUpload(t.Context(), "deep/key")
	must(t, err)
	etag, err := b.UploadPart(t.Context(), "deep/key", id, 1, []byte("the part"))
	must(t, err)
	e.stop()

	found, err := filepath.Glob(filepath.Join(dir, "buckets/box/.sgwtmp/multipart/*", id))
	if err != nil || len(found) != 1 {
		t.Fatalf("%v %v", found, err)
	}
	must(t, os.Rename(found[0], found[0]+"."+etag+"-1.inprogress"))
	torn := filepath.Join(filepath.Dir(found[0]), "deadbeef.12345")
	must(t, os.WriteFile(torn, []byte("half a p"), 0o600))

	e = serve(t, dir)
	b = client(t, e, keyID, secret).Bucket("box", noOptions)
	if _, err := os.Stat(torn); err == nil {
		t.Error("a torn file is still there")
	}
	must(t, b.CompleteUpload(t.Context(), "deep/key", id, []string{etag}))
	if got, err := read(t, b, "deep/key"); err != nil || got != "the part" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestUnfinishedWritesOfADeadProcessAreRemoved(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, dir)
	must(t, e.server.EnsureBucket("box"))
	must(t, client(t, e, keyID, secret).Bucket("box", noOptions).Put(t.Context(), "k", []byte("body")))
	e.stop()
	torn := filepath.Join(dir, "buckets/box/.sgwtmp/deadbeef.12345")
	must(t, os.WriteFile(torn, []byte("half an obj"), 0o600))
	e = serve(t, dir)
	if _, err := os.Stat(torn); err == nil {
		t.Error("a torn file is still there")
	}
	if got, err := read(t, client(t, e, keyID, secret).Bucket("box", noOptions), "k"); err != nil || got != "body" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestServersOfOneProcessDoNotDisturbEachOther(t *testing.T) {
	before, err := os.Getwd()
	must(t, err)
	var buckets []*object.Bucket
	for range 3 {
		e := serve(t, t.TempDir())
		must(t, e.server.EnsureBucket("same-name"))
		buckets = append(buckets, client(t, e, keyID, secret).Bucket("same-name", noOptions))
	}
	for i, b := range buckets {
		must(t, b.Put(t.Context(), "k", []byte{byte('0' + i)}))
	}
	for i, b := range buckets {
		if got, err := read(t, b, "k"); err != nil || got != string(rune('0'+i)) {
			t.Errorf("server %d has %q, %v", i, got, err)
		}
	}
	if after, err := os.Getwd(); err != nil || after != before {
		t.Errorf("the process moved from %s to %s, %v", before, after, err)
	}
}

func TestStopLetsRequestsFinish(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	b := client(t, e, keyID, secret).Bucket("box", noOptions)
	must(t, b.Put(t.Context(), "k", noise(8<<20)))
	r, err := b.Read(t.Context(), "k", "", 0, -1)
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.stop()
	}()
	n := 0
	for buf := make([]byte, 64<<10); ; {
		m, err := r.Read(buf)
		if n += m; err != nil {
			break
		}
	}
	if n != 8<<20 {
		t.Errorf("a download was cut off at %d bytes", n)
	}
	must(t, r.Close())
	<-done
	if conn, err := net.Dial("tcp", strings.TrimPrefix(e.url, "http://")); err == nil {
		conn.Close()
		t.Error("a stopped server takes connections")
	}
}

func TestServeReportsAListenerThatFails(t *testing.T) {
	s, err := s3serve.New(s3serve.Options{Dir: t.TempDir(), Region: region, Owner: accountID})
	must(t, err)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, ln.Close())
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("got %v", err)
	}
}

func TestKeyBelowAnObjectIsRefusedClearly(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	b := client(t, e, keyID, secret).Bucket("box", noOptions)
	must(t, b.Put(t.Context(), "d", []byte("object")))
	err := b.Put(t.Context(), "d/e", []byte("below"))
	if err == nil || !strings.Contains(err.Error(), "ObjectParentIsFile") {
		t.Errorf("got %v", err)
	}
	must(t, b.Put(t.Context(), "x/y", []byte("below")))
	err = b.Put(t.Context(), "x", []byte("object"))
	if err == nil || !strings.Contains(err.Error(), "ExistingObjectIsDirectory") {
		t.Errorf("got %v", err)
	}
}

func TestOwnerTravels(t *testing.T) {
	e := serve(t, t.TempDir())
	must(t, e.server.EnsureBucket("box"))
	c := client(t, e, keyID, secret)
	must(t, c.Bucket("box", object.Options{Owner: accountID}).Put(t.Context(), "k", []byte("x")))
	want(t, c.Bucket("box", object.Options{Owner: "999999999999"}).Put(t.Context(), "k", []byte("x")), batholith.ErrAccessDenied)
	_, err := c.Bucket("box", object.Options{Owner: "999999999999"}).Head(t.Context(), "k")
	want(t, err, batholith.ErrAccessDenied)
}
