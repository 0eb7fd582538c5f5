package s3serve

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// full is as many tags as S3 takes, each as long as it may be, in a script that needs three bytes for a character.
func full(n int) map[string]string {
	tags := map[string]string{}
	for i := range n {
		tags[strings.Repeat("鍵", mostTagKey-2)+fmt.Sprintf("%02d", i)] = strings.Repeat("値", mostTagValue)
	}
	return tags
}

// asDocument writes tags as the document that sets them.
func asDocument(tags map[string]string) string {
	var out strings.Builder
	for key, value := range tags {
		fmt.Fprintf(&out, "<Tag><Key>%s</Key><Value>%s</Value></Tag>", key, value)
	}
	return "<Tagging><TagSet>" + out.String() + "</TagSet></Tagging>"
}

func asQuery(tags map[string]string) string {
	q := url.Values{}
	for key, value := range tags {
		q.Set(key, value)
	}
	return q.Encode()
}

// document sends a document with its MD5.
func (w *wire) document(t *testing.T, method, target, body string) reply {
	t.Helper()
	sum := md5.Sum([]byte(body))
	return w.do(t, ask{method: method, target: target, body: []byte(body), header: http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}})
}

// tags are those of an object or a bucket.
func (w *wire) tags(t *testing.T, target string) map[string]string {
	t.Helper()
	var d tagging
	if err := xml.Unmarshal([]byte(w.must(t, ask{method: "GET", target: target + "?tagging="}).body), &d); err != nil {
		t.Fatal(err)
	}
	tags := map[string]string{}
	for _, tag := range d.Tags {
		tags[tag.Key] = tag.Value
	}
	return tags
}

// Objects and buckets keep as many tags as S3 takes, in every script, however they came: as a document, with the object, with its upload, with a copy.
func TestTagsKeepS3sLimits(t *testing.T) {
	w := newWire(t)
	ten, short := full(mostObjectTags), map[string]string{"a b": "c+d/=@:."}
	for i := range 8 {
		short[fmt.Sprintf("schlüssel %d", i)] = strings.Repeat("ü", 60)
	}
	w.put(t, "/box/by-document", "x")
	if r := w.document(t, "PUT", "/box/by-document?tagging=", asDocument(ten)); r.status != http.StatusOK {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if diff := cmp.Diff(ten, w.tags(t, "/box/by-document")); diff != "" {
		t.Errorf("by document: %s", diff)
	}
	w.must(t, ask{method: "PUT", target: "/box/with-it", header: http.Header{"X-Amz-Tagging": {asQuery(short)}}})
	id := element(w.must(t, ask{method: "POST", target: "/box/upload?uploads=", header: http.Header{"X-Amz-Tagging": {asQuery(short)}}}).body, "UploadId")
	etag := w.must(t, ask{method: "PUT", target: "/box/upload?partNumber=1&uploadId=" + id, body: []byte("x")}).header.Get("ETag")
	w.must(t, ask{method: "POST", target: "/box/upload?uploadId=" + id, body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>")})
	w.must(t, ask{method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Copy-Source": {"/box/by-document"}, "X-Amz-Tagging": {asQuery(short)}, "X-Amz-Tagging-Directive": {"REPLACE"}}})
	for _, target := range []string{"/box/with-it", "/box/upload", "/box/copy"} {
		if diff := cmp.Diff(short, w.tags(t, target)); diff != "" {
			t.Errorf("%s: %s", target, diff)
		}
	}
	w.must(t, ask{method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Copy-Source": {"/box/by-document"}}})
	if diff := cmp.Diff(ten, w.tags(t, "/box/copy")); diff != "" {
		t.Errorf("copied: %s", diff)
	}
	if got := w.must(t, ask{method: "GET", target: "/box/copy"}).header.Get("X-Amz-Tagging-Count"); got != "10" {
		t.Errorf("x-amz-tagging-count is %q", got)
	}
	fifty := full(mostBucketTags)
	if r := w.document(t, "PUT", "/box?tagging=", asDocument(fifty)); r.status >= 300 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if diff := cmp.Diff(fifty, w.tags(t, "/box")); diff != "" {
		t.Errorf("of the bucket: %s", diff)
	}
}

// Beyond the limits a tag is the client's fault, and the tags that were there stay.
func TestTagsBeyondS3sLimitsAreRefused(t *testing.T) {
	w := newWire(t)
	w.must(t, ask{method: "PUT", target: "/box/k", header: http.Header{"X-Amz-Tagging": {"a=b"}}})
	for name, tags := range map[string]map[string]string{"eleven": full(11), "a long key": {strings.Repeat("k", 129): ""}, "a long value": {"k": strings.Repeat("v", 257)},
		"no key": {"": "v"}, "a sign": {"k": "a;b"}, "a reserved key": {"aws:k": "v"}} {
		if r := w.document(t, "PUT", "/box/k?tagging=", asDocument(tags)); r.status != http.StatusBadRequest || r.code() != "InvalidTag" && r.code() != "BadRequest" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
		if name == "eleven" {
			tags = map[string]string{}
			for i := range 11 {
				tags[fmt.Sprint("k", i)] = ""
			}
		}
		if r := w.do(t, ask{method: "PUT", target: "/box/k", header: http.Header{"X-Amz-Tagging": {asQuery(tags)}}}); r.status != http.StatusBadRequest {
			t.Errorf("%s in a header: %d %s", name, r.status, r.body)
		}
	}
	if diff := cmp.Diff(map[string]string{"a": "b"}, w.tags(t, "/box/k")); diff != "" {
		t.Error(diff)
	}
}

// What is too large for the attributes of the file system outlives a restart, and goes with its object.
func TestLargeAttributesAreKept(t *testing.T) {
	w := newWire(t)
	files := func() int {
		all, err := os.ReadDir(filepath.Join(w.dir, "large"))
		if err != nil {
			t.Skipf("this file system has no attributes: %v", err)
		}
		return len(all)
	}
	ten := asDocument(full(mostObjectTags))
	for _, key := range []string{"stays", "replaced", "deleted", "deleted with others", "copied over", "uploaded over"} {
		w.put(t, "/box/"+url.PathEscape(key), "x")
		w.document(t, "PUT", "/box/"+url.PathEscape(key)+"?tagging=", ten)
	}
	w.document(t, "PUT", "/box/stays?tagging=", asDocument(full(9)))
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"s3:GetObject","Resource":"arn:aws:s3:::box/` + strings.Repeat("k", 19<<10) + `"}]}`
	if r := w.document(t, "PUT", "/box?policy=", policy); r.status >= 300 {
		t.Errorf("a policy of 19 KiB: %d %s", r.status, r.body)
	}
	w.must(t, ask{method: "PUT", target: "/gone"})
	w.document(t, "PUT", "/gone?tagging=", asDocument(full(mostBucketTags)))
	w.must(t, ask{method: "PUT", target: "/box/meta", header: http.Header{"X-Amz-Meta-A": {strings.Repeat("m", 2000)}, "Content-Disposition": {strings.Repeat("d", 1000)}, "Cache-Control": {strings.Repeat("c", 1000)}}})
	open := element(w.must(t, ask{method: "POST", target: "/box/open?uploads=", header: http.Header{"X-Amz-Meta-A": {strings.Repeat("m", 2000)}}}).body, "UploadId")
	if n := files(); n != 12 {
		t.Errorf("%d files are kept for six objects, two buckets, three headers and an upload", n)
	}

	w.put(t, "/box/replaced", "y")
	w.must(t, ask{method: "DELETE", target: "/box/deleted"})
	w.deletes(t, "<Object><Key>deleted with others</Key></Object>")
	w.must(t, ask{method: "PUT", target: "/box/copied%20over", header: http.Header{"X-Amz-Copy-Source": {"/box/replaced"}}})
	inParts(t, w, "/box/uploaded%20over", "CRC32", []int{1})
	w.must(t, ask{method: "DELETE", target: "/box/open?uploadId=" + open})
	w.must(t, ask{method: "DELETE", target: "/gone"})
	w.must(t, ask{method: "PUT", target: "/box/stays", header: http.Header{"X-Amz-Copy-Source": {"/box/stays"}, "X-Amz-Metadata-Directive": {"REPLACE"}, "X-Amz-Meta-B": {"c"}}})
	if n := files(); n != 5 {
		t.Errorf("%d files are kept for the tags, the policy, the metadata and two headers", n)
	}
	w.server.Close()

	must(t, os.WriteFile(filepath.Join(w.dir, "large", "TORN"), []byte(`{"Path":"box/st`), 0o600))
	must(t, os.WriteFile(filepath.Join(w.dir, "large", "NOBODYS"), []byte(`{"Path":"box/stays","Attribute":"X-Amz-Tagging"}`+"\n{}"), 0o600))
	moved := filepath.Join(t.TempDir(), "moved") // the directory may be moved
	must(t, os.Rename(w.dir, moved))
	s, err := New(Options{Dir: moved, Region: "us-east-1", Owner: "000000000000", Accounts: []Account{{AccessKeyID: "AK", Secret: "secret"}}})
	must(t, err)
	defer s.Close()
	s.app.Handler()
	w = &wire{server: s, dir: moved}
	if diff := cmp.Diff(full(9), w.tags(t, "/box/stays")); diff != "" {
		t.Error(diff)
	}
	if got := w.tags(t, "/box/replaced"); len(got) > 0 {
		t.Errorf("the new object has the tags of the old: %v", got)
	}
	if r := w.must(t, ask{method: "GET", target: "/box?policy="}); r.body != policy {
		t.Errorf("the policy is %d bytes", len(r.body))
	}
	if h := w.must(t, ask{method: "HEAD", target: "/box/meta"}).header; len(h.Get("X-Amz-Meta-A")) != 2000 || len(h.Get("Content-Disposition")) != 1000 {
		t.Errorf("the object has %v", h)
	}
	if n := files(); n != 5 {
		t.Errorf("%d files are kept after a restart", n)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
