package s3_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Clients of others, as they come. They share one server, in a process of its own; each has buckets of its own.

// outside is the address of that server. It ends with this process.
var outside = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "batholith")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "outside")
	if out, err := exec.Command("go", "build", "-o", binary, "./outside").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the server: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, region, accountID, keyID, secret)
	cmd.Stderr = os.Stderr
	if outsideInput, err = cmd.StdinPipe(); err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", err
	}
	os.RemoveAll(dir)
	address, err := bufio.NewReader(out).ReadString('\n')
	return strings.TrimSpace(address), err
})

// outsideInput is what that process reads. It is closed when this process ends, and not before.
var outsideInput io.Closer

// visitor runs the commands of one client.
type visitor struct {
	t       *testing.T
	url     string
	dir     string // where they run
	environ []string
}

// visit skips the test where the client's command is not there.
func visit(t *testing.T, command string) visitor {
	t.Helper()
	t.Parallel()
	if _, err := exec.LookPath(command); err != nil {
		t.Skipf("%s is not here; make deps installs it, as root, where a package index can be reached", command)
	}
	url, err := outside()
	must(t, err)
	kept := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "AWS_") || strings.HasPrefix(v, "RCLONE_") })
	return visitor{t, url, t.TempDir(), kept}
}

// run expects success and returns what was printed.
func (v visitor) run(args ...string) string {
	v.t.Helper()
	cmd := exec.CommandContext(v.t.Context(), args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = v.dir, v.environ, &out, &errs
	if err := cmd.Run(); err != nil {
		v.t.Fatalf("%q: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

// tree writes files of the kinds that clients treat differently: empty, small, in parts of 5 MiB, with names that must be escaped.
func (v visitor) tree() {
	v.t.Helper()
	for name, body := range map[string][]byte{"tree/empty": nil, "tree/sub/a b+c%20": []byte("a"), "tree/ü dir/ñ&x": []byte("ñ"), "tree/big": noise(11 << 20)} {
		path := filepath.Join(v.dir, name)
		must(v.t, os.MkdirAll(filepath.Dir(path), 0o777))
		must(v.t, os.WriteFile(path, body, 0o666))
	}
}

// same compares two folders.
func (v visitor) same(a, b string) {
	v.t.Helper()
	if diff := cmp.Diff(stored(v.t, filepath.Join(v.dir, a)), stored(v.t, filepath.Join(v.dir, b))); diff != "" {
		v.t.Error(diff)
	}
}

func TestRcloneKeepsATree(t *testing.T) {
	v := visit(t, "rclone")
	v.environ = append(v.environ, "RCLONE_CONFIG="+filepath.Join(v.dir, "none"), "RCLONE_CONFIG_E_TYPE=s3", "RCLONE_CONFIG_E_PROVIDER=Other",
		"RCLONE_CONFIG_E_ENDPOINT="+v.url, "RCLONE_CONFIG_E_ACCESS_KEY_ID="+keyID, "RCLONE_CONFIG_E_SECRET_ACCESS_KEY="+secret, "RCLONE_CONFIG_E_REGION="+region,
		"RCLONE_S3_UPLOAD_CUTOFF=5M", "RCLONE_S3_CHUNK_SIZE=5M", "RCLONE_S3_COPY_CUTOFF=5M", "RCLONE_RETRIES=1")
	v.tree()
	v.run("rclone", "mkdir", "e:rclone")
	v.run("rclone", "sync", "tree", "e:rclone/t")
	if again := v.run("rclone", "sync", "--stats-one-line", "--dry-run", "-v", "tree", "e:rclone/t"); strings.Contains(again, "Skipped copy") {
		t.Errorf("nothing had changed, yet sync says %s", again)
	}
	v.run("rclone", "copyto", "e:rclone/t/big", "e:rclone/copy") // in parts, by the server
	v.run("rclone", "moveto", "e:rclone/copy", "e:rclone/back/big")
	v.run("rclone", "copy", "e:rclone/back", "moved")
	v.run("rclone", "sync", "e:rclone/t", "down")
	v.same("tree", "down")
	v.run("rclone", "touch", "e:rclone/t/empty")
	var listed []struct{ Path string }
	must(t, json.Unmarshal([]byte(v.run("rclone", "lsjson", "-R", "--files-only", "-M", "e:rclone")), &listed))
	if len(listed) != 5 {
		t.Errorf("listed %v", listed)
	}
	v.run("rclone", "cleanup", "e:rclone") // uploads that were left
	v.run("rclone", "purge", "e:rclone")
	if left := v.run("rclone", "lsf", "e:"); strings.Contains(left, "rclone/") {
		t.Errorf("left: %s", left)
	}
}

func TestS3cmdKeepsATree(t *testing.T) {
	v := visit(t, "s3cmd")
	host := strings.TrimPrefix(v.url, "http://")
	settings := fmt.Sprintf("[default]\naccess_key = %s\nsecret_key = %s\nhost_base = %s\nhost_bucket = %[3]s\nuse_https = False\nbucket_location = %s\nmultipart_chunk_size_mb = 5\nmax_retries = 0\n",
		keyID, secret, host, region)
	must(t, os.WriteFile(filepath.Join(v.dir, "s3cfg"), []byte(settings), 0o600))
	s3cmd := func(args ...string) string {
		t.Helper()
		return v.run(append([]string{"s3cmd", "-c", "s3cfg", "--no-progress"}, args...)...)
	}
	v.tree()
	s3cmd("mb", "s3://s3cmd")
	s3cmd("sync", "tree/", "s3://s3cmd/t/")
	if again := s3cmd("sync", "tree/", "s3://s3cmd/t/"); strings.Contains(again, "upload:") {
		t.Errorf("nothing had changed, yet sync says %s", again)
	}
	s3cmd("cp", "s3://s3cmd/t/big", "s3://s3cmd/copy")
	s3cmd("mv", "s3://s3cmd/copy", "s3://s3cmd/moved")
	s3cmd("modify", "--add-header=x-amz-meta-a:b", "s3://s3cmd/moved")
	if info := s3cmd("info", "s3://s3cmd/moved"); !strings.Contains(info, "FULL_CONTROL") || !strings.Contains(info, "x-amz-meta-a: b") {
		t.Errorf("info says %s", info)
	}
	s3cmd("setacl", "--acl-private", "s3://s3cmd/moved")
	s3cmd("sync", "s3://s3cmd/t/", "down/")
	v.same("tree", "down")
	resp, err := http.Get(strings.TrimSpace(s3cmd("signurl", "s3://s3cmd/t/sub/a b+c%20", "+600"))) // by Signature Version 2
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	resp.Body.Close()
	if string(body) != "a" {
		t.Errorf("by URL: %s %s", resp.Status, body)
	}
	s3cmd("--signature-v2", "put", "tree/big", "s3://s3cmd/old")
	if list := s3cmd("--signature-v2", "ls", "-r", "s3://s3cmd"); strings.Count(list, "s3://s3cmd/") != 6 {
		t.Errorf("listed %s", list)
	}
	s3cmd("del", "-r", "--force", "s3://s3cmd")
	s3cmd("rb", "s3://s3cmd")
}

// leftOut are the tests of minio-go that are not run, by their names, and why.
var leftOut = map[string]string{
	".*Versioning.*|testListObjectVersions|testListObjectsChecksums|testGetObjectAttributes(ErrorCases)?|testRemoveMultipleObjectsWithResult": "there is one version of each object",
	".*(SSE|Encrypted|Decrypted).*":                             "the embedded S3 does not encrypt, and refuses who asks for it",
	"testMakeBucketError(V2)?|testMakeBucketRegions(V2)?":       "there is one region",
	"testStorageClassMetadata.*":                                "there is one storage class, STANDARD",
	"testRemoveObjects(Iter)?":                                  "a lock is kept on a version",
	"testCors":                                                  "reads a bucket without a signature; anonymous requests are refused",
	"testListMultipartUpload":                                   "wants an upload without a storage class, as MinIO lists it",
	"testListUnsorted|testObjectAnnotations|testGetObjectS3Zip": "extensions of MinIO's",
	"testBucketNotification":                                    "there are no notifications",
	"testPresignedPostPolicyWrongFile":                          "compares the spaces in a message",
	"testTrailingChecksums|testPutMultipartObjectWithChecksums": "a part has no checksum of its own once the object is complete",
	"testPutObjectReadAt|testRemoveMultipleObjects(Iter)?|testFPutObject|testGetObjectRanges|testPutObjectWithMetadata|testFPutObjectMultipart|" +
		"testPutObjectNoLengthV2|testPutObjectsUnknownV2|testCompose10KSources(V2)?": "takes hundreds of megabytes to show what others show",
}

// runnerText runs the tests that it is told, and says of each whether it passed.
const runnerText = `package main

import (
	"fmt"
	"os"
)

func main() {
	for _, name := range os.Args[1:] {
		func() {
			defer func() {
				if r := recover(); r != nil {
					fmt.Println("FAILED", name, r)
				}
			}()
			named[name]()
			fmt.Println("ENDED", name)
		}()
	}
}

var named = map[string]func(){
%s}
`

// minioTests builds minio-go's tests, which are a program, out of the module cache, and returns the program and the names of the tests.
func minioTests(t *testing.T) (binary string, names []string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join("minio", name))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o666))
	}
	tool := func(args ...string) []byte {
		cmd := exec.CommandContext(t.Context(), "go", args...)
		cmd.Dir = dir
		var errs bytes.Buffer
		cmd.Stderr = &errs
		out, err := cmd.Output()
		if err != nil && args[0] == "mod" {
			t.Skipf("minio-go is not in the module cache, and cannot be fetched: %s", errs.String())
		} else if err != nil {
			t.Fatalf("go %q: %v\n%s", args, err, errs.String())
		}
		return out
	}
	var module struct{ Dir string }
	must(t, json.Unmarshal(tool("mod", "download", "-json", "github.com/minio/minio-go/v7"), &module))
	source, err := os.ReadFile(filepath.Join(module.Dir, "functional_tests.go"))
	must(t, err)
	var table strings.Builder
	for _, m := range regexp.MustCompile(`(?m)^\t+(test[A-Z]\w*)\(\)$`).FindAllSubmatch(source, -1) { // as its main calls them
		if name := string(m[1]); !slices.Contains(names, name) {
			fmt.Fprintf(&table, "\t%q: %[1]s,\n", name)
			names = append(names, name)
		}
	}
	source = bytes.Replace(source, []byte("\nfunc main() {"), []byte("\nfunc asShipped() {"), 1)
	source = bytes.Replace(source, []byte("//go:build mint\n"), nil, 1)
	must(t, os.WriteFile(filepath.Join(dir, "functional.go"), source, 0o666))
	must(t, os.WriteFile(filepath.Join(dir, "runner.go"), fmt.Appendf(nil, runnerText, table.String()), 0o666))
	binary = filepath.Join(dir, "tests")
	tool("build", "-o", binary, ".")
	return binary, names
}

func TestMinioGoPassesItsOwnTests(t *testing.T) {
	v := visit(t, "go")
	binary, names := minioTests(t)
	for pattern := range leftOut {
		out := regexp.MustCompile("^(" + pattern + ")$")
		before := len(names)
		if names = slices.DeleteFunc(names, out.MatchString); len(names) == before {
			t.Errorf("minio-go has no test %s any more", pattern)
		}
	}
	v.environ = append(v.environ, "SERVER_ENDPOINT="+strings.TrimPrefix(v.url, "http://"), "ACCESS_KEY="+keyID, "SECRET_KEY="+secret, "ENABLE_HTTPS=0", "MINT_MODE=full")
	out := v.run(append([]string{binary}, names...)...)
	for _, line := range strings.Split(out, "\n") {
		if strings.HasPrefix(line, "FAILED") || strings.Contains(line, `"status":"FAIL"`) {
			t.Error(line)
		}
	}
	if n := strings.Count(out, "ENDED "); n < len(names) || n < 40 {
		t.Errorf("only %d of %d tests ran to their ends", n, len(names))
	}
}
