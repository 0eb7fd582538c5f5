package secrets

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	awssts "github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/batholith/batholith/tests/harness"
)

// secret is what may be only in some places.
type secret struct {
	name  string
	bytes []byte
	may   func(place string) bool // nil: nowhere
}

// plainObject reports whether a place is an object of a job without a key.
func plainObject(place string) bool {
	_, file, _ := strings.Cut(place, ": ")
	return strings.HasPrefix(file, "s3/") && !strings.Contains(file, "sealed")
}

// forms are the ways in which bytes are often written: as they are, in JSON, in a URL, in hexadecimal, and in Base64. In Base64 of a
// longer text they may begin at any of three bits: those digits are left out that also depend on the neighbours.
func forms(b []byte) (all [][]byte) {
	quoted, _ := json.Marshal(string(b))
	for _, s := range []string{string(b), strings.Trim(string(quoted), `"`), url.QueryEscape(string(b)), url.PathEscape(string(b)),
		hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b))} {
		all = append(all, []byte(s))
	}
	for shift := range 3 {
		for _, e := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			digits := e.EncodeToString(append(make([]byte, shift), b...))
			last := (shift + len(b)) * 8 / 6 // digits of whole bytes
			all = append(all, []byte(digits[(shift*8+5)/6:last]))
		}
	}
	return all
}

// search fails the test for each secret in a place where it may not be. It also checks itself: a secret that may be somewhere is there.
func (w *written) search(secrets []secret) {
	w.t.Helper()
	places := make([]string, 0, len(w.texts))
	for place := range w.texts {
		places = append(places, place)
	}
	slices.Sort(places)
	for _, s := range secrets {
		if len(s.bytes) < 8 {
			w.t.Errorf("%s is %q: it was not planted", s.name, s.bytes)
			continue
		}
		found := false
		for _, place := range places {
			for _, form := range forms(s.bytes) {
				at := bytes.Index(w.texts[place], form)
				if at < 0 {
					continue
				}
				if s.may != nil && s.may(place) {
					found = true
					continue
				}
				w.t.Errorf("%s is in %s: …%q…", s.name, place, w.texts[place][max(0, at-200):min(len(w.texts[place]), at+len(form)+100)])
				break
			}
		}
		if s.may != nil && !found {
			w.t.Errorf("%s is nowhere, also where it should be", s.name)
		}
	}
}

// TestTheSearchFindsASecretInEveryForm shows that the search above would find what it searches for.
func TestTheSearchFindsASecretInEveryForm(t *testing.T) {
	const planted = "k\"ey/of+some\\one"
	quoted, _ := json.Marshal(planted)
	texts := []string{planted, string(quoted), url.QueryEscape(planted), url.PathEscape(planted), hex.EncodeToString([]byte(planted))}
	for _, before := range []string{"", "a", "ab", "abc", "user:"} {
		for _, after := range []string{"", "z", "yz"} {
			texts = append(texts, base64.StdEncoding.EncodeToString([]byte(before+planted+after)), base64.RawURLEncoding.EncodeToString([]byte(before+planted+after)))
		}
	}
	for _, text := range texts {
		if !slices.ContainsFunc(forms([]byte(planted)), func(form []byte) bool { return strings.Contains("… "+text+" …", string(form)) }) {
			t.Errorf("not found in %q", text)
		}
	}
}

// keyOf reads the bytes of the first version of an encryption key.
func keyOf(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if word := strings.Fields(line); len(word) == 4 && word[0] == "1" {
			b, err := base64.StdEncoding.DecodeString(word[2])
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("%s has no key", path)
	return nil
}

// strangers sends what callers send, right and wrong, with bearer keys, a session of the caller, and presigned URLs. It returns the
// session's keys and the signatures of the URLs.
func (w *written) strangers(s *harness.Server) (session aws.Credentials, signatures []string) {
	t := w.t
	t.Helper()
	right := credentials.NewStaticCredentialsProvider(s.At.AccessKeyID, s.At.SecretAccessKey, "")
	out, err := awssts.New(awssts.Options{Region: s.At.Region, BaseEndpoint: &s.At.Bedrock, Credentials: right}).GetSessionToken(t.Context(), &awssts.GetSessionTokenInput{})
	if err != nil {
		t.Fatal(err)
	}
	session = aws.Credentials{AccessKeyID: *out.Credentials.AccessKeyId, SecretAccessKey: *out.Credentials.SecretAccessKey, SessionToken: *out.Credentials.SessionToken}

	// Each of these keys asks both services; the last two are refused.
	for i, key := range []aws.Credentials{session, {AccessKeyID: session.AccessKeyID, SecretAccessKey: session.SecretAccessKey, SessionToken: session.SessionToken + "x"},
		{AccessKeyID: s.At.AccessKeyID, SecretAccessKey: s.At.SecretAccessKey + "x"}} {
		provider := credentials.NewStaticCredentialsProvider(key.AccessKeyID, key.SecretAccessKey, key.SessionToken)
		api := bedrock.New(bedrock.Options{Region: s.At.Region, BaseEndpoint: &s.At.Bedrock, Credentials: provider, RetryMaxAttempts: 1})
		objects := s3.New(s3.Options{Region: s.At.Region, BaseEndpoint: &s.At.S3, UsePathStyle: true, Credentials: provider, RetryMaxAttempts: 1})
		_, jobs := api.ListModelInvocationJobs(t.Context(), &bedrock.ListModelInvocationJobsInput{})
		_, put := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(harness.Bucket), Key: aws.String("other.jsonl"), Body: bytes.NewReader(lines(prompt, "fine"))})
		for _, err := range []error{jobs, put} {
			if (err != nil) != (i > 0) {
				t.Errorf("key %d: %v", i, err)
			}
			if err != nil {
				w.add("answer to a wrong key", []byte(err.Error()))
			}
		}
		link, err := s3.NewPresignClient(objects).PresignGetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(harness.Bucket), Key: aws.String("none.jsonl")})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(link.URL)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 { // the others open nothing
			signatures = append(signatures, u.Query().Get("X-Amz-Signature"))
		}
		r, err := http.NewRequest(http.MethodGet, link.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		if status := w.ask("answer to a link", r); status == http.StatusOK {
			t.Error("a link to nothing is answered")
		}
	}

	for key, want := range map[string]int{bearer: http.StatusOK, inline: http.StatusOK, bearer + "x": http.StatusForbidden} {
		r, err := http.NewRequest(http.MethodGet, s.At.Bedrock+"/model-invocation-jobs", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+key)
		if status := w.ask("answer to a bearer key", r); status != want {
			t.Errorf("a bearer key is answered %d, want %d", status, want)
		}
	}
	// A body that is no JSON: the answer names the fault, not the body. (A value that breaks a constraint is quoted to its sender, as in Bedrock.)
	r, err := http.NewRequest(http.MethodPost, s.At.Bedrock+"/model-invocation-job", strings.NewReader(`{"jobName":7,"tags":`+prompt+`}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+bearer)
	if status := w.ask("answer to a bad body", r); status != http.StatusBadRequest {
		t.Errorf("a bad body is answered %d", status)
	}
	return session, signatures
}
