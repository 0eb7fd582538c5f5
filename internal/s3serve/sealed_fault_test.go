package s3serve

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/versity/versitygw/backend/meta"

	"github.com/batholith/batholith/internal/kms"
)

// encrypts gives the server a key, and returns its file.
func (w *wire) encrypts(t testing.TB) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "a.key")
	_, err := kms.Create(file, "", time.Now())
	must(t, err)
	w.keys(t, kms.Key{File: file})
	return file
}

func (w *wire) keys(t testing.TB, all ...kms.Key) {
	t.Helper()
	ring, err := kms.Open("us-east-1", "000000000000", all)
	must(t, err)
	w.server.store.keys = ring
}

// torn is a storage of attributes of which one cannot be read.
type torn struct {
	meta.MetadataStorer
	attribute string
}

func (s torn) RetrieveAttribute(f *os.File, bucket, object, attribute string) ([]byte, error) {
	if attribute == s.attribute {
		return nil, errors.New("input/output error")
	}
	return s.MetadataStorer.RetrieveAttribute(f, bucket, object, attribute)
}

// asksToSeal asks for encryption.
var asksToSeal = http.Header{"X-Amz-Server-Side-Encryption": {"aws:kms"}}

// plainText is a text that must not be in a file, nor in an answer where it was not asked for.
const plainText = "a text that nobody else may read"

// eachMeta runs a test with attributes in the file system and in files.
func eachMeta(t *testing.T, f func(t *testing.T, w *wire)) {
	for kept, files := range map[string]bool{"attributes": false, "files": true} {
		t.Run(kept, func(t *testing.T) { f(t, openWire(t, t.TempDir(), files)) })
	}
}

// If it cannot be read whether an object or upload is encrypted, the request fails.
func TestAFaultOfAttributesNeverMakesPlainWhatIsEncrypted(t *testing.T) {
	eachMeta(t, func(t *testing.T, w *wire) {
		w.encrypts(t)
		w.must(t, ask{method: "PUT", target: "/box/k", header: asksToSeal, body: []byte(plainText)})
		id := element(w.must(t, ask{method: "POST", target: "/box/u?uploads=", header: asksToSeal}).body, "UploadId")
		part := ask{method: "PUT", target: "/box/u?partNumber=1&uploadId=" + id, body: []byte(plainText)}
		w.must(t, ask{method: "PUT", target: "/sealed"})
		if r := w.document(t, "PUT", "/sealed?encryption=", "<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>AES256</SSEAlgorithm></ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>"); r.status != http.StatusOK {
			t.Fatalf("default encryption: %d %s", r.status, r.body)
		}
		copied := ask{method: "PUT", target: part.target, header: http.Header{"X-Amz-Copy-Source": {"box/k"}}}
		healthy := w.server.store.meta.MetadataStorer
		for attribute, all := range map[string][]ask{
			sealAttribute: {part, copied, {method: "GET", target: "/box/u?uploadId=" + id}, {method: "POST", target: "/box/u?uploadId=" + id, body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>")}},
			defaultAttribute: {{method: "PUT", target: "/sealed/k", body: []byte(plainText)}, {method: "POST", target: "/sealed/k?uploads="}, {method: "GET", target: "/sealed?encryption="},
				{method: "PUT", target: "/sealed/k", header: http.Header{"X-Amz-Copy-Source": {"box/k"}}}},
			markAttribute: {{method: "GET", target: "/box/k"}, {method: "HEAD", target: "/box/k"}, {method: "GET", target: "/box/k", header: http.Header{"Range": {"bytes=0-3"}}},
				{method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/k"}}}, copied},
		} {
			w.server.store.meta.MetadataStorer = torn{healthy, attribute}
			for _, a := range all {
				if r := w.do(t, a); r.status != http.StatusInternalServerError {
					t.Errorf("%s cannot be read, %s %s: %d %.80q", attribute, a.method, a.target, r.status, r.body)
				}
			}
			w.server.store.meta.MetadataStorer = healthy
		}
		etag := w.must(t, part).header.Get("ETag")
		w.must(t, ask{method: "POST", target: "/box/u?uploadId=" + id, body: []byte("<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + etag + "</ETag></Part></CompleteMultipartUpload>")})
		for _, target := range []string{"/box/k", "/box/u"} {
			if r := w.must(t, ask{method: "GET", target: target}); r.body != plainText {
				t.Errorf("%s is %q", target, r.body)
			}
		}
		must(t, filepath.WalkDir(w.dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				text, rerr := os.ReadFile(path)
				if err = rerr; strings.Contains(string(text), plainText) {
					t.Errorf("%s has the plain text", path)
				}
			}
			return err
		}))
	})
}

// Without attributes, only the key says whether an object is encrypted. A key that cannot be used now does not make its ciphertext the object.
func TestAKeyThatCannotBeUsedNeverMakesCiphertextTheObject(t *testing.T) {
	eachMeta(t, func(t *testing.T, w *wire) {
		file := w.encrypts(t)
		w.must(t, ask{method: "PUT", target: "/box/k", header: asksToSeal, body: []byte(plainText)})
		of := filepath.Join(w.dir, "buckets", "box", "k")
		text, err := os.ReadFile(of)
		must(t, err)
		w.must(t, ask{method: "DELETE", target: "/box/k"})
		must(t, os.WriteFile(of, text, 0o600))
		if r := w.must(t, ask{method: "GET", target: "/box/k"}); r.body != plainText {
			t.Fatalf("with the key: %.80q", r.body)
		}
		w.keys(t, kms.Key{File: file, Disabled: true})
		for _, a := range []ask{{method: "GET", target: "/box/k"}, {method: "HEAD", target: "/box/k"}, {method: "PUT", target: "/box/c", header: http.Header{"X-Amz-Copy-Source": {"box/k"}}}} {
			if r := w.do(t, a); r.status != http.StatusBadRequest {
				t.Errorf("%s %s with a disabled key: %d %.80q", a.method, a.target, r.status, r.body)
			}
		}
	})
}
