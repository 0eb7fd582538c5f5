package s3_test

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// cli runs the AWS CLI, as it comes, against one server.
type cli struct {
	t    *testing.T
	e    endpoint
	dir  string // where it runs
	shop *shop  // nil: each command is a process of its own
}

// knowsEndpoints tells whether the AWS CLI is here, and recent enough to ask the endpoint that it is given: an older one would ask
// Amazon's. It knows batch inference then, which came later.
var knowsEndpoints = sync.OnceValue(func() bool {
	out, err := exec.Command("aws", "bedrock", "create-model-invocation-job", "--generate-cli-skeleton").Output()
	return err == nil && bytes.Contains(out, []byte("modelId"))
})

func newCLI(t *testing.T) cli {
	t.Helper()
	t.Parallel()
	if !knowsEndpoints() {
		t.Skip("the AWS CLI is not here, or too old; make deps installs it where a package index can be reached")
	}
	c := cli{t: t, e: serve(t, t.TempDir()), dir: t.TempDir()}
	c.shop = openShop(c)
	return c
}

// environ is what a program of AWS's is told by its environment: where, who, and to look nowhere else.
func environ(e endpoint) []string {
	return append(os.Environ(), "AWS_ACCESS_KEY_ID="+keyID, "AWS_SECRET_ACCESS_KEY="+secret, "AWS_DEFAULT_REGION="+region,
		"AWS_ENDPOINT_URL="+e.url, "AWS_CONFIG_FILE="+os.DevNull, "AWS_SHARED_CREDENTIALS_FILE="+os.DevNull, "AWS_PAGER=",
		"AWS_EC2_METADATA_DISABLED=true")
}

// said is what a command printed and how it ended.
type said struct {
	Code        int
	Out, Errors string
}

// do runs one command. Arguments are separated by spaces.
func (c cli) do(args string) said {
	c.t.Helper()
	if c.shop != nil {
		return c.shop.do(c.t, strings.Fields(args))
	}
	cmd := exec.CommandContext(c.t.Context(), "aws", strings.Fields(args)...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = c.dir, environ(c.e), &out, &errs
	if err := cmd.Run(); cmd.ProcessState == nil {
		c.t.Fatal(err)
	}
	return said{cmd.ProcessState.ExitCode(), out.String(), errs.String()}
}

// shop is a process that runs commands of the AWS CLI one after the other. The CLI takes longer to start than for all that a test does with
// it.
type shop struct {
	in  io.Writer
	out *json.Decoder
}

// shopText runs what awscli's own script runs, for each line of JSON that it reads.
const shopText = `
import io, json, os, sys
import awscli.clidriver
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    out, err = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
    sys.stdout, sys.stderr = out, err
    try:
        code = awscli.clidriver.create_clidriver().main(json.loads(line))
    except SystemExit as e:
        code = e.code
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    json.dump({"Code": code or 0, "Out": out.buffer.getvalue().decode(), "Errors": err.buffer.getvalue().decode()}, answers)
    answers.write("\n")
    answers.flush()
`

// python is an interpreter that has the AWS CLI as a package; "" where the CLI came in another way.
var python = sync.OnceValue(func() string {
	candidates := []string{"python3"}
	if aws, err := exec.LookPath("aws"); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(aws), "python"))
	}
	for _, one := range candidates {
		if exec.Command(one, "-c", "import awscli.clidriver").Run() == nil {
			return one
		}
	}
	return ""
})

// openShop starts the process, which ends with the test.
func openShop(c cli) *shop {
	c.t.Helper()
	if python() == "" {
		return nil
	}
	cmd := exec.Command(python(), "-c", shopText)
	cmd.Dir, cmd.Env, cmd.Stderr = c.dir, environ(c.e), testWriter{c.t}
	in, err := cmd.StdinPipe()
	must(c.t, err)
	out, err := cmd.StdoutPipe()
	must(c.t, err)
	must(c.t, cmd.Start())
	c.t.Cleanup(func() {
		in.Close()
		cmd.Wait()
	})
	return &shop{in, json.NewDecoder(out)}
}

func (s *shop) do(t *testing.T, args []string) (r said) {
	t.Helper()
	line, err := json.Marshal(args)
	must(t, err)
	_, err = s.in.Write(append(line, '\n'))
	must(t, err)
	must(t, s.out.Decode(&r))
	return r
}

// run expects success and returns what was printed.
func (c cli) run(args string) string {
	c.t.Helper()
	r := c.do(args)
	if r.Code != 0 {
		c.t.Fatalf("aws %s: exit %d\n%s%s", args, r.Code, r.Out, r.Errors)
	}
	return r.Out
}

// fails expects failure with an error that mentions what.
func (c cli) fails(what, args string) {
	c.t.Helper()
	if r := c.do(args); r.Code == 0 || !strings.Contains(r.Out+r.Errors, what) {
		c.t.Errorf("aws %s: exit %d, expected %s:\n%s%s", args, r.Code, what, r.Out, r.Errors)
	}
}

// get runs and decodes the JSON printed.
func (c cli) get(args string) map[string]any {
	c.t.Helper()
	var v map[string]any
	out := c.run(args)
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		c.t.Fatalf("aws %s printed %q: %v", args, out, err)
	}
	return v
}

func (c cli) write(name string, body []byte) {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	must(c.t, os.MkdirAll(filepath.Dir(path), 0o777))
	must(c.t, os.WriteFile(path, body, 0o666))
}

func (c cli) same(name string, want []byte) {
	c.t.Helper()
	got, err := os.ReadFile(filepath.Join(c.dir, name))
	must(c.t, err)
	if !bytes.Equal(got, want) {
		c.t.Errorf("%s has %d bytes, not the %d expected", name, len(got), len(want))
	}
}

// keys lists a bucket.
func (c cli) keys(bucket string) []string {
	c.t.Helper()
	keys := []string{}
	for _, o := range list(c.get("s3api list-objects-v2 --output json --bucket " + bucket)["Contents"]) {
		keys = append(keys, o["Key"].(string))
	}
	return keys
}

func list(v any) []map[string]any {
	var all []map[string]any
	items, _ := v.([]any)
	for _, i := range items {
		all = append(all, i.(map[string]any))
	}
	return all
}

// noise makes n bytes that do not compress.
func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

func TestAwsS3MovesFiles(t *testing.T) {
	c := newCLI(t)
	small, big := []byte(`{"recordId":"1"}`+"\n"), noise(20<<20) // above the CLI's threshold for multipart
	c.write("in/a.jsonl", small)
	c.write("in/sub dir/ü+%20.jsonl", small)
	c.write("big.bin", big)
	c.run("s3 mb s3://bucket-one")
	c.run("s3api create-bucket --bucket bucket-one") // in us-east-1, making one's own again succeeds

	c.run("s3 cp --recursive in s3://bucket-one/in")
	c.run("s3 cp big.bin s3://bucket-one/big.bin")
	want := []string{"big.bin", "in/a.jsonl", "in/sub dir/ü+%20.jsonl"}
	if diff := cmp.Diff(want, c.keys("bucket-one")); diff != "" {
		t.Error(diff)
	}
	if out := c.run("s3 ls s3://bucket-one/in/"); !strings.Contains(out, "a.jsonl") || !strings.Contains(out, "PRE sub dir/") {
		t.Errorf("ls printed %s", out)
	}
	if out := c.run("s3 ls"); !strings.Contains(out, "bucket-one") {
		t.Errorf("ls printed %s", out)
	}

	c.run("s3 cp s3://bucket-one/big.bin down.bin")
	c.same("down.bin", big)
	c.run("s3 cp --recursive s3://bucket-one/in down")
	c.same("down/sub dir/ü+%20.jsonl", small)
	if out := c.run("s3 cp s3://bucket-one/in/a.jsonl -"); out != string(small) {
		t.Errorf("streamed %q", out)
	}

	c.run("s3 mb s3://bucket-two")
	c.run("s3 cp s3://bucket-one/big.bin s3://bucket-two/copy.bin") // copied in parts by the server
	c.run("s3 mv s3://bucket-two/copy.bin s3://bucket-two/moved.bin")
	if diff := cmp.Diff([]string{"moved.bin"}, c.keys("bucket-two")); diff != "" {
		t.Error(diff)
	}
	c.run("s3 cp s3://bucket-two/moved.bin moved.bin")
	c.same("moved.bin", big)

	c.fails("BucketNotEmpty", "s3 rb s3://bucket-two")
	c.run("s3 rb --force s3://bucket-two")
	c.run("s3 rm --recursive s3://bucket-one/in")
	if diff := cmp.Diff([]string{"big.bin"}, c.keys("bucket-one")); diff != "" {
		t.Error(diff)
	}
}

func TestAwsS3Syncs(t *testing.T) {
	c := newCLI(t)
	c.run("s3 mb s3://synced")
	for _, name := range []string{"tree/1", "tree/two/2", "tree/two/three/3"} {
		c.write(name, []byte(name))
		// Listings say when to the second, as Amazon's do; of a file that is younger sync thinks that it changed after its upload.
		minuteAgo := time.Now().Add(-time.Minute)
		must(t, os.Chtimes(filepath.Join(c.dir, name), minuteAgo, minuteAgo))
	}
	if out := c.run("s3 sync tree s3://synced/tree"); strings.Count(out, "upload:") != 3 {
		t.Errorf("the first sync printed %s", out)
	}
	if out := c.run("s3 sync tree s3://synced/tree"); strings.Contains(out, "upload:") {
		t.Errorf("nothing had changed, yet sync printed %s", out)
	}
	must(t, os.Remove(filepath.Join(c.dir, "tree/two/2")))
	c.run("s3 sync --delete tree s3://synced/tree")
	if diff := cmp.Diff([]string{"tree/1", "tree/two/three/3"}, c.keys("synced")); diff != "" {
		t.Error(diff)
	}
	c.run("s3 sync s3://synced/tree back")
	var got []string
	must(t, filepath.WalkDir(filepath.Join(c.dir, "back"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(c.dir, path)
			got = append(got, rel)
		}
		return err
	}))
	if diff := cmp.Diff([]string{"back/1", "back/two/three/3"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAwsS3Presigns(t *testing.T) {
	c := newCLI(t)
	c.write("f", []byte("presigned"))
	c.run("s3 mb s3://signed")
	c.run("s3 cp f s3://signed/dir/f")
	url := strings.TrimSpace(c.run("s3 presign s3://signed/dir/f --expires-in 60"))
	for url, want := range map[string]int{url: http.StatusOK, url + "0": http.StatusForbidden, c.e.url + "/signed/dir/f": http.StatusForbidden} {
		resp, err := http.Get(url)
		must(t, err)
		body, err := io.ReadAll(resp.Body)
		must(t, err)
		resp.Body.Close()
		if resp.StatusCode != want || (want == http.StatusOK) != (string(body) == "presigned") {
			t.Errorf("%s: %s %s", url, resp.Status, body)
		}
	}
}

func TestAwsS3APIOfObjects(t *testing.T) {
	c := newCLI(t)
	c.write("body", []byte("0123456789"))
	c.run("s3api create-bucket --bucket objects")
	c.run("s3api head-bucket --bucket objects --expected-bucket-owner " + accountID)
	c.fails("403", "s3api head-bucket --bucket objects --expected-bucket-owner 999999999999")
	c.run("s3api get-bucket-location --bucket objects")

	c.run("s3api put-object --bucket objects --key d/one --body body --content-type text/x-test --metadata color=blue")
	head := c.get("s3api head-object --bucket objects --key d/one")
	if diff := cmp.Diff([]any{10.0, "text/x-test", map[string]any{"color": "blue"}, `"781e5e245d69b566979b86e28d23f2c7"`},
		[]any{head["ContentLength"], head["ContentType"], head["Metadata"], head["ETag"]}); diff != "" {
		t.Error(diff)
	}
	c.run("s3api get-object --bucket objects --key d/one --range bytes=3-5 part")
	c.same("part", []byte("345"))
	c.fails("PreconditionFailed", "s3api put-object --bucket objects --key d/one --body body --if-none-match *")
	c.fails("304", "s3api get-object --bucket objects --key d/one --if-none-match 781e5e245d69b566979b86e28d23f2c7 none")
	c.fails("NoSuchKey", "s3api get-object --bucket objects --key d/none none")
	c.fails("NoSuchBucket", "s3api get-object --bucket no-bucket --key k none")

	c.run("s3api copy-object --bucket objects --key copied --copy-source objects/d/one")
	if got := c.get("s3api head-object --bucket objects --key copied")["Metadata"]; !cmp.Equal(got, map[string]any{"color": "blue"}) {
		t.Errorf("the copy has metadata %v", got)
	}
	c.run("s3api copy-object --bucket objects --key copied --copy-source objects/copied --metadata-directive REPLACE --metadata color=red")
	c.run("s3api put-object-tagging --bucket objects --key copied --tagging TagSet=[{Key=team,Value=ml}]")
	if got := list(c.get("s3api get-object-tagging --bucket objects --key copied")["TagSet"]); !cmp.Equal(got, []map[string]any{{"Key": "team", "Value": "ml"}}) {
		t.Errorf("tags %v", got)
	}
	c.run("s3api delete-object-tagging --bucket objects --key copied")

	out := c.get("s3api delete-objects --bucket objects --delete Objects=[{Key=copied},{Key=d/one},{Key=never}]")
	if got := list(out["Deleted"]); len(got) != 3 || out["Errors"] != nil {
		t.Errorf("delete-objects answered %v", out)
	}
	c.run("s3api delete-bucket --bucket objects")
}

func TestAwsS3APIKeepsChecksums(t *testing.T) {
	c := newCLI(t)
	c.write("body", []byte("0123456789"))
	c.run("s3api create-bucket --bucket sums")
	for algorithm, sum := range map[string]string{"CRC32": "poTHxg==", "SHA256": "hNiYd/DUBB77a/kaFvAkjy/Vc+avBcGflr7bn4gveII=", "SHA1": ""} {
		c.run("s3api put-object --bucket sums --key k --body body --checksum-algorithm " + algorithm)
		got := c.get("s3api get-object --bucket sums --key k --checksum-mode ENABLED got")
		if stored, _ := got["Checksum"+algorithm].(string); stored == "" || sum != "" && stored != sum {
			t.Errorf("%s: stored %q, want %q", algorithm, stored, sum)
		}
		c.same("got", []byte("0123456789"))
	}
	c.fails("", "s3api put-object --bucket sums --key bad --body body --checksum-sha256 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")
	c.fails("404", "s3api head-object --bucket sums --key bad")
}

func TestAwsS3APIPages(t *testing.T) {
	c := newCLI(t)
	c.run("s3api create-bucket --bucket pages")
	for _, key := range []string{"a", "b/1", "b/2", "b/c/3", "d", "e/4"} {
		c.write(filepath.Join("tree", key), []byte(key))
	}
	c.run("s3 cp --recursive tree s3://pages")
	top := c.get("s3api list-objects-v2 --bucket pages --delimiter /")
	if len(list(top["Contents"])) != 2 || len(list(top["CommonPrefixes"])) != 2 {
		t.Errorf("with a delimiter: %v", top)
	}
	if below := c.get("s3api list-objects-v2 --bucket pages --delimiter / --prefix b/"); len(list(below["Contents"])) != 2 || len(list(below["CommonPrefixes"])) != 1 {
		t.Errorf("below b/: %v", below)
	}
	if all := c.get("s3api list-objects-v2 --bucket pages --page-size 2"); len(list(all["Contents"])) != 6 {
		t.Errorf("page by page: %v", all)
	}
	if some := c.get("s3api list-objects-v2 --bucket pages --start-after b/2 --max-items 2"); len(list(some["Contents"])) != 2 || list(some["Contents"])[0]["Key"] != "b/c/3" {
		t.Errorf("after b/2: %v", some)
	}
	if old := c.get("s3api list-objects --bucket pages --prefix e/"); len(list(old["Contents"])) != 1 {
		t.Errorf("list-objects: %v", old)
	}
}

func TestAwsS3APIOfUploads(t *testing.T) {
	c := newCLI(t)
	part := noise(5 << 20)
	c.write("part", part)
	c.write("last", []byte("the end"))
	c.run("s3api create-bucket --bucket parts")
	begin := func(key string) string {
		return c.get("s3api create-multipart-upload --bucket parts --key " + key)["UploadId"].(string)
	}
	id, other := begin("dir/k"), begin("dir/k")
	if got := list(c.get("s3api list-multipart-uploads --bucket parts")["Uploads"]); len(got) != 2 || got[0]["Key"] != "dir/k" {
		t.Errorf("uploads: %v", got)
	}
	upload := " --bucket parts --key dir/k --upload-id " + id
	e1 := c.get("s3api upload-part --part-number 1 --body part" + upload)["ETag"].(string)
	e2 := c.get("s3api upload-part --part-number 2 --body last" + upload)["ETag"].(string)
	if got := list(c.get("s3api list-parts" + upload)["Parts"]); len(got) != 2 {
		t.Errorf("parts: %v", got)
	}
	c.run("s3api abort-multipart-upload --bucket parts --key dir/k --upload-id " + other)
	c.write("complete.json", []byte(`{"Parts":[{"PartNumber":1,"ETag":`+e1+`},{"PartNumber":2,"ETag":`+e2+`}]}`))
	complete := "s3api complete-multipart-upload --multipart-upload file://complete.json"
	c.run(complete + upload)
	c.run("s3 cp s3://parts/dir/k whole")
	c.same("whole", append(part, "the end"...))
	c.run(complete + upload) // the answer was lost, say
	c.fails("NoSuchUpload", complete+" --bucket parts --key dir/k --upload-id "+other)
	if got := list(c.get("s3api list-multipart-uploads --output json --bucket parts --no-paginate")["Uploads"]); len(got) != 0 {
		t.Errorf("uploads left: %v", got)
	}
}
