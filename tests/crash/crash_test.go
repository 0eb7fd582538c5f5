// Package crash kills the real program while it works, starts it again, and counts what the model server was asked.
package crash

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/tests/harness"
)

func TestMain(m *testing.M) { harness.Main(m) }

// witness is a model server that remembers how often each prompt was asked, and how many requests were open at once.
type witness struct {
	url     string
	latency time.Duration

	mu     sync.Mutex
	asked  map[string]int
	open   int
	most   int
	signal chan struct{} // told at every request
}

func newWitness(t *testing.T, latency time.Duration) *witness {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &witness{url: "http://" + ln.Addr().String() + "/v1", latency: latency, asked: map[string]int{}, signal: make(chan struct{}, 1)}
	srv := &http.Server{Handler: w}
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	return w
}

func (w *witness) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/models") {
		io.WriteString(rw, `{"object":"list","data":[{"id":"m","object":"model"}]}`)
		return
	}
	var body struct{ Messages []struct{ Content string } }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil || len(body.Messages) != 1 {
		http.Error(rw, `{"error":{"message":"bad body"}}`, http.StatusBadRequest)
		return
	}
	prompt := body.Messages[0].Content
	w.mu.Lock()
	w.asked[prompt]++
	w.open++
	w.most = max(w.most, w.open)
	w.mu.Unlock()
	select {
	case w.signal <- struct{}{}:
	default:
	}
	select {
	case <-time.After(w.latency):
	case <-r.Context().Done():
	}
	w.mu.Lock()
	w.open--
	w.mu.Unlock()
	fmt.Fprintf(rw, `{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}`,
		"answer to "+prompt)
}

// requests returns all requests, the prompts asked, and the most that were open at once.
func (w *witness) requests() (all, prompts, most int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, n := range w.asked {
		all += n
	}
	return all, len(w.asked), w.most
}

// awaitRequests waits until the model server was asked so often.
func (w *witness) awaitRequests(t *testing.T, n int) {
	t.Helper()
	late := time.After(time.Minute)
	for {
		if all, _, _ := w.requests(); all >= n {
			return
		}
		select {
		case <-w.signal:
		case <-late:
			all, _, _ := w.requests()
			t.Fatalf("%d requests within a minute, want %d", all, n)
		}
	}
}

// site is a server, a job on it, and its clients.
type site struct {
	*harness.Server
	t   *testing.T
	job string
}

func (s *site) config() (string, aws.CredentialsProvider) {
	return s.At.Region, credentials.NewStaticCredentialsProvider(s.At.AccessKeyID, s.At.SecretAccessKey, "")
}

func (s *site) bedrock() *bedrock.Client {
	region, creds := s.config()
	return bedrock.New(bedrock.Options{Region: region, Credentials: creds, BaseEndpoint: &s.At.Bedrock})
}

func (s *site) s3() *s3.Client {
	region, creds := s.config()
	return s3.New(s3.Options{Region: region, Credentials: creds, BaseEndpoint: &s.At.S3, UsePathStyle: true})
}

// begin starts a server before a model server and a job of so many records on it.
func begin(t *testing.T, w *witness, records int) *site {
	t.Helper()
	s := &site{t: t, Server: harness.Start(t, fmt.Sprintf("models:\n- {id: m, family: openai, backends: [{url: %q, max_in_flight: 16}]}\n", w.url))}
	var lines bytes.Buffer
	for i := range records {
		fmt.Fprintf(&lines, `{"recordId":"r%d", "modelInput":{"messages":[{"role":"user","content":"p%d"}] , "max_tokens":5}}`+"\n", i, i)
	}
	if _, err := s.s3().PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: aws.String("in/a.jsonl"),
		Body: bytes.NewReader(lines.Bytes())}); err != nil {
		t.Fatal(err)
	}
	out, err := s.bedrock().CreateModelInvocationJob(t.Context(), &bedrock.CreateModelInvocationJobInput{
		JobName: aws.String("crash"), ModelId: aws.String("m"), RoleArn: aws.String("arn:aws:iam::000000000000:role/batholith"),
		InputDataConfig:  &types.ModelInvocationJobInputDataConfigMemberS3InputDataConfig{Value: types.ModelInvocationJobS3InputDataConfig{S3Uri: aws.String("s3://batholith/in/a.jsonl")}},
		OutputDataConfig: &types.ModelInvocationJobOutputDataConfigMemberS3OutputDataConfig{Value: types.ModelInvocationJobS3OutputDataConfig{S3Uri: aws.String("s3://batholith/out/")}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.job = *out.JobArn
	return s
}

func (s *site) get() *bedrock.GetModelInvocationJobOutput {
	s.t.Helper()
	out, err := s.bedrock().GetModelInvocationJob(s.t.Context(), &bedrock.GetModelInvocationJobInput{JobIdentifier: &s.job})
	if err != nil {
		s.t.Fatal(err)
	}
	return out
}

// end waits for the job's end.
func (s *site) end() *bedrock.GetModelInvocationJobOutput {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	for {
		out := s.get()
		if out.EndTime != nil {
			return out
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("the job is %s with %d of %d records\n%s", out.Status, *out.ProcessedRecordCount, *out.TotalRecordCount, s.Log())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// check compares output, counters and manifest: every record once, in input order, its input untouched.
func (s *site) check(records int) {
	s.t.Helper()
	id := s.job[strings.LastIndexByte(s.job, '/')+1:]
	read := func(key string) []byte {
		out, err := s.s3().GetObject(s.t.Context(), &s3.GetObjectInput{Bucket: aws.String("batholith"), Key: aws.String("out/" + id + "/" + key)})
		if err != nil {
			s.t.Fatal(err)
		}
		defer out.Body.Close()
		b, err := io.ReadAll(out.Body)
		if err != nil {
			s.t.Fatal(err)
		}
		return b
	}
	sc, n := bufio.NewScanner(bytes.NewReader(read("a.jsonl.out"))), 0
	for ; sc.Scan(); n++ {
		want := fmt.Sprintf(`{"recordId":"r%d","modelInput":{"messages":[{"role":"user","content":"p%d"}] , "max_tokens":5},"modelOutput":`, n, n)
		if !strings.HasPrefix(sc.Text(), want) || !strings.Contains(sc.Text(), fmt.Sprintf("answer to p%d", n)) {
			s.t.Fatalf("line %d is %q", n+1, sc.Text())
		}
	}
	var manifest struct{ TotalRecordCount, ProcessedRecordCount, SuccessRecordCount, ErrorRecordCount int }
	if err := json.Unmarshal(read("manifest.json.out"), &manifest); err != nil {
		s.t.Fatal(err)
	}
	if n != records || manifest.TotalRecordCount != records || manifest.SuccessRecordCount != records || manifest.ProcessedRecordCount != records {
		s.t.Errorf("%d lines, manifest %+v; want %d", n, manifest, records)
	}
	list, err := s.s3().ListObjectsV2(s.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String("batholith"), Prefix: aws.String("out/")})
	if err != nil || len(list.Contents) != 2 {
		s.t.Errorf("%d objects below the output (%v), want the answers and the manifest only", len(list.Contents), err)
	}
}

func TestKillsAtRandomMomentsLoseNothingAndRepeatOnlyWhatWasInFlight(t *testing.T) {
	const records, kills = 1500, 5
	seed := uint64(time.Now().UnixNano())
	r := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	w := newWitness(t, 20*time.Millisecond)
	s := begin(t, w, records)
	for range kills {
		all, _, _ := w.requests()
		w.awaitRequests(t, min(all+1+r.IntN(250), records-20))
		s.Kill()
		s.Server.Start()
	}
	if out := s.end(); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s: %s", out.Status, aws.ToString(out.Message))
	}
	s.check(records)
	all, prompts, most := w.requests()
	if prompts != records || all-prompts > kills*most || most > 16 {
		t.Errorf("%d records asked, %d repeats after %d kills, %d in flight", prompts, all-prompts, kills, most)
	}
}

func TestKillsBeforeTheFirstRecordAreHarmless(t *testing.T) {
	w := newWitness(t, 0)
	s := begin(t, w, 200)
	s.Kill() // somewhere between Submitted and the end
	s.Server.Start()
	if out := s.end(); out.Status != types.ModelInvocationJobStatusCompleted {
		t.Fatalf("the job ended %s", out.Status)
	}
	s.check(200)
}

func TestTerminateAsksNothingTwice(t *testing.T) {
	w := newWitness(t, 50*time.Millisecond)
	s := begin(t, w, 600)
	w.awaitRequests(t, 100)
	if code := s.Stop(); code != 0 {
		t.Errorf("exit status %d after SIGTERM\n%s", code, s.Log())
	}
	s.Server.Start()
	s.end()
	s.check(600)
	if all, prompts, _ := w.requests(); all != prompts || prompts != 600 {
		t.Errorf("%d requests for %d records", all, prompts)
	}
}

func TestStopWithinASecondKeepsWhatWasFinished(t *testing.T) {
	w := newWitness(t, 50*time.Millisecond)
	s := begin(t, w, 5000)
	w.awaitRequests(t, 100)
	asked := time.Now()
	if _, err := s.bedrock().StopModelInvocationJob(t.Context(), &bedrock.StopModelInvocationJobInput{JobIdentifier: &s.job}); err != nil {
		t.Fatal(err)
	}
	out := s.end()
	if out.Status != types.ModelInvocationJobStatusStopped || *out.ProcessedRecordCount < 64 {
		t.Errorf("%s with %d records", out.Status, *out.ProcessedRecordCount)
	}
	if took := out.EndTime.Sub(asked); took > 2*time.Second {
		t.Logf("stopping took %s", took)
	}
	all, _, _ := w.requests()
	if all > int(*out.ProcessedRecordCount)+16 {
		t.Errorf("%d requests, %d records processed: more is lost than was in flight", all, *out.ProcessedRecordCount)
	}
}
