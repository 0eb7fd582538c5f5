package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awsbedrock "github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"golang.org/x/sys/unix"

	"github.com/batholith/batholith/internal/bedrock"
	"github.com/batholith/batholith/internal/config"
	"github.com/batholith/batholith/internal/object"
	"github.com/batholith/batholith/internal/s3serve"
	"github.com/batholith/batholith/internal/simlm"
)

// The test runs itself again in namespaces of its own: one network for the service, and one for the servers that its jobs reach (the site).
// Two pairs of virtual interfaces join them. Nothing of it is seen outside, and everything ends with the process.
//
//	service                             site
//	service0 10.213.0.1, .2, .3  ─────  site0 10.213.0.254 (allowed), .253 (forbidden), 10.215.0.1 (routed by both pairs)
//	service1 10.214.0.1          ─────  site1 10.214.0.254
const inNamespace = "BATHOLITH_TEST_NAMESPACE"

func TestTrafficLeavesByItsSubnetsAddressAndNoOther(t *testing.T) {
	if os.Getenv(inNamespace) == "" {
		again(t)
		return
	}
	w := newPlace(t)
	api, stop := w.service(t)
	w.run(t, api, "net-a", "anthropic.model", []string{"subnet-a"}, []string{"sg"})
	w.run(t, api, "net-b", "anthropic.model", []string{"subnet-b"}, []string{"closed", "sg"})
	w.run(t, api, "net-ab", "anthropic.model", []string{"subnet-absent", "subnet-b"}, []string{"sg"})
	w.run(t, api, "net-d", "anthropic.routed", []string{"subnet-d"}, []string{"sg-d"})
	w.run(t, api, "net-none", "anthropic.model", nil, nil)
	for name, want := range map[string]string{"net-a": "10.213.0.2", "net-b": "10.213.0.3", "net-ab": "10.213.0.3", "net-d": "10.214.0.1", "net-none": "10.213.0.1"} {
		for _, where := range []string{"model", "s3"} {
			if got := w.clients(where, name+"/"); got != want {
				t.Errorf("%s: the %s server was asked from %q, want %q alone", name, where, got, want)
			}
		}
	}

	_, err := w.create(t, api, "net-closed", "anthropic.model", []string{"subnet-a"}, []string{"closed"})
	if err == nil || !strings.Contains(err.Error(), "security group closed has no egress rule for 10.213.0.254:9000; add '10.213.0.254/32:9000'") {
		t.Error("a job that cannot reach the S3 is created:", err)
	}
	_, err = w.create(t, api, "net-blind", "anthropic.model", []string{"subnet-a"}, []string{"sg-s3"})
	if err == nil || !strings.Contains(err.Error(), "security group sg-s3 has no egress rule for 10.213.0.254:8000") {
		t.Error("a job that cannot reach its model server is created:", err)
	}
	// The name evil.test is that of the forbidden address. The job waits, and says for which rule.
	evil, err := w.create(t, api, "net-evil", "anthropic.evil", []string{"subnet-a"}, []string{"sg"})
	if err != nil {
		t.Fatal(err)
	}
	w.until(t, api, evil, func(got *awsbedrock.GetModelInvocationJobOutput, note string) bool {
		return strings.Contains(note, "security group sg has no egress rule for 10.213.0.253:8000 (evil.test); add '10.213.0.253/32:8000'")
	})
	// The server of anthropic.moved answers with a redirect to the forbidden address.
	if _, err = w.create(t, api, "net-moved", "anthropic.moved", []string{"subnet-a"}, []string{"sg"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-w.moved:
	case <-time.After(5 * time.Minute):
		t.Error("the redirecting server was not asked")
	}
	stop()
	if got := w.clients("forbidden", ""); got != "" {
		t.Error("the forbidden server was connected to from", got)
	}
}

// again runs this test in new namespaces.
func again(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err != nil {
		t.Fatal("ip (iproute2) is missing: install it with scripts/deps.sh")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), inNamespace+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Skip("this user may not make network namespaces:", err)
	}
	err := cmd.Wait()
	switch {
	case strings.Contains(out.String(), "--- SKIP"):
		t.Skip(out.String())
	case err != nil || !strings.Contains(out.String(), "--- PASS"):
		t.Fatalf("%v\n%s", err, out.String())
	}
}

// place holds the servers of the site, and notes what they saw.
type place struct {
	moved chan struct{}
	s3    *s3.Client // reached inside the process
	dir   string

	mu   sync.Mutex
	seen map[string]map[string]map[string]bool // server → text of a request → client's address
}

// see notes a request, or a connection with an empty text.
func (w *place) see(where, from, text string) {
	host, _, _ := net.SplitHostPort(from)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.seen[where] == nil {
		w.seen[where] = map[string]map[string]bool{}
	}
	if w.seen[where][text] == nil {
		w.seen[where][text] = map[string]bool{}
	}
	w.seen[where][text][host] = true
}

// clients returns the addresses from which a server got requests that hold text.
func (w *place) clients(where, text string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := map[string]bool{}
	for said, hosts := range w.seen[where] {
		for host := range hosts {
			if strings.Contains(said, text) {
				all[host] = true
			}
		}
	}
	return strings.Join(sorted(all), " ")
}

func sorted(set map[string]bool) (keys []string) {
	for k := range set {
		keys = append(keys, k)
	}
	if len(keys) > 1 {
		keys = append(keys, "(several)")
	}
	return keys
}

// witness is a listener that notes its connections and the first lines of HTTP requests.
type witness struct {
	net.Listener
	w     *place
	where string
}

func (l witness) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.w.see(l.where, conn.RemoteAddr().String(), "")
		conn = witnessed{conn, l}
	}
	return conn, err
}

type witnessed struct {
	net.Conn
	l witness
}

var requestLine = regexp.MustCompile(`(GET|PUT|POST|HEAD|DELETE) (\S+) HTTP/1.1\r\n`)

func (c witnessed) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, found := range requestLine.FindAllSubmatch(p[:n], -1) {
		c.l.w.see(c.l.where, c.RemoteAddr().String(), string(found[2]))
	}
	return n, err
}

// newPlace makes the namespaces' interfaces, and starts the servers.
func newPlace(t *testing.T) *place {
	t.Helper()
	w := &place{moved: make(chan struct{}), dir: t.TempDir(), seen: map[string]map[string]map[string]bool{}}
	hosts := filepath.Join(w.dir, "hosts")
	check(t, os.WriteFile(hosts, []byte("127.0.0.1 localhost\n10.213.0.253 evil.test\n10.213.0.254 model.test\n"), 0o644))
	check(t, syscall.Mount("", "/", "", syscall.MS_PRIVATE|syscall.MS_REC, ""))
	check(t, syscall.Mount(hosts, "/etc/hosts", "", syscall.MS_BIND, ""))

	var listeners []net.Listener
	there, made, ready := make(chan string), make(chan struct{}), make(chan error, 1)
	go func() { // the thread ends with the goroutine, since it stays locked; sockets keep the namespace that they were made in
		runtime.LockOSThread()
		ready <- func() error {
			defer close(there)
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return err
			}
			there <- fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
			<-made
			for _, command := range []string{"link set lo up", "addr add 10.213.0.254/24 dev site0", "addr add 10.213.0.253/24 dev site0", "addr add 10.215.0.1/32 dev lo",
				"addr add 10.214.0.254/24 dev site1", "link set site0 up", "link set site1 up"} {
				if err := ip(command); err != nil {
					return err
				}
			}
			for _, address := range []string{"10.213.0.254:8000", "10.213.0.253:8000", "10.213.0.254:8001", "10.215.0.1:8000", "10.213.0.254:9000"} {
				ln, err := net.Listen("tcp", address)
				if err != nil {
					return err
				}
				listeners = append(listeners, ln)
			}
			return nil
		}()
	}()
	if namespace, ok := <-there; ok {
		for _, pair := range []string{"0", "1"} {
			err := ip("link add service" + pair + " type veth peer name site" + pair + " netns " + namespace)
			if err != nil && noVeth.MatchString(err.Error()) {
				t.Skip("this machine has no virtual interfaces:", err)
			}
			check(t, err)
		}
		close(made)
	}
	check(t, <-ready)
	for _, command := range []string{"link set lo up", "addr add 10.213.0.1/24 dev service0", "addr add 10.213.0.2/24 dev service0", "addr add 10.213.0.3/24 dev service0",
		"addr add 10.214.0.1/24 dev service1", "link set service0 up", "link set service1 up",
		"route add 10.215.0.0/24 via 10.213.0.254 metric 10", "route add 10.215.0.0/24 via 10.214.0.254 metric 20"} {
		check(t, ip(command))
	}
	w.serve(t, listeners)
	return w
}

// noVeth matches what ip says on a kernel without virtual interfaces, and where they are not permitted.
var noVeth = regexp.MustCompile(`not supported|not permitted|Unknown device type`)

// ip runs iproute2 in the network namespace of the calling thread.
func ip(command string) error {
	out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput() //nolint:gosec // the commands are those above
	if err != nil {
		return fmt.Errorf("ip %s: %w: %s", command, err, out)
	}
	return nil
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// serve runs the model servers and the S3 of the site.
func (w *place) serve(t *testing.T, listeners []net.Listener) {
	t.Helper()
	model := simlm.New(simlm.Options{OutputTokens: 4})
	answering := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.see("model", r.RemoteAddr, string(body))
		r.Body = io.NopCloser(bytes.NewReader(body))
		model.ServeHTTP(rw, r)
	})
	var once sync.Once
	moved := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "http://10.213.0.253:8000"+r.URL.Path, http.StatusTemporaryRedirect)
		if r.Method == http.MethodPost {
			once.Do(func() { close(w.moved) })
		}
	})
	for i, h := range []http.Handler{answering, answering, moved, answering} {
		where := "model"
		if i == 1 {
			where = "forbidden"
		}
		s := &httptest.Server{Listener: witness{listeners[i], w, where}, Config: &http.Server{Handler: h}} //nolint:gosec // clients are those of the test
		s.Start()
		t.Cleanup(s.Close)
	}
	s, err := s3serve.New(s3serve.Options{Dir: filepath.Join(w.dir, "s3"), Region: "us-east-1", Owner: "000000000000", Log: slog.New(slog.DiscardHandler),
		Accounts: []s3serve.Account{{AccessKeyID: "AKSITE", Secret: "secret"}}})
	check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, witness{listeners[4], w, "s3"}) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	w.s3 = s3.New(s3.Options{Region: "us-east-1", BaseEndpoint: aws.String("http://s3"), UsePathStyle: true, HTTPClient: object.NewHTTPClientOver(s.Dial),
		Credentials: credentials.NewStaticCredentialsProvider("AKSITE", "secret", "")})
	check(t, s.EnsureBucket("bucket"))
}

// service starts Batholith with the S3 and the model servers of the site.
func (w *place) service(t *testing.T) (*awsbedrock.Client, func()) {
	t.Helper()
	settings := filepath.Join(w.dir, "batholith.yaml")
	check(t, os.WriteFile(settings, []byte(`
data: `+filepath.Join(w.dir, "data")+`
listen: 127.0.0.1:0
s3: {endpoint: "http://10.213.0.254:9000", access_key_id: AKSITE, secret_access_key: secret}
credentials: [{access_key_id: AKALICE, secret_access_key: secret, principal: alice}]
limits: {min_records_per_job: 1}
models:
- {id: anthropic.model, family: anthropic, backends: [{url: "http://10.213.0.254:8000/v1", model: batholith.simulated-v1, max_in_flight: 1}]}
- {id: anthropic.routed, family: anthropic, backends: [{url: "http://10.215.0.1:8000/v1", model: batholith.simulated-v1}]}
- {id: anthropic.evil, family: anthropic, backends: [{url: "http://evil.test:8000/v1", model: batholith.simulated-v1}]}
- {id: anthropic.moved, family: anthropic, backends: [{url: "http://10.213.0.254:8001/v1", model: batholith.simulated-v1}]}
network:
  subnets:
  - {id: subnet-a, source_address: 10.213.0.2}
  - {id: subnet-b, source_address: 10.213.0.3}
  - {id: subnet-absent, source_address: 10.213.0.99}
  - {id: subnet-d, interface: service1}
  security_groups:
  - {id: sg, egress: ["10.213.0.254:8000-9000"]}
  - {id: sg-s3, egress: ["10.213.0.254:9000"]}
  - {id: sg-d, egress: ["10.215.0.0/24:8000", "10.213.0.254:9000"]}
  - {id: closed}
`), 0o600))
	c, err := config.Load(config.Sources{File: settings})
	check(t, err)
	data, err := config.OpenData(c.Data)
	check(t, err)
	c.Data = data.Dir
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan addresses, 1), make(chan error, 1)
	go func() {
		done <- serve(ctx, serveOptions{Config: c, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Ready: func(at addresses) { ready <- at }})
	}()
	var once sync.Once
	stop := func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil && !shutDown(ctx, err) {
				t.Error(err)
			}
			check(t, data.Close())
		})
	}
	t.Cleanup(stop)
	select {
	case at := <-ready:
		return awsbedrock.New(awsbedrock.Options{Region: c.Region, BaseEndpoint: &at.Bedrock, Credentials: credentials.NewStaticCredentialsProvider("AKALICE", "secret", "")}), stop
	case err := <-done:
		done <- err
		t.Fatal(err)
		return nil, nil
	}
}

// create uploads an input, and creates a job over it. Its prompts and its objects begin with the job's name.
func (w *place) create(t *testing.T, api *awsbedrock.Client, name, model string, subnets, groups []string) (*string, error) {
	t.Helper()
	record := `{"recordId":"%d","modelInput":{"anthropic_version":"bedrock-2023-05-31","max_tokens":8,"messages":[{"role":"user","content":"` + name + `/ %d"}]}}` + "\n"
	var input strings.Builder
	for i := range 20 {
		fmt.Fprintf(&input, record, i, i)
	}
	_, err := w.s3.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("bucket"), Key: aws.String(name + "/in/a.jsonl"), Body: strings.NewReader(input.String())})
	check(t, err)
	in := &awsbedrock.CreateModelInvocationJobInput{JobName: &name, ModelId: &model, RoleArn: aws.String("arn:aws:iam::000000000000:role/batholith"),
		InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://bucket/" + name + "/in/")}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://bucket/" + name + "/out/")}}}
	if subnets != nil {
		in.VpcConfig = &types.VpcConfig{SubnetIds: subnets, SecurityGroupIds: groups}
	}
	job, err := api.CreateModelInvocationJob(t.Context(), in)
	if err != nil {
		return nil, err
	}
	return job.JobArn, nil
}

// run runs a job to its end.
func (w *place) run(t *testing.T, api *awsbedrock.Client, name, model string, subnets, groups []string) {
	t.Helper()
	job, err := w.create(t, api, name, model, subnets, groups)
	if err != nil {
		t.Fatal(name, err)
	}
	w.until(t, api, job, func(got *awsbedrock.GetModelInvocationJobOutput, note string) bool {
		switch got.Status {
		case types.ModelInvocationJobStatusFailed, types.ModelInvocationJobStatusPartiallyCompleted:
			t.Fatalf("%s is %s: %s", name, got.Status, aws.ToString(got.Message))
		}
		return got.Status == types.ModelInvocationJobStatusCompleted
	})
}

// until waits until what Get says of a job is as wanted.
func (w *place) until(t *testing.T, api *awsbedrock.Client, job *string, wanted func(got *awsbedrock.GetModelInvocationJobOutput, note string) bool) {
	t.Helper()
	often := time.NewTicker(20 * time.Millisecond)
	defer often.Stop()
	late := time.After(5 * time.Minute)
	for {
		got, err := api.GetModelInvocationJob(t.Context(), &awsbedrock.GetModelInvocationJobInput{JobIdentifier: job})
		check(t, err)
		note := awsmiddleware.GetRawResponse(got.ResultMetadata).(*smithyhttp.Response).Header.Get(bedrock.NoteHeader)
		if wanted(got, note) {
			return
		}
		select {
		case <-often.C:
		case <-late:
			t.Fatalf("the job is %s: %q %q", got.Status, aws.ToString(got.Message), note)
		}
	}
}
