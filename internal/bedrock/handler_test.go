package bedrock

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith"
)

func TestAPathFindsItsOperation(t *testing.T) {
	const body = `{"resourceARN":"` + testARN + `","tags":[],"tagKeys":[]}`
	for target, want := range map[string]any{
		"GET /model-invocation-job/" + testID:                          GetModelInvocationJobInput{JobIdentifier: testID},
		"GET /model-invocation-job/" + escaped:                         GetModelInvocationJobInput{JobIdentifier: testARN},
		"GET /model-invocation-job/" + testARN:                         GetModelInvocationJobInput{JobIdentifier: testARN},
		"POST /model-invocation-job/" + escaped + "/stop":              StopModelInvocationJobInput{JobIdentifier: testARN},
		"POST /model-invocation-job/" + testARN + "/stop":              StopModelInvocationJobInput{JobIdentifier: testARN},
		"POST /model-invocation-job/" + escaped + "/pause":             PauseModelInvocationJobInput{JobIdentifier: testARN},
		"POST /model-invocation-job/" + testID + "/resume":             ResumeModelInvocationJobInput{JobIdentifier: testID},
		"POST /model-invocation-job/" + testID + "/forget":             ForgetModelInvocationJobInput{JobIdentifier: testID},
		"POST /model-invocation-job/" + testID + "/forget-with-output": ForgetModelInvocationJobAndOutputInput{JobIdentifier: testID},
		"GET /model-invocation-jobs":                                   ListModelInvocationJobsInput{},
		"GET /kept-results/" + escaped:                                 GetKeptResultsInput{JobIdentifier: testARN},
		"POST /kept-results/" + testID + "/publish":                    PublishKeptResultsInput{JobIdentifier: testID},
		"POST /kept-results/" + testARN + "/discard":                   DiscardKeptResultsInput{JobIdentifier: testARN},
		"POST /tagResource":                                            TagResourceInput{ResourceARN: testARN, Tags: []Tag{}},
		"POST /untagResource":                                          UntagResourceInput{ResourceARN: testARN, TagKeys: []string{}},
		"POST /listTagsForResource":                                    ListTagsForResourceInput{ResourceARN: testARN},
		"GET /foundation-models":                                       ListFoundationModelsInput{},
		"GET /foundation-models/Qwen%2FQwen2.5-7B":                     GetFoundationModelInput{ModelIdentifier: "Qwen/Qwen2.5-7B"},
		"GET /foundation-model-availability/amazon.nova-a":             GetFoundationModelAvailabilityInput{ModelID: "amazon.nova-a"},
		"GET /inference-profiles?type=APPLICATION":                     ListInferenceProfilesInput{TypeEquals: InferenceProfileTypeApplication},
		"GET /inference-profiles/us.amazon.nova-a":                     GetInferenceProfileInput{InferenceProfileIdentifier: "us.amazon.nova-a"},
	} {
		f := newTester(ProfileDefault)
		method, path, _ := strings.Cut(target, " ")
		w := f.send(t, method, path, body)
		if w.Code != http.StatusOK {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		if d := cmp.Diff(want, f.asked); d != "" {
			t.Errorf("%s: %s", target, d)
		}
		if f.caller.Principal != "alice" {
			t.Errorf("%s: called by %v", target, f.caller)
		}
	}
}

func TestAnUnknownOperationIsNamedInTheRefusal(t *testing.T) {
	for _, target := range []string{
		"GET /", "GET /model-invocation-job", "GET /model-invocation-job/", "DELETE /model-invocation-job/" + testID,
		"POST /model-invocation-job/" + testID, "GET /tagResource", "PUT /model-invocation-job", "GET /model-invocation-jobs/",
		"POST /model-invocation-job//stop", "GET /nothing%2Fhere",
	} {
		method, path, _ := strings.Cut(target, " ")
		w := newTester(ProfileDefault).send(t, method, path, "")
		if w.Code != http.StatusNotFound || w.Header().Get("x-amzn-ErrorType") != CodeUnknownOperation {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// Only a body that is read must be covered by the signature.
func TestABodyThatNothingReadsNeedNotBeSigned(t *testing.T) {
	const body = `{"resourceARN":"` + testARN + `","tags":[],"tagKeys":[]}`
	for target, want := range map[string]int{
		"POST /model-invocation-job/" + escaped + "/stop": http.StatusOK,
		"GET /model-invocation-job/" + escaped:            http.StatusOK,
		"POST /kept-results/" + escaped + "/discard":      http.StatusOK,
		"POST /tagResource":                               http.StatusForbidden,
		"POST /check-model-invocation-job":                http.StatusForbidden,
		"POST /model-invocation-job":                      http.StatusForbidden,
	} {
		for _, signed := range []string{"", body} {
			f := newTester(ProfileDefault)
			h := NewHandler(f, Options{Authenticate: func(_ *http.Request, got []byte) (Caller, error) {
				if string(got) != signed {
					return Caller{}, AccessDenied("no")
				}
				return Caller{Principal: "alice"}, nil
			}})
			method, path, _ := strings.Cut(target, " ")
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
			if ok := w.Code != http.StatusForbidden; ok != (want == http.StatusOK || signed == body) {
				t.Errorf("%s with the body %q signed: %d %s", target, signed, w.Code, w.Body)
			}
		}
	}
}

func TestAnIdentifierIsAnIDOrAnARNOfAJob(t *testing.T) {
	for _, bad := range []string{"my-job", "ABCDEFGHIJKL", testID + "m", "arn%3Aaws%3As3%3A%3A%3Abucket", "a%00bcdefghijk", "%FFbcdefghijkl"} {
		w := newTester(ProfileDefault).send(t, "GET", "/model-invocation-job/"+bad, "")
		if w.Code != http.StatusBadRequest || w.Header().Get("x-amzn-ErrorType") != CodeValidation {
			t.Errorf("%s: %d %s", bad, w.Code, w.Body)
		}
	}
}

func TestAQueryIsReadAsEverySDKWritesIt(t *testing.T) {
	at := func(ns int) Timestamp { return Timestamp{time.Date(2026, 1, 2, 3, 4, 5, ns, time.UTC)} }
	for query, want := range map[string]ListModelInvocationJobsInput{
		"submitTimeAfter=2026-01-02T03%3A04%3A05.678000Z":    {SubmitTimeAfter: at(678e6)}, // boto3
		"submitTimeAfter=2026-01-02T03:04:05.678Z":           {SubmitTimeAfter: at(678e6)}, // JS, Go
		"submitTimeBefore=2026-01-02T03%3A04%3A05Z":          {SubmitTimeBefore: at(0)},    // AWS CLI
		"submitTimeBefore=2026-01-02T03:04:05.123456789Z":    {SubmitTimeBefore: at(123456789)},
		"submitTimeBefore=2026-01-02T05%3A04%3A05%2B02%3A00": {SubmitTimeBefore: at(0)},
		"submitTimeBefore=2026-01-02T05:04:05+02:00":         {SubmitTimeBefore: at(0)},
		"submitTimeBefore=1767323045":                        {SubmitTimeBefore: at(0)},
		"submitTimeBefore=1767323045.5":                      {SubmitTimeBefore: at(5e8)},
		"statusEquals=InProgress&nameContains=a.b&unknown=1": {StatusEquals: batholith.StatusInProgress, NameContains: "a.b"},
		"maxResults=1000&nextToken=abc&sortBy=CreationTime":  {MaxResults: 1000, NextToken: "abc", SortBy: SortJobsByCreationTime},
		"sortOrder=Ascending&maxResults=1":                   {SortOrder: SortOrderAscending, MaxResults: 1},
	} {
		f := newTester(ProfileDefault)
		if w := f.send(t, "GET", "/model-invocation-jobs?"+query, ""); w.Code != http.StatusOK {
			t.Errorf("%s: %s", query, w.Body)
		}
		if d := cmp.Diff(want, f.asked); d != "" {
			t.Errorf("%s: %s", query, d)
		}
	}
}

func TestABadQueryIsAValidationException(t *testing.T) {
	for query, says := range map[string]string{
		"maxResults=0":                             "Member must have value greater than or equal to 1",
		"maxResults=1001":                          "Member must have value less than or equal to 1000",
		"maxResults=many":                          "Member must be an integer",
		"maxResults=":                              "Member must be an integer",
		"maxResults=99999999999":                   "Member must be an integer",
		"statusEquals=Done":                        "Member must satisfy enum value set: [Submitted, InProgress,",
		"sortOrder=Up":                             "Member must satisfy enum value set: [Ascending, Descending]",
		"sortBy=Name":                              "Member must satisfy enum value set: [CreationTime]",
		"nameContains=a_b":                         "Member must satisfy regular expression pattern",
		"nextToken=":                               "Member must have length greater than or equal to 1",
		"nextToken=a%20b":                          "Member must satisfy regular expression pattern: \\S*",
		"submitTimeAfter=yesterday":                "Member must be a timestamp",
		"submitTimeAfter=2026-01-02":               "Member must be a timestamp",
		"submitTimeAfter=NaN":                      "Member must be a timestamp",
		"submitTimeAfter=99999999999999":           "Member must be a timestamp",
		"submitTimeAfter=0001-01-01T00:00:00Z":     "Member must be a timestamp",
		"a=%zz":                                    "The query is not percent-encoded",
		"sortOrder=Ascending&sortOrder=Descending": "'sortOrder' stands twice",
		"maxResults=1&maxResults=1":                "'maxResults' stands twice",
	} {
		w := newTester(ProfileDefault).send(t, "GET", "/model-invocation-jobs?"+query, "")
		if w.Header().Get("x-amzn-ErrorType") != CodeValidation || !strings.Contains(w.Body.String(), strings.ReplaceAll(says, `\`, `\\`)) {
			t.Errorf("%s: %s", query, w.Body)
		}
	}
}

func TestABodyThatIsNoObjectIsASerializationException(t *testing.T) {
	for body, says := range map[string]string{
		"{":                        "The body is not JSON",
		"{\"a\":1}x":               "The body is not JSON",
		"[]":                       "The body is not a JSON object",
		"null":                     "The body is not a JSON object",
		"\"a\"":                    "The body is not a JSON object",
		`{"a":1,"a":2}`:            "The body is not JSON",
		"{\"a\":\"\xff\"}":         "The body is not JSON",
		strings.Repeat("[", 20000): "The body is not JSON",
	} {
		w := newTester(ProfileDefault).send(t, "POST", "/model-invocation-job", body)
		if w.Code != http.StatusBadRequest || w.Header().Get("x-amzn-ErrorType") != CodeSerialization || !strings.Contains(w.Body.String(), says) {
			t.Errorf("%.20s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := newTester(ProfileDefault).send(t, "POST", "/model-invocation-job", " \n"); !strings.Contains(w.Body.String(), "5 validation errors") {
		t.Errorf("no body: %s", w.Body)
	}
	long := `{"jobName":"` + strings.Repeat("a", MaxBody) + `"}`
	if w := newTester(ProfileDefault).send(t, "POST", "/model-invocation-job", long); w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("long body: %d %s", w.Code, w.Body)
	}
}

// fullJob has every member set that a job can have.
func fullJob() JobSummary {
	at := func(s int) Timestamp {
		return Timestamp{time.Date(2026, 1, 2, 3, 4, s, 123456789, time.FixedZone("", 3600))}
	}
	return JobSummary{
		JobARN: testARN, JobName: "job", ModelID: "model", ClientRequestToken: "token", RoleARN: "arn:aws:iam::000000000000:role/batch",
		Status: batholith.StatusCompleted, Message: "<all & well>", SubmitTime: at(0), LastModifiedTime: at(1), EndTime: at(2), JobExpirationTime: at(3),
		InputDataConfig:  &InputDataConfig{&S3InputDataConfig{S3InputFormatJSONL, "s3://in-bucket/in.jsonl", "000000000000"}},
		OutputDataConfig: &OutputDataConfig{&S3OutputDataConfig{"s3://out-bucket/out/", "alias/key", "000000000000"}},
		VPCConfig:        &VPCConfig{[]string{"subnet-0a"}, []string{"sg-0a"}}, TimeoutDurationInHours: 24,
		ModelInvocationType: batholith.Converse, TotalRecordCount: 3, ProcessedRecordCount: 2, SuccessRecordCount: 1, ErrorRecordCount: 1,
	}
}

// bareJob has only what every job has.
func bareJob() JobSummary {
	return JobSummary{JobARN: testARN, JobName: "job", ModelID: "model", RoleARN: "arn:aws:iam::000000000000:role/batch",
		SubmitTime:       Timestamp{time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		InputDataConfig:  &InputDataConfig{&S3InputDataConfig{S3URI: "s3://in-bucket/in.jsonl"}},
		OutputDataConfig: &OutputDataConfig{&S3OutputDataConfig{S3URI: "s3://out-bucket/out/"}}}
}

func TestAnswersOnTheWire(t *testing.T) {
	want, err := os.ReadFile("testdata/answers.txt")
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for _, c := range []struct {
		what, method, target, body string
		job                        JobSummary
		fail                       error
	}{
		{what: "create", method: "POST", target: "/model-invocation-job", body: valid},
		{what: "get a full job", method: "GET", target: "/model-invocation-job/" + escaped, job: fullJob()},
		{what: "get a bare job", method: "GET", target: "/model-invocation-job/" + testID, job: bareJob()},
		{what: "list", method: "GET", target: "/model-invocation-jobs", job: bareJob()},
		{what: "stop", method: "POST", target: "/model-invocation-job/" + testID + "/stop"},
		{what: "tags of none", method: "POST", target: "/listTagsForResource", body: `{"resourceARN":"` + testARN + `"}`},
		{what: "models of none", method: "GET", target: "/foundation-models"},
		{what: "too many tags", method: "POST", target: "/tagResource", body: `{"resourceARN":"` + testARN + `","tags":[]}`, fail: TooManyTags(testARN, "too many")},
		{what: "conflict", method: "POST", target: "/model-invocation-job", body: valid, fail: Conflict("in use")},
		{what: "denied", method: "POST", target: "/model-invocation-job", body: valid, fail: AccessDenied("no")},
		{what: "not found", method: "GET", target: "/model-invocation-job/" + testID, fail: NotFound("no job")},
		{what: "quota", method: "POST", target: "/model-invocation-job", body: valid, fail: QuotaExceeded("too many jobs")},
		{what: "throttled", method: "GET", target: "/model-invocation-jobs", fail: Throttling("slow down")},
	} {
		f := newTester(ProfileDefault)
		f.job = c.job
		if c.fail != nil {
			f.fail = func() error { return c.fail }
		}
		w := f.send(t, c.method, c.target, c.body)
		got.WriteString("# " + c.what + "\n" + http.StatusText(w.Code) + " " + w.Header().Get("x-amzn-ErrorType") + "\n" + w.Body.String() + "\n\n")
		if w.Header().Get("Content-Type") != "application/json" || !aUUID.MatchString(w.Header().Get("x-amzn-RequestId")) {
			t.Errorf("%s: %v", c.what, w.Header())
		}
		if f.log.Len() > 0 {
			t.Errorf("%s: logged %s", c.what, &f.log)
		}
	}
	if d := cmp.Diff(string(want), got.String()); d != "" {
		t.Error(d)
	}
}

var aUUID = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)

func TestAFaultIsLoggedAndShownToNobody(t *testing.T) {
	for what, fail := range map[string]func() error{
		"error": func() error { return errors.New("disk 7 is on fire") },
		"panic": func() error { panic("disk 7 is on fire") },
	} {
		f := newTester(ProfileDefault)
		f.fail = fail
		w := f.send(t, "GET", "/model-invocation-jobs", "")
		id := w.Header().Get("x-amzn-RequestId")
		if w.Code != http.StatusInternalServerError || w.Header().Get("x-amzn-ErrorType") != CodeInternalServer {
			t.Errorf("%s: %d", what, w.Code)
		}
		if strings.Contains(w.Body.String(), "disk") || !strings.Contains(w.Body.String(), id) {
			t.Errorf("%s: told %s", what, w.Body)
		}
		if log := f.log.String(); !strings.Contains(log, "disk 7 is on fire") || !strings.Contains(log, id) {
			t.Errorf("%s: logged %s", what, log)
		}
		if len(f.seen) != 1 || f.seen[0].Status != 500 || f.seen[0].Operation != "ListModelInvocationJobs" {
			t.Errorf("%s: observed %v", what, f.seen)
		}
	}
}

// An SDK makes a typed error only of what the operation declares, so anything else is worth a word to us.
func TestAnUndeclaredErrorIsComplainedOf(t *testing.T) {
	f := newTester(ProfileDefault)
	f.fail = func() error { return Conflict("odd") }
	if w := f.send(t, "GET", "/model-invocation-jobs", ""); w.Code != http.StatusBadRequest {
		t.Error(w.Code)
	}
	if !strings.Contains(f.log.String(), "undeclared error") {
		t.Errorf("logged %q", f.log.String())
	}
}

// refused is a refusal of another package.
type refused struct{}

func (refused) Error() string { return "who are you?" }
func (refused) Refusal() (string, int, string) {
	return "UnrecognizedClientException", 403, "who are you?"
}

func TestAnUnknownCallerDoesNotReachTheService(t *testing.T) {
	e := &echo{}
	h := NewHandler(e, Options{Authenticate: func(r *http.Request, body []byte) (Caller, error) {
		if string(body) != valid {
			t.Errorf("authenticates %q", body)
		}
		return Caller{}, refused{}
	}})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/model-invocation-job", strings.NewReader(valid)))
	if w.Code != 403 || w.Header().Get("x-amzn-ErrorType") != "UnrecognizedClientException" || e.asked != nil {
		t.Errorf("%d %s, asked %v", w.Code, w.Body, e.asked)
	}
}

// untouchable fails the test when a byte of a body is asked for.
type untouchable struct{ t *testing.T }

func (u untouchable) Read([]byte) (int, error) {
	u.t.Error("the body is read")
	return 0, io.EOF
}

func TestABodyIsReadOnlyOfWhoIsAdmitted(t *testing.T) {
	e := &echo{}
	h := NewHandler(e, Options{Admit: func(*http.Request) error { return refused{} },
		Authenticate: func(*http.Request, []byte) (Caller, error) { t.Error("authenticates"); return Caller{}, nil }})
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("POST", "/model-invocation-job", untouchable{t}))
	if w.Code != 403 || w.Header().Get("Connection") != "close" || e.asked != nil {
		t.Errorf("%d, Connection: %q, asked %v", w.Code, w.Header().Get("Connection"), e.asked)
	}
}

func FuzzBody(f *testing.F) {
	f.Add([]byte(valid))
	f.Add([]byte(`{"tags":[{"key":null},7,[]],"vpcConfig":{"subnetIds":{}},"timeoutDurationInHours":-1e300}`))
	f.Add([]byte(`{"inputDataConfig":{"s3InputDataConfig":{},"x":1},"modelId":"\ud800"}`))
	h := newTester(ProfileAWS) // once: its rules are compiled
	f.Fuzz(func(t *testing.T, body []byte) {
		w := h.send(t, "POST", "/model-invocation-job", string(body))
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzPath(f *testing.F) {
	f.Add("model-invocation-job/"+escaped+"/stop", "")
	f.Add("model-invocation-jobs", "submitTimeAfter=1e400&maxResults=+1&sortOrder=%41scending")
	f.Add("foundation-models/%2e%2e/%2f", "type=;")
	h := newTester(ProfileDefault)
	f.Fuzz(func(t *testing.T, path, query string) {
		r, err := http.NewRequest("GET", "http://localhost/"+path+"?"+query, nil)
		if err != nil {
			return
		}
		r.Body = http.NoBody
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 400 && w.Code != 404 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
