package s3serve

import (
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A client that has an object already learns with 304 what its copy is called and how long it is good.
func TestAnUnchangedObjectKeepsItsHeaders(t *testing.T) {
	w := newWire(t)
	made := w.must(t, ask{method: "PUT", target: "/box/k", body: []byte("hello"), header: http.Header{"Cache-Control": {"max-age=60"}, "Expires": {"Wed, 21 Oct 2065 07:28:00 GMT"}}})
	etag := made.header.Get("ETag")
	full := w.must(t, ask{method: "HEAD", target: "/box/k"})
	for _, method := range []string{"GET", "HEAD"} {
		for name, value := range map[string]string{"If-None-Match": etag, "If-Modified-Since": full.header.Get("Last-Modified")} {
			r := w.do(t, ask{method: method, target: "/box/k", header: http.Header{name: {value}}})
			if r.status != http.StatusNotModified || r.body != "" || r.header.Get("Content-Type") != "" {
				t.Errorf("%s with %s: %d, %q of type %q", method, name, r.status, r.body, r.header.Get("Content-Type"))
			}
			for _, header := range []string{"ETag", "Last-Modified", "Cache-Control", "Expires"} {
				if got := r.header.Get(header); got == "" || got != full.header.Get(header) {
					t.Errorf("%s with %s: %s is %q, want %q", method, name, header, got, full.header.Get(header))
				}
			}
		}
	}
}

// deletes asks for the deletion of entries, written as XML.
func (w *wire) deletes(t *testing.T, entries string) reply {
	t.Helper()
	body := []byte("<Delete>" + entries + "</Delete>")
	sum := md5.Sum(body)
	return w.must(t, ask{method: "POST", target: "/box?delete", body: body, header: http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}})
}

// An entry of a deletion takes its object only if the object is what the entry says.
func TestADeletionKeepsTheConditionsOfEachEntry(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/probe", "hello")
	head := w.must(t, ask{method: "HEAD", target: "/box/probe"}).header
	at, err := http.ParseTime(head.Get("Last-Modified"))
	if err != nil {
		t.Fatal(err)
	}
	etag := strings.Trim(head.Get("ETag"), `"`)
	for condition, goes := range map[string]bool{
		"": true, "<ETag>" + etag + "</ETag>": true, "<ETag>&quot;" + etag + "&quot;</ETag>": true, "<ETag>*</ETag>": true, "<Size>5</Size>": true,
		"<ETag>00000000000000000000000000000000</ETag>": false, "<Size>6</Size>": false, "<Size>0</Size>": false,
		"<LastModifiedTime>%s</LastModifiedTime>": true, "<LastModifiedTime>Tue, 01 Jan 2019 00:00:00 GMT</LastModifiedTime>": false,
		"<LastModifiedTime>2019-01-01T00:00:00.000Z</LastModifiedTime>": false, "<ETag>" + etag + "</ETag><Size>6</Size>": false,
		"<ETag>" + etag + "</ETag><Size>5</Size><LastModifiedTime>%s</LastModifiedTime>": true,
	} {
		w.put(t, "/box/a%26b", "hello")
		w.put(t, "/box/other", "x")
		if strings.Contains(condition, "%s") {
			if at, err = http.ParseTime(w.must(t, ask{method: "HEAD", target: "/box/a%26b"}).header.Get("Last-Modified")); err != nil {
				t.Fatal(err)
			}
			condition = fmt.Sprintf(condition, at.UTC().Format(http.TimeFormat))
		}
		r := w.deletes(t, "<Object><Key>a&amp;b</Key>"+condition+"</Object><Object><Key>other</Key></Object>")
		there := w.do(t, ask{method: "HEAD", target: "/box/a%26b"}).status == http.StatusOK
		if there == goes || strings.Contains(r.body, "PreconditionFailed") == goes {
			t.Errorf("%q: the object is there: %v; %s", condition, there, r.body)
		}
		if w.do(t, ask{method: "HEAD", target: "/box/other"}).status != http.StatusNotFound {
			t.Errorf("%q keeps another object", condition)
		}
	}
	w.put(t, "/box/a", "x")
	if r := w.deletes(t, "<Quiet>true</Quiet><Object><Key>a</Key></Object><Object><Key>probe</Key><Size>1</Size></Object>"); strings.Contains(r.body, "<Deleted>") || !strings.Contains(r.body, "<Key>probe</Key>") {
		t.Errorf("a quiet deletion says %s", r.body)
	}
}

// Keys that XML cannot hold, or that a reader of XML changes, come back as they are if they are asked for escaped.
func TestAListingKeepsKeysThatAreEscaped(t *testing.T) {
	w := newWire(t)
	keys := []string{"p/a b+c%25d", "p/e&f<g>", "p/h\x01i", "p/ü~*", "p/sub/x"}
	for _, key := range keys {
		w.put(t, "/box/"+escapePath(key), "x")
		w.must(t, ask{method: "POST", target: "/box/" + escapePath(key) + "?uploads="})
	}
	escaped := []string{"p/a+b%2Bc%2525d", "p/e%26f%3Cg%3E", "p/h%01i", "p/%C3%BC%7E*"}
	for _, list := range []string{"?encoding-type=url&prefix=p%2F&delimiter=%2F", "?delimiter=%2F&encoding-type=url&list-type=2&prefix=p%2F",
		"?delimiter=%2F&encoding-type=url&prefix=p%2F&versions=", "?delimiter=%2F&encoding-type=url&prefix=p%2F&uploads="} {
		r := w.must(t, ask{method: "GET", target: "/box" + list})
		for _, key := range escaped {
			if !strings.Contains(r.body, "<Key>"+key+"</Key>") {
				t.Errorf("%s has no %s:\n%s", list, key, r.body)
			}
		}
		if !strings.Contains(r.body, "<EncodingType>url</EncodingType>") || !strings.Contains(r.body, "<Prefix>p/sub/</Prefix>") {
			t.Errorf("%s: %s", list, r.body)
		}
		if r := w.do(t, ask{method: "GET", target: "/box" + strings.Replace(list, "type=url", "type=other", 1)}); r.status != http.StatusBadRequest || r.code() != "InvalidArgument" {
			t.Errorf("another encoding: %d %s", r.status, r.body)
		}
	}
}

// The attributes of an object are those of HeadObject, with the parts that it came in.
func TestAttributesKeepTheParts(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "hello")
	wanted := http.Header{"X-Amz-Object-Attributes": {"ETag,Checksum,ObjectParts,StorageClass,ObjectSize"}}
	r := w.must(t, ask{method: "GET", target: "/box/k?attributes=", header: wanted})
	if _, err := time.Parse(http.TimeFormat, r.header.Get("Last-Modified")); err != nil {
		t.Errorf("Last-Modified: %v", err)
	}
	if strings.Contains(r.body, "ObjectParts") || element(r.body, "ObjectSize") != "5" || element(r.body, "ETag") != fmt.Sprintf("%x", md5.Sum([]byte("hello"))) {
		t.Errorf("an object in one piece: %s", r.body)
	}
	if sum := element(r.body, "ChecksumCRC64NVME"); sum != sumOf(t, "crc64nvme", []byte("hello")) {
		t.Errorf("its checksum is %q: %s", sum, r.body)
	}
	for name, list := range map[string][]string{"with spaces": {"ETag, ObjectSize"}, "in two headers": {"ETag", "ObjectSize"}} {
		if r := w.do(t, ask{method: "GET", target: "/box/k?attributes=", header: http.Header{"X-Amz-Object-Attributes": list}}); element(r.body, "ObjectSize") != "5" || element(r.body, "ETag") == "" {
			t.Errorf("asked for %s: %d %s", name, r.status, r.body)
		}
	}
	if r := w.do(t, ask{method: "GET", target: "/box/k?attributes=", header: http.Header{"X-Amz-Object-Attributes": {"ETag, Colour"}}}); r.code() != "InvalidArgument" {
		t.Errorf("an attribute that nobody knows: %d %s", r.status, r.body)
	}
	inParts(t, w, "/box/up", "SHA256", []int{5 << 20, 5 << 20, 3})
	r = w.must(t, ask{method: "GET", target: "/box/up?attributes=", header: wanted})
	if element(r.body, "PartsCount") != "3" || strings.Count(r.body, "<Part>") != 3 || element(r.body, "IsTruncated") != "false" || !strings.Contains(r.body, "<Size>3</Size>") {
		t.Errorf("an object in three: %s", r.body)
	}
	if sum := element(r.body, "ChecksumSHA256"); len(sum) != 44 {
		t.Errorf("its checksum is %q", sum)
	}
	for i, want := range []string{sumOf(t, "sha256", bytes.Repeat([]byte("x"), 5<<20)), sumOf(t, "sha256", bytes.Repeat([]byte("x"), 5<<20)), sumOf(t, "sha256", []byte("xxx"))} {
		part := strings.Split(r.body, "<Part>")[i+1]
		h := w.must(t, ask{method: "HEAD", target: fmt.Sprintf("/box/up?partNumber=%d", i+1), header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}}).header
		if got := element(part, "ChecksumSHA256"); got != want || h.Get("X-Amz-Checksum-Sha256") != want || h.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
			t.Errorf("part %d has the checksum %q, alone %v, want %q", i+1, got, h, want)
		}
	}
	g := w.must(t, ask{method: "GET", target: "/box/up?partNumber=3", header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}})
	if g.body != "xxx" || g.header.Get("X-Amz-Checksum-Sha256") != sumOf(t, "sha256", []byte("xxx")) {
		t.Errorf("part 3 is %q with %v", g.body, g.header)
	}
	page := http.Header{"X-Amz-Object-Attributes": {"ObjectParts"}, "X-Amz-Max-Parts": {"1"}, "X-Amz-Part-Number-Marker": {"1"}}
	r = w.must(t, ask{method: "GET", target: "/box/up?attributes=", header: page})
	if strings.Count(r.body, "<Part>") != 1 || element(r.body, "PartNumber") != "2" || element(r.body, "IsTruncated") != "true" || element(r.body, "NextPartNumberMarker") != "2" || element(r.body, "PartsCount") != "3" {
		t.Errorf("a page of one: %s", r.body)
	}
}

// The parts of an object have their checksums also where the client named no algorithm, and where metadata lies in files; an object in its place has none.
func TestAnObjectKeepsTheChecksumsOfItsParts(t *testing.T) {
	for kept, metaFiles := range map[string]bool{"attributes": false, "files": true} {
		t.Run(kept, func(t *testing.T) {
			w := openWire(t, t.TempDir(), metaFiles)
			ofParts := func() reply {
				return w.must(t, ask{method: "GET", target: "/box/k?attributes=", header: http.Header{"X-Amz-Object-Attributes": {"ObjectParts"}}})
			}
			inParts(t, w, "/box/k", "", []int{4})
			if r := ofParts(); element(r.body, "ChecksumCRC64NVME") != sumOf(t, "crc64nvme", []byte("xxxx")) {
				t.Errorf("no algorithm: %s", r.body)
			}
			inParts(t, w, "/box/k", "CRC32C", []int{3})
			if r := ofParts(); element(r.body, "ChecksumCRC32C") != sumOf(t, "crc32c", []byte("xxx")) || strings.Contains(r.body, "CRC64") {
				t.Errorf("CRC32C: %s", r.body)
			}
			w.put(t, "/box/k", "one piece")
			if r := ofParts(); strings.Contains(r.body, "<Part>") {
				t.Errorf("in one piece: %s", r.body)
			}
			h := w.must(t, ask{method: "HEAD", target: "/box/k?partNumber=1", header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}}).header
			if h.Get("X-Amz-Checksum-Crc64nvme") != sumOf(t, "crc64nvme", []byte("one piece")) || h.Get("X-Amz-Checksum-Crc32c") != "" {
				t.Errorf("in one piece: %v", h)
			}
		})
	}
}

// inParts makes an object of parts of these sizes, each with a checksum of the algorithm; "" for none.
func inParts(t *testing.T, w *wire, target, algorithm string, sizes []int) {
	t.Helper()
	var with http.Header
	if algorithm != "" {
		with = http.Header{"X-Amz-Checksum-Algorithm": {algorithm}}
	}
	id := element(w.must(t, ask{method: "POST", target: target + "?uploads=", header: with}).body, "UploadId")
	var list strings.Builder
	for i, size := range sizes {
		body, name := []byte(strings.Repeat("x", size)), "x-amz-checksum-"+strings.ToLower(algorithm)
		if algorithm == "" {
			r := w.must(t, ask{method: "PUT", target: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, i+1, id), body: body})
			fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, r.header.Get("ETag"))
			continue
		}
		sum := sumOf(t, name, body)
		r := w.must(t, ask{method: "PUT", target: fmt.Sprintf("%s?partNumber=%d&uploadId=%s", target, i+1, id), body: body, header: http.Header{http.CanonicalHeaderKey(name): {sum}}})
		fmt.Fprintf(&list, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Checksum%s>%s</Checksum%[3]s></Part>", i+1, r.header.Get("ETag"), algorithm, sum)
	}
	w.must(t, ask{method: "POST", target: target + "?uploadId=" + id, body: []byte("<CompleteMultipartUpload>" + list.String() + "</CompleteMultipartUpload>")})
}

// Making one's own bucket again succeeds in the oldest region, and leaves what is in it.
func TestABucketIsKeptWhenItIsMadeAgain(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "hello")
	w.must(t, ask{method: "PUT", target: "/box"})
	if r := w.must(t, ask{method: "GET", target: "/box/k"}); r.body != "hello" {
		t.Errorf("the object is %q", r.body)
	}
	w.server.store.region = "eu-central-1"
	if r := w.do(t, ask{method: "PUT", target: "/box"}); r.status != http.StatusConflict || r.code() != "BucketAlreadyOwnedByYou" {
		t.Errorf("in another region: %d %s", r.status, r.body)
	}
}

// Every document that is answered is in S3's namespace; some clients read nothing else.
func TestAnswersKeepTheNamespace(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "hello")
	body := []byte(`<CORSConfiguration><CORSRule><AllowedOrigin>http://page.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>*</AllowedHeader></CORSRule></CORSConfiguration>`)
	sum := md5.Sum(body)
	w.must(t, ask{method: "PUT", target: "/box?cors=", body: body, header: http.Header{"Content-Md5": {base64.StdEncoding.EncodeToString(sum[:])}}})
	attributes := http.Header{"X-Amz-Object-Attributes": {"ETag"}}
	for _, a := range []ask{{method: "GET", target: "/"}, {method: "GET", target: "/box"}, {method: "GET", target: "/box?list-type=2"}, {method: "GET", target: "/box?versions="},
		{method: "GET", target: "/box?uploads="}, {method: "GET", target: "/box?cors="}, {method: "GET", target: "/box?location="}, {method: "GET", target: "/box?versioning="},
		{method: "GET", target: "/box?acl="}, {method: "GET", target: "/box?ownershipControls="}, {method: "GET", target: "/box/k?attributes=", header: attributes},
		{method: "GET", target: "/box/k?tagging="}, {method: "GET", target: "/box/k?acl="}, {method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Copy-Source": {"/box/k"}}},
		{method: "POST", target: "/box/up?uploads="}} {
		r := w.do(t, a)
		var root struct{ XMLName xml.Name }
		if err := xml.Unmarshal([]byte(r.body), &root); r.status != http.StatusOK || err != nil || root.XMLName.Space != "http://s3.amazonaws.com/doc/2006-03-01/" {
			t.Errorf("%s %s: %d, namespace %q, %v: %.200s", a.method, a.target, r.status, root.XMLName.Space, err, r.body)
		}
	}
	object := xmlHead + "<Mine></Mine>"
	w.put(t, "/box/mine.xml", object)
	if r := w.must(t, ask{method: "GET", target: "/box/mine.xml"}); r.body != object {
		t.Errorf("an object that is a document became %q", r.body)
	}
	preflight := "OPTIONS /box/k HTTP/1.1\r\nHost: 127.0.0.1:4601\r\nOrigin: http://page.example\r\nAccess-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: x-amz-date\r\n\r\n"
	if r := w.raw(t, []byte(preflight), "OPTIONS")[0]; r.status != http.StatusOK || r.header.Get("Access-Control-Allow-Origin") != "http://page.example" {
		t.Errorf("a browser that asks first: %d %v %s", r.status, r.header, r.body)
	}
	if r := w.raw(t, []byte(strings.Replace(preflight, "page.example", "other.example", 1)), "OPTIONS")[0]; r.status != http.StatusForbidden {
		t.Errorf("from another page: %d", r.status)
	}
}

// The ACL that an object is said to have may be set again; no other may.
func TestAnObjectsACLKeepsItToItsOwner(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/k", "hello")
	acl := w.must(t, ask{method: "GET", target: "/box/k?acl="}).body
	if element(acl, "ID") != "000000000000" || element(acl, "Permission") != "FULL_CONTROL" {
		t.Errorf("the ACL is %s", acl)
	}
	if r := w.document(t, "PUT", "/box/k?acl=", acl); r.status != http.StatusOK {
		t.Errorf("its own: %d %s", r.status, r.body)
	}
	if r := w.document(t, "PUT", "/box/k?acl=", strings.ReplaceAll(acl, "000000000000", "111111111111")); r.status != http.StatusBadRequest || r.code() != "AccessControlListNotSupported" {
		t.Errorf("another's: %d %s", r.status, r.body)
	}
	for canned, want := range map[string]int{"private": 200, "bucket-owner-full-control": 200, "public-read": 400, "authenticated-read": 400} {
		if r := w.do(t, ask{method: "PUT", target: "/box/k?acl=", header: http.Header{"X-Amz-Acl": {canned}}}); r.status != want {
			t.Errorf("%s: %d %s", canned, r.status, r.body)
		}
	}
	if r := w.do(t, ask{method: "GET", target: "/box/none?acl="}); r.status != http.StatusNotFound {
		t.Errorf("of no object: %d %s", r.status, r.body)
	}
}

// Where nobody made an object of a directory, nobody can delete it: the request succeeds, as for any key without an object, and what is in the
// directory stays. Programs that write files into S3 delete such keys by the dozen.
func TestDeletingADirectoryKeepsWhatIsInIt(t *testing.T) {
	w := newWire(t)
	w.put(t, "/box/dir/sub/k", "hello")
	w.must(t, ask{method: "PUT", target: "/box/dir/"})
	for range 2 { // as an object, and then as none
		w.must(t, ask{method: "DELETE", target: "/box/dir/"})
	}
	r := w.deletes(t, "<Object><Key>dir/</Key></Object><Object><Key>dir/sub/</Key></Object><Object><Key>never/</Key></Object>")
	if strings.Count(r.body, "<Deleted>") != 3 || strings.Contains(r.body, "<Error>") {
		t.Errorf("deleting directories: %s", r.body)
	}
	if r := w.must(t, ask{method: "GET", target: "/box/dir/sub/k"}); r.body != "hello" {
		t.Errorf("the object is %q", r.body)
	}
	if r := w.do(t, ask{method: "HEAD", target: "/box/dir/"}); r.status != http.StatusNotFound {
		t.Errorf("the directory is an object: %d", r.status)
	}
}

// The one version that there is goes by the name that listings of versions give it.
func TestAnObjectIsItsVersionNull(t *testing.T) {
	w := newWire(t)
	w.must(t, ask{method: "PUT", target: "/box/k", body: []byte("hello"), header: http.Header{"X-Amz-Tagging": {"a=b"}}})
	version := element(w.must(t, ask{method: "GET", target: "/box?versions="}).body, "VersionId")
	if version != "null" {
		t.Fatalf("the version is called %q", version)
	}
	for _, a := range []ask{{method: "GET", target: "/box/k?versionId=null"}, {method: "HEAD", target: "/box/k?versionId=null"}, {method: "GET", target: "/box/k?tagging=&versionId=null"},
		{method: "GET", target: "/box/k?attributes=&versionId=null", header: http.Header{"X-Amz-Object-Attributes": {"ETag"}}},
		{method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Copy-Source": {"/box/k?versionId=null"}}}, {method: "DELETE", target: "/box/k?versionId=null"}} {
		w.must(t, a)
	}
	if r := w.do(t, ask{method: "GET", target: "/box/copy?versionId=00000000000000000000000000"}); r.status != http.StatusBadRequest {
		t.Errorf("another version: %d %s", r.status, r.body)
	}
	if r := w.do(t, ask{method: "HEAD", target: "/box/k"}); r.status != http.StatusNotFound {
		t.Errorf("after its deletion: %d", r.status)
	}
	w.must(t, ask{method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Copy-Source": {"/box/copy"}, "X-Amz-Storage-Class": {"STANDARD_IA"}}})
	for class, want := range map[string]int{"STANDARD_IA": 200, "COLD": 400} {
		if r := w.do(t, ask{method: "PUT", target: "/box/copy", header: http.Header{"X-Amz-Storage-Class": {class}}}); r.status != want {
			t.Errorf("class %s: %d %s", class, r.status, r.body)
		}
	}
}

// A client that signs the body {} and sends none may begin an upload, and nothing else.
func TestAnUploadBeginsWhateverItsBodyWasSignedAs(t *testing.T) {
	w := newWire(t)
	r := w.must(t, ask{method: "POST", target: "/box/k?uploads=", payload: emptyObject})
	id := element(r.body, "UploadId")
	if id == "" {
		t.Fatal(r.body)
	}
	w.must(t, ask{method: "PUT", target: "/box/k?partNumber=1&uploadId=" + id, body: []byte("part")})
	for _, a := range []ask{
		{method: "POST", target: "/box/k?uploads=", payload: strings.Repeat("0", 64)},
		{method: "PUT", target: "/box/k?partNumber=2&uploadId=" + id, payload: emptyObject},
		{method: "PUT", target: "/box/l", payload: emptyObject},
	} {
		if r := w.do(t, a); r.code() != "XAmzContentSHA256Mismatch" {
			t.Errorf("%s %s: %d %s", a.method, a.target, r.status, r.body)
		}
	}
}
