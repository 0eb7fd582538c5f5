package sdk_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/batholith/batholith/internal/kms"
)

// signedBatch is a batch as Bedrock's endpoint tells it.
type signedBatch struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Output string `json:"output_file_id"`
	Errors string `json:"error_file_id"`
	Error  struct {
		Code, Message string
	} `json:"error"`
}

// Bedrock's endpoint takes requests that are signed (SigV4) in the place of a key, and the key of the output in a header: both output objects are
// encrypted with it.
func TestSignedBatchesOfBedrocksEndpoint(t *testing.T) {
	dir := t.TempDir()
	data, file := filepath.Join(dir, "data"), filepath.Join(dir, "prompts.key")
	if _, err := kms.Create(file, "key-prompts", time.Now()); err != nil {
		t.Fatal(err)
	}
	yaml := fmt.Sprintf(settings, data, "default", backend(t)) + fmt.Sprintf("kms: {keys: [{aliases: [prompts], file: %q}]}\n", file)
	s := serveSettings(t, data, []byte(yaml))
	objects := s3.New(s3.Options{BaseEndpoint: &s.S3, UsePathStyle: true, Region: region, Credentials: credentials.NewStaticCredentialsProvider(keyID, secret, "")})
	lines := ""
	for n, messages := range []string{`[{"role":"user","content":"Hi"}]`, `3`} {
		lines += fmt.Sprintf(`{"custom_id":"r%d","method":"POST","url":"/v1/chat/completions","body":{"messages":%s}}`+"\n", n, messages)
	}
	if _, err := objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String("batholith"), Key: aws.String("in/day.jsonl"), Body: strings.NewReader(lines)}); err != nil {
		t.Fatal(err)
	}
	// ask sends a request; change may spoil it after it was signed.
	ask := func(method, path, body string, header map[string]string, change func(*http.Request)) (b signedBatch, status int) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, s.Bedrock+path, bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/json")
		for k, v := range header {
			r.Header.Set(k, v)
		}
		sum := sha256.Sum256([]byte(body))
		if err := v4.NewSigner().SignHTTP(t.Context(), aws.Credentials{AccessKeyID: keyID, SecretAccessKey: secret}, r, hex.EncodeToString(sum[:]), "bedrock", region, time.Now()); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(r)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil || json.Unmarshal(text, &b) != nil {
			t.Fatalf("%s %s: %s: %s", method, path, resp.Status, text)
		}
		return b, resp.StatusCode
	}
	const batches = "/openai/v1/batches"
	request := `{"input_file_id":"s3://batholith/in/day.jsonl","endpoint":"/v1/chat/completions","completion_window":"24h"}`
	headers := map[string]string{"X-Amzn-Bedrock-RoleArn": role, "X-Amzn-Bedrock-ModelId": quick, "X-Amzn-Bedrock-OutputEncryptionKeyId": "alias/prompts"}
	b, status := ask(http.MethodPost, batches, request, headers, nil)
	if status != http.StatusOK {
		t.Fatalf("%d: %+v", status, b.Error)
	}
	for late := time.Now().Add(patience); b.Status != "completed"; time.Sleep(20 * time.Millisecond) {
		if b, status = ask(http.MethodGet, batches+"/"+b.ID, "", nil, nil); status != http.StatusOK || b.Status == "failed" || time.Now().After(late) {
			t.Fatalf("%d: %+v", status, b)
		}
	}
	for uri, want := range map[string]string{b.Output: `"custom_id":"r0"`, b.Errors: `"custom_id":"r1"`} {
		key, ok := strings.CutPrefix(uri, "s3://batholith/in/"+b.ID+"/")
		if !ok {
			t.Fatalf("the output is %s", uri)
		}
		got, err := objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("batholith"), Key: aws.String("in/" + b.ID + "/" + key)})
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(got.Body)
		got.Body.Close()
		if err != nil || strings.Count(string(text), "\n") != 1 || !strings.Contains(string(text), want) {
			t.Errorf("%s is %s, %v", uri, text, err)
		}
		if got.ServerSideEncryption != "aws:kms" || !strings.HasSuffix(aws.ToString(got.SSEKMSKeyId), "key-prompts") {
			t.Errorf("%s is encrypted by %q with %q; want the key of the header", uri, got.ServerSideEncryption, aws.ToString(got.SSEKMSKeyId))
		}
	}
	for _, tt := range []struct {
		name   string
		path   string
		body   string
		header map[string]string
		change func(*http.Request)
		status int
	}{
		{"another body", batches, request, headers, func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(request, "day", "dax", 1)))
		}, http.StatusUnauthorized},
		{"a header that was changed", batches, request, headers, func(r *http.Request) { r.Header.Set("X-Amzn-Bedrock-ModelId", held) }, http.StatusUnauthorized},
		{"an unknown key", batches, request, map[string]string{"X-Amzn-Bedrock-OutputEncryptionKeyId": "alias/none", "X-Amzn-Bedrock-ModelId": quick}, nil, http.StatusBadRequest},
		{"an upload", "/openai/v1/files", "--b--", map[string]string{"Content-Type": "multipart/form-data; boundary=b"}, nil, http.StatusBadRequest},
	} {
		if b, status := ask(http.MethodPost, tt.path, tt.body, tt.header, tt.change); status != tt.status || b.Error.Message == "" {
			t.Errorf("%s: %d: %+v; want %d", tt.name, status, b.Error, tt.status)
		}
	}
}
